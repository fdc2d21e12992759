"""One request end to end: original -> unlearned -> reference -> result."""

import copy
import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from forget import store
from forget.data import Dataset, Samples
from forget.device import THREADS, derive, generator, use_fixed_threads, versions
from forget.errors import BadInput
from forget.learners import Learner
from forget.measure import SPLITS, Measured, Splits
from forget.methods import Method, Task
from forget.metrics.accuracy import Predictions
from forget.metrics.distance import agreement, jensen_shannon, kl
from forget.metrics.verdict import Verdict, judge
from forget.metrics.weights import change_per_layer
from forget.request import NOTHING, Forgotten, Request
from forget.steps import Step, drive, stop_if
from forget.store import Stored

CHART_POINTS = 60
CHART_SAMPLES = 400


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a run's curve: a step, the seconds worked until then, accuracies in 0..1."""

    step: Step
    seconds: float
    forget_accuracy: float
    retain_accuracy: float


class Watch:
    """What a caller is told while a run goes on; the base ignores all of it."""

    def phase(self, name: str) -> None:
        """A phase begins: what is happening now, in a short phrase."""

    def step(self, step: Step, seconds: float) -> None:
        """A step of the present phase is done."""

    def point(self, point: Point) -> None:
        """A point of the present phase's curve was measured, outside the clock."""

    def unlearned(self, result: "Result") -> None:
        """The unlearned model's figures are there; the reference's are not yet."""

    def cancelled(self) -> bool:
        """Whether to stop before the next step."""
        return False

    def check(self) -> None:
        """Raise :class:`~forget.errors.Cancelled` if the work is to stop."""
        stop_if(self.cancelled)


UNWATCHED = Watch()


@dataclasses.dataclass(frozen=True)
class Start:
    """The model that a request starts from, its learner, and what it was asked to forget so far."""

    stored: Stored
    learner: Learner
    forgotten: Forgotten = NOTHING

    @property
    def model(self) -> nn.Module:
        return self.stored.model


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything about one request. ``references`` is empty until one is trained.

    ``curves``: by "unlearned" and "reference", the points measured on the way.
    ``layers``: how far each layer moved, by name, for the unlearned model.
    """

    dataset: str
    classes: tuple[str, ...]
    request: Request
    method: Method
    seed: int
    device: str
    start: Start
    unlearned: nn.Module
    references: tuple[nn.Module, ...]
    measured_original: Measured
    measured_unlearned: Measured
    measured_references: tuple[Measured, ...]
    seconds: dict[str, float | None]
    curves: dict[str, list[Point]]
    layers: dict[str, float]

    @property
    def reference_accuracies(self) -> dict[str, float | None]:
        """Mean over the retrained models."""
        return {split: _over(self.measured_references, split, statistics.fmean)
                for split in SPLITS}

    @property
    def spread(self) -> dict[str, float | None]:
        """Sample standard deviation over the retrained models, None with fewer than two."""
        several = self.measured_references if len(self.measured_references) > 1 else ()
        return {split: _over(several, split, statistics.stdev) for split in SPLITS}

    @property
    def speed_up(self) -> float | None:
        """Seconds of retraining over seconds of forgetting."""
        retrain = self.seconds["retrain"]
        return retrain / self.seconds["forget"] if retrain is not None else None

    @property
    def verdict(self) -> Verdict | None:
        if not self.measured_references:
            return None
        size = None if self.request.class_index is not None else len(self.request)
        return judge(self.measured_unlearned.accuracies, self.reference_accuracies, self.spread,
                     size)

    @property
    def distance(self) -> dict[str, float | None]:
        """Unlearned against retrained outputs, the mean over the retrained models."""
        mine = self.measured_unlearned

        def mean(measure: Callable[[Predictions, Predictions], float | None], part: str):
            values = [measure(getattr(other, part), getattr(mine, part))
                      for other in self.measured_references]
            return statistics.fmean(values) if values else None

        return {
            "kl_forget": mean(kl, "forget"),
            "agreement_forget": mean(agreement, "forget"),
            "agreement_test": mean(agreement, "test"),
            "kl_test": mean(kl, "test"),
            "jensen_shannon_test": mean(jensen_shannon, "test"),
        }

    def next_start(self) -> Start:
        """The unlearned model, as the start of a further request."""
        return Start(Stored(self.unlearned, self.record()), self.start.learner,
                     self.start.forgotten + self.request)

    def record(self) -> dict[str, Any]:
        """What the unlearned model's file says of itself."""
        return _record(self.dataset, self.start.learner, self.seed, self.unlearned,
                       tuple(self.start.stored.record["input_shape"])) | {
            "method": self.method.name,
            "params": self.method.settings(),
            "forgotten": [r.spec for r in (*self.start.forgotten.requests, self.request)],
            "seconds": self.seconds["forget"],
        }

    def to_json(self) -> dict[str, Any]:
        """The command line's result (its contract is in the README)."""
        verdict = self.verdict
        return {
            "dataset": self.dataset,
            "forget": {"spec": self.request.spec, "train_samples": len(self.request)},
            "forgotten_before": [r.spec for r in self.start.forgotten.requests],
            "method": self.method.name,
            "learner": self.start.learner.name,
            "params": self.method.settings()
            | {f"learner.{k}": v for k, v in self.start.learner.settings().items()},
            "seed": self.seed,
            "device": self.device,
            "threads": THREADS,
            "seconds": self.seconds,
            "metrics": {
                "original": self.measured_original.accuracies,
                "unlearned": self.measured_unlearned.accuracies,
                "retrained": self.reference_accuracies,
            },
            "per_class": {
                "classes": list(self.classes),
                "original": self.measured_original.test.per_class,
                "unlearned": self.measured_unlearned.test.per_class,
                "retrained": [m.test.per_class for m in self.measured_references],
            },
            "references": len(self.measured_references),
            "retrained_spread": self.spread,
            "distance_to_retrained": self.distance,
            "speed_up": self.speed_up,
            "certificate": None,
            "verdict": verdict.words if verdict else None,
            "verdict_reason": verdict.reason if verdict else None,
            "versions": versions(),
        }



