"""The pixels themselves, as in the paper on certified removal."""

import torch
from torch import Tensor

from forget.features import FEATURES, Features


@FEATURES.register
class Pixels(Features):
    """x -> (pixel / 255 - 1/2), each sample scaled to norm 1; no constant column.

    The features of the experiment on MNIST's 3 against 8 in Guo et al. 2020,
    https://arxiv.org/abs/1911.03030.

    >>> Pixels((1, 2, 2))(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    tensor([[-0.5000, -0.5000, -0.5000, -0.5000]])
    """

    name = "pixels"
    title = "Pixels"
    order = 3
    quick = True

    @classmethod
    def suits(cls, input_shape):
        return len(input_shape) == 3

    def __init__(self, input_shape):
        super().__init__(input_shape)
        self.size = int(torch.Size(input_shape).numel())

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1).double() / 255 - 0.5
        return (rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)).float()
