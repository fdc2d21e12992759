"""How far one model's outputs and accuracies are from another's."""

import math
from collections.abc import Mapping

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
    """Share of samples to which both models give the same answer; "nobody I know" is one."""
    return (a.guess == b.guess).double().mean().item() if len(a.y) else None


TOLD_APART = ("forget_accuracy", "retain_accuracy", "test_retain_accuracy")


def tug_of_war(
    unlearned: Mapping[str, float | None], reference: Mapping[str, float | None]
) -> float:
    """The product of 1 - |gap| over accuracy on D_f, on D_r and on retained test samples: 0..1.

    ToW (Zhao et al. 2024, https://arxiv.org/abs/2406.01257): 1 is the reference itself. A split
    that is empty counts as no gap.

    >>> tug_of_war({"forget_accuracy": 0.1}, {"forget_accuracy": 0.0})
    0.9
    """
    gaps = [abs(unlearned[split] - reference[split]) for split in TOLD_APART
            if unlearned.get(split) is not None and reference.get(split) is not None]
    return math.prod(1 - gap for gap in gaps)