def home_of(learner: Learner, dataset: Dataset, seed: int, forgotten: Forgotten) -> Path:
    """Where the model of this recipe, data and seed lies or will lie."""
    key = store.key_of(data=dataset.fingerprint, learner=learner.name,
                       settings=learner.settings(), seed=seed, without=forgotten.key)
    return store.path_of(dataset.name, learner.name, key)


def learn(
    learner: Learner,
    dataset: Dataset,
    seed: int,
    forgotten: Forgotten = NOTHING,
    watch: Watch = UNWATCHED,
    curve_for: Splits | None = None,
) -> tuple[Stored, list[Point]]:
    """A(D) or A(D_r): the stored model of this recipe, data and seed, or a newly trained one.

    Returns the model with its record and the curve measured on the way, which is empty where the
    model was stored.
    """
    path = home_of(learner, dataset, seed, forgotten)
    device = dataset.train.y.device
    if path.is_file():
        stored = store.load(path)
        return Stored(stored.model.to(device), stored.record), []
    use_fixed_threads()
    keep = torch.ones(len(dataset.train), dtype=torch.bool)
    keep[forgotten.ids] = False
    draw = generator(seed)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw).to(device)
    curve = Curve(model, curve_for, watch)
    seconds = drive(learner.train(model, dataset.train.take(keep.to(device)), draw),
                    curve.on_step, watch.cancelled)
    accuracy = Predictions.of(model, dataset.test).accuracy
    record = _record(dataset.name, learner, seed, model, dataset.input_shape) | {
        "seconds": seconds, "test_accuracy": accuracy, "device": device.type}
    stored = Stored(store.frozen(model), record)
    store.save(stored, path)
    return stored, curve.points


def start_from(learner: Learner, dataset: Dataset, seed: int, watch: Watch = UNWATCHED) -> Start:
    """The original that a run starts from: stored, or trained now and stored."""
    watch.phase("Training the original model")
    stored, _ = learn(learner, dataset, seed, watch=watch)
    return Start(stored, learner)


def run(
    dataset: Dataset,
    start: Start,
    request: Request,
    method: Method,
    seed: int,
    references: int = 1,
    watch: Watch = UNWATCHED,
) -> Result:
    """Forget one request and measure the outcome beside ``references`` retrained models.

    The start's model is never touched. Raises :class:`BadInput` for a method that cannot edit this
    learner's models, and what :func:`~forget.steps.drive` raises.
    """
    if method.learner != start.learner.name:
        raise BadInput(f"'{method.name}' needs the learner '{method.learner}', not "
                       f"'{start.learner.name}'; choose that learner or another method")
    use_fixed_threads()
    splits = Splits(dataset, request, start.forgotten)
    watch.phase(f"Forgetting: {method.title}")
    unlearned, seconds, curve = unlearn(dataset, start, request, method, seed, splits, watch)
    watch.phase("Measuring the unlearned model")
    result = Result(
        dataset=dataset.name,
        classes=dataset.classes,
        request=request,
        method=method,
        seed=seed,
        device=dataset.train.y.device.type,
        start=start,
        unlearned=unlearned,
        references=(),
        measured_original=splits.measure(start.model, watch.check),
        measured_unlearned=splits.measure(unlearned, watch.check),
        measured_references=(),
        seconds={"prepare": start.stored.record.get("seconds"), "forget": seconds,
                 "retrain": None},
        curves={"unlearned": curve, "reference": []},
        layers=change_per_layer(start.model, unlearned),
    )
    watch.unlearned(result)
    return compare(result, dataset, references, watch)


