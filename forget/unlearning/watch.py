"""What a caller is told while work goes on, and the curve that is measured on the way."""

from typing import Any

from torch import nn

from forget.core.steps import Point, Step, stop_if
from forget.methods import Spending
from forget.unlearning.measure import Splits
from forget.unlearning.result import Result

CHART_POINTS = 60
CHART_SAMPLES = 400


class Watch:
    """What a caller is told while a run goes on; the base ignores all of it."""

    def phase(self, name: str) -> None:
        """A phase begins: what is happening now, in a short phrase."""

    def step(self, step: Step, seconds: float) -> None:
        """A step of the present phase is done."""

    def point(self, point: Point) -> None:
        """A point of the present phase's curve was measured, outside the clock."""

    def announce(self, spending: Spending) -> None:
        """A run that spends of a budget begins: what it will spend, before it does."""

    def unlearned(self, result: Result) -> None:
        """The unlearned model's figures are there; later, those of one more reference."""

    def compared(self, comparison: Any) -> None:
        """A :class:`~forget.evaluation.compare.Comparison` has one more run finished."""

    def cancelled(self) -> bool:
        """Whether to stop before the next step."""
        return False

    def check(self) -> None:
        """Raise :class:`~forget.core.errors.Cancelled` if the work is to stop."""
        stop_if(self.cancelled)


UNWATCHED = Watch()


class Curve:
    """Measures a model on small fixed parts of D_f and D_r as it changes, outside the clock.

    The first point is the model before its first step; without splits nothing is measured.
    """

    def __init__(self, model: nn.Module, splits: Splits | None, watch: Watch):
        self.points: list[Point] = []
        self._model, self._watch = model, watch
        self._splits = splits
        self._parts = splits and tuple(
            part.thinned(CHART_SAMPLES) for part in (splits.forget, splits.retain))
        self._measure(Step(0, 0, "before the first step", {}), 0.0)

    def on_step(self, step: Step, seconds: float) -> None:
        self._watch.step(step, seconds)
        every = max(1, step.total // CHART_POINTS)
        if step.index % every == 0 or step.index in (1, step.total):
            self._measure(step, seconds)

    def _measure(self, step: Step, seconds: float) -> None:
        if self._parts is None:
            return
        forget, retain = (self._splits.answers(self._model, part).accuracy
                          for part in self._parts)
        point = Point(step, seconds, forget, retain)
        self.points.append(point)
        self._watch.point(point)
