"""What the pages Compare and Audit keep in one browser tab across runs and page switches."""

import dataclasses
from typing import Any

from forget.data import Dataset
from ui import shared
from ui.jobs import Job, State
from ui.originals import Named


@dataclasses.dataclass
class Getting:
    """Fetching a dataset: ``job`` while it is under way.  ``result`` stays None."""

    job: Job | None = None
    result: Any = None


@dataclasses.dataclass
class Work:
    """A page's job and what has come of it.

    ``result``: the newest that a job gave, whole or so far.  ``job``: the work under way, or None.
    ``notice``: said about the last job.  ``getting``: the fetching of each dataset, by name.
    """

    result: Any = None
    job: Job | None = None
    notice: str = ""
    getting: dict[str, Getting] = dataclasses.field(default_factory=dict)

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.over

    def submit(self, job: Job) -> None:
        """Put a job into the server's queue."""
        self.job, self.notice = shared.job_queue().submit(job), ""

    def collect(self, cancelled: str) -> None:
        """Take what the job has so far; when it is over, let go of it and note how it ended."""
        job = self.job
        if job is None:
            return
        over = job.over  # before the results: a job that ends meanwhile is looked at again
        newest = job.result or job.partial
        if newest is not None:
            self.result = newest
        if over:
            self.notice = {State.FAILED: job.message, State.CANCELLED: cancelled}.get(job.state, "")
            self.job = None


def dataset_of(held: Work, name: str) -> Dataset | None:
    """A dataset that is ready, None where a job must fetch it first: it is then in ``getting``."""
    source, getting = Named(name), held.getting.setdefault(name, Getting())
    if getting.job is None and source.ready():
        return source.dataset()
    if getting.job is None:
        getting.job = shared.job_queue().submit(Job("Getting the data", source.fetch))
    if getting.job.state is State.DONE:
        getting.job = None
        return source.dataset()
    return None
