"""The network of the project's first version; also the one for feature vectors."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from forget.models import ARCHITECTURES, Architecture, Scale, Standardise, shapes_of


@ARCHITECTURES.register
class MLP(Architecture):
    """Fully connected, two hidden layers of 64: 784-64-64-10 for MNIST.

    Feature vectors are standardised by the samples that the network is trained on.
    """

    name = "mlp"
    order = 2
    titles: ClassVar = {"fc1": "dense 1", "fc2": "dense 2", "fc3": "output"}

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, hidden: int = 64):
        super().__init__()
        self._input_shape = tuple(input_shape)
        self.scale = (Standardise(*input_shape) if len(input_shape) == 1 else
                      Scale(127.5, 255.0))
        self.fc1 = nn.Linear(torch.Size(input_shape).numel(), hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        x = self.scale(x).flatten(1)  # (N, d)
        return self.fc2(self.fc1(x).relu()).relu()  # (N, hidden)

    @classmethod
    def build(cls, input_shape, n_classes):
        return cls(input_shape, n_classes)

    @classmethod
    def from_shapes(cls, shapes):
        if [len(shape) for shape in shapes] != [2, 1, 2, 1, 2, 1]:
            return None
        size = shapes[0][1]
        side = round(size**0.5)
        # A square number of inputs means grey images; a checkpoint does not say it otherwise.
        model = cls((1, side, side) if side * side == size else (size,),
                    shapes[4][0], shapes[0][0])
        return model if shapes_of(model) == shapes else None

    @property
    def input_shape(self):
        return self._input_shape
