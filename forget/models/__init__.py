"""The known architectures: ``forward(x) -> logits (N, n_classes)``, from a dataset's own inputs.

Each takes raw inputs, images (N, C, H, W) uint8 or vectors (N, d) float32, and scales them itself,
so a checkpoint is all that is needed to predict.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from forget.core.registry import Registry

CHUNK = 256
"""Samples of one forward pass: three times faster a sample than 2,000 at once on a CPU."""


MAX_WEIGHTS = 1 << 27
"""More weights than any known architecture has, and few enough to fit in memory."""


class Scale(nn.Module):
    """x -> (x - shift) / span in float32: constants of the recipe, the same for every input."""

    def __init__(self, shift: float, span: float):
        super().__init__()
        self.register_buffer("shift", torch.tensor(shift))
        self.register_buffer("span", torch.tensor(span))

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() - self.shift) / self.span


class Standardise(Scale):
    """x -> (x - mean) / deviation, feature by feature: as they are until :meth:`fit` is called.

    ``shift`` and ``span`` (d,) are part of the model: whoever trains it on other samples fits it to
    those.
    """

    def __init__(self, features: int):
        super().__init__(0.0, 1.0)
        self.shift = self.shift.repeat(features)
        self.span = self.span.repeat(features)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take mean and standard deviation of rows (N, d), in float64; a feature that does not vary
        by more than rounding keeps a span of 1, and no rows change nothing."""
        if not len(x):
            return
        rows = x.double()
        mean, deviation = rows.mean(0), rows.std(0, correction=0)
        limits = torch.finfo(torch.float32)
        varies = deviation > (limits.eps * mean.abs()).clamp_min(limits.tiny)
        self.shift.copy_(mean)
        self.span.copy_(torch.where(varies, deviation, 1.0))


def fit_inputs(model: nn.Module, x: Tensor) -> None:
    """Before training: standardise by these training samples, where the model standardises."""
    for module in model.modules():
        if isinstance(module, Standardise):
            module.fit(x)


def with_old_scales(
    tensors: Mapping[str, Tensor], planned: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A file's tensors, where one of an earlier version has one shift and one span for all features
    (0 and 1: it did not standardise) written out for each, as ``planned``."""
    return {name: value.expand_as(planned[name]).clone()
            if name.endswith(("scale.shift", "scale.span")) and value.numel() == 1
            and name in planned and planned[name].ndim == 1 else value
            for name, value in tensors.items()}


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
