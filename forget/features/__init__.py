"""Feature maps: fixed functions from raw inputs to rows that a convex learner puts a head on.

One a file. A map is a constant of the recipe: no statistic of the data goes into it.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from forget.core.errors import BadInput
from forget.core.registry import Registry

CHUNK = 64
"""Samples of one pass: small enough for a processor's cache."""


class Features(nn.Module, ABC):
    """A fixed map from raw inputs (N, *input_shape) to rows (N, size) float32 of norm at most 1.

    It is computed in float64 and rounded once, so that every machine gives the same rows: a
    certificate's residual is smaller than what float32 sums in another order would differ by.

    ``learnt_from``: the data that its constants were learnt from, in words, empty where it never
    saw any.  ``quick``: computing rows costs no more than reading them, so none are kept on disk.
    ``size``: features of one row.  ``version``: raised when the same input gives another
    row, so that cached rows are not mixed up.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 100
    learnt_from: ClassVar[str] = ""
    version: ClassVar[int] = 1
    quick: ClassVar[bool] = False
    size: int

    @classmethod
    @abstractmethod
    def suits(cls, input_shape: tuple[int, ...]) -> bool:
        """Whether inputs of this shape can be read."""

    @abstractmethod
    def __init__(self, input_shape: tuple[int, ...]):
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Rows (N, size) float32 on the device of ``x``."""


FEATURES: Registry[Features] = Registry("feature map", __name__)


def features_for(name: str, input_shape: tuple[int, ...]) -> Features:
    """The map of a name, or with "auto" the first one that suits inputs of this shape."""
    names = list(FEATURES) if name == "auto" else [name]
    for one in names:
        if FEATURES[one].suits(tuple(input_shape)):
            return FEATURES[one](tuple(input_shape))
    raise BadInput(f"no feature map called '{name}' reads inputs of shape {tuple(input_shape)}; "
                   f"choose one of: auto, {', '.join(FEATURES)}")


@torch.no_grad()
def rows_of(features: Features, x: Tensor) -> Tensor:
    """Rows (N, size) for all of ``x``, in chunks.

    Every chunk is filled up to the same size: a product of another size may sum in another order,
    and the last bits of a row would tell what was beside it.
    """
    if not len(x):
        return torch.empty(0, features.size, device=x.device)
    filled = torch.cat([x, x[-1:].expand(-len(x) % CHUNK, *x.shape[1:])])
    return torch.cat([features(part) for part in filled.split(CHUNK)])[: len(x)]
