"""Whether a model knows whom it sees: evidence, a threshold on it, and how often that errs."""

import dataclasses

import torch
from torch import Tensor

from forget.metrics.accuracy import Predictions


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

    def rejected(self, predictions: Predictions) -> float | None:
        """Share of photos that are like nobody's, None for an empty split."""
        if not len(predictions.y):
            return None
        return (evidence(predictions) < self.value).double().mean().item()


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
