"""Where a request starts, and everything that came of it."""

import dataclasses
import statistics
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import nn

from forget.core.device import THREADS, versions
from forget.core.steps import Point
from forget.core.times import NOT_RETRAINED, NOTHING_DONE, SpeedUp, Took, speed_up
from forget.learners import Learner
from forget.methods import Method, params_of
from forget.metrics.accuracy import Predictions
from forget.metrics.distance import agreement, jensen_shannon, kl
from forget.metrics.guessing import Learnt
from forget.metrics.unknown import Threshold
from forget.metrics.verdict import Verdict, judge
from forget.metrics.weights import same_weights
from forget.unlearning import store
from forget.unlearning.certificate import issue
from forget.unlearning.measure import SPLITS, Measured
from forget.unlearning.request import NOTHING, Forgotten, Request
from forget.unlearning.store import Stored


@dataclasses.dataclass(frozen=True)
class Start:
    """The model that a request starts from, its learner, and what it was asked to forget so far.

    ``first``: the start before any request, None where this is it.  ``by``: the methods that made
    this model forget, one a request.  ``stated``: what was certified of it on the way, as far as
    that is known here.
    """

    stored: Stored
    learner: Learner
    forgotten: Forgotten = NOTHING
    first: "Start | None" = None
    by: tuple[Method, ...] = ()
    stated: tuple[dict[str, Any], ...] = ()

    @property
    def model(self) -> nn.Module:
        """What the next request edits."""
        return self.stored.model

    @property
    def original(self) -> nn.Module:
        """The model before any request."""
        return (self.first or self).stored.model

    def prepared(self, more: Took | None = None) -> Took | None:
        """What making this start took, and ``more`` spent on it since; None where unknown."""
        made = Took.of(self.stored.record)
        if made is None:
            return None
        parts = (Took.of(self.stored.record, "prepare_"), more)
        return sum((part for part in parts if part is not None), made)

    @property
    def origin(self) -> dict[str, Any]:
        """The record of the model before any request."""
        return (self.first or self).stored.record


