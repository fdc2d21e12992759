"""How much noise hides how much difference: the calibrations behind a certificate."""

import math
from collections.abc import Sequence

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr


def gaussian_multiplier(epsilon: float, delta: float) -> float:
    """c(epsilon, delta): noise of scale c times the distance makes two outputs indistinguishable.

    The analytic Gaussian mechanism (Balle and Wang 2018, https://arxiv.org/abs/1805.06530): the
    least sigma / distance with Phi(1/2c - eps c) - e^eps Phi(-1/2c - eps c) <= delta. Right for
    every epsilon, where sqrt(2 ln(1.25/delta)) / epsilon holds only up to 1 and is too careful.

    >>> round(gaussian_multiplier(1, 1e-5), 3)
    3.731
    """
    def excess(log_c: float) -> float:
        return gaussian_delta(epsilon, math.exp(log_c)) - delta

    return math.exp(brentq(excess, math.log(1e-8), math.log(1e8), xtol=1e-12)) * (1 + 1e-9)


def gaussian_delta(epsilon: float, multiplier: float) -> float:
    """The delta that noise of scale ``multiplier`` times the distance gives at ``epsilon``."""
    shift, tilt = 0.5 / multiplier, epsilon * multiplier
    return float(ndtr(shift - tilt) - math.exp(min(epsilon + log_ndtr(-shift - tilt), 0.0)))


def composed_epsilon(multipliers: Sequence[float], delta: float) -> float:
    """The epsilon that several publications allow together at delta, by their noise multipliers.

    Gaussian noises compose like one, whose inverse square is the sum of theirs (Dong, Roth and Su
    2022, https://arxiv.org/abs/1905.02383).

    >>> one = gaussian_multiplier(1, 1e-5)
    >>> round(composed_epsilon([one], 1e-5), 3), round(composed_epsilon([one] * 4, 1e-5), 3)
    (1.0, 2.155)
    """
    together = sum(one**-2 for one in multipliers) ** -0.5
    high = 1.0
    while gaussian_delta(high, together) > delta:
        high *= 2
    return brentq(lambda e: gaussian_delta(e, together) - delta, 0.0, high, xtol=1e-9)


def residual_allowed(sigma: float, strength: float, epsilon: float, delta: float) -> float:
    """tau = sigma lambda n' / (2 c): the gradient norm at which learner and method may stop.

    lambda n' strong convexity puts each within tau / (lambda n') of the one optimum, so two outputs
    differ by at most sigma / c, and noise of scale sigma on both is enough.
    """
    return sigma * strength / (2 * gaussian_multiplier(epsilon, delta))


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
