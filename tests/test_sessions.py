"""Several people on one server: each sees their own requests and pictures, and can cancel."""

import threading
import time

import numpy as np
import pytest
from browser import copy_home, server
from protocol import Node, Page, Tab, connected
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Heading_pb2 import Heading
from visitors import METHODS, Visitor, test_digits, usable_page

from ui.jobs.queue import Job, JobQueue, State

HANG = 280


def message(run: str = "first", fragment: str = "", **fields) -> ForwardMsg:
    """A message of the server, in a run of the whole page or of one fragment."""
    made = ForwardMsg(**fields)
    made.metadata.run.script_run_id = run
    if fragment:
        made.metadata.run.fragment_ids.append(fragment)
    return made


def heading(place: list[int], body: str, fragment: str = "") -> ForwardMsg:
    made = ForwardMsg()
    made.metadata.delta_path.extend(place)
    made.delta.new_element.heading.body = body
    made.delta.fragment_id = fragment
    return made


def started(run: str, fragment: str = "") -> ForwardMsg:
    return message(run, fragment, new_session={"page_script_hash": "page"})


def finished(run: str, fragment: str = "") -> ForwardMsg:
    return message(run, fragment, script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)


def test_what_a_run_has_not_drawn_again_is_gone():
    page = Page()
    for one in (started("1"), heading([0, 0], "Digits"), heading([0, 1], "Result"), finished("1"),
                started("2"), heading([0, 0], "Digits")):
        page.take(one)
    assert page.headings() == ["Digits", "Result"]
    page.take(finished("2"))
    assert page.headings() == ["Digits"]


def test_a_fragments_run_takes_away_its_own_elements_only():
    page = Page()
    for one in (started("1"), heading([0, 0], "Digits"), heading([0, 1], "Waiting", "job"),
                finished("1"), started("2", "job"), finished("2", "job")):
        page.take(one)
    assert page.headings() == ["Digits"]


@pytest.mark.parametrize(("said", "mixed_up"), [
    (f"Forget 3 (5,622 training samples) · {METHODS[0]}", False),
    (f"**Forget 3 (5,622 training samples) · {METHODS[0]}**", False),
    (f"Forget 4 (5,307 training samples) · {METHODS[0]}", True),
    (f"Forget 3 (5,622 training samples) · {METHODS[1]}", True),
    (f"Forget 12 training samples · {METHODS[0]}", True),
])
def test_a_visitor_notices_a_request_that_is_not_its_own(said, mixed_up):
    visitor = Visitor("", 3, (np.zeros((1, 28, 28)), np.zeros(1)))
    visitor.check(Page({(0, 0): Node("heading", Heading(body=said), "1", "")}))
    assert bool(visitor.notes.mixed_up) == mixed_up


def test_a_closed_queue_stops_what_runs_and_begins_nothing_more():
    begun, ran = threading.Event(), []

    def endless(job: Job) -> None:
        begun.set()
        while True:
            job.check()
            time.sleep(0.01)

    queue = JobQueue()
    jobs = [queue.submit(Job("runs", endless)), queue.submit(Job("waits", ran.append))]
    assert begun.wait(HANG)
    queue.close()
    assert [job.state for job in jobs] == [State.CANCELLED, State.CANCELLED]
    assert ran == []


def visit(visitor: Visitor, together: threading.Barrier, patience: float | None) -> None:
    """Ask twice, each time at the same moment as the others, and cancel the second."""
    try:
        with connected(visitor.address) as tab:
            visitor.arrive(tab)
            for drawn in (False, True):
                visitor.show(tab, drawn)
                together.wait(HANG)
                visitor.ask(tab, patience if drawn else None)
            if patience is not None:  # what was cancelled can be asked for again
                visitor.ask(tab)
    except Exception as error:  # noqa: BLE001 - the test looks at it
        visitor.notes.faults.append(repr(error))
        together.abort()


@pytest.mark.slow
def test_three_sessions_at_once_see_nothing_of_each_other(tmp_path):
    pictures, together = test_digits(), threading.Barrier(3)
    with server(copy_home(tmp_path / "home")) as url:
        visitors = [Visitor(url, number, pictures) for number in (3, 5, 17)]
        threads = [threading.Thread(target=visit, args=(one, together, patience))
                   for one, patience in zip(visitors, (None, None, 0.0), strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
            assert not thread.is_alive()
    assert [one.notes.faults for one in visitors] == [[], [], []]
    assert [one.notes.mixed_up for one in visitors] == [[], [], []]
    assert [one.notes.finished for one in visitors] == [2, 2, 2]
    assert [one.notes.cancelled for one in visitors] == [0, 0, 1]
    assert max(one.notes.most_before for one in visitors) >= 1


@pytest.mark.slow
def test_closed_tabs_hold_nobody_up(tmp_path):
    """Their jobs wait for them for a while, and let those of open tabs go first."""
    def ask(tab: Tab) -> str:
        tab.wait_for(usable_page, HANG)
        tab.choose("digits.method", "Standard: retrain")
        tab.settle()
        tab.enter("digits.references", 10)
        tab.settle()
        tab.click("digits.forget")
        return tab.wait_for(lambda page: page.bars())[0]

    with server(copy_home(tmp_path / "home")) as url, connected(url) as runs:
        assert "Waiting" not in ask(runs)
        for _ in range(3):
            with connected(url) as tab:
                assert ask(tab) == "Waiting: 1 job before this one"
        with connected(url) as tab:
            assert ask(tab) == "Waiting: 1 job before this one"


@pytest.mark.slow
def test_a_server_with_waiting_requests_stops_when_it_is_told_to(tmp_path):
    """Leaving ``server`` fails where the process is still there after 20 seconds."""
    home = copy_home(tmp_path / "home")
    with server(home) as url, connected(url) as tab:
        visitor = Visitor(url, 3, (np.zeros((1, 28, 28)), np.zeros(1)))
        visitor.wait(tab, usable_page)
        tab.choose("digits.method", "Standard: retrain")
        tab.settle()
        tab.click("digits.forget")
        tab.wait_for(lambda page: any("step" in bar for bar in page.bars()), HANG)
    said = (home / "server.log").read_text()
    assert said.endswith("Stopping...\n")
    assert "leaked" not in said


@pytest.mark.slow
def test_what_a_closed_tab_held_goes_without_another_visitor(tmp_path):
    """The browser may come back for a while; then its photos go, though nobody else comes."""
    with server(tmp_path, "--server.disconnectedSessionTTL=2", "--logger.level=debug") as url:
        with connected(url) as tab:
            tab.wait_for(lambda page: "Digits" in page.headings())
        end = time.monotonic() + 20
        while "Shutting down (id=" not in (log := (tmp_path / "server.log").read_text()):
            assert time.monotonic() < end, log[-2000:]
            time.sleep(0.2)