@dataclasses.dataclass(frozen=True)
class Files:
    """An unlearned model's files: ``public`` to hand out; ``secret`` to keep, where there is one,
    and the certificate."""

    public: bytes
    secret: bytes | None
    certificate: dict[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything about one request. ``references`` is empty until one is trained.

    ``data``: the fingerprint of the dataset.
    ``took``: how long it took to "prepare", "forget" and "retrain", the mean of
    ``took_retraining``; None where it is not known.
    ``curve``: the points measured while the method worked.
    ``layers``: how far the method moved each layer, by name.
    ``statement``: what the method certifies, where it certifies anything.
    ``kept_back``: what was measured for it and tells of the forgotten samples, so that no
    certificate has it.
    ``distances``: how far the weights were from the solution, iteration by iteration.
    ``learnt``: what the original knew of its training samples.
    ``threshold``: below which evidence the recipe's models know nobody, for data of people.
    """

    dataset: str
    classes: tuple[str, ...]
    request: Request
    method: Method
    seed: int
    device: str
    data: str
    start: Start
    unlearned: nn.Module
    references: tuple[nn.Module, ...]
    measured_original: Measured
    measured_unlearned: Measured
    measured_references: tuple[Measured, ...]
    took: dict[str, Took | None]
    curve: list[Point]
    layers: dict[str, float]
    statement: dict[str, Any] | None = None
    kept_back: dict[str, Any] = dataclasses.field(default_factory=dict)
    distances: tuple[float, ...] = ()
    threshold: Threshold | None = None
    learnt: Learnt | None = None
    took_retraining: tuple[Took, ...] = ()

    @property
    def seconds(self) -> dict[str, float | None]:
        """Wall seconds of preparing, forgetting and retraining."""
        return {part: took and took.wall for part, took in self.took.items()}

    @property
    def processor_seconds(self) -> dict[str, float | None]:
        """Those in which the one thread that worked had a processor."""
        return {part: took and took.processor for part, took in self.took.items()}

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

    @cached_property
    def unchanged(self) -> bool:
        """Whether the method left every weight as it was."""
        return same_weights(self.start.model, self.unlearned)

    @property
    def faster(self) -> SpeedUp:
        """How many times as long retraining took as forgetting, and by which seconds."""
        if self.took["retrain"] is None:
            return SpeedUp(None, None, NOT_RETRAINED)
        return SpeedUp(None, None, NOTHING_DONE) if self.unchanged else speed_up(**self.took)

    @property
    def speed_up(self) -> float | None:
        """How many times as long retraining took; None where that cannot be said."""
        return self.faster.ratio

    @property
    def verdict(self) -> Verdict | None:
        if not self.measured_references:
            return None
        size = None if self.request.class_index is not None else len(self.request)
        return judge(self.measured_unlearned.accuracies, self.reference_accuracies, self.spread,
                     size, self.unseen_to_keep, self.unchanged, self.learnt)

    @property
    def unseen_to_keep(self) -> int:
        """How many test samples are of classes that nobody asked to forget."""
        gone = torch.tensor(self.forgotten.classes, dtype=torch.int64)
        return int((~torch.isin(self.measured_unlearned.test.y, gone)).sum())

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
            "jensen_shannon_forget": mean(jensen_shannon, "forget"),
            "jensen_shannon_test": mean(jensen_shannon, "test"),
        }

    @property
    def rejected(self) -> dict[str, float | None] | None:
        """Share of the forgotten person's unseen photos in which each model knows nobody.

        The mean over the retrained models. None without a threshold or a person.
        """
        index = self.request.class_index
        if self.threshold is None or index is None:
            return None

        def share(measured: Measured) -> float | None:
            return self.threshold.rejected(measured.test.take(measured.test.y == index))

        retrained = [share(m) for m in self.measured_references]
        return {
            "original": share(self.measured_original),
            "unlearned": share(self.measured_unlearned),
            "retrained": statistics.fmean(retrained)
            if retrained and None not in retrained else None,
        }

    def next_start(self) -> Start:
        """The unlearned model, as the start of a further request."""
        return Start(Stored(self.unlearned, self.record()), self.start.learner,
                     self.start.forgotten + self.request, self.start.first or self.start,
                     (*self.start.by, self.method),
                     (*self.start.stated, *([self.statement] if self.statement else [])))

    @property
    def repeatable(self) -> bool:
        """Whether one command gives this result: every request by the same method and settings."""
        return all(method == self.method for method in self.start.by)

    def record(self) -> dict[str, Any]:
        """What the unlearned model's file says of itself."""
        return model_record(self.dataset, self.start.learner, self.seed, self.unlearned,
                       tuple(self.start.stored.record["input_shape"])) | {
            "method": self.method.name,
            "params": self.method.settings(),
            # Where there is a secret file it says so, and the public one need not; and how long
            # forgetting took tells which sample it was.
            **({"embedder": self.start.stored.record["embedder"]}
               if "embedder" in self.start.stored.record else {}),
            **({} if store.secret_of(self.unlearned) else
               {"forget_seconds": self.seconds["forget"],
                "forgotten": [request.spec for request in self.forgotten.requests],
                "data": self.data}),
        }

    @property
    def forgotten(self) -> Forgotten:
        """All that the unlearned model was asked to forget."""
        return self.start.forgotten + self.request

    @cached_property
    def files(self) -> Files:
        """The unlearned model as files to hand out, and to keep."""
        public = store.to_bytes(Stored(self.unlearned, self.record()))
        forgotten, kept = self.forgotten, store.secret_of(self.unlearned)
        if not kept:
            return Files(public, None, None)
        secret = store.secret_bytes(
            kept | {"forgotten_ids": forgotten.ids}
            | {f"request.{i}": r.ids for i, r in enumerate(forgotten.requests)},
            {"requests": [[r.spec, r.class_index] for r in forgotten.requests],
             "data": self.data}, public)
        certificate = None if self.statement is None else issue(
            self.statement, self.start.model, self.unlearned, forgotten, public, secret,
            self.start.stated)
        return Files(public, secret, certificate)

    def to_json(self) -> dict[str, Any]:
        """The command line's result (its contract is in the README)."""
        verdict = self.verdict
        return {
            "dataset": self.dataset,
            "forget": {"spec": self.request.spec, "train_samples": len(self.request)},
            "forgotten_before": [r.spec for r in self.start.forgotten.requests],
            "method": self.method.name,
            "learner": self.start.learner.name,
            "params": params_of(self.method, self.start.learner),
            "seed": self.seed,
            "device": self.device,
            "threads": THREADS,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
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
            "unseen_to_keep": self.unseen_to_keep,
            "references": len(self.measured_references),
            "retrained_spread": self.spread,
            "unchanged": self.unchanged,
            "original_learnt": self.learnt and self.learnt.to_json(),
            "distance_to_retrained": self.distance,
            **self.faster.to_json(),
            "unknown": None if self.threshold is None else
            dataclasses.asdict(self.threshold) | {"forgotten_rejected": self.rejected},
            "certificate": self.files.certificate if self.statement else None,
            "verdict": verdict.words if verdict else None,
            "verdict_reason": verdict.reason if verdict else None,
            "versions": versions(),
        }



def model_record(
    dataset: str, learner: Learner, seed: int, model: nn.Module, input_shape: tuple[int, ...]
) -> dict[str, Any]:
    """What every model's file says of it."""
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


def _over(measured: tuple[Measured, ...], split: str, summary) -> float | None:
    values = [m.accuracies[split] for m in measured if m.accuracies[split] is not None]
    return summary(values) if values else None
