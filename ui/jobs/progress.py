"""What a page shows of its job: the place in the queue, the work, its curve, and a way out."""

import weakref
from typing import Any, Protocol

import streamlit as st

from ui.jobs.queue import Job, State
from ui.jobs.shared import job_queue
from ui.shell import visitors
from ui.shell.turns import Tab
from ui.shell.words import plain_errors
from ui.widgets import charts


class Holder(Protocol):
    """What has a job under way, and the newest result that its page shows."""

    job: Job | None
    result: Any


@st.fragment(run_every=1)
def watch_job(held: Holder) -> None:
    """Redraw the job's state every second; run the whole page again when it is over, or when its
    first figures are there."""
    job = held.job
    if job is None or job.over or _has_news(held, job):
        st.rerun()
    with plain_errors(), st.container(border=True):
        st.markdown(f"**{job.title}**")
        _state(job)
        points = job.curve  # once: the worker replaces it when a phase begins
        if job.measured:
            charts.live_curve(points)
        # A callback comes before anything else: news on the way would make a run of the page end
        # before it reaches the button, and the click would be lost. And a session keeps every
        # callback that it ever got, which must not keep the job, with all that came of it, too.
        st.button("Cancel", icon=":material/close:", key=f"cancel job {id(job)}",
                  on_click=_cancel, args=(weakref.ref(job),))


def _cancel(ref: weakref.ref[Job]) -> None:
    job = ref()
    if job is not None:
        job.cancel()


def _has_news(held: Holder, job: Job) -> bool:
    """Whether the job has a partial result that the page does not show yet."""
    return job.partial is not None and held.result is not job.partial


def _state(job: Job) -> None:
    if job.state is State.WAITING:
        st.progress(0.0, waiting(job_queue().ahead(job), visitors.tab()))
        return
    done, total, unit = job.amount
    share = min(done / total, 1.0) if total else 0.0
    st.progress(share, f"{job.doing} · {_amount(done, total, unit)}{job.seconds:.0f} s")


def waiting(ahead: list[Tab], here: Tab) -> str:
    """What is said of a job's place, given the tabs whose jobs come before it.

    >>> here, other = Tab("this machine", "a"), Tab("this machine", "b")
    >>> waiting([other, here], here)
    'Waiting: 2 jobs before this one, 1 of them from this tab'
    >>> waiting([here], here), waiting([], here)
    ('Waiting: 1 job of this tab before this one', 'Waiting: it is next')
    """
    count, own = len(ahead), ahead.count(here)
    if not count:
        return "Waiting: it is next"
    jobs = f"{count} {'job' if count == 1 else 'jobs'}"
    if own == count:
        return f"Waiting: {jobs} of this tab before this one"
    return f"Waiting: {jobs} before this one" + (f", {own} of them from this tab" if own else "")


def _amount(done: int, total: int, unit: str) -> str:
    if not total:
        return ""
    if unit == "byte":
        return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB · "
    return f"{unit} {done:,} of {total:,} · "
