"""Whose job is next: erasures first, then visitors in turn, and nothing of tabs that are closed.

Plain bookkeeping without threads: the queue (:mod:`ui.jobs.queue`) asks it under its own lock.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

from forget.core.errors import BadInput
from ui.shell import limits

LEFT = f"Its tab had no connection for {limits.GRACE:.0f} s."


class Tab(NamedTuple):
    """A browser tab: ``visitor``: whose it is.  ``session``: no two tabs have the same."""

    visitor: str
    session: str


SERVER = Tab("the server itself", "")
"""What the server does of its own accord."""


HERE = "this machine"
"""Whoever sits at the machine itself: one visitor, for whom only the limits in all hold."""


class Work(Protocol):
    """What is asked of a job, see :class:`ui.jobs.queue.Job`."""

    urgent: bool
    outlives_tab: bool

    @property
    def over(self) -> bool: ...

    def cancel(self, seconds: float, why: str) -> None: ...


class Place(NamedTuple):
    """A job in the queue, whose it is, and a number that no other one gets."""

    job: Work
    tab: Tab
    number: int


def in_turn(places: Sequence[Place], who: Callable[[Place], Hashable],
            last: dict[Hashable, int]) -> list[Place]:
    """Round robin: the first of each, then the second of each, and so on.

    ``last``: the turn that each had last. Whoever had none, or had it longest ago, comes first.
    """
    before: Counter[Hashable] = Counter()
    came: dict[Hashable, int] = {}
    keyed = []
    for index, place in enumerate(places):
        one = who(place)
        keyed.append(((before[one], last.get(one, -1), came.setdefault(one, index)), place))
        before[one] += 1
    return [place for _, place in sorted(keyed, key=lambda one: one[0])]


class Turns:
    """The jobs that wait and the one that runs.

    ``present``: whether a tab has a connection.  ``clock``: seconds, as :func:`time.monotonic`.
    """

    def __init__(self, present: Callable[[Tab], bool] = lambda tab: True,
                 clock: Callable[[], float] = time.monotonic):
        self._present, self._clock = present, clock
        self._waiting: list[Place] = []
        self._running: Place | None = None
        self._last: dict[Hashable, int] = {}
        self._gone: dict[Tab, float] = {}
        self._count = self._turn = 0

    def add(self, job: Work, tab: Tab = SERVER) -> None:
        """Let a job wait; raises :class:`BadInput` where too many wait already."""
        self._tidy()
        if not job.urgent and tab != SERVER:
            visitors = [place.tab.visitor for place in self._waiting if not place.job.urgent]
            own = 0 if tab.visitor == HERE else visitors.count(tab.visitor)
            _check(own, len(visitors))
        self._count += 1
        self._waiting.append(Place(job, tab, self._count))

    def take(self) -> Work | None:
        """The job whose turn it is, which runs from now on; None where none can."""
        self._tidy()
        self._running = None
        ready = [place for place in self._order() if self._may_run(place)]
        if not ready:
            return None
        self._running = ready[0]
        self._waiting.remove(self._running)
        self._had_turn(self._running.tab)
        return self._running.job

    def ahead(self, job: Work) -> list[Tab]:
        """The tabs whose jobs come before this one; those that are away let it go first."""
        order = self.all()
        index = next((i for i, place in enumerate(order) if place.job is job), 0)
        return [place.tab for place in order[:index]
                if place is self._running or self._may_run(place)]

    def all(self) -> list[Place]:
        """Everything that is not over, in the order of its turns."""
        self._tidy()
        return ([self._running] if self._running else []) + self._order()

    def away(self, place: Place) -> bool:
        """Whether the tab of a job has no connection."""
        return place.tab != SERVER and not self._present(place.tab)

    def sweep(self) -> None:
        """Cancel the jobs of tabs that have been gone for too long."""
        now = self._clock()
        those = [place for place in self.all() if not place.job.outlives_tab]
        self._gone = {place.tab: self._gone.get(place.tab, now) for place in those
                      if self.away(place)}
        late = {tab for tab, since in self._gone.items() if now - since >= limits.GRACE}
        for place in those:
            if place.tab in late:
                place.job.cancel(0, LEFT)

    def _order(self) -> list[Place]:
        order: list[Place] = []
        for urgent in (True, False):
            last = dict(self._last)  # by the time that those before have had their turns
            for turn, place in enumerate(order, self._turn + 1):
                last[place.tab] = last[place.tab.visitor] = turn
            those = [place for place in self._waiting if place.job.urgent == urgent]
            order += in_turn(in_turn(those, _tab, last), _visitor, last)
        return order

    def _may_run(self, place: Place) -> bool:
        return place.job.outlives_tab or not self.away(place)

    def _had_turn(self, tab: Tab) -> None:
        self._turn += 1
        for one in (tab, tab.visitor):
            self._last.pop(one, None)
            self._last[one] = self._turn
        while len(self._last) > 4 * limits.WAITING_IN_ALL:  # the oldest of very many visitors
            del self._last[next(iter(self._last))]

    def _tidy(self) -> None:
        """Let go of what is over."""
        self._waiting = [place for place in self._waiting if not place.job.over]
        if self._running is not None and self._running.job.over:
            self._running = None


def _tab(place: Place) -> Tab:
    return place.tab


def _visitor(place: Place) -> str:
    return place.tab.visitor


def _check(own: int, all_of_them: int) -> None:
    if own >= limits.WAITING_A_VISITOR:
        raise BadInput(f"{own} jobs of yours wait already, which is as many as one visitor can "
                       "have: wait for one, or cancel one")
    if all_of_them >= limits.WAITING_IN_ALL:
        raise BadInput(f"{all_of_them} jobs wait on this server, which is as many as it takes: "
                       "try again later")
