"""Work that yields a step as it goes, and the one runner that drives it.

Learners and methods are generators of :class:`Step`. The runner around them owns the clock, the
check for numbers that are not finite, cancelling between steps and what a caller is told, so that
progress, cancelling and timing exist once.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from forget.core.errors import Cancelled, Diverged
from forget.core.parallel import elsewhere
from forget.core.times import Took


@dataclasses.dataclass(frozen=True)
class Step:
    """One step done: ``index`` of ``total`` (from 1), what is happening, and what was measured.

    ``measured`` holds what the work itself computed anyway, by name (a loss, an accuracy).
    ``doing`` is a short phrase for a person.
    """

    index: int
    total: int
    doing: str
    measured: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a run's curve: a step, the seconds worked until then, accuracies in 0..1."""

    step: Step
    seconds: float
    forget_accuracy: float
    retain_accuracy: float


class Stopwatch:
    """Wall seconds spent inside ``with`` blocks, and those in which this thread's processor worked.
    """

    def __init__(self):
        self.seconds = self.processor = 0.0

    def __enter__(self):
        self._started = time.perf_counter(), time.thread_time()

    def __exit__(self, *_):
        wall, processor = self._started
        self.seconds += time.perf_counter() - wall
        self.processor += time.thread_time() - processor

    def took(self, device: str) -> Took:
        """What the work took on a device, "cpu" or another one; an accelerator's time, and that of
        other processes, is not this thread's."""
        own = device == "cpu" and not elsewhere()
        return Took(self.seconds, self.processor if own else None)


def mapped(work: Iterator[Any], change: Callable[[Any], Any]) -> Iterator[Any]:
    """A generator's items, each changed; returns what the generator returns."""
    while True:
        try:
            item = next(work)
        except StopIteration as done:
            return done.value
        yield change(item)


class Returning:
    """A generator that keeps what another one returns at its end."""

    def __init__(self, work: Iterator[Step]):
        self._work = work
        self.returned: Any = None

    def __iter__(self) -> Iterator[Step]:
        self.returned = yield from self._work


OnStep = Callable[[Step, float], None]
"""Told after each step, with the seconds worked so far; the clock stands still meanwhile."""


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise :class:`Cancelled` once ``cancelled()`` says so."""
    if cancelled():
        raise Cancelled("stopped, nothing was changed")


def drive(
    work: Iterator[Step],
    on_step: OnStep | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    clock: Stopwatch | None = None,
) -> float:
    """Run ``work`` to its end and return the wall seconds that it took; ``clock`` has them too.

    Time spent in ``on_step`` (charts, measurements) is not counted. Raises :class:`Diverged` on a
    measurement that is not finite and :class:`Cancelled` once ``cancelled()`` says so; the model
    that the work was editing is then half done, and its owner throws it away.
    """
    clock = clock or Stopwatch()
    while True:
        stop_if(cancelled)
        with clock:
            step = next(work, None)
        if step is None:
            return clock.seconds
        for name, value in step.measured.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{name} became {value} at step {step.index} ({step.doing}): "
                    "take a smaller lr and try again"
                )
        if on_step is not None:
            on_step(step, clock.seconds)
