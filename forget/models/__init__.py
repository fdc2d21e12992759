"""The known architectures: ``forward(x) -> logits (N, n_classes)``, from a dataset's own inputs.

Each takes raw inputs, images (N, C, H, W) uint8 or vectors (N, d) float32, and scales them itself,
so a checkpoint is all that is needed to predict.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from forget.registry import Registry

CHUNK = 256
"""Samples of one forward pass: three times faster a sample than 2,000 at once on a CPU."""


MAX_WEIGHTS = 1 << 27
"""More weights than any known architecture has, and few enough to fit in memory."""


class Scale(nn.Module):
    """x -> (x - shift) / span in float32: constants of the recipe, no statistic of the data."""

    def __init__(self, shift: float, span: float):
        super().__init__()
        self.register_buffer("shift", torch.tensor(shift))
        self.register_buffer("span", torch.tensor(span))

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() - self.shift) / self.span


class Architecture(nn.Module, ABC):
    """A network that can be built for a dataset and recognised from the shapes in a file."""

    name: ClassVar[str]
    order: ClassVar[int] = 100
    titles: ClassVar[dict[str, str]]
    """The layers with weights, from input to output: attribute to a name for people."""
    learns_features: ClassVar[bool] = True
    """Whether what the output layer reads was learnt from the data."""

    @classmethod
    @abstractmethod
    def build(cls, input_shape: tuple[int, ...], n_classes: int) -> "Architecture":
        """A freshly initialised network; :class:`BadInput` where it does not suit the inputs."""

    @classmethod
    @abstractmethod
    def from_shapes(cls, shapes: list[tuple[int, ...]]) -> "Architecture | None":
        """The network whose parameters have these shapes, in order, or None."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """What the output layer reads: (N, d)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[-1][1](self.embed(x))  # (N, n_classes)

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """The layers with weights, from input to output, with names for people."""
        return [(title, getattr(self, layer)) for layer, title in self.titles.items()]

    @property
    def n_classes(self) -> int:
        return self.layers[-1][1].out_features


ARCHITECTURES: Registry[Architecture] = Registry("architecture", __name__)


def build(
    name: str, input_shape: tuple[int, ...], n_classes: int, generator: torch.Generator
) -> Architecture:
    """A freshly initialised network of a registered architecture."""
    model = ARCHITECTURES[name].build(tuple(input_shape), n_classes)
    initialise(model, generator)
    return model


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, n_classes) for all of ``x``, in chunks small enough for a processor's cache."""
    return torch.cat([model(part) for part in x.split(CHUNK)])


@torch.no_grad()
def features_of(model: nn.Module, x: Tensor) -> Tensor:
    """What the output layer reads (N, d) for all of ``x``: ``model.embed`` in chunks."""
    return torch.cat([model.embed(part) for part in x.split(CHUNK)])


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw fresh weights for every layer inside, as torch does by default (He et al. 2015,
    https://arxiv.org/abs/1502.01852, with a = sqrt(5)), but from the generator given."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_in = layer.weight[0].numel()
                bound = fan_in**-0.5
                for parameter in (layer.weight, layer.bias):
                    drawn = torch.rand(parameter.shape, generator=generator)
                    parameter.copy_((2 * drawn - 1) * bound)
            elif isinstance(layer, nn.GroupNorm):
                layer.weight.fill_(1.0)
                layer.bias.zero_()


def shapes_of(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in model.parameters()]
