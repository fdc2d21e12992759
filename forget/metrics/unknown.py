"""Whether a model knows whom it sees: evidence, a threshold on it, and how often that errs.

With a threshold "nobody I know" is an answer of its own, and to a photo of a person it is wrong.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from forget.metrics.accuracy import Predictions

NOBODY = "nobody known"
"""What a person reads for the answer below the threshold."""


def evidence(predictions: Predictions) -> Tensor:
    """(N,): the probability of the most likely class, low where a photo is like nobody's.

    The maximum softmax probability (Hendrycks and Gimpel 2017, https://arxiv.org/abs/1610.02136).
    """
    return predictions.log_p.amax(1).exp()


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Evidence below ``value`` means "nobody I know".

    ``false_accept``: share of strangers' photos that are taken for somebody;  ``false_reject``:
    share of known people's photos that are not: both on photos that did not choose the threshold.
    ``strangers`` and ``known``: how many photos those rates were measured on.
    """

    value: float
    false_accept: float
    false_reject: float
    strangers: int
    known: int

    def applied(self, predictions: Predictions) -> "OpenPredictions":
        """The predictions with this line drawn between somebody and nobody."""
        return OpenPredictions(predictions.log_p, predictions.y, self.value)

    def rejected(self, predictions: Predictions) -> float | None:
        """Share of photos that are like nobody's, None for an empty split."""
        if not len(predictions.y):
            return None
        return self.applied(predictions).nobody.double().mean().item()


@dataclasses.dataclass(frozen=True)
class OpenPredictions(Predictions):
    """Predictions that may answer "nobody I know": where the evidence lies below ``line``.

    That answer has the index C, after those of the C classes, and is nobody's right one.

    >>> p = torch.tensor([[.9, .1], [.6, .4]])
    >>> said = OpenPredictions(p.log(), torch.tensor([0, 0]), .7)
    >>> said.guess.tolist(), said.accuracy
    ([0, 2], 0.5)
    """

    line: float

    @property
    def nobody(self) -> Tensor:
        """Whether the answer is "nobody I know" (N,) bool."""
        return evidence(self) < self.line

    @property
    def answers(self) -> int:
        """One a class, and nobody."""
        return super().answers + 1

    @property
    def guess(self) -> Tensor:
        """The answer to each sample (N,): the most likely class, or C for nobody."""
        return super().guess.masked_fill(self.nobody, super().answers)


def answered(predictions: Predictions, threshold: Threshold | None) -> Predictions:
    """The predictions as they are answered: below the threshold, where there is one, by nobody."""
    return predictions if threshold is None else threshold.applied(predictions)


def places(classes: Sequence[str], answers: int) -> tuple[str, ...]:
    """What a person reads for each answer: the classes, and nobody where that is one of them."""
    return (*classes, NOBODY)[:answers]


def equal_error(known: Tensor, strangers: Tensor) -> float:
    """The threshold at which as large a share of strangers is accepted as of known ones rejected.

    It lies half-way between two neighbouring scores.

    >>> round(equal_error(torch.tensor([.9, .8, .3]), torch.tensor([.1, .2, .4])), 6)
    0.35
    """
    scores = torch.cat([known, strangers]).double().unique()  # sorted
    between = torch.cat([scores[:1], (scores[1:] + scores[:-1]) / 2])
    known, strangers = known.double().sort().values, strangers.double().sort().values
    rejects = torch.searchsorted(known, between) / len(known)
    accepts = 1 - torch.searchsorted(strangers, between) / len(strangers)
    return between[(rejects - accepts).abs().argmin()].item()
