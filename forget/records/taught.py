"""Teaching: the model of a base learns what people gave, anew or going on from what it knows."""

import dataclasses
import json
from collections.abc import Sequence

import torch
from torch import nn

from forget.core.device import derive, generator, use_fixed_threads
from forget.core.errors import BadInput
from forget.core.knobs import make
from forget.core.steps import drive
from forget.data import Dataset
from forget.learners import LEARNERS, Learner, learner_for
from forget.methods import Task
from forget.methods.finetune import FineTune
from forget.metrics.accuracy import Predictions
from forget.records import ledger
from forget.records.bases import Base
from forget.records.contributions import Kept, unasked
from forget.records.database import reading, writing
from forget.records.lineage import (
    Live,
    classes_with,
    dataset_with,
    has_budget,
    is_seed,
    learner_of,
    live,
    live_row,
    spent_of,
)
from forget.records.replace import (
    Files,
    becoming,
    changing,
    give_up,
    learnt_again,
    tidy,
    to_learn_again,
)
from forget.unlearning import store
from forget.unlearning.learn import home_of, is_stored, learn
from forget.unlearning.represent import represent
from forget.unlearning.request import NOTHING
from forget.unlearning.result import model_record
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

RETRAIN, FINETUNE = "retrain", "finetune"
WAYS = {
    RETRAIN: "Train a new model on everything",
    FINETUNE: "Go on training the present model",
}

TEACHING = FineTune(last_layers=50, reinitialise="no", lr=1e-3)
"""How a model goes on: all layers, gently."""


@dataclasses.dataclass(frozen=True)
class Taught:
    """What came of teaching: the models before and after, the seconds that learning took, the
    share of the base's unseen samples that each gets right, and the number of its entry.

    ``untidy``: what still has to be cleaned up, in words."""

    before: Live
    after: Live
    seconds: float
    accuracy_before: float
    accuracy_after: float
    entry: int
    untidy: str = ""


class NothingNew(BadInput):
    """The model has learnt all that was given."""


def teach(base: Base, how: str, learner: Learner, seed: int = 0,
          watch: Watch = UNWATCHED) -> Taught:
    """Let the base's model learn all that was given to it, and make that one the model.

    What somebody asked to be forgotten is not learnt, and a new model is made without it.
    ``how``: "retrain" makes a new one, of this learner and seed; "finetune" goes on with the
    present one, whose learner and seed stay. Raises :class:`BadInput` where nothing
    is new, and for a model that cannot go on.
    """
    with changing(watch):
        give_up(base)
        check_way(base, how)
        those = unasked(base)
        if not those and live_row(base) is None:
            raise BadInput("nothing was given yet: add something first")
        before = live(base, learner, seed, watch)
        same = how == FINETUNE or (learner, seed) == (before.learner, before.seed)
        if same and {one.id for one in those} <= before.samples:
            raise NothingNew("there is nothing new to learn: add something first")
        return _taught(before, those, how, learner, seed, watch)


def learn_again(base: Base, watch: Watch = UNWATCHED) -> Taught | None:
    """Train anew, by the same recipe, what a lost model had learnt and is still there; None where
    nothing is left to be done. Called within :func:`~forget.records.replace.changing`."""
    again = to_learn_again(base)
    if again is None:
        return None
    those = [one for one in unasked(base) if one.id in again["samples"] and not one.damaged]
    if not those or live_row(base) is not None:
        with writing() as db:
            learnt_again(db, base)
        return None
    try:
        learner = make(LEARNERS[again["learner"]], json.loads(again["settings"]))
        seed = again["seed"]
        if not is_seed(seed):
            raise ValueError("no seed")
    except (BadInput, ValueError, TypeError, KeyError, RecursionError):  # the row was damaged
        learner, seed = learner_for(base.source, FineTune.learner, {}), 0
    return _taught(live(base, learner, seed, watch), those, RETRAIN, learner, seed, watch)


