"""Work that outlives a page's run: one queue for the whole server, one job at a time.

A session holds its own jobs and nobody else's. The worker never calls Streamlit; pages poll a
job's fields. Knows nothing of pages, so it can be tested alone.
"""

import atexit
import enum
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from forget.core.errors import Cancelled, ForgetError
from forget.core.steps import Point, Step
from forget.io.files import Progress
from forget.methods import Spending
from forget.unlearning.result import Result
from forget.unlearning.watch import Watch
from ui.shell import limits
from ui.shell.turns import SERVER, Place, Tab, Turns
from ui.shell.words import sentence, told, unforeseen


class State(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


NOTHING_DONE = (0, 0, "step")
LAST_SECONDS = 5.0
"""How long a server that is told to stop waits for the step under way."""


class Job(Watch):
    """One piece of work with what a page shows of it.

    ``doing``: what is happening now.  ``amount``: how much of it is done, of how much, and the
    unit, "step", "photo" or "byte": one tuple, so that a reader never sees halves of two.
    ``curve``: the points of the present phase.  ``measured``: whether any phase had one.
    ``partial``: a result with fewer references than asked for, or what else there is to show before
    the end.
    ``result``: what the work returned.  ``message``: why it failed or who stopped it, for a person.
    ``about``: the title as others may see it, without names that its owner brought.

    ``urgent``: comes before all that is not.  ``outlives_tab``: its effect is not only for the tab
    that asked for it, so it is done when that is closed, too.
    """

    urgent: ClassVar[bool] = False
    outlives_tab: ClassVar[bool] = False

    def __init__(self, title: str, work: Callable[["Job"], Any], about: str = ""):
        self.title, self.about = title, about or title
        self.state = State.WAITING
        self.doing = "Waiting"
        self.amount = NOTHING_DONE
        self.curve: list[Point] = []
        self.measured = False
        self.partial: Any = None
        self.result: Any = None
        self.message = ""
        self.started: float | None = None
        self.ended: float | None = None
        self._work = work
        self._cancel = threading.Event()
        self._ended = threading.Event()

    @property
    def over(self) -> bool:
        return self.state in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        if self.started is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.started

    def cancel(self, seconds: float = 1.0, why: str = "") -> None:
        """Stop the work before its next step; returns when it has, or after so many seconds.

        A waiting job is over at once.  ``why``: a sentence, where it is not its owner who stops it.
        """
        if why:
            self.message = why
        self._cancel.set()
        if self.state is State.WAITING:
            self.state = State.CANCELLED
            self._ended.set()
        self._ended.wait(seconds)

    def run(self) -> None:
        """Do the work; called once, by the worker."""
        if self.state is State.CANCELLED:
            return
        self.doing, self.started = "Starting", time.monotonic()
        self.state = State.RUNNING
        try:
            self.check()
            self.result = self._work(self)
            outcome = State.DONE
        except Cancelled:
            outcome = State.CANCELLED
        except ForgetError as error:
            self.message, outcome = told(error), State.FAILED
        except Exception:  # noqa: BLE001 - one job's fault must not end the worker
            self.message, outcome = unforeseen(), State.FAILED
        self.ended = time.monotonic()
        self.state = outcome
        self._ended.set()

    def phase(self, name: str) -> None:
        self.doing, self.amount = name, NOTHING_DONE
        self.curve = []

    def step(self, step: Step, seconds: float) -> None:
        self.amount = (step.index, step.total, "step")

    def point(self, point: Point) -> None:
        self.curve = [*self.curve, point]
        self.measured = True

    def bytes(self, progress: Progress) -> None:
        """Progress of a download; stops it when the job is cancelled."""
        self.check()
        self.doing = progress.what
        self.amount = (progress.done, progress.total, progress.unit)

    def announce(self, spending: Spending) -> None:
        self.doing = sentence(spending.words)

    def unlearned(self, result: Result) -> None:
        self.partial = result

    def cancelled(self) -> bool:
        return self._cancel.is_set()


class Holder:
    """What keeps a page's work in one tab: the job under way, and what is said about the last.

    A subclass has the fields ``job`` and ``notice``, says with :meth:`keep` what becomes of a
    job's result, and with :meth:`said_of_cancelled` what is said of one that was stopped.
    """

    job: Job | None
    notice: str

    def keep(self, newest: Any) -> None:
        """Take a job's result, whole or so far."""
        raise NotImplementedError

    def said_of_cancelled(self, job: Job) -> str:
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.over

    @property
    def unsaved(self) -> bool:
        """Whether this tab holds what a reload would lose."""
        return False

    def collect(self) -> None:
        """Take what the job has so far; when it is over, let go of it and note how it ended."""
        job = self.job
        if job is None:
            return
        over = job.over  # before the results: a job that ends meanwhile is looked at again
        newest = job.result or job.partial
        if newest is not None:
            self.keep(newest)
        if over:
            stopped = f"{self.said_of_cancelled(job)} {job.message}".strip()
            self.notice = {State.FAILED: job.message, State.CANCELLED: stopped}.get(job.state, "")
            self.job = None


class JobQueue:
    """Runs jobs one after the other in a thread of its own, and in another one looks which tabs are
    still there.

    An executor would carry out all that waits before it lets the server stop.
    ``present``: whether a tab has a connection.
    """

    def __init__(self, present: Callable[[Tab], bool] = lambda tab: True):
        self._turns = Turns(present)
        self._changed = threading.Condition()
        self._closed = threading.Event()
        for loop in (self._work, self._look):
            threading.Thread(target=loop, name=f"jobs:{loop.__name__}", daemon=True).start()
        atexit.register(self.close)

    def submit(self, job: Job, tab: Tab = SERVER) -> Job:
        """Let a job wait for its turn.

        Raises :class:`~forget.core.errors.BadInput` where too many wait.
        """
        with self._changed:
            self._turns.add(job, tab)
            self._changed.notify()
        return job

    def ahead(self, job: Job) -> list[Tab]:
        """The tabs whose jobs come before this one."""
        with self._changed:
            return self._turns.ahead(job)

    def place(self, job: Job) -> int:
        """How many jobs are before this one."""
        return len(self.ahead(job))

    def all(self) -> list[tuple[Place, bool]]:
        """What runs and what waits, in turn, and whether its tab has no connection."""
        with self._changed:
            return [(place, self._turns.away(place)) for place in self._turns.all()]

    def cancel(self, number: int, why: str) -> None:
        """Stop the job with this number, if it is not over by now."""
        for place, _ in self.all():
            if place.number == number:
                place.job.cancel(why=why)

    def close(self) -> None:
        """Cancel all jobs, the waiting ones first, and give the one under way time to stop."""
        self._closed.set()
        for place, _ in reversed(self.all()):
            place.job.cancel(LAST_SECONDS)

    def _work(self) -> None:
        while True:
            self._next().run()

    def _next(self) -> Job:
        with self._changed:
            while (job := self._turns.take()) is None:
                self._changed.wait()
            return job

    def _look(self) -> None:
        while not self._closed.wait(limits.LOOK):
            with self._changed:
                self._turns.sweep()
                self._changed.notify()  # a tab may be back, whose jobs could not run
