"""Can one tell from a model's answers that it once learnt a sample?

The per-example likelihood-ratio attack (LiRA, Carlini et al. 2022,
https://arxiv.org/abs/2112.03570) against unlearned models (U-LiRA, Hayes et al. 2024,
https://arxiv.org/abs/2403.01218): many shadow models say how each sample scores in a model that
unlearned it and in one that never saw it, and a model's own score is weighed between the two.
"""

import dataclasses
import math

import torch
from torch import Tensor

from forget.core.errors import BadInput
from forget.metrics.accuracy import Predictions
from forget.metrics.interval import LEVEL, Interval, quantile_of_t

PRIOR = 4
"""Models' worth of the mean variance over all samples that each sample's own is mixed with."""

LEAST_VARIANCE = 1e-12
MANY_OTHERS = 10_000
"""Scores of non-members that a true-positive rate at 0.1 % false positives needs."""


def margin(predictions: Predictions) -> Tensor:
    """phi = log p_y - log sum of the other p (N,): the log-odds of the true class.

    >>> half = Predictions(torch.tensor([[.5, .5]], dtype=torch.float64).log(), torch.tensor([0]))
    >>> margin(half).item()
    0.0
    """
    log_p = predictions.log_p.double()
    own = torch.zeros_like(log_p, dtype=torch.bool)
    own[torch.arange(len(predictions.y)), predictions.y] = True
    return log_p[own] - log_p.masked_fill(own, -torch.inf).logsumexp(1)


