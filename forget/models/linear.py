"""A linear head for rows of a fixed embedder."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from forget.core.errors import BadInput
from forget.models import ARCHITECTURES, Architecture, shapes_of

RADIUS = 32.0
"""Norm of a row under the head: an entry is about 3 at 128 numbers, so that a step of usual length
moves the logits enough within some hundred steps."""


@ARCHITECTURES.register
class Linear(Architecture):
    """x -> W (32 x / ||x||) + b: softmax regression on the direction of a feature vector.

    >>> import torch
    >>> Linear((3,), 2)(torch.ones(1, 3)).shape
    torch.Size([1, 2])
    """

    name = "linear"
    order = 3
    titles: ClassVar = {"fc": "output"}
    learns_features = False

    def __init__(self, input_shape: tuple[int, ...], n_classes: int):
        super().__init__()
        self._input_shape = tuple(input_shape)
        self.fc = nn.Linear(input_shape[0], n_classes)

    def embed(self, x: Tensor) -> Tensor:
        return RADIUS * F.normalize(x)  # (N, d)

    @classmethod
    def build(cls, input_shape, n_classes):
        if len(input_shape) != 1:
            raise BadInput(f"the architecture 'linear' reads feature vectors, not inputs of shape "
                           f"{input_shape}; choose 'cnn' or 'mlp'")
        return cls(input_shape, n_classes)

    @classmethod
    def from_shapes(cls, shapes):
        if [len(shape) for shape in shapes] != [2, 1]:
            return None
        model = cls((shapes[0][1],), shapes[0][0])
        return model if shapes_of(model) == shapes else None

    @property
    def input_shape(self):
        return self._input_shape
