"""Noise on a grid: the law it follows, and what no grid can tell that floating point told."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from forget.certified.noise import LARGEST, SCALE, Words, discrete_gaussian, on_grid
from forget.core.errors import BadInput

KEY = torch.arange(32, dtype=torch.uint8)


def key(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


@pytest.mark.parametrize("scale", [1, 2, 3, 7])
def test_the_law_is_the_one_that_the_proof_asks_for(scale):
    drawn = discrete_gaussian(key(scale), 100_000, scale)
    places = np.arange(-4 * scale, 4 * scale + 1)
    chance = np.exp(-(places**2) / (2 * scale**2))
    chance *= len(drawn) / np.exp(-(np.arange(-99, 100) ** 2) / (2 * scale**2)).sum()
    seen = np.array([(drawn == place).sum() for place in places])
    beyond = len(drawn) - seen.sum()
    assert chisquare([*seen, beyond], [*chance, len(drawn) - chance.sum()]).pvalue > 1e-3


def test_at_the_scale_that_is_used_it_is_a_gaussian():
    drawn = discrete_gaussian(key(0), 200_000, SCALE) / SCALE
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        error = math.sqrt(math.prod(range(1, 2 * power, 2)) / len(drawn))
        assert (drawn**power).mean() == pytest.approx(moment, abs=4 * error)
    neighbours = drawn[1:] * drawn[:-1]
    assert neighbours.mean() == pytest.approx(0, abs=4 / math.sqrt(len(drawn)))


@given(limit=st.integers(1, 2**63 - 1))
def test_words_keep_below_any_limit(limit):
    drawn = Words(key(3)).below(limit, 50)
    assert drawn.min() >= 0 and drawn.max() < limit


def test_words_below_a_limit_are_all_as_likely():
    seen = np.bincount(Words(key(4)).below(7, 70_000), minlength=7)
    assert chisquare(seen).pvalue > 1e-3


def test_a_key_gives_its_own_numbers_and_always_the_same():
    one, same, other = (discrete_gaussian(key(n), 500, SCALE) for n in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).sum() > 490


@pytest.mark.parametrize("sigma", [1e-9, 1e-3, 0.3, 1e3])
def test_what_is_published_lies_on_the_grid_and_the_weight_below_it_leaves_no_trace(sigma):
    """Two weights that round alike give the same number, to the last bit."""
    weights = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    published = on_grid(weights, sigma, KEY)
    step = Fraction(sigma) / SCALE
    assert all(round(Fraction(value) / step) * float(step) == value
               for value in published.tolist())
    near = weights + float(step) * 1e-4
    alike = (weights / float(step)).round() == (near / float(step)).round()
    assert alike.sum() > 190
    assert torch.equal(on_grid(near, sigma, KEY)[alike], published[alike])


@given(value=st.floats(-1e3, 1e3), sigma=st.floats(1e-6, 10))
def test_rounding_moves_a_weight_by_no_more_than_is_counted(value, sigma):
    """Two weights apart by d are on the grid at most d and 1.25 steps apart: an exact count."""
    step = Fraction(sigma / SCALE)
    there = (torch.tensor([value], dtype=torch.float64) / (sigma / SCALE)).round()
    if there.abs() <= LARGEST:
        assert abs(int(there) * step - Fraction(value)) <= step * Fraction(5, 8)


def test_a_weight_too_large_for_the_grid_is_refused():
    with pytest.raises(BadInput, match="larger sigma"):
        on_grid(torch.tensor([1e6], dtype=torch.float64), 1e-9, KEY)
    with pytest.raises(BadInput, match="larger sigma"):
        on_grid(torch.tensor([math.nan], dtype=torch.float64), 1.0, KEY)
