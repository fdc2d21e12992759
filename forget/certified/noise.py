"""Noise on a grid: discrete Gaussian numbers, drawn exactly, from a key and nothing else.

Floating-point noise gives away what it should hide: which sums its sampler can reach depends on
the number below it (Mironov 2012, https://doi.org/10.1145/2382196.2382264). Here the number is
rounded to a grid first, and the noise is a whole number of the grid's steps.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forget.core.errors import BadInput

SCALE = 1 << 16
"""Steps of the grid in one standard deviation of the noise."""

LARGEST = 1 << 50
"""Steps from zero to the largest weight. Dividing by the step then rounds by an eighth of one at
most, since float64 has 53 bits."""

ROUNDED = 1.25
"""Steps by which rounding can move two equal weights apart: half a one each, and that eighth."""

Integers = NDArray[np.int64]


def on_grid(weights: Tensor, sigma: float, key: Tensor) -> Tensor:
    """Weights float64 rounded to multiples of sigma / 2^16, plus discrete Gaussian noise of scale
    sigma on the same grid; the values alone are published, never the weights.

    Raises :class:`BadInput` where a weight is too large for a grid so fine.

    >>> key = torch.zeros(32, dtype=torch.uint8)
    >>> noisy = on_grid(torch.ones(3, dtype=torch.float64), 0.5, key)
    >>> bool((noisy / 0.5 * SCALE == (noisy / 0.5 * SCALE).round()).all())
    True
    """
    step = sigma / SCALE
    steps = (weights / step).round()
    if not steps.abs().max() <= LARGEST:
        raise BadInput(f"with sigma {sigma:g} a weight of {weights.abs().max():.3g} is too large "
                       "for the grid that noise is drawn on: take a larger sigma")
    drawn = discrete_gaussian(bytes(key.tolist()), weights.numel(), SCALE)
    noise = torch.from_numpy(drawn).reshape(weights.shape).to(weights.device)
    return (steps.to(torch.int64) + noise).double() * step


def discrete_gaussian(key: bytes, count: int, scale: int) -> Integers:
    """``count`` independent integers with P(x) proportional to exp(-x^2 / 2 scale^2).

    Algorithm 3 of Canonne, Kamath and Steinke 2020 (https://arxiv.org/abs/2004.00010): a discrete
    Laplace number y of the same scale is kept with probability exp(-(|y| - scale)^2 / 2 scale^2).
    Integers from end to end, so that every number has the very probability that the proof asks for:
    no table, no rounding. ``scale``: 1 to 2^25, for which the squares fit into 63 bits.

    >>> discrete_gaussian(bytes(32), 4, 1024).shape
    (4,)
    """
    words = Words(key)

    def some(missing: int) -> Integers:
        drawn = _discrete_laplace(words, int(1.4 * missing) + 32, scale)  # 76 of 100 are kept
        return drawn[_coins(words, (np.abs(drawn) - scale) ** 2, 2 * scale**2)]

    return _first(count, some)


def _first(count: int, some: Callable[[int], Integers]) -> Integers:
    """The first ``count`` of what is drawn, in as few rounds as will do: a round has its price."""
    found = np.empty(0, np.int64)
    while len(found) < count:
        found = np.concatenate([found, some(count - len(found))])
    return found[:count]


class Words:
    """Random words of 64 bits from a key: SHAKE-256 (FIPS 202, https://doi.org/10.6028/NIST.FIPS.202)
    over the key and a counter.

    >>> len(Words(bytes(32)).take(2))
    2
    """

    def __init__(self, key: bytes):
        self._key, self._taken = key, 0

    def take(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` words, all 2^64 values equally likely."""
        self._taken += 1
        text = self._key + self._taken.to_bytes(8, "little")
        return np.frombuffer(hashlib.shake_256(text).digest(8 * count), "<u8")

    def below(self, limit: int, count: int) -> Integers:
        """``count`` integers from 0 to ``limit`` - 1, all equally likely."""
        fair = np.uint64((1 << 64) - (1 << 64) % limit - 1)  # the last word of a whole multiple

        def some(missing: int) -> Integers:
            drawn = self.take(missing)
            return (drawn[drawn <= fair] % np.uint64(limit)).astype(np.int64)

        return _first(count, some)


def _discrete_laplace(words: Words, count: int, scale: int) -> Integers:
    """Integers with P(x) proportional to exp(-|x| / scale): algorithm 2 of the same paper."""
    def some(missing: int) -> Integers:
        drawn = words.below(scale, int(1.6 * missing) + 32)  # 63 of 100 are kept
        within = drawn[_coins(words, drawn, scale)]
        size = within + scale * _heads_in_a_row(words, len(within))
        negative = words.below(2, len(within)) == 1
        real = ~negative | (size > 0)  # zero has one sign only
        return np.where(negative, -size, size)[real]

    return _first(count, some)


def _heads_in_a_row(words: Words, count: int) -> Integers:
    """How often in a row a coin that falls heads with chance 1/e does, ``count`` times."""
    heads, going = np.zeros(count, np.int64), np.arange(count)
    while len(going):
        going = going[_coins_below_one(words, np.ones(len(going), np.int64), 1)]
        heads[going] += 1
    return heads


def _coins(words: Words, numerator: Integers, denominator: int) -> NDArray[np.bool_]:
    """A coin each that falls heads with chance exp(-numerator / denominator)."""
    whole, rest = np.divmod(numerator, denominator)
    heads = _coins_below_one(words, rest, denominator)
    going = (heads & (whole > 0)).nonzero()[0]
    while len(going):
        still = _coins_below_one(words, np.ones(len(going), np.int64), 1)
        heads[going[~still]] = False
        whole[going] -= 1
        going = going[still & (whole[going] > 0)]
    return heads


def _coins_below_one(
    words: Words, numerator: Integers, denominator: int
) -> NDArray[np.bool_]:
    """The same for shares from 0 to 1, by von Neumann's series: algorithm 1 of the same paper.

    A coin of chance share / k is thrown for k = 1, 2, ... until one fails; an odd k is heads.
    """
    heads, going, k = np.zeros(len(numerator), bool), np.arange(len(numerator)), 1
    while len(going):
        goes_on = words.below(denominator * k, len(going)) < numerator[going]
        heads[going[~goes_on]] = k % 2 == 1
        going, k = going[goes_on], k + 1
    return heads
