"""Learners: A, what turns data into a model. One a file."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn

from forget.core.knobs import Knobs, make
from forget.core.registry import Registry
from forget.core.steps import Step
from forget.data import DatasetSource, Samples
from forget.features import Features

COPIES = 8
"""As many times a model's weights are there at once: gradients, two moments, the original, the
unlearned, the retrained and a file's bytes."""


@dataclasses.dataclass(frozen=True)
class Learner(Knobs, ABC):
    """A recipe: what model to build, and how to train it on samples.

    A model is an ``nn.Module`` with ``forward(x) -> logits (N, n_classes)``. All randomness comes
    from the generator given: the same seed on the same machine gives the same weights.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int] = 100
    keeps: ClassVar[bool] = False
    """Whether its models come with a ``secret``: what it needs to make them forget."""

    @abstractmethod
    def build(
        self, input_shape: tuple[int, ...], n_classes: int, generator: torch.Generator
    ) -> nn.Module:
        """An untrained model for inputs of one shape."""

    @abstractmethod
    def train(
        self, model: nn.Module, data: Samples, generator: torch.Generator
    ) -> Iterator[Step]:
        """Train ``model`` in place, yielding after each step."""

    def suited(self, input_shape: tuple[int, ...], n_classes: int) -> "Learner":
        """This recipe, with what it leaves open settled by the size of the data."""
        return self

    def memory(self, n: int, input_shape: tuple[int, ...], n_classes: int) -> int:
        """Bytes that training on n samples, preparing and one request take at most, estimated; the
        data and what is measured come on top."""
        return COPIES * self.model_bytes(input_shape, n_classes)

    def model_bytes(self, input_shape: tuple[int, ...], n_classes: int) -> int:
        """Of an untrained model's weights; none of them is made."""
        with torch.device("meta"):
            model = self.build(input_shape, n_classes, torch.Generator())
        return sum(one.numel() * one.element_size() for one in model.parameters())

    def feature_map(self, input_shape: tuple[int, ...]) -> Features | None:
        """The fixed features that this learner's models put a head on, None for raw inputs."""
        return None

    def standardises(self, input_shape: tuple[int, ...]) -> bool:
        """Whether its models scale inputs of this shape by statistics of their training samples,
        which are then made anew without those that are forgotten."""
        return False

    def prepare(
        self, model: nn.Module, data: Samples, generator: torch.Generator
    ) -> Iterator[Step]:
        """Make in ``model.secret`` whatever speeds up the next request and depends on no request.

        ``data``: what the model was trained on. Nothing, unless a learner says otherwise.
        """
        return iter(())


LEARNERS: Registry[Learner] = Registry("learner", __name__)


def learner_for(source: DatasetSource, name: str, settings: dict[str, Any]) -> Learner:
    """A learner with what suits a dataset, and with these settings instead where given."""
    return make(LEARNERS[name], dict(source.recipes.get(name, {})) | settings)
