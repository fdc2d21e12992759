"""What the pages Compare and Audit keep in one browser tab across runs and page switches."""

import dataclasses
from typing import Any, ClassVar

from forget.data import Dataset
from ui.jobs import shared
from ui.jobs.queue import Holder, Job, State
from ui.run.originals import Named


@dataclasses.dataclass
class Getting:
    """Fetching a dataset: ``job`` while it is under way.  ``result`` stays None."""

    job: Job | None = None
    result: Any = None


@dataclasses.dataclass
class Work(Holder):
    """A page's job and what has come of it.

    ``result``: the newest that a job gave, whole or so far.  ``job``: the work under way, or None.
    ``notice``: said about the last job.  ``getting``: the fetching of each dataset, by name.
    ``cancelled``: what a page says of work that was stopped.
    """

    cancelled: ClassVar[str]

    result: Any = None
    job: Job | None = None
    notice: str = ""
    getting: dict[str, Getting] = dataclasses.field(default_factory=dict)

    def submit(self, job: Job) -> None:
        """Put a job into the server's queue."""
        self.job, self.notice = shared.submit(job), ""

    def keep(self, newest: Any) -> None:
        self.result = newest

    def said_of_cancelled(self, job: Job) -> str:
        return self.cancelled


def dataset_of(held: Work, name: str) -> Dataset | None:
    """A dataset that is ready, None where a job must fetch it first: it is then in ``getting``."""
    source, getting = Named(name), held.getting.setdefault(name, Getting())
    if getting.job is None and source.ready():
        return source.dataset()
    if getting.job is None:
        getting.job = shared.submit(Job("Getting the data", source.fetch))
    if getting.job.state is State.DONE:
        getting.job = None
        return source.dataset()
    return None
