"""A(D) and A(D_r): a model of a recipe, stored or newly trained."""

from pathlib import Path

import torch

from forget import store
from forget.data import Dataset
from forget.device import generator, use_fixed_threads
from forget.learners import Learner
from forget.measure import Splits
from forget.metrics.accuracy import Predictions
from forget.request import NOTHING, Forgotten
from forget.result import Start, model_record
from forget.steps import drive
from forget.store import Stored
from forget.watch import UNWATCHED, Curve, Watch


def home_of(learner: Learner, dataset: Dataset, seed: int, forgotten: Forgotten) -> Path:
    """Where the model of this recipe, data and seed lies or will lie."""
    what = {"data": dataset.fingerprint, "learner": learner.name,
            "settings": learner.settings(), "seed": seed, "without": forgotten.key}
    if forgotten.requests:
        # Its seconds are compared with a method's, so they must come from the same device.
        what["device"] = dataset.train.y.device.type
    key = store.key_of(**what)
    return store.path_of(dataset.name, learner.name, key)


def learn(
    learner: Learner,
    dataset: Dataset,
    seed: int,
    forgotten: Forgotten = NOTHING,
    watch: Watch = UNWATCHED,
    curve_for: Splits | None = None,
) -> Stored:
    """A(D) or A(D_r): the stored model of this recipe, data and seed, or a newly trained one.

    Given splits, the watch is told the curve on the way.
    """
    path = home_of(learner, dataset, seed, forgotten)
    device = dataset.train.y.device
    if path.is_file():
        stored = store.load(path)
        return Stored(stored.model.to(device), stored.record)
    use_fixed_threads()
    keep = torch.ones(len(dataset.train), dtype=torch.bool)
    keep[forgotten.ids] = False
    draw = generator(seed)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw).to(device)
    curve = Curve(model, curve_for, watch)
    seconds = drive(learner.train(model, dataset.train.take(keep.to(device)), draw),
                    curve.on_step, watch.cancelled)
    accuracy = Predictions.of(model, dataset.test).accuracy
    record = model_record(dataset.name, learner, seed, model, dataset.input_shape) | {
        "seconds": seconds, "test_accuracy": accuracy, "device": device.type}
    stored = Stored(store.frozen(model), record)
    store.save(stored, path)
    return stored


def start_from(learner: Learner, dataset: Dataset, seed: int, watch: Watch = UNWATCHED) -> Start:
    """The original that a run starts from: stored, or trained now and stored."""
    watch.phase("Training the original model")
    return Start(learn(learner, dataset, seed, watch=watch), learner)
