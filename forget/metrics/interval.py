"""Figures with how sure they are: intervals from several models a side."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from scipy import special  # not scipy.stats: it takes half a second to import

LEVEL = 0.99
"""Of every interval that is shown or that convicts: three checks then accuse a retrained model in
about 2 of 100 audits."""

FOUND = 0.8
"""How often an effect must be found to count as one that would have been seen."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value, and the ends of its 99 % interval; None where one model a side cannot tell."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        return dataclasses.asdict(self)


def quantile_of_t(freedom: float, level: float = LEVEL) -> float:
    """How many standard errors an interval reaches to each side, by Student's t.

    >>> round(quantile_of_t(4, 0.95), 3)
    2.776
    """
    return float(special.stdtrit(freedom, (1 + level) / 2))


def smallest_found(half_width: float, level: float = LEVEL) -> float:
    """The smallest effect that an interval of this half width shows to be one 4 times in 5: the
    normal quantiles of level and power, in standard errors (Cohen 1988, chapter 2).

    >>> round(smallest_found(1.0), 3)
    1.327
    """
    z = special.ndtri((1 + level) / 2)
    return half_width * float(1 + special.ndtri(FOUND) / z)


def difference(
    a: Sequence[float], b: Sequence[float], level: float = LEVEL
) -> Interval | None:
    """mean(a) - mean(b), by Welch's t (1947, https://doi.org/10.2307/2332510).

    None with fewer than two values a side.

    >>> difference([1.0, 3.0], [1.0, 3.0]).value
    0.0
    """
    if min(len(a), len(b)) < 2:
        return None
    value = statistics.fmean(a) - statistics.fmean(b)
    half = _half_width(_squared_error(a), _squared_error(b), len(a), len(b), level)
    return Interval(value, value - half, value + half)


def ratio_of_means(
    a: Sequence[float], b: Sequence[float], level: float = LEVEL
) -> Interval | None:
    """mean(a) / mean(b), its interval by Welch's t on the logarithms (delta method).

    None with fewer than two values a side, or where a mean is not above zero.

    >>> ratio_of_means([2.0, 2.0], [4.0, 4.0]).value
    0.5
    """
    if min(len(a), len(b)) < 2 or min(statistics.fmean(a), statistics.fmean(b)) <= 0:
        return None
    top, bottom = statistics.fmean(a), statistics.fmean(b)
    half = _half_width(_squared_error(a) / top**2, _squared_error(b) / bottom**2,
                       len(a), len(b), level)
    return Interval(top / bottom, top / bottom * math.exp(-half), top / bottom * math.exp(half))


def _squared_error(values: Sequence[float]) -> float:
    """The squared standard error of a mean."""
    return statistics.variance(values) / len(values)


def _half_width(a: float, b: float, n_a: int, n_b: int, level: float) -> float:
    """Half of Welch's interval, from the squared standard errors of two means."""
    if a + b == 0:
        return 0.0
    freedom = (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))
    return quantile_of_t(freedom, level) * math.sqrt(a + b)