def compare(result: Result, dataset: Dataset, references: int, watch: Watch = UNWATCHED) -> Result:
    """The result with retrained models added until it has ``references`` of them."""
    splits = Splits(dataset, result.request, result.start.forgotten)
    for index in range(len(result.references), references):
        result = _with_reference(result, dataset, splits, index, references, watch)
    return result


def unlearn(
    dataset: Dataset, start: Start, request: Request, method: Method, seed: int,
    splits: Splits, watch: Watch = UNWATCHED,
) -> tuple[nn.Module, float, list[Point]]:
    """U on a deep copy of the start's model: the unlearned model, wall seconds and the curve."""
    model = copy.deepcopy(start.model).requires_grad_(True)
    turn = len(start.forgotten.requests)
    whole = request.class_index is not None
    task = Task(
        learner=start.learner,
        forget=splits.forget,
        retain=splits.retain,
        held_out=dataset.held_out,
        whole_class=whole,
        gone=tuple((start.forgotten + request).classes),
        generator=generator(derive(seed, "method", method.name, turn)),
    )
    curve = Curve(model, splits, watch)
    seconds = drive(method.steps(model, task), curve.on_step, watch.cancelled)
    return store.frozen(model), seconds, curve.points


class Curve:
    """Measures a model on small fixed parts of D_f and D_r as it changes, outside the clock.

    The first point is the model before its first step; without splits nothing is measured.
    """

    def __init__(self, model: nn.Module, splits: Splits | None, watch: Watch):
        self.points: list[Point] = []
        self._model, self._watch = model, watch
        self._parts = splits and (_thinned(splits.forget), _thinned(splits.retain))
        self._measure(Step(0, 0, "before the first step", {}), 0.0)

    def on_step(self, step: Step, seconds: float) -> None:
        self._watch.step(step, seconds)
        every = max(1, step.total // CHART_POINTS)
        if step.index % every == 0 or step.index in (1, step.total):
            self._measure(step, seconds)

    def _measure(self, step: Step, seconds: float) -> None:
        if self._parts is None:
            return
        forget, retain = (Predictions.of(self._model, part).accuracy for part in self._parts)
        point = Point(step, seconds, forget, retain)
        self.points.append(point)
        self._watch.point(point)


def _with_reference(
    result: Result, dataset: Dataset, splits: Splits, index: int, total: int, watch: Watch
) -> Result:
    """The result with one more model retrained without the forgotten data."""
    watch.phase(f"Retraining without the data to compare with ({index + 1} of {total})")
    forgotten = result.start.forgotten + result.request
    stored, curve = learn(result.start.learner, dataset, derive(result.seed, "reference", index),
                          forgotten, watch, splits)
    watch.phase(f"Measuring the retrained model ({index + 1} of {total})")
    measured = splits.measure(stored.model, watch.check)
    taken = result.seconds["retrain"] or 0.0
    return dataclasses.replace(
        result,
        references=(*result.references, stored.model),
        measured_references=(*result.measured_references, measured),
        seconds=result.seconds
        | {"retrain": (taken * index + stored.record["seconds"]) / (index + 1)},
        curves=result.curves | {"reference": result.curves["reference"] or curve},
    )


def _record(
    dataset: str, learner: Learner, seed: int, model: nn.Module, input_shape: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "learner": learner.name,
        "settings": learner.settings(),
        "seed": seed,
        "input_shape": list(input_shape),
        "n_classes": model.n_classes,
        "threads": THREADS,
        "versions": versions(),
    }


def _thinned(data: Samples) -> Samples:
    """At most a few hundred samples, evenly spread, the same for every point of a curve."""
    rows = torch.linspace(0, len(data) - 1, min(len(data), CHART_SAMPLES)).long()
    return data.take(rows.to(data.y.device))


def _over(measured: tuple[Measured, ...], split: str, summary) -> float | None:
    values = [m.accuracies[split] for m in measured if m.accuracies[split] is not None]
    return summary(values) if values else None
