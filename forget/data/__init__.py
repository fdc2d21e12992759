"""Datasets: what a learner trains on, what a method may look at, what everything is measured on."""

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forget.core.errors import BadInput
from forget.core.registry import Registry
from forget.core.spelling import printable
from forget.data.findings import Finding
from forget.io.files import Bundle


def evenly(n: int, most: int) -> Tensor:
    """At most ``most`` of n rows, evenly spread, first and last among them."""
    return torch.linspace(0, n - 1, min(n, most)).long()


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, labels and the ids by which a person asks for them to be forgotten.

    ``x``: images (N, channels, height, width) uint8, or feature vectors (N, d) float32.
    ``y``: class indices (N,) int64.  ``ids``: positions in the dataset's part (N,) int64.
    ``pictures``: (N, 3, height, width) uint8 on the CPU, what a person is shown for each row, where
    ``x`` is no picture itself.  ``keys``: the sha256 of the file that each row came from, where it
    came from one.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    pictures: Tensor | None = None
    keys: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor | slice) -> "Samples":
        """The rows that a mask, an index tensor or a slice names."""
        here = index if isinstance(index, slice) else index.cpu()
        keys = [self.keys[row] for row in torch.arange(len(self))[here]] if self.keys else ()
        pictures = None if self.pictures is None else self.pictures[here]
        return Samples(self.x[index], self.y[index], self.ids[index], pictures, tuple(keys))

    def thinned(self, most: int) -> "Samples":
        """At most so many samples, evenly spread: the same ones every time."""
        return self.take(evenly(len(self), most).to(self.y.device))

    def shown(self, row: int) -> Tensor:
        """What a person is shown for one row: (C, H, W) uint8."""
        return self.x[row] if self.pictures is None else self.pictures[row]

    def to(self, device: torch.device) -> "Samples":
        return dataclasses.replace(
            self, x=self.x.to(device), y=self.y.to(device), ids=self.ids.to(device))

    @classmethod
    def from_arrays(cls, x: np.ndarray, y: np.ndarray) -> "Samples":
        """Number the rows of a pair of arrays 0, 1, 2, …"""
        return cls(
            torch.from_numpy(np.array(x, order="C")),
            torch.from_numpy(y.astype(np.int64)),
            torch.arange(len(y)),
        )


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Three parts that never mix: ``train`` (D), ``held_out`` (for stop rules) and ``test``.

    ``through``: the feature map that its inputs went through, empty for raw ones;  ``raw_shape``:
    then the shape of a raw input;  ``feature_seconds`` and
    ``feature_processor_seconds``: what the map took, the latter None where it is not known.
    ``embedder``: the name of the public network that turned photos into the rows of ``x``, empty
    where none did.  ``findings``: what was wrong with the files and what was done.
    ``given``: the keys of all files that came under a class's name, those that were left out too.
    ``private``: for data that a person lent for a session only: what is made from them is kept in
    this dictionary, and nothing is written; None for all others.
    """

    name: str
    classes: tuple[str, ...]
    train: Samples
    held_out: Samples
    test: Samples
    through: str = ""
    raw_shape: tuple[int, ...] = ()
    feature_seconds: float = 0.0
    feature_processor_seconds: float | None = 0.0
    embedder: str = ""
    findings: tuple[Finding, ...] = ()
    given: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    private: dict[str, Any] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one raw input: (channels, height, width) or (d,)."""
        return self.raw_shape or tuple(self.train.x.shape[1:])

    @property
    def used(self) -> int:
        """Samples in all three parts."""
        return sum(len(part) for part in (self.train, self.held_out, self.test))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the training and held-out parts and the class names.

        The test part never changes a model, so it is left out.
        """
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.held_out):
            for tensor in (part.x, part.y):
                digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(tensor.numpy().data)
        return digest.hexdigest()

    def to(self, device: torch.device) -> "Dataset":
        """The same dataset with its tensors on a device; the fingerprint is taken beforehand."""
        moved = dataclasses.replace(
            self,
            train=self.train.to(device),
            held_out=self.held_out.to(device),
            test=self.test.to(device),
        )
        moved.__dict__["fingerprint"] = self.fingerprint
        return moved


class DatasetSource(ABC):
    """How one dataset is found and read; a subclass a file, registered under ``name``.

    A named dataset is made with no arguments; one that stands for a person's own files takes
    the path, and says with :meth:`accepts` which paths are its own.
    """

    name: str
    title: str
    order: int = 100
    takes_path: bool = False
    optional: bool = False
    """Whether it is fetched only where a person asks for it by name."""
    files: Bundle | None = None
    """The files that are fetched for it, where any are."""
    recipes: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Learner to those of its hyperparameters that suit these data better than its defaults."""

    @classmethod
    def accepts(cls, spec: str) -> bool:
        """Whether ``spec``, as a person typed it, is a path that this source reads."""
        return False

    @abstractmethod
    def load(self, progress=None) -> Dataset:
        """Read the dataset, fetching what is missing.

        Raises :class:`~forget.core.errors.SourceDown`, :class:`~forget.core.errors.DamagedFile` or
        :class:`~forget.core.errors.BadInput`.
        """

    @abstractmethod
    def describe(self) -> dict:
        """Name, classes, sizes, where the files come from, and whether they are here."""

    def ready(self) -> bool:
        """Whether :meth:`load` takes moments: nothing is left to be fetched or computed."""
        return self.describe()["present"]

    def erase(self, keys: Iterable[str]) -> int:
        """Delete what was computed from files of these keys and lies on disk; returns how many
        files that were. Nothing, unless a source keeps such files."""
        return 0


DATASETS: Registry[DatasetSource] = Registry("dataset", __name__)


def find_dataset(spec: str) -> DatasetSource:
    """The source for what a person typed: a registered name, or a path that a source accepts.

    >>> find_dataset("mnist").name
    'mnist'
    """
    for cls in DATASETS.values():
        if cls.accepts(spec):
            return cls(spec)
    named = [name for name, cls in DATASETS.items() if not cls.takes_path]
    if spec not in named:
        raise BadInput(
            f"there is no dataset '{printable(spec)}'; give one of {', '.join(named)}, "
            "or the path of a folder of photos or of an .npz file that exists"
        )
    return DATASETS[spec]()
