"""Unlearning methods: U, what edits a model so that it is as if some samples had never been there.

One a file. A method knows nothing of datasets, files, threads or widgets.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn

from forget.core.errors import BadInput
from forget.core.knobs import Knobs
from forget.core.registry import Registry
from forget.core.steps import Step
from forget.data import Samples
from forget.learners import Learner


@dataclasses.dataclass(frozen=True)
class Task:
    """All that a method may look at.

    ``forget``: D_f.  ``retain``: D_r.  ``held_out``: samples that trained nothing, for stop rules.
    ``whole_class``: D_f is all of a class, so that nothing of that class shall remain.
    ``gone``: class indices asked to be forgotten by this request or an earlier one.
    """

    learner: Learner
    forget: Samples
    retain: Samples
    held_out: Samples
    whole_class: bool
    gone: tuple[int, ...]
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        return self.forget.y.device


@dataclasses.dataclass(frozen=True)
class Proof:
    """What a method that can prove something returns at its end.

    ``statement``: what it certifies, plain JSON data without anything that tells of the forgotten
    samples.  ``kept_back``: what was measured on the way, which does tell, and is for whoever runs
    the server alone.  ``distances``: so are they: how far the weights were from where they ended,
    before each iteration and after the last.
    """

    statement: dict[str, Any]
    kept_back: dict[str, Any]
    distances: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Spending:
    """What a request would spend of a budget that ``spent`` of ``budget`` is gone of already."""

    spent: float
    more: float
    budget: float

    @property
    def retrains(self) -> bool:
        """Whether the budget does not allow it, so that the model is trained anew."""
        return self.spent + self.more > self.budget

    @property
    def words(self) -> str:
        """For a person, before the request is carried out."""
        shares = (f"{self.more / self.budget:.1%} of the budget; "
                  f"{self.spent / self.budget:.1%} is spent already")
        return (f"this request would spend {shares}: the model will be trained anew"
                if self.retrains else f"this request spends {shares}")


@dataclasses.dataclass(frozen=True)
class Method(Knobs, ABC):
    """An unlearning method with its hyperparameters.

    ``name`` is the contract's, ``title`` what a person reads, ``summary`` one sentence for the
    page, ``learner`` the name of the learner whose models it can edit, ``picture`` which view of a
    run shows best how it works: "curve" (accuracy by step), "layers" (change per layer), "path"
    (its way through the plane of forget and retain accuracy), "shards" (what happened to each shard
    and slice) or "newton" (gradient norm by iteration).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    learner: ClassVar[str]
    because: ClassVar[str] = ""
    """Why no other learner's models will do, as a clause."""
    picture: ClassVar[str] = "curve"
    order: ClassVar[int] = 100

    def stop_line(self, whole_class: bool) -> tuple[float | None, str]:
        """For the "path" picture: the forget accuracy at which the method stops, where it has one,
        and its stop rule in words."""
        return None, "none but the number of steps"

    def spends(self, model: nn.Module, task: Task) -> Spending | None:
        """What a request would spend of a model's budget, known before it is carried out.

        ``model``: prepared for requests, and left as it is. None where there is no budget.
        """
        return None

    def publication(self, learner: Learner, model: nn.Module) -> dict[str, Any] | None:
        """What will be stated of the noise on this method's result, known before it is carried
        out; None where its results carry none of their own."""
        return None

    @abstractmethod
    def steps(self, model: nn.Module, task: Task) -> Iterator[Step]:
        """Edit ``model`` in place, yielding after each step; may return a :class:`Proof`.

        The caller gives a copy of its own and throws it away if the work is stopped.
        """


def check_suits(method: Method, learner: Learner) -> None:
    """Refuse a method that cannot edit this learner's models."""
    if method.learner != learner.name:
        reason = f": {method.because}" if method.because else ""
        raise BadInput(f"'{method.name}' needs the learner '{method.learner}', not "
                       f"'{learner.name}'{reason}; choose that learner or another method")


def params_of(method: Method, learner: Learner) -> dict[str, Any]:
    """All hyperparameters of a run, as ``--set`` names them."""
    return method.settings() | {f"learner.{k}": v for k, v in learner.settings().items()}


METHODS: Registry[Method] = Registry("method", __name__)
