"""The queue of jobs: one at a time, cancelled at once, and no fault of one ends the others."""

import gc
import shutil
import threading
import weakref
from types import SimpleNamespace

import pytest
from conftest import weights_hash
from streamlit.testing.v1 import AppTest

from forget.core.errors import BadInput
from forget.core.steps import Step, drive
from forget.io.files import Progress
from forget.learners.network import Network
from forget.unlearning import store
from forget.unlearning.learn import learn
from ui.erase.work import Forecasting
from ui.jobs import shared
from ui.jobs.queue import Job, JobQueue, State
from ui.shell import limits
from ui.shell.turns import Tab
from ui.teach.work import Learning

PATIENCE = 10


@pytest.fixture
def queue():
    return JobQueue()


def wait_for(job: Job) -> Job:
    """Until the job is over; a job that never ends fails the test."""
    done = threading.Event()

    def look():
        while not job.over:
            if done.wait(0.005):
                return
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(PATIENCE)
    return job


def test_a_job_gives_its_result(queue):
    job = wait_for(queue.submit(Job("add", lambda job: 1 + 1)))
    assert (job.state, job.result) == (State.DONE, 2)


def test_jobs_run_in_turn_and_know_their_place(queue):
    gate, order = threading.Event(), []

    def work(name):
        def run(job):
            gate.wait(PATIENCE)
            order.append(name)
        return run

    jobs = [queue.submit(Job(name, work(name))) for name in "abc"]
    assert [queue.place(job) for job in jobs] == [0, 1, 2]
    gate.set()
    for job in jobs:
        wait_for(job)
    assert order == ["a", "b", "c"]


def test_a_waiting_job_that_is_cancelled_never_runs(queue):
    gate, ran = threading.Event(), []
    first = queue.submit(Job("first", lambda job: gate.wait(PATIENCE)))
    second = queue.submit(Job("second", lambda job: ran.append(1)))
    second.cancel()
    assert second.state is State.CANCELLED
    gate.set()
    wait_for(first)
    wait_for(queue.submit(Job("third", lambda job: None)))
    assert not ran


def test_a_running_job_stops_before_its_next_step(queue):
    started = threading.Event()

    def steps(job):
        index = 0
        while True:
            index += 1
            yield Step(index, 10**9, "for ever", {})
            started.set()

    job = queue.submit(Job("endless", lambda job: drive(steps(job), job.step, job.cancelled)))
    assert started.wait(PATIENCE)
    job.cancel()
    assert wait_for(job).state is State.CANCELLED


def test_an_expected_fault_is_its_sentence(queue):
    def work(job):
        raise BadInput("that is wrong; do this")

    job = wait_for(queue.submit(Job("bad", work)))
    assert (job.state, job.message) == (State.FAILED, "That is wrong; do this.")


def test_an_unforeseen_fault_is_a_sentence_without_its_text_and_the_queue_goes_on(queue):
    def work(job):
        raise ZeroDivisionError("secret detail")

    job = wait_for(queue.submit(Job("broken", work)))
    assert job.state is State.FAILED
    assert "secret" not in job.message
    assert wait_for(queue.submit(Job("next", lambda job: 3))).result == 3


def test_a_job_gives_the_same_weights_as_the_calling_thread(queue, home, tiny):
    learner = Network(min_steps=40, epochs=1)
    here = learn(learner, tiny, seed=3)
    (stored,) = (home / store.TRAINED).iterdir()
    stored.unlink()
    job = wait_for(queue.submit(Job("train", lambda job: learn(learner, tiny, seed=3))))
    assert weights_hash(job.result.model) == weights_hash(here.model)


def test_a_cancelled_download_stops_at_its_next_byte(queue):
    started = threading.Event()

    def work(job):
        while True:
            started.set()
            job.bytes(Progress("Downloading", 1, 2))

    job = queue.submit(Job("download", work))
    assert started.wait(PATIENCE)
    job.cancel()
    assert wait_for(job).state is State.CANCELLED


def test_the_queue_keeps_no_job_that_is_over(queue):
    ended = threading.Event()
    ref = weakref.ref(queue.submit(Job("short", lambda job: None)))
    queue.submit(Job("next", lambda job: ended.set()))
    assert ended.wait(PATIENCE)
    gc.collect()
    assert ref() is None


def test_a_page_keeps_no_job_whose_cancel_button_it_showed():
    at = AppTest.from_string("import streamlit as st\nfrom ui.jobs.progress import watch_job\n"
                             "held = st.session_state.held\n"
                             "if held.job and not held.job.over: watch_job(held)")
    held = at.session_state["held"] = SimpleNamespace(job=Job("waits", None), result=None)
    assert [button.label for button in at.run().button] == ["Cancel"]
    at.button[0].click().run()
    assert held.job.state is State.CANCELLED
    ref, held.job = weakref.ref(held.job), None
    at.run()
    gc.collect()
    assert ref() is None


def test_work_of_a_closed_tab_is_stopped_while_it_runs_and_the_next_one_begins(monkeypatch):
    monkeypatch.setattr(limits, "GRACE", 0.0)
    monkeypatch.setattr(limits, "LOOK", 0.001)
    there, closed = Tab("a", "1"), Tab("b", "2")
    gone: set[Tab] = set()
    queue, begun = JobQueue(lambda tab: tab not in gone), threading.Event()

    def endless(job):
        begun.set()
        while True:
            job.check()

    left = queue.submit(Job("left behind", endless), closed)
    assert begun.wait(PATIENCE)
    mine = queue.submit(Job("mine", lambda job: 3), there)
    gone.add(closed)
    assert wait_for(mine).result == 3
    assert left.state is State.CANCELLED
    assert "no connection" in left.message


def test_a_job_of_a_tab_that_comes_back_is_begun_then(monkeypatch):
    monkeypatch.setattr(limits, "LOOK", 0.001)
    tab, gone = Tab("a", "1"), {Tab("a", "1")}
    queue = JobQueue(lambda tab: tab not in gone)
    job = queue.submit(Job("waits", lambda job: 3), tab)
    assert wait_for(queue.submit(Job("another", lambda job: 1))).result == 1
    assert job.state is State.WAITING
    gone.clear()
    assert wait_for(job).result == 3


def test_what_outlives_a_tab_and_what_comes_first():
    """Erasures, and what they wait for; what was given is kept and learnt."""
    assert (shared.Carrying.urgent, shared.Carrying.outlives_tab) == (True, True)
    assert (Forecasting.urgent, Forecasting.outlives_tab) == (True, False)
    assert (Learning.urgent, Learning.outlives_tab) == (False, True)
    assert (Job.urgent, Job.outlives_tab) == (False, False)


def test_on_a_full_disk_only_erasures_begin(home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(BadInput, match="must make room"):
        shared.submit(Job("anything", lambda job: 1))
    assert wait_for(shared.submit(shared.Carrying("erasure", lambda job: 2))).result == 2
