"""The default network for images."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from forget.core.errors import BadInput
from forget.models import ARCHITECTURES, Architecture, Scale, shapes_of


@ARCHITECTURES.register
class SmallCNN(Architecture):
    """Two strided convolutions and two fully connected layers; 106,218 weights for MNIST.

    Normalisation is per image and group of channels (Wu and He 2018,
    https://arxiv.org/abs/1803.08494). Batch normalisation would keep running averages of the
    training data, deleted samples included, that no gradient step on the rest has to remove.
    """

    name = "cnn"
    order = 1
    titles: ClassVar = {
        "conv1": "convolution 1", "norm1": "normalisation 1",
        "conv2": "convolution 2", "norm2": "normalisation 2",
        "fc1": "dense 1", "fc2": "output",
    }

    def __init__(self, channels: int, side: int, n_classes: int, hidden: int = 64):
        super().__init__()
        self.channels, self.side = channels, side
        quarter = (side + 3) // 4
        self.scale = Scale(127.5, 255.0)
        self.conv1 = nn.Conv2d(channels, 16, 5, stride=2, padding=2)
        self.norm1 = nn.GroupNorm(4, 16)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.norm2 = nn.GroupNorm(4, 32)
        self.fc1 = nn.Linear(32 * quarter * quarter, hidden)
        self.fc2 = nn.Linear(hidden, n_classes)
        self.to(memory_format=torch.channels_last)

    def embed(self, x: Tensor) -> Tensor:
        # (N, C, S, S)
        x = self.scale(x).contiguous(memory_format=torch.channels_last)
        x = self.norm1(self.conv1(x)).relu()  # (N, 16, S/2, S/2)
        x = self.norm2(self.conv2(x)).relu()  # (N, 32, S/4, S/4)
        # Channels last as they lie in memory: flattening this way copies nothing.
        x = x.permute(0, 2, 3, 1).flatten(1)  # (N, S/4 * S/4 * 32)
        return self.fc1(x).relu()  # (N, hidden)

    @classmethod
    def build(cls, input_shape, n_classes):
        if len(input_shape) != 3 or input_shape[1] != input_shape[2] or input_shape[1] < 8:
            raise BadInput(f"the architecture 'cnn' needs square images of at least 8 pixels, not "
                           f"inputs of shape {input_shape}; choose 'mlp'")
        return cls(input_shape[0], input_shape[1], n_classes)

    @classmethod
    def from_shapes(cls, shapes):
        if len(shapes) != 12 or len(shapes[0]) != 4 or len(shapes[8]) != 2 or len(shapes[10]) != 2:
            return None
        quarter = round((shapes[8][1] / 32) ** 0.5)
        model = cls(shapes[0][1], 4 * quarter, shapes[10][0], shapes[8][0])
        return model if shapes_of(model) == shapes else None

    @property
    def input_shape(self):
        return (self.channels, self.side, self.side)
