"""Accuracy on each split, per class, and where predictions go; all from one pass over the data."""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from forget.core.errors import Diverged
from forget.data import Samples
from forget.models import logits_of

PART = 8192
"""Samples between two looks at whether the caller still wants the answer: under 0.2 s of work."""


def predict(model: nn.Module, x: Tensor, between: Callable[[], None] = lambda: None) -> Tensor:
    """Log-probabilities (N, n_classes) float64 on the CPU.

    ``between`` is called now and then; one that raises stops the work. Raises
    :class:`~forget.core.errors.Diverged` for logits that are not finite.
    """
    parts = []
    for part in x.split(PART):
        between()
        logits = logits_of(model, part).cpu()
        if not logits.isfinite().all():
            raise Diverged("the model's outputs are not finite: undo, take a smaller lr and try "
                           "again")
        parts.append(logits.double().log_softmax(1))
    return torch.cat(parts)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What one model says of one part of the data: log-probabilities (N, C) beside labels (N,)."""

    log_p: Tensor
    y: Tensor

    @classmethod
    def of(
        cls, model: nn.Module, data: Samples, between: Callable[[], None] = lambda: None
    ) -> "Predictions":
        return cls(predict(model, data.x, between), data.y.cpu())

    def take(self, rows: Tensor) -> "Predictions":
        return dataclasses.replace(self, log_p=self.log_p[rows], y=self.y[rows])

    @property
    def named(self) -> "Predictions":
        """The same where a class must be named, whatever line there is."""
        return Predictions(self.log_p, self.y)

    @property
    def answers(self) -> int:
        """How many different answers there are: one a class."""
        return self.log_p.shape[1]

    @property
    def guess(self) -> Tensor:
        """The answer to each sample (N,): the most likely class."""
        return self.log_p.argmax(1)

    @property
    def accuracy(self) -> float | None:
        """Share of right guesses in 0..1, None for an empty split.

        >>> p = torch.tensor([[.9, .1], [.2, .8]])
        >>> Predictions(p.log(), torch.tensor([0, 0])).accuracy
        0.5
        """
        return (self.guess == self.y).double().mean().item() if len(self.y) else None

    @property
    def matrix(self) -> Tensor:
        """(C, answers) int64: row i, column j counts samples of class i that were taken for j."""
        shape = (self.log_p.shape[1], self.answers)
        pairs = self.y * self.answers + self.guess
        return torch.bincount(pairs, minlength=math.prod(shape)).reshape(shape)

    @property
    def counts(self) -> Tensor:
        """(answers,) int64: how often each answer is given."""
        return torch.bincount(self.guess, minlength=self.answers)

    @property
    def per_class(self) -> list[float | None]:
        """Accuracy of each class, None where it has no sample."""
        n_classes = self.log_p.shape[1]
        totals = torch.bincount(self.y, minlength=n_classes).tolist()
        right = torch.bincount(self.y[self.guess == self.y], minlength=n_classes).tolist()
        return [hit / total if total else None for hit, total in zip(right, totals, strict=True)]
