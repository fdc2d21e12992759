"""What Forget me and Ledger keep in one browser tab, and the jobs that they start.

Nothing here holds a sample or a model once a job is over: what came of a request is kept as the
records have it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import streamlit as st

from forget.io.paths import downloads
from forget.methods import Method, Spending
from forget.records import bases, ledger, requests, trace
from forget.records.bases import Base, base_called
from forget.records.database import MODELS, reading
from forget.records.measured import measured, outcome
from forget.records.requests import Done
from forget.records.trace import Held, Hit
from ui.jobs import shared
from ui.jobs.progress import watch_job
from ui.jobs.queue import Holder, Job

CANCELLED = ("Cancelled. What was not carried out yet stays in the queue: the page Ledger "
             "shows it and can carry it out, and whatever is carried out next takes it along "
             "where it is due.")


@dataclasses.dataclass(frozen=True)
class Came:
    """What came of one request, without the data and without a name.

    ``entry``: its number in the ledger.  ``outcome``: what that says, and what was measured.
    ``failed``: why it could not be carried out.  ``untidy``: what still has to be cleaned up.
    """

    request: int
    base: str
    samples: int
    entry: int
    outcome: dict[str, Any]
    failed: str = ""
    untidy: str = ""


@dataclasses.dataclass(frozen=True)
class Waits:
    """A base in which a request goes on waiting: how many do, and when they are carried out."""

    base: str
    waiting: int
    batch: int


@dataclasses.dataclass(frozen=True)
class Searched:
    """Where in the data folder anything of a contributor was found."""

    name: str
    hits: tuple[Hit, ...]


@dataclasses.dataclass(frozen=True)
class Question:
    """What a forecast is asked about: a base, its model, the method, whose samples go, and the
    limit for publications, where there is one."""

    base: str
    model: int | None
    method: Method
    names: tuple[str, ...]
    most: float | None


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What requests would spend of a budget, None where they spend none."""

    spending: dict[Question, Spending | None]


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What came of asking.

    ``came``: one a request that was carried out or failed.  ``waits``: bases that go on waiting.
    ``before``: files that held something, and ``left``: what was found afterwards.  ``others``:
    requests of others that were due and carried out too.  ``meanwhile``: own ones that were
    carried out along with somebody else's before this could begin.
    """

    came: tuple[Came, ...]
    waits: tuple[Waits, ...]
    before: int
    left: tuple[Hit, ...]
    others: int
    meanwhile: int


@dataclasses.dataclass(frozen=True)
class CarriedOut:
    """What came of the requests that waited."""

    came: tuple[Came, ...]


@dataclasses.dataclass
class Working(Holder):
    """A page's work in one tab.

    ``result``: what came of the last requests.  ``place``: the part of the page that started the
    job, and where it is shown.  ``searched`` and ``forecast``: the last answers.  ``round``: counts
    what is asked about, so that a tick is given for one request only.  ``names``: who can be
    picked, and ``lists`` counts how often they became others.
    """

    job: Job | None = None
    notice: str = ""
    result: Forgotten | CarriedOut | None = None
    place: str = ""
    searched: Searched | None = None
    forecast: Forecast | None = None
    round: int = 0
    names: tuple[str, ...] = ()
    lists: int = 0

    def submit(self, job: Job, place: str) -> None:
        """Put a job into the server's queue."""
        self.notice, self.place = "", place
        self.job = shared.submit(job)

    def another(self) -> None:
        """Something else is asked about."""
        self.round += 1

    def keep(self, newest: Any) -> None:
        match newest:
            case Searched():
                self.searched = newest
            case Forecast():
                self.forecast = newest
            case _:
                self.result = newest
                self.searched = self.forecast = None  # they name whoever is forgotten now

    def said_of_cancelled(self, job: Job) -> str:
        return CANCELLED if isinstance(job, shared.Carrying) else "Cancelled."


def show_work(held: Working, place: str) -> None:
    """The job that a part of the page started, and what is said about its end."""
    if held.place != place:
        return
    if held.job is not None:
        watch_job(held)
    elif held.notice:
        st.warning(held.notice, icon=":material/info:")


class Forecasting(shared.DiscreetJob):
    """A job that an erasure waits for."""

    urgent = True


def searching(name: str) -> Job:
    """A job that looks for anything of a contributor; gives :class:`Searched`."""
    def work(job: Job) -> Searched:
        job.phase("Going through every file of the data folder")
        return Searched(name, tuple(trace.trace(name)[1]))

    return shared.DiscreetJob("Searching the data folder", work)


def forecasting(questions: Sequence[Question]) -> Job:
    """A job that works out what requests would spend; gives :class:`Forecast`."""
    def work(job: Job) -> Forecast:
        return Forecast({one: requests.forecast(base_called(one.base), one.names, one.method, job)
                         for one in questions})

    return Forecasting("Working out what it spends of the budget", work)


def forgetting(there: Held, asked: Sequence[int], references: int) -> shared.Carrying:
    """A job that carries out what is due of the requests that were asked; gives :class:`Forgotten`.

    The samples are held until it is over, to look for them afterwards, and no longer.
    """
    hand = [there]

    def work(job: Job) -> Forgotten:
        there = hand.pop()
        files = [(downloads() / photo).read_bytes() for photo in there.photos]
        job.phase("Searching the data folder")
        before = {hit.file for hit in trace.search(there.name, there.samples, files)}
        requests.erase_kept(there.name)
        done: list[Done] = []
        for base in [base_called(one) for one in sorted({one.base for one in there.samples})]:
            base.dataset(job.bytes)
            done += requests.carry_out(base, job, references)
        job.phase("Searching the data folder for what is left")
        left = trace.search(there.name, there.samples, files) + [
            Hit(f"{MODELS}/{file}", "a model that learnt from the samples")
            for file in trace.held(there.name).models]
        return Forgotten(
            came_of([one for one in done if one.asked.id in asked]), waits_of(there.name),
            len(before | {f"{MODELS}/{file}" for file in there.models}), tuple(left),
            sum(one.asked.id not in asked for one in done), _meanwhile(asked, done))

    return shared.Carrying("Forgetting everything that a contributor gave", work)


def _meanwhile(asked: Sequence[int], done: Sequence[Done]) -> int:
    """How many requests another tab or program has carried out before this one could."""
    mine = {one.asked.id for one in done} | {one.id for one in requests.waiting()}
    return len(set(asked) - mine)


def carrying_out(base: Base) -> shared.Carrying:
    """A job that carries out all that waits in a base; gives :class:`CarriedOut`."""
    def work(job: Job) -> CarriedOut:
        base.dataset(job.bytes)
        return CarriedOut(came_of(requests.carry_out(base, job, now=True)))

    return shared.Carrying(f"Carrying out the requests that wait: {base.title}", work)


def came_of(done: Sequence[Done]) -> tuple[Came, ...]:
    """What is kept of requests that were carried out."""
    with reading() as db:
        figures = measured(db)
        outcomes = {entry.number: outcome(entry, figures)
                    for entry in ledger.entries(db)} if done else {}
    return tuple(Came(one.asked.id, one.asked.base.name, one.asked.samples, one.entry,
                      outcomes[one.entry], one.failed, one.untidy) for one in done)


def waits_of(name: str) -> tuple[Waits, ...]:
    """The bases in which a contributor's request waits."""
    waits = []
    for base in bases.BASES.values():
        asked = requests.waiting(base)
        if any(one.contributor == name for one in asked):
            waits.append(Waits(base.name, len(asked), requests.policy(base)))
    return tuple(waits)
