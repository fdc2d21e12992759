"""Datasets as rows of fixed features, computed once and cached on disk."""

import dataclasses
import functools
import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forget.core.device import use_fixed_threads
from forget.core.errors import DamagedFile
from forget.core.steps import Step, Stopwatch, drive
from forget.core.times import Took
from forget.data import Dataset, Samples
from forget.features import CHUNK, Features, rows_of
from forget.io.files import locked, write_atomically
from forget.io.paths import downloads
from forget.learners import Learner
from forget.unlearning import store
from forget.unlearning.watch import UNWATCHED, Watch

FOLDER = "features"
KEPT = 2
"""Represented datasets kept in memory: 70,000 rows of 256 take 70 MB."""

_ready: OrderedDict[tuple[str, str, str], Dataset] = OrderedDict()


def represent(learner: Learner, dataset: Dataset, watch: Watch = UNWATCHED) -> Dataset:
    """The dataset as the learner's models read it: itself, or its rows of the learner's features.

    ``through`` says which features; a dataset that went through them already comes back as it is.
    The rows lie in ``forget_downloads/features/``, named by the inputs' own hash, unless they are
    quickly made or the dataset is private.
    """
    features = learner.feature_map(dataset.input_shape)
    if features is None or dataset.through == features.name:
        return dataset
    if dataset.private is not None:
        return _represented(features, dataset, watch)
    key = (features.name, dataset.name, content_hash(dataset))
    if key not in _ready:
        _ready[key] = _represented(features, dataset, watch)
    _ready.move_to_end(key)
    while len(_ready) > KEPT:
        _ready.popitem(last=False)
    return _ready[key].to(dataset.train.y.device)


def _represented(features: Features, dataset: Dataset, watch: Watch) -> Dataset:
    parts, whole = {}, Took(0.0, 0.0)
    for part in ("train", "held_out", "test"):
        samples: Samples = getattr(dataset, part)
        what = f"{dataset.name}, {part}"
        if features.quick or dataset.private is not None:
            rows, took = _computed(features, samples.x, what, watch)
        else:
            rows, took = _rows(features, samples.x, what, watch)
        parts[part] = dataclasses.replace(samples, x=rows.to(samples.y.device))
        whole += took
    done = dataclasses.replace(dataset, **parts, through=features.name,
                               raw_shape=dataset.input_shape, feature_seconds=whole.wall,
                               feature_processor_seconds=whole.processor)
    done.__dict__["fingerprint"] = dataset.fingerprint
    return done


def recipe_of(learner: Learner, dataset: Dataset) -> dict[str, Any]:
    """What determines a model beside data and seed: the learner, its settings, and its features'
    name and version, where it has any."""
    recipe = {"learner": learner.name, "settings": learner.settings()}
    if learner.standardises(dataset.input_shape):
        recipe["standardised"] = True  # models of earlier versions were not, and have another name
    features = _features_of(learner, dataset.input_shape)
    return recipe if features is None else recipe | {"features": features}


@functools.lru_cache(maxsize=64)
def _features_of(learner: Learner, input_shape: tuple[int, ...]) -> str | None:
    """Name and version of a learner's features; building them takes milliseconds, and a page asks
    many times."""
    features = learner.feature_map(input_shape)
    return None if features is None else f"{features.name} {features.version}"


def content_hash(dataset: Dataset) -> str:
    """sha256 over everything in the dataset, the test part included."""
    digest = hashlib.sha256(dataset.fingerprint.encode())
    for tensor in (dataset.test.x, dataset.test.y):
        digest.update(tensor.cpu().numpy().data)
    return digest.hexdigest()


def _rows(features: Features, x: Tensor, what: str, watch: Watch) -> tuple[Tensor, Took]:
    """Rows of all inputs (N, d) and what computing them took, now or then."""
    digest = hashlib.sha256(f"{features.name}{features.version}{tuple(x.shape)}{x.dtype}".encode())
    digest.update(x.cpu().numpy().data)
    path = downloads() / FOLDER / f"{features.name}-{digest.hexdigest()[:32]}.safetensors"
    with locked(f"features-{path.stem}"):
        if path.is_file():
            return _read(path, len(x), features.size)
        rows, took = _computed(features, x, what, watch)
        write_atomically(path, _to_bytes(rows, took))
    return rows, took


def _computed(features: Features, x: Tensor, what: str, watch: Watch) -> tuple[Tensor, Took]:
    """Rows of all inputs and what computing them took."""
    use_fixed_threads()
    watch.phase(f"Computing features ({what})")
    rows = torch.empty(len(x), features.size)
    clock = Stopwatch()
    drive(_compute(features, x, rows), watch.step, watch.cancelled, clock)
    return rows, clock.took(x.device.type)


def _compute(features: Features, x: Tensor, rows: Tensor):
    total = (len(x) + CHUNK - 1) // CHUNK
    features = features.to(x.device)
    for index, part in enumerate(x.split(CHUNK)):
        rows[index * CHUNK : index * CHUNK + len(part)] = rows_of(features, part).cpu()
        yield Step(index + 1, total, "computing features", {"rows": float(len(part))})


def _to_bytes(rows: Tensor, took: Took) -> bytes:
    return store.sealed_bytes({"rows": rows}, took.record())


def _read(path: Path, n: int, size: int) -> tuple[Tensor, Took]:
    tensors, record = store.read_sealed(path)
    if tensors["rows"].shape != (n, size):
        raise DamagedFile(f"{path} is damaged: delete it and it is made again")
    return tensors["rows"], Took.of(record)