def likelihood_ratios(scores: Tensor, member: Tensor) -> Tensor:
    """log N(phi; models that unlearned the sample) - log N(phi; models that never saw it): (K, m).

    ``scores``: phi of K models on m samples.  ``member``: (K, m), whether a model had the sample.
    Pairs of rows go into two halves in turn, and each half is judged by Gaussians fitted to the
    other. (Leaving out only the model that is judged pulls every score away from its own side, and
    two equal kinds of models would seem to differ.) A Gaussian's variance is the unbiased one,
    mixed with the mean over all samples as if that were worth four more models. Raises
    :class:`BadInput` where a sample has fewer than three models of a kind in a half, and for scores
    that are not finite.
    """
    if not scores.isfinite().all():
        raise BadInput("a score is not finite; train the shadow models again with a smaller lr")
    scores = scores.double()
    half = (torch.arange(len(scores)) // 2 % 2).bool()
    ratios = torch.empty_like(scores)
    for judged, fitted in ((half, ~half), (~half, half)):
        had, known = member[fitted], scores[fitted]
        ratios[judged] = (_log_density(scores[judged], known, had)
                          - _log_density(scores[judged], known, ~had))
    return ratios


def _log_density(scores: Tensor, known: Tensor, chosen: Tensor) -> Tensor:
    """log N of scores (J, m) under a Gaussian a column, fitted to the chosen ones of ``known``."""
    count = chosen.sum(0)
    if len(count) and count.min() < 3:
        raise BadInput("the attack needs three shadow models of each kind in each half; train more "
                       "of them")
    mean = torch.where(chosen, known, 0.0).sum(0) / count
    variance = torch.where(chosen, (known - mean) ** 2, 0.0).sum(0) / (count - 1)
    variance = ((PRIOR * variance.mean() + (count - 1) * variance) / (PRIOR + count - 1)
                ).clamp_min(LEAST_VARIANCE)
    return -((scores - mean) ** 2 / variance + variance.log()) / 2


@dataclasses.dataclass(frozen=True)
class Roc:
    """How well an attack tells members from others, over (model, sample) pairs.

    ``false_positive``, ``true_positive``: (P,) rates from strictest to laxest threshold, from
    (0, 0) to (1, 1).  ``tpr_at_1``: true-positive rate at 1 % false positives; ``tpr_at_01``: at
    0.1 %, None with fewer than 10,000 scores of non-members.  ``balanced_accuracy``: at the
    threshold 0, where both are equally likely.
    """

    false_positive: Tensor
    true_positive: Tensor
    auc: Interval
    balanced_accuracy: Interval
    tpr_at_1: Interval
    tpr_at_01: Interval | None
    members: int
    others: int

    def to_json(self) -> dict:
        return {name: value and value.to_json() for name, value in (
            ("auc", self.auc), ("balanced_accuracy", self.balanced_accuracy),
            ("tpr_at_1", self.tpr_at_1), ("tpr_at_01", self.tpr_at_01))}


def roc(
    ratios: Tensor, member: Tensor, generator: torch.Generator, resamples: int = 200,
    level: float = LEVEL,
) -> Roc:
    """The attack's curve over all pairs of K models and m samples, ``ratios`` and ``member``
    (K, m).

    Intervals come from drawing whole models again (pairs of one model are not independent): the
    standard deviation over the draws, times Student's t for the number of models, times the root of
    two, because the models that a Gaussian was fitted to are as much a matter of chance as those
    that it judges. Raises :class:`BadInput` where a side is empty or a ratio is not a number.
    """
    if not member.any() or member.all() or ratios.isnan().any():
        raise BadInput("a curve needs scores of members and of others, all of them numbers")
    pairs = _Pairs(ratios, member)
    curve = pairs.curve(torch.ones(len(ratios), dtype=torch.float64))
    groups = _kinds(member)
    drawn = [pairs.figures(_draw(groups, len(ratios), generator)) for _ in range(resamples)]
    spread = torch.tensor(drawn, dtype=torch.float64).std(0).tolist()
    freedom = min(len(group) for group in groups) - 1
    width = math.sqrt(2) * quantile_of_t(max(freedom, 1), level)
    auc, balanced, at_1, at_01 = (
        Interval(value, max(value - width * error, 0.0), min(value + width * error, 1.0))
        for value, error in zip(_figures_of(*curve, pairs.balanced(None)), spread, strict=True))
    others = int((~member).sum())
    return Roc(*curve, auc, balanced, at_1, at_01 if others >= MANY_OTHERS else None,
               int(member.sum()), others)


class _Pairs:
    """All (model, sample) pairs by falling ratio, to be counted with any weight for each model."""

    def __init__(self, ratios: Tensor, member: Tensor):
        flat = ratios.double().flatten()
        self._ratios, order = flat.sort(descending=True, stable=True)
        self._member = member.flatten()[order]
        self._row = order // ratios.shape[1]
        # Pairs of equal ratio are passed together.
        self._ends = torch.cat([(self._ratios.diff() != 0).nonzero().flatten(),
                                torch.tensor([len(flat) - 1])])

    def _rates(self, weight: Tensor, which: Tensor) -> Tensor:
        counted = (weight * which).cumsum(0)[self._ends]
        return torch.cat([counted.new_zeros(1), counted]) / counted[-1]

    def curve(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """False and true positive rates (P,) with these weights (K,) of the models."""
        weight = weights[self._row]
        return self._rates(weight, ~self._member), self._rates(weight, self._member)

    def balanced(self, weights: Tensor | None) -> float:
        """Mean of the shares that are right on either side, at the threshold 0."""
        weight = torch.ones_like(self._ratios) if weights is None else weights[self._row]
        found = (self._ratios > 0).double() + 0.5 * (self._ratios == 0)
        inside, outside = weight * self._member, weight * ~self._member
        return ((found @ inside) / inside.sum() + ((1 - found) @ outside) / outside.sum()
                ).item() / 2

    def figures(self, weights: Tensor) -> tuple[float, ...]:
        return _figures_of(*self.curve(weights), self.balanced(weights))


def _figures_of(false: Tensor, true: Tensor, balanced: float) -> tuple[float, ...]:
    return (torch.trapezoid(true, false).item(), balanced,
            _at(false, true, 0.01), _at(false, true, 0.001))


def _at(false: Tensor, true: Tensor, rate: float) -> float:
    """The highest true-positive rate whose false-positive rate is at most ``rate``."""
    return true[false <= rate + 1e-12].max().item()


def _kinds(member: Tensor) -> list[Tensor]:
    """Rows that are drawn again among themselves: of a class, models with it and without it; of
    samples, all models."""
    everything, nothing = member.all(1), ~member.any(1)
    if not (everything | nothing).all():
        return [torch.arange(len(member))]
    return [mask.nonzero().flatten() for mask in (everything, nothing)]


def _draw(groups: list[Tensor], n: int, generator: torch.Generator) -> Tensor:
    """How often each of n models is drawn (n,)."""
    weights = torch.zeros(n, dtype=torch.float64)
    for group in groups:
        chosen = group[torch.randint(len(group), (len(group),), generator=generator)]
        weights += chosen.bincount(minlength=n)
    return weights


def auc(members: Tensor, others: Tensor) -> float | None:
    """P(a member scores higher than another) + P(equal) / 2 (Mann and Whitney 1947).

    None where a side is empty.

    >>> auc(torch.tensor([2., 3.]), torch.tensor([1., 3.]))
    0.625
    """
    if not len(members) or not len(others):
        return None
    others = others.double().sort().values
    below = torch.searchsorted(others, members.double())
    up_to = torch.searchsorted(others, members.double(), right=True)
    return ((below + up_to).double().mean() / (2 * len(others))).item()


def population_attack(members: Predictions, others: Predictions) -> float | None:
    """AUC of the margin alone, one threshold for all samples: cheap and weak.

    Near 0.5 it says little (Carlini et al. 2022, https://arxiv.org/abs/2112.03570): some samples
    are hard and some easy whoever learnt them. None where a side is empty.
    """
    return auc(margin(members), margin(others))
