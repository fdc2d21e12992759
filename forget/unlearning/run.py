"""One request end to end: original -> unlearned -> reference -> result."""

import copy
import dataclasses

import torch
from torch import nn

from forget.core import memory
from forget.core.device import derive, generator, use_fixed_threads
from forget.core.steps import Point, Returning, Stopwatch, drive
from forget.core.times import Took, mean
from forget.data import Dataset
from forget.methods import Method, Proof, Task, check_suits
from forget.metrics.guessing import Learnt
from forget.metrics.weights import change_per_layer
from forget.unlearning import store
from forget.unlearning.certificate import marks_of, retained_rows, statement_over
from forget.unlearning.learn import check_memory, home_of, is_stored, learn
from forget.unlearning.measure import Measured, Splits
from forget.unlearning.represent import represent
from forget.unlearning.request import Request
from forget.unlearning.result import Result, Start
from forget.unlearning.strangers import calibrate
from forget.unlearning.watch import UNWATCHED, Curve, Watch


@memory.told()
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
    learner's models, and what :func:`~forget.core.steps.drive` raises.
    """
    check_suits(method, start.learner)
    use_fixed_threads()
    check_memory(start.learner, dataset)
    raw, dataset = dataset, represent(start.learner, dataset, watch)
    threshold = (calibrate(start.learner, dataset, start.origin.get("seed", seed), watch)
                 if dataset.embedder else None)
    splits = Splits(dataset, request, start.forgotten, threshold)
    watch.phase(f"Forgetting: {method.title}")
    done = unlearn(dataset, start, request, method, seed, splits, watch)
    unlearned = done.model
    statement = None
    more = done.prepared if start.forgotten.requests else None  # an original comes prepared
    if done.proof is not None:
        forgotten, secret = start.forgotten + request, store.secret_of(unlearned)
        statement = statement_over(done.proof.statement, raw, forgotten)
        gone = raw.train.take(~retained_rows(raw, forgotten.ids))
        secret["forgotten_marks"] = marks_of(gone, secret["data_key"])
    watch.phase("Measuring the unlearned model")
    original = splits.measure(start.original, watch.check)
    result = Result(
        dataset=dataset.name,
        classes=dataset.classes,
        request=request,
        method=method,
        seed=seed,
        device=dataset.train.y.device.type,
        data=raw.fingerprint,
        start=start,
        unlearned=unlearned,
        references=(),
        measured_original=original,
        measured_unlearned=splits.measure(unlearned, watch.check),
        measured_references=(),
        took={"prepare": (start.first or start).prepared(more), "forget": done.took,
              "retrain": None},
        curve=done.curve,
        layers=change_per_layer(start.model, unlearned),
        statement=statement,
        kept_back=done.proof.kept_back if done.proof else {},
        distances=done.proof.distances if done.proof else (),
        threshold=threshold,
        learnt=_learnt(splits, original),
    )
    watch.unlearned(result)
    return _with_references(result, dataset, references, watch, same_run=True)


@memory.told()
def add_references(
    result: Result, dataset: Dataset, references: int, watch: Watch = UNWATCHED
) -> Result:
    """The result with retrained models added until it has ``references`` of them."""
    dataset = represent(result.start.learner, dataset, watch)
    return _with_references(result, dataset, references, watch, same_run=False)


def _with_references(
    result: Result, dataset: Dataset, references: int, watch: Watch, same_run: bool
) -> Result:
    splits = Splits(dataset, result.request, result.start.forgotten, result.threshold)
    for index in range(len(result.references), references):
        result = _with_reference(result, dataset, splits, index, references, watch, same_run)
        watch.unlearned(result)
    return result


def _learnt(splits: Splits, original: Measured) -> Learnt:
    """What the original knows of the samples that it learnt from, be it ever so unsure."""
    parts = ((original.forget.named.accuracy, splits.forget),
             (original.retain_named, splits.retain))
    right = sum(round(accuracy * len(part)) for accuracy, part in parts if len(part))
    y = torch.cat([part.y for _, part in parts])
    return Learnt(right, len(y), int(y.bincount().max()))


@dataclasses.dataclass(frozen=True)
class Unlearned:
    """What a method made: the model, the time it took, the curve on the way, and what it proves, if
    anything.  ``prepared``: what the learner's preparing took before it."""

    model: nn.Module
    took: Took
    curve: list[Point]
    proof: Proof | None
    prepared: Took


def unlearn(
    dataset: Dataset, start: Start, request: Request, method: Method, seed: int,
    splits: Splits, watch: Watch = UNWATCHED, with_curve: bool = True,
) -> Unlearned:
    """U on a copy of the start's model; the curve on the way is measured unless nobody looks.

    Only the model itself is copied: what its learner keeps is never edited, only replaced, and a
    chain of requests would otherwise hold each checkpoint many times.
    """
    shared = {id(value): value for value in store.secret_of(start.model).values()}
    model = copy.deepcopy(start.model, shared).requires_grad_(True)
    turn = len(start.forgotten.requests)
    known = dataset.train.take(retained_rows(dataset, start.forgotten.ids))
    prepared, clock = Stopwatch(), Stopwatch()
    drive(start.learner.prepare(model, known, generator(derive(seed, "prepare", turn))),
          watch.step, watch.cancelled, prepared)
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
    curve = Curve(model, splits if with_curve else None, watch)
    work = Returning(method.steps(model, task))
    drive(iter(work), curve.on_step, watch.cancelled, clock)
    device = dataset.train.y.device.type
    return Unlearned(store.frozen(model), clock.took(device), curve.points, work.returned,
                     prepared.took(device))


def _with_reference(
    result: Result, dataset: Dataset, splits: Splits, index: int, total: int, watch: Watch,
    same_run: bool,
) -> Result:
    """The result with one more model retrained without the forgotten data.

    ``same_run``: whether the forgetting was timed in the run that goes on here.
    """
    watch.phase(f"Retraining without the data to compare with ({index + 1} of {total})")
    forgotten = result.start.forgotten + result.request
    learner, seed = result.start.learner, derive(result.seed, "reference", index)
    known = is_stored(learner, dataset, home_of(learner, dataset, seed, forgotten), forgotten)
    stored = learn(learner, dataset, seed, forgotten, watch, splits)
    took = dataclasses.replace(Took.of(stored.record), now=same_run and not known)
    watch.phase(f"Measuring the retrained model ({index + 1} of {total})")
    measured = splits.measure(stored.model, watch.check)
    each = (*result.took_retraining, took)
    return dataclasses.replace(
        result,
        references=(*result.references, stored.model),
        measured_references=(*result.measured_references, measured),
        took_retraining=each,
        took=result.took | {"retrain": mean(each)},
    )
