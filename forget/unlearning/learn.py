"""A(D) and A(D_r): a model of a recipe, stored or newly trained."""

import math
from pathlib import Path
from typing import Any

from forget.core import memory
from forget.core.device import THREADS, generator, use_fixed_threads, versions
from forget.core.errors import BadInput
from forget.core.steps import Stopwatch, drive
from forget.core.times import Took
from forget.data import Dataset
from forget.io.files import check_writable
from forget.io.paths import downloads
from forget.learners import LEARNERS, Learner
from forget.metrics.accuracy import Predictions
from forget.unlearning import store
from forget.unlearning.certificate import retained_rows
from forget.unlearning.measure import Splits
from forget.unlearning.represent import recipe_of, represent
from forget.unlearning.request import NOTHING, Forgotten, Request, parse_request
from forget.unlearning.result import Start, model_record
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Curve, Watch

MEASURED = 4
"""Models whose outputs on the test set are kept side by side, and one in the making."""


def suited(learner: Learner, dataset: Dataset) -> Learner:
    """The recipe with what it leaves open settled for a dataset."""
    return learner.suited(dataset.input_shape, len(dataset.classes))


def check_memory(learner: Learner, dataset: Dataset) -> None:
    """Refuse a learner that would need more memory on a dataset than there is."""
    n, n_classes = len(dataset.train), len(dataset.classes)
    outputs = 8 * n_classes * (2 * n + MEASURED * len(dataset.test))
    need = learner.memory(n, dataset.input_shape, n_classes) + outputs
    numbers = math.prod(dataset.input_shape)
    memory.check(need, f"the learner '{learner.name}' with {n_classes:,} classes and {numbers:,} "
                 "numbers an input", "take fewer of either, or another method")


def home_of(learner: Learner, dataset: Dataset, seed: int, forgotten: Forgotten) -> Path:
    """Where the model of this recipe, data and seed lies or will lie."""
    learner = suited(learner, dataset)
    what = recipe_of(learner, dataset) | {
        "data": dataset.fingerprint, "seed": seed, "without": forgotten.key}
    if forgotten.requests:
        # Its seconds are compared with a method's, so they must come from the same device.
        what["device"] = dataset.train.y.device.type
    key = store.key_of(**what)
    return store.path_of(dataset.name, learner.name, key)


def is_stored(learner: Learner, dataset: Dataset, path: Path, forgotten: Forgotten) -> bool:
    """Whether a model lies at ``path``, with its secret where a request is to start from it.

    Models of private data are kept with the data, under the same name.
    """
    if dataset.private is not None:
        return path.name in dataset.private
    wants_secret = learner.keeps and not forgotten.requests
    return path.is_file() and (not wants_secret or store.secret_path(path).is_file())


def timed_here(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """A stored model's record, without processor seconds that others of today cannot be compared
    with: another machine's, as a shipped model's are, or another version's."""
    alike = path.parent != downloads() and (record["threads"], record["versions"]) == (
        THREADS, versions())
    return record if alike else {name: value for name, value in record.items()
                                 if not name.endswith("processor_seconds")}


@memory.told()
def learn(
    learner: Learner,
    dataset: Dataset,
    seed: int,
    forgotten: Forgotten = NOTHING,
    watch: Watch = UNWATCHED,
    curve_for: Splits | None = None,
) -> Stored:
    """A(D) or A(D_r): the stored model of this recipe, data and seed, or a newly trained one.

    Given splits, the watch is told the curve on the way. Raises
    :class:`~forget.core.errors.NoMemory` where there is too little for it.
    """
    learner = suited(learner, dataset)
    check_memory(learner, dataset)
    dataset = represent(learner, dataset, watch)
    path = home_of(learner, dataset, seed, forgotten)
    device = dataset.train.y.device
    if is_stored(learner, dataset, path, forgotten):
        stored = store.load(path) if dataset.private is None else dataset.private[path.name]
        return Stored(stored.model.to(device), timed_here(stored.record, path))
    if dataset.private is None:
        check_writable(path)
    use_fixed_threads()
    data = dataset.train.take(retained_rows(dataset, forgotten.ids))
    draw = generator(seed)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw).to(device)
    curve = Curve(model, curve_for, watch)
    clock, prepared = Stopwatch(), Stopwatch()
    drive(learner.train(model, data, draw), curve.on_step, watch.cancelled, clock)
    record = model_record(dataset.name, learner, seed, model, dataset.input_shape) | {
        **clock.took(device.type).record(), "device": device.type, "data": dataset.fingerprint,
        **({"embedder": dataset.embedder} if dataset.embedder else {}),
        "test_accuracy": Predictions.of(model, dataset.test).accuracy}
    if forgotten.requests:
        model.secret = {}  # a model to compare with is never asked to forget
    else:
        watch.phase("Preparing for requests")
        drive(learner.prepare(model, data, draw), watch.step, watch.cancelled, prepared)
        features = Took(dataset.feature_seconds, dataset.feature_processor_seconds)
        record |= (features + prepared.took(device.type)).record("prepare_")
    stored = Stored(store.frozen(model), record)
    if dataset.private is None:
        store.save(stored, path)
    else:
        dataset.private[path.name] = stored
    return stored


@memory.told()
def resume(path: Path, dataset: Dataset) -> Start:
    """The start from a model that an earlier run wrote, with what lies beside it.

    Raises :class:`BadInput` where it belongs to other data or its secret file is missing.
    """
    stored = store.load(path)
    record = stored.record
    learner = LEARNERS[record["learner"]](**record["settings"])
    about = record
    if store.secret_path(path).is_file():
        about = record | store.read_sealed(store.secret_path(path))[1]
    if about.get("data", dataset.fingerprint) != dataset.fingerprint:
        raise BadInput(f"{path.name} was made on other data, '{record['dataset']}'; give the "
                       "dataset that it was made on, as it was then")
    stored.model.to(dataset.train.y.device)
    return Start(stored, learner, _forgotten_by(path, stored, dataset))


def _forgotten_by(path: Path, stored: Stored, dataset: Dataset) -> Forgotten:
    """What a model on disk has forgotten: from its secret file, or from its own record."""
    secret = store.secret_path(path)
    if secret.is_file():
        kept, about = store.read_sealed(secret)
        return Forgotten(tuple(Request(spec, kept[f"request.{i}"], index)
                               for i, (spec, index) in enumerate(about.get("requests", []))))
    forgotten = NOTHING
    if "method" in stored.record and "forgotten" not in stored.record:
        raise BadInput(f"{path.name} comes without {secret.name}, which says what it has "
                       "forgotten; put it beside the model")
    for spec in stored.record.get("forgotten", []):
        forgotten += parse_request(spec, dataset, stored.record["seed"], forgotten)
    return forgotten


@memory.told()
def start_from(learner: Learner, dataset: Dataset, seed: int, watch: Watch = UNWATCHED) -> Start:
    """The original that a run starts from: stored, or trained now and stored."""
    learner = suited(learner, dataset)
    check_memory(learner, dataset)
    dataset = represent(learner, dataset, watch)
    watch.phase("Training the original model")
    return Start(learn(learner, dataset, seed, watch=watch), learner)
