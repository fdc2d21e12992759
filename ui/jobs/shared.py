"""What all sessions of one server share: the datasets, the one queue of jobs, and what a server
that was killed left to be done."""

import shutil

import streamlit as st

from forget.core.device import pick_device
from forget.core.errors import BadInput
from forget.data import Dataset, find_dataset
from forget.faces.embedders import Embedder, find_embedder
from forget.io.paths import downloads
from forget.records import requests
from forget.unlearning.result import Result
from ui.jobs.queue import Job, JobQueue
from ui.shell import limits, visitors
from ui.shell.turns import SERVER


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    return JobQueue(visitors.present)


def submit(job: Job) -> Job:
    """Put a job of this tab into the server's queue.

    Raises :class:`BadInput` where too many wait there already, or the disk is full.
    """
    if not job.urgent:
        _check_disk()
    return job_queue().submit(job, visitors.tab())


def _check_disk() -> None:
    """What is made is kept, and an erasure needs room: nothing else may take the last of it."""
    folder = next(path for path in (downloads(), *downloads().parents) if path.exists())
    if shutil.disk_usage(folder).free < limits.FREE_DISK:
        raise BadInput(f"the disk of this server has under {limits.FREE_DISK // limits.MB} MB "
                       "left: whoever runs it must make room, for instance by deleting runs/ or "
                       "trained/ in the data folder")


class DiscreetJob(Job):
    """A job that keeps no result so far: a run's result holds a model that learnt the data."""

    def unlearned(self, result: Result) -> None:
        pass


class Carrying(DiscreetJob):
    """A job that carries out requests to be forgotten."""

    urgent = True
    outlives_tab = True


@st.cache_resource(show_spinner=False)
def resumed() -> Job | None:
    """The job that finishes what was due, or left half-done, when this server started; None where
    nothing was.

    The server's start calls it, and so do the pages about people's data; it is done once.
    """
    if requests.is_resumed():
        return None
    return job_queue().submit(Carrying("Carrying out the requests that were left",
                                       lambda job: len(requests.resume(job))), SERVER)


@st.cache_resource(show_spinner=False, max_entries=1)
def embedder() -> Embedder:
    """The network that turns faces into rows; its weights must be on this machine."""
    return find_embedder().load()


@st.cache_resource(show_spinner=False, max_entries=2)
def photos(name: str) -> dict[str, bytes]:
    """The photos of a dataset as they came, by key."""
    return {photo.key: photo.data for photo in find_dataset(name).photos()}


@st.cache_resource(show_spinner=False, max_entries=4)
def dataset(name: str) -> Dataset:
    """A dataset that is ready to be loaded; read-only by convention, on the device."""
    return find_dataset(name).load().to(pick_device())
