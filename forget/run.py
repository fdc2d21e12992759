"""One request end to end: original -> unlearned -> reference -> result."""

import copy
import dataclasses

from torch import nn

from forget import memory, store
from forget.certificate import coverage, data_sha256, retained_rows
from forget.data import Dataset
from forget.device import derive, generator, use_fixed_threads
from forget.learn import check_memory, learn
from forget.measure import Splits
from forget.methods import Method, Proof, Task, check_suits
from forget.metrics.weights import change_per_layer
from forget.represent import represent
from forget.request import Request
from forget.result import Result, Start
from forget.steps import Point, Returning, drive
from forget.strangers import calibrate
from forget.watch import UNWATCHED, Curve, Watch


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
    learner's models, and what :func:`~forget.steps.drive` raises.
    """
    check_suits(method, start.learner)
    use_fixed_threads()
    check_memory(start.learner, dataset)
    raw, dataset = dataset, represent(start.learner, dataset, watch)
    splits = Splits(dataset, request, start.forgotten)
    threshold = (calibrate(start.learner, dataset, start.origin.get("seed", seed), watch)
                 if dataset.embedder else None)
    watch.phase(f"Forgetting: {method.title}")
    done = unlearn(dataset, start, request, method, seed, splits, watch)
    unlearned = done.model
    statement = None
    more = done.prepared if start.forgotten.requests else 0.0  # an original comes prepared
    if done.proof is not None:
        kept = raw.train.take(retained_rows(raw, (start.forgotten + request).ids))
        statement = done.proof.statement | coverage(raw) | {
            "dataset": raw.name, "data_sha256": data_sha256(kept, raw.classes)}
    watch.phase("Measuring the unlearned model")
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
        measured_original=splits.measure(start.original, watch.check),
        measured_unlearned=splits.measure(unlearned, watch.check),
        measured_references=(),
        seconds={"prepare": (start.first or start).prepare_seconds(more),
                 "forget": done.seconds, "retrain": None},
        curve=done.curve,
        layers=change_per_layer(start.model, unlearned),
        statement=statement,
        distances=done.proof.distances if done.proof else (),
        threshold=threshold,
    )
    watch.unlearned(result)
    return add_references(result, dataset, references, watch)


@memory.told()
def add_references(
    result: Result, dataset: Dataset, references: int, watch: Watch = UNWATCHED
) -> Result:
    """The result with retrained models added until it has ``references`` of them."""
    dataset = represent(result.start.learner, dataset, watch)
    splits = Splits(dataset, result.request, result.start.forgotten)
    for index in range(len(result.references), references):
        result = _with_reference(result, dataset, splits, index, references, watch)
        watch.unlearned(result)
    return result


@dataclasses.dataclass(frozen=True)
class Unlearned:
    """What a method made: the model, the wall seconds it took, the curve on the way, and what it
    proves, if anything.  ``prepared``: seconds that the learner prepared for before them."""

    model: nn.Module
    seconds: float
    curve: list[Point]
    proof: Proof | None
    prepared: float


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
    prepared = drive(start.learner.prepare(model, known, generator(derive(seed, "prepare", turn))),
                     watch.step, watch.cancelled)
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
    seconds = drive(iter(work), curve.on_step, watch.cancelled)
    return Unlearned(store.frozen(model), seconds, curve.points, work.returned, prepared)


def _with_reference(
    result: Result, dataset: Dataset, splits: Splits, index: int, total: int, watch: Watch
) -> Result:
    """The result with one more model retrained without the forgotten data."""
    watch.phase(f"Retraining without the data to compare with ({index + 1} of {total})")
    forgotten = result.start.forgotten + result.request
    stored = learn(result.start.learner, dataset, derive(result.seed, "reference", index),
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
    )
