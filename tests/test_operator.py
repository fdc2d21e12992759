"""Who runs a server sees everybody's work and can stop it; nobody else sees any of it."""

import itertools
import threading
from types import SimpleNamespace

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from ui.jobs import shared
from ui.jobs.operator import STOPPED, may_operate
from ui.jobs.queue import Holder, Job, State
from ui.shell.access import Access
from ui.shell.turns import Tab
from ui.shell.words import plain

PATIENCE = 20
FRESH = itertools.count(1)
"""Visitors who had no turn before."""


def section():
    from ui.jobs.operator import everybodys_work, may_operate
    from ui.shell.access import who

    if may_operate(who()):
        everybodys_work()


class Secrets(dict):
    """Streamlit's secrets, as far as they are asked."""

    def load_if_toml_exists(self) -> bool:
        return True


class Held(Holder):
    """A page's work, of which nothing is kept."""

    def __init__(self, job: Job):
        self.job, self.notice = job, ""

    def keep(self, newest) -> None:
        pass

    def said_of_cancelled(self, job: Job) -> str:
        return "Cancelled. Nothing was changed."


@pytest.fixture
def busy():
    """A server on which one job runs and one waits; both are of others."""
    begun, go_on = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        begun.set()
        while not go_on.wait(0.01):
            job.check()

    queue = shared.job_queue()
    jobs = [queue.submit(Job("Forget Ana's face", work, "Faces: forget by SISA"),
                         Tab("ana@example.org", "1"))]
    assert begun.wait(PATIENCE)
    jobs += [queue.submit(Job("Audit", lambda job: None), Tab(f"203.0.113.{next(FRESH)}", "2"))]
    yield jobs
    go_on.set()
    for job in jobs:
        job.cancel(PATIENCE)


def said(at: AppTest) -> str:
    assert not at.exception
    return "\n".join(one.value for one in (*at.markdown, *at.caption))


def test_an_operator_sees_whose_work_runs_and_waits_and_no_names_in_it(busy):
    text = said(AppTest.from_function(section, default_timeout=60).run())
    assert "**Faces: forget by SISA** · ana@example.org · runs for " in text
    assert f"**Audit** · {plain('203.0.113.1')} · waits" in text
    assert "Ana's" not in text
    assert "of 1,024 MB" in text


def test_an_operator_stops_a_job_and_its_owner_is_told_who_did(busy):
    at = AppTest.from_function(section, default_timeout=60).run()
    for last in (1, 0):  # the one that waits first, or it would begin
        at.button[last].click().run()
    assert [job.state for job in busy] == [State.CANCELLED] * 2
    held = Held(busy[0])
    held.collect()
    assert held.notice == f"Cancelled. Nothing was changed. {STOPPED}"
    assert "Nothing runs and nothing waits." in said(at)


@pytest.mark.parametrize(("user", "listed", "may"), [
    (None, ["ana@example.org"], False),
    ("ana@example.org", [], False),
    ("ana@example.org", ["ben@example.org"], False),
    ("ana@example.org", ["ben@example.org", "ana@example.org"], True),
    ("Ana@example.org", ["ana@Example.org"], True),
    ("ana@example.org", "ana@example.org, ben@example.org", False),
    ("1234 of https://id.example.org", ["1234"], False),
    ("1234 of https://id.example.org", ["1234 of https://id.example.org"], True),
])
def test_of_those_who_signed_in_only_the_listed_ones_are_operators(monkeypatch, user, listed, may):
    monkeypatch.setattr(streamlit, "secrets", Secrets({"forget": {"operators": listed}}))
    assert may_operate(Access(local=False, sign_in=True, user=user)) == may


def test_without_a_list_only_the_machine_itself_operates(monkeypatch):
    monkeypatch.setattr(streamlit, "secrets", Secrets())
    assert may_operate(Access(local=True, sign_in=False, user=None))
    assert not may_operate(Access(local=False, sign_in=True, user="ana@example.org"))


def test_the_page_shows_an_ordinary_visitor_nothing_of_it(busy, elsewhere):
    at = AppTest.from_function(section, default_timeout=60).run()
    assert said(at) == ""
    assert not at.button


def test_a_page_says_where_its_job_waits_without_guessing_whose_the_others_are(busy):
    at = AppTest.from_string(
        "import streamlit as st\n"
        "from ui.jobs import shared\nfrom ui.jobs.progress import watch_job\n"
        "held = st.session_state.held\n"
        "held.job = held.job or shared.submit(held.own)\n"
        "watch_job(held)", default_timeout=60)
    held = at.session_state["held"] = SimpleNamespace(
        own=Job("mine", lambda job: None), job=None, result=None)
    at.run()
    assert not at.exception
    bar = at.get("progress")[0].proto.text
    assert bar == "Waiting: 2 jobs before this one"
    held.job.cancel()