def _taught(before: Live, those: Sequence[Kept], how: str, learner: Learner, seed: int,
            watch: Watch) -> Taught:
    """Make the model that has learnt these samples, and put it in the place of the one before."""
    base = before.base
    use_fixed_threads()
    watch.phase(f"Learning: {WAYS[how].lower()}")
    made = _retrained if how == RETRAIN else _gone_on
    stored, seconds, classes, dataset = made(before, those, learner, seed, watch)
    seen_before = represent(before.learner, base.dataset(), watch)
    accuracies = [Predictions.of(one.model, test, watch.check).accuracy for one, test in
                  ((before, seen_before.test), (stored, dataset.test))]
    recipe = (learner, seed) if how == RETRAIN else (before.learner, before.seed)
    learnt = frozenset(one.id for one in those)
    learnt |= before.samples if how == FINETUNE else frozenset()
    after = Live(base, *recipe, stored, classes, learnt, how)
    body = {"base": base.name, "how": how, "learner": after.learner.name,
            "samples": len(learnt), "new": len(learnt - before.samples),
            "seconds": seconds, "test_accuracy": accuracies[1],
            "spent": spent_of(after.learner, stored.model)}
    files = Files.of(stored)
    with becoming(before, after, files) as (db, row):
        entry = ledger.append(db, "taught", body | {"model_sha256": files.sha256})
        learnt_again(db, base)
    return Taught(before, dataclasses.replace(after, row=row), seconds,
                  *accuracies, entry, tidy())


def check_way(base: Base, how: str) -> None:
    """Refuse to go on with a model of a kind that cannot."""
    present = learner_of(base)
    if how == FINETUNE and present is not None and present.name != FineTune.learner:
        raise BadInput(f"a model of the kind “{present.title}” cannot go on training: choose to "
                       "retrain it")


def expected_seconds(base: Base, how: str, learner: Learner, seed: int = 0) -> float | None:
    """What learning will take about, None where nothing is known yet.

    As long as it last took; before, as the base's own original took, in proportion to the passes.
    """
    with reading() as db:
        bodies = [entry.body for entry in ledger.entries(db) if entry.what == "taught"]
    # An entry that was altered and gone on over may lack any of these.
    taken = [body["seconds"] for body in bodies if type(body.get("seconds")) is float
             and tuple(map(body.get, ("base", "how", "learner"))) == (base.name, how, learner.name)
             and (body.get("spent") is not None) == has_budget(learner)]
    if taken:
        return taken[-1]
    dataset = base.dataset()
    path = home_of(learner, dataset, seed, NOTHING)
    if not is_stored(learner, dataset, path, NOTHING):
        return None
    seconds = store.load(path).record["seconds"]
    return seconds if how == RETRAIN else seconds * TEACHING.epochs / learner.epochs


def _retrained(before: Live, those: Sequence[Kept], learner: Learner, seed: int, watch: Watch):
    classes = classes_with(before.base.dataset().classes, [one.label for one in those])
    dataset = dataset_with(before.base, learner, those, classes, watch)
    stored = learn(learner, dataset, seed, watch=watch)
    return stored, stored.record["seconds"], classes, dataset


def _gone_on(before: Live, those: Sequence[Kept], _learner, _seed, watch: Watch):
    classes = classes_with(before.classes, [one.label for one in those])
    dataset = dataset_with(before.base, before.learner, those, classes, watch)
    draw = generator(derive(before.seed, "teach", len(those)))
    model = widened(before, dataset, draw).requires_grad_(True)
    nothing = dataset.train.take(slice(0, 0))
    task = Task(before.learner, nothing, dataset.train, dataset.held_out, False, (), draw)
    seconds = drive(TEACHING.steps(model, task), watch.step, watch.cancelled)
    record = model_record(dataset.name, before.learner, before.seed, model, dataset.input_shape)
    return Stored(store.frozen(model), record), seconds, classes, dataset


def widened(before: Live, dataset: Dataset, draw: torch.Generator) -> nn.Module:
    """A copy of the model with an output for every class; weights of new outputs are drawn."""
    model = before.learner.build(dataset.input_shape, len(dataset.classes), draw)
    fresh, known = model.state_dict(), before.model.state_dict()
    for name, value in known.items():
        fresh[name][tuple(slice(0, size) for size in value.shape)] = value
    model.load_state_dict(fresh)
    return model


