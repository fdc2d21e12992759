"""How far one model's outputs are from another's on the same samples."""

import math

import torch
from torch import Tensor

from forget.metrics.accuracy import Predictions


def kl(reference: Predictions, other: Predictions) -> float | None:
    """Mean KL(reference || other) in nats, None for an empty split.

    >>> import torch
    >>> half = Predictions(torch.log(torch.tensor([[.5, .5]])), torch.tensor([0]))
    >>> kl(half, half)
    0.0
    """
    if not len(reference.y):
        return None
    p = reference.log_p.double()
    return _weighted(p, p - other.log_p.double()).sum(1).mean().item()


def jensen_shannon(a: Predictions, b: Predictions) -> float | None:
    """Mean Jensen-Shannon divergence in nats, 0..log 2, the same both ways round."""
    if not len(a.y):
        return None
    p, q = a.log_p.double(), b.log_p.double()
    middle = torch.logaddexp(p, q) - math.log(2)
    halves = _weighted(p, p - middle).sum(1) + _weighted(q, q - middle).sum(1)
    return (halves / 2).mean().item()


def _weighted(log_p: Tensor, difference: Tensor) -> Tensor:
    """p times a difference of logarithms; nothing where p is zero, whatever the difference."""
    return torch.where(log_p > -math.inf, log_p.exp() * difference, 0.0)


def agreement(a: Predictions, b: Predictions) -> float | None:
    """Share of samples for which both models guess the same class."""
    return (a.guess == b.guess).double().mean().item() if len(a.y) else None
