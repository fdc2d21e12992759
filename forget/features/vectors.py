"""Feature vectors that a dataset brings itself."""

import math

import torch
from torch import Tensor

from forget.features import FEATURES, Features

CONSTANT = 0.1
"""Value of the constant column that carries the bias, in rows of norm 1."""


@FEATURES.register
class Vectors(Features):
    """x -> (x / ||x|| * sqrt(1 - c^2), c): direction and a constant column, each row of norm 1.

    The constant carries the bias, which is then regularised like every other weight, as strong
    convexity in Guo et al. 2020 (https://arxiv.org/abs/1911.03030) asks for.

    >>> Vectors((2,))(torch.tensor([[3.0, 4.0]])).norm().round(decimals=5)
    tensor(1.)
    """

    name = "vectors"
    title = "Vectors of norm 1"
    order = 2
    quick = True

    @classmethod
    def suits(cls, input_shape):
        return len(input_shape) == 1

    def __init__(self, input_shape):
        super().__init__(input_shape)
        self.size = input_shape[0] + 1

    def forward(self, x: Tensor) -> Tensor:
        return with_constant(x.double()).float()


def with_constant(x: Tensor) -> Tensor:
    """Rows (N, d) scaled to norm sqrt(1 - c^2), and a column of c."""
    direction = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    column = torch.full((len(x), 1), CONSTANT, dtype=x.dtype, device=x.device)
    return torch.cat([direction * math.sqrt(1 - CONSTANT**2), column], 1)
