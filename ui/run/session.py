"""What one session keeps for one page across runs and page switches: models, results, its job."""

import dataclasses
from typing import Any

import streamlit as st

from forget.data import Dataset
from forget.metrics.unknown import Threshold
from forget.unlearning.result import Result, Start
from ui.jobs.queue import Holder, Job
from ui.run.subject import Subject

MAX_REQUESTS = 20
CANCELLED = "Cancelled. Nothing was changed."
STOPPED = ("Cancelled. The model has forgotten; only the retraining to compare with was stopped.")


@dataclasses.dataclass
class Session(Holder):
    """One page's work in one browser tab.

    ``subject``: what the page is about.  ``given``: what the person shows to the model, as the
    page's own input keeps it.  ``choice``: where the data come from, and the original's label, seed
    and settings.  ``dataset`` and ``original``: those data, and the model to start from.
    ``threshold``: below which evidence it knows nobody, where the data are people.
    ``results``: one a request, each on top of the one before.  ``job``: the work under way, or
    None.  ``notice``: said about the last job.
    """

    subject: Subject
    given: Any
    choice: tuple[Any, str, int, Any] | None = None
    dataset: Dataset | None = None
    original: Start | None = None
    threshold: Threshold | None = None
    results: list[Result] = dataclasses.field(default_factory=list)
    job: Job | None = None
    notice: str = ""

    @property
    def data(self) -> Any:
        """Where the dataset comes from, see :class:`ui.run.originals.Named`."""
        return self.choice[0]

    @property
    def seed(self) -> int:
        """The seed chosen with the original."""
        return self.choice[2]

    @property
    def result(self) -> Result | None:
        return self.results[-1] if self.results else None

    @property
    def start(self) -> Start | None:
        """Where the next request starts: the last unlearned model, or the original."""
        return self.result.next_start() if self.result else self.original

    @property
    def unsaved(self) -> bool:
        return self.busy or bool(self.results) or self.given.unsaved

    def said_of_cancelled(self, job: Job) -> str:
        return STOPPED if job.partial is not None else CANCELLED

    def keep(self, result: Result) -> None:
        """Add a result, or replace the last one where it is the same run with more to show."""
        if self.result is not None and self.result.unlearned is result.unlearned:
            self.results.pop()
        self.results.append(result)

    def take(self, dataset: Dataset, original: Start, threshold: Threshold | None) -> None:
        """Everything to begin with is ready."""
        self.dataset, self.original, self.threshold = dataset, original, threshold
        self.job = None

    def undo(self) -> None:
        self.results.pop()
        self.notice = ""

    def start_over(self) -> None:
        self.results.clear()
        self.notice = ""

    def choose(self, data: Any, label: str, seed: int, settings: Any) -> bool:
        """Other data or another model to start from: everything that was made from the former goes.

        Returns whether it is another one.
        """
        if (data, label, seed, settings) == self.choice:
            return False
        if self.job is not None:
            self.job.cancel()
        self.choice, self.job = (data, label, seed, settings), None
        self.dataset = self.original = self.threshold = None
        self.start_over()
        return True


def session(subject: Subject, given: type) -> Session:
    """This tab's :class:`Session` for a page; ``given`` makes the empty state of its input."""
    key = f"{subject.key}.session"
    if key not in st.session_state:
        st.session_state[key] = Session(subject, given())
    return st.session_state[key]
