"""Face embedders: public networks that turn an aligned face into a row of numbers; one a file.

The rows of one person's photos lie close together. These networks stay as they are: what learns
names, and forgets them, is a head on the rows.
"""

import os
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from forget.core.device import use_fixed_threads
from forget.core.errors import BadInput
from forget.core.registry import Registry
from forget.faces.align import SIDE
from forget.io.files import Bundle, OnProgress, silent

CHUNK = 16
"""Crops of one pass: a single photo does not wait for many, and 64 take a twelfth longer than in
passes of 32."""

CHOICE = "FORGET_EMBEDDER"


class Embedder(nn.Module, ABC):
    """A frozen network from aligned crops (N, 3, 150, 150) uint8 RGB to rows (N, size) float32.

    ``learnt_from``: the public data that its weights were learnt from, in words.  ``size``: numbers
    of one row.  ``version``: raised when the same crop gives another row, so that cached rows are
    not mixed up.  ``files``: the weights, and where they come from.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 100
    learnt_from: ClassVar[str]
    size: ClassVar[int]
    version: ClassVar[int] = 1
    files: ClassVar[Bundle]

    @classmethod
    def present(cls) -> bool:
        """Whether the weights are on this machine."""
        return cls.files.present()

    @classmethod
    @abstractmethod
    def load(cls, progress: OnProgress = silent) -> Self:
        """The network with its published weights, fetched first where they are missing.

        In eval mode and without gradients.  Raises :class:`~forget.core.errors.SourceDown` where no
        source serves, and :class:`DamagedFile` where the file is not the network's.
        """

    @abstractmethod
    def forward(self, crops: Tensor) -> Tensor:
        """Rows (N, size) float32 of crops (N, 3, 150, 150) uint8, on the device of the weights."""


EMBEDDERS: Registry[Embedder] = Registry("face embedder", __name__)


def find_embedder() -> type[Embedder]:
    """The embedder that ``FORGET_EMBEDDER`` names, else the first."""
    return EMBEDDERS[os.environ.get(CHOICE) or next(iter(EMBEDDERS))]


@torch.no_grad()
def rows_of(embedder: Embedder, crops: Tensor) -> Tensor:
    """Rows (N, size) float32 of crops (N, 3, 150, 150) uint8, in chunks.

    Every chunk is filled up to the same size, so that a row's bits do not depend on what is beside
    it: see :func:`forget.features.rows_of`.
    """
    if crops.dtype != torch.uint8 or crops.shape[1:] != (3, SIDE, SIDE):
        raise BadInput(f"a face embedder reads uint8 crops of shape (N, 3, {SIDE}, {SIDE}), not "
                       f"{crops.dtype} of {tuple(crops.shape)}; align the faces first")
    use_fixed_threads()
    if not len(crops):
        return torch.empty(0, embedder.size)
    filled = torch.cat([crops, crops[-1:].expand(-len(crops) % CHUNK, -1, -1, -1)])
    return torch.cat([embedder(part) for part in filled.split(CHUNK)])[: len(crops)]
