"""How much noise hides how much difference: the calibrations behind a certificate."""

import math
from collections.abc import Callable, Sequence

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from forget.certified.noise import ROUNDED, SCALE

REACH = 20
"""Standard deviations beyond which noise is not counted on: it gets there once in 10^88 times. A
large epsilon multiplies that by its own e^epsilon, so for it the reach is longer."""


def gaussian_multiplier(epsilon: float, delta: float) -> float:
    """c(epsilon, delta): noise of scale c times the distance makes two outputs indistinguishable.

    The analytic Gaussian mechanism (Balle and Wang 2018, https://arxiv.org/abs/1805.06530): the
    least sigma / distance with Phi(1/2c - eps c) - e^eps Phi(-1/2c - eps c) <= delta. Right for
    every epsilon, where sqrt(2 ln(1.25/delta)) / epsilon holds only up to 1 and is too careful.

    >>> round(gaussian_multiplier(1, 1e-5), 3)
    3.731
    """
    return _least(lambda c: gaussian_delta(epsilon, c), delta)


def grid_multiplier(epsilon: float, delta: float, weights: int) -> float:
    """The same for noise on the grid, on so many ``weights``: a little larger.

    >>> grid_multiplier(1, 1e-5, 10_240) / gaussian_multiplier(1, 1e-5) < 1.0001
    True
    """
    return _least(lambda c: grid_delta(epsilon, c, weights), delta)


def _least(delta_of: Callable[[float], float], delta: float) -> float:
    """The least multiplier that keeps to delta, and a little more for its own rounding; infinite
    where none does."""
    least, most = 1e-8, 1e8
    if delta_of(most) > delta:
        return math.inf
    found = brentq(lambda log_c: delta_of(math.exp(log_c)) - delta,
                   math.log(least), math.log(most), xtol=1e-12)
    return math.exp(found) * (1 + 1e-9)


def gaussian_delta(epsilon: float, multiplier: float) -> float:
    """The delta that noise of scale ``multiplier`` times the distance gives at ``epsilon``."""
    shift, tilt = 0.5 / multiplier, epsilon * multiplier
    return float(ndtr(shift - tilt) - math.exp(min(epsilon + log_ndtr(-shift - tilt), 0.0)))


def grid_delta(epsilon: float, multiplier: float, weights: int) -> float:
    """The delta of discrete Gaussian noise of scale s = 2^16 steps of a grid, on so many weights.

    Let Q be that noise around a point of the grid, and R a Gaussian of the same scale rounded to
    the grid. Rounding is post-processing, so R keeps to :func:`gaussian_delta`. A coordinate k
    steps away has Q(k) = exp(-k^2 / 2s^2) / Z, where Z = s sqrt(2 pi) (1 + t) with
    t < 3 exp(-2 pi^2 s^2) by Poisson's summation formula, and R(k) = exp(-k^2 / 2s^2) /
    (s sqrt(2 pi)) times the mean of exp(-(2ku + u^2) / 2s^2) over u in [-1/2, 1/2], which lies
    between exp(-1 / 8s^2) and exp(k^2 / 24s^4). So where no coordinate is more than T s away, the
    log ratio of Q to R over all weights is at most eta = weights T^2 / 24s^2 either way; and either
    has a coordinate further away with chance at most t = 2 weights exp(-(T - 1/s)^2 / 2) (Canonne,
    Kamath and Steinke 2020, https://arxiv.org/abs/2004.00010). From Q to R, over to R around the
    other point, and from there to Q: if R is (epsilon - 2 eta, d), then Q is
    (epsilon, exp(eta) d + t (1 + exp(epsilon))).

    >>> f"{grid_delta(1, 3.731, 10_240):.3e}, {gaussian_delta(1, 3.731):.3e}"
    '9.996e-06, 9.984e-06'
    """
    reach = math.sqrt(REACH**2 + 2 * max(epsilon, 0.0))
    apart = weights * reach**2 / (24 * SCALE**2)
    tail = -((reach - 1 / SCALE) ** 2) / 2
    lost = 2 * weights * (math.exp(tail) + math.exp(tail + epsilon))
    return math.exp(apart) * gaussian_delta(epsilon - 2 * apart, multiplier) + lost


def composed_epsilon(multipliers: Sequence[float], delta: float, weights: int = 0) -> float:
    """The epsilon that several publications allow together at delta, by their noise multipliers.

    Gaussian noises compose like one, whose inverse square is the sum of theirs (Dong, Roth and Su
    2022, https://arxiv.org/abs/1905.02383). ``weights``: of all publications whose noise is on the
    grid.

    >>> one = gaussian_multiplier(1, 1e-5)
    >>> round(composed_epsilon([one], 1e-5), 3), round(composed_epsilon([one] * 4, 1e-5), 3)
    (1.0, 2.155)
    """
    together = sum(one**-2 for one in multipliers) ** -0.5

    def excess(epsilon: float) -> float:
        return grid_delta(epsilon, together, weights) - delta

    high = 1.0
    while excess(high) > 0:
        high *= 2
    return brentq(excess, 0.0, high, xtol=1e-9)


def residual_allowed(
    sigma: float, strength: float, epsilon: float, delta: float, weights: int
) -> float:
    """tau: the gradient norm at which learner and method may stop; none is where it is not above 0.

    lambda n' strong convexity puts each within tau / (lambda n') of the one optimum, and rounding
    to the grid moves two results apart by up to 1.25 steps a weight more. So two outputs differ by
    at most 2 tau / (lambda n') + 1.25 sqrt(weights) sigma / 2^16, and noise of scale sigma on both
    hides sigma / c.
    """
    hidden = 1 / grid_multiplier(epsilon, delta, weights)
    return sigma * strength / 2 * (hidden - ROUNDED * math.sqrt(weights) / SCALE)


def budget(sigma: float, epsilon: float, delta: float) -> float:
    """sigma epsilon / c with delta = 1.5 exp(-c^2 / 2): the sum of gradient residuals that noise
    of scale sigma in the objective hides (Guo et al. 2020, theorem 3,
    https://arxiv.org/abs/1911.03030).

    Their calibration is the classical one and holds for small epsilon; where the exact one allows
    less, that counts.

    >>> round(budget(10, 1, 1e-4), 2)
    2.28
    """
    classical = math.sqrt(2 * math.log(1.5 / delta)) / epsilon
    return sigma / max(classical, gaussian_multiplier(epsilon, delta))
