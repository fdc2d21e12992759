"""Intervals around differences and ratios of means: against scipy, and how often they hold."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom, ttest_ind

from forget.metrics.interval import LEVEL, Interval, difference, ratio_of_means

FIGURES = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
GROUPS = st.lists(FIGURES, min_size=2, max_size=8)
POSITIVE = st.lists(st.floats(0.5, 50).map(lambda x: round(x, 3)), min_size=2, max_size=8)


def varies(group) -> bool:
    return max(group) - min(group) > 1e-2


def ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def often(hits: int, of: int, rate: float) -> bool:
    """Whether so many hits are within what chance allows at this rate, one time in 10,000."""
    low, high = binom.interval(0.9999, of, rate)
    return low <= hits <= high


# Means 3 and 5, variances of the means 1/3 and 4/3, 2.9412 degrees of freedom, whose t at 97.5 %
# is 3.2184: 2 less, give or take 3.2184 sqrt(5/3).
def test_difference_by_hand():
    found = difference([2.0, 3.0, 4.0], [3.0, 5.0, 7.0], level=0.95)
    assert found.value == pytest.approx(-2.0)
    assert found.high - found.value == pytest.approx(3.2184 * math.sqrt(5 / 3), rel=1e-3)
    assert found.value - found.low == pytest.approx(found.high - found.value)


@given(GROUPS, GROUPS)
def test_difference_is_welchs(a, b):
    assume(varies(a) and varies(b))
    found = difference(a, b)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    assert found.value == pytest.approx(np.mean(a) - np.mean(b), abs=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


@given(GROUPS, GROUPS, FIGURES)
def test_difference_does_not_mind_a_common_shift(a, b, shift):
    assume(varies(a) and varies(b))
    moved = difference([x + shift for x in a], [x + shift for x in b])
    assert ends(moved) == pytest.approx(ends(difference(a, b)), rel=1e-6, abs=1e-6)


@given(GROUPS, GROUPS)
def test_difference_the_other_way_round_is_its_mirror(a, b):
    assume(varies(a) and varies(b))
    value, low, high = ends(difference(a, b))
    assert ends(difference(b, a)) == pytest.approx((-value, -high, -low), rel=1e-9, abs=1e-9)


def test_difference_of_a_group_from_itself_holds_nothing():
    found = difference([0.1, 0.4, 0.2], [0.1, 0.4, 0.2])
    assert found.value == 0.0
    assert found.low < 0 < found.high


def test_groups_that_do_not_vary_have_an_interval_without_width():
    assert ends(difference([0.5, 0.5], [0.25, 0.25, 0.25])) == pytest.approx((0.25, 0.25, 0.25))
    assert ends(ratio_of_means([3.0, 3.0], [2.0, 2.0, 2.0])) == pytest.approx((1.5, 1.5, 1.5))


def test_one_group_that_does_not_vary_leaves_the_others_uncertainty():
    """Then Welch's is the one-sample interval of the other; t of 2 degrees is 4.3027."""
    found = difference([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], level=0.95)
    assert ends(found) == pytest.approx(
        (2.0, 2 - 4.30265 / math.sqrt(3), 2 + 4.30265 / math.sqrt(3)), rel=1e-5)


@pytest.mark.parametrize("of", [difference, ratio_of_means])
@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]),
                                      ([], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [])])
def test_fewer_than_two_a_side_have_no_interval(of, a, b):
    assert of(a, b) is None


@given(POSITIVE, POSITIVE)
def test_ratio_is_that_of_the_means_and_lies_inside(a, b):
    found = ratio_of_means(a, b)
    assert found.value == pytest.approx(np.mean(a) / np.mean(b))
    assert 0 < found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)


@given(POSITIVE, POSITIVE, st.floats(0.01, 100), st.floats(0.01, 100))
def test_ratio_scales_with_its_sides(a, b, over, under):
    scaled = ratio_of_means([over * x for x in a], [under * x for x in b])
    expected = [x * over / under for x in ends(ratio_of_means(a, b))]
    assert ends(scaled) == pytest.approx(expected, rel=1e-6)


@given(POSITIVE, POSITIVE)
def test_ratio_the_other_way_round_is_its_inverse(a, b):
    value, low, high = ends(ratio_of_means(a, b))
    assert ends(ratio_of_means(b, a)) == pytest.approx((1 / value, 1 / high, 1 / low), rel=1e-6)


@given(POSITIVE)
def test_ratio_of_a_group_to_itself_holds_one(a):
    found = ratio_of_means(a, a)
    assert found.value == pytest.approx(1.0)
    assert found.low <= 1 <= found.high


def test_more_draws_make_the_interval_narrower():
    a, b = [8.0, 10.0, 12.0], [4.0, 5.0, 6.0]
    few, many = ratio_of_means(a, b), ratio_of_means(a * 10, b * 10)
    assert many.high - many.low < (few.high - few.low) / 3
    few, many = difference(a, b), difference(a * 10, b * 10)
    assert many.high - many.low < (few.high - few.low) / 3


@pytest.mark.parametrize(("n_a", "n_b", "spread"), [(5, 5, 0.2), (5, 5, 0.4), (8, 4, 0.2)])
def test_ratio_holds_one_at_its_rate_where_nothing_differs(n_a, n_b, spread):
    """Steps are positive: gamma draws with that coefficient of variation, 600 times over."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        draws = rng.gamma(1 / spread**2, spread**2 * 20, n_a + n_b)
        found = ratio_of_means(draws[:n_a], draws[n_a:])
        hits += found.low <= 1 <= found.high
    assert often(hits, 600, LEVEL), hits / 600


def test_ratio_holds_the_true_one_at_its_rate_where_sides_differ():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(600):
        a, b = rng.gamma(30, 3 / 30, 6), rng.gamma(10, 12 / 10, 5)  # means 3 and 12
        found = ratio_of_means(a, b)
        hits += found.low <= 0.25 <= found.high
    assert often(hits, 600, LEVEL), hits / 600


def test_difference_holds_the_true_one_at_its_rate():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(600):
        found = difference(rng.normal(0.3, 0.1, 5), rng.normal(0.2, 0.02, 4))
        hits += found.low <= 0.1 <= found.high
    assert often(hits, 600, LEVEL), hits / 600


def test_a_side_that_is_back_at_once_every_time_gives_no_interval_that_is_not_a_number():
    """Zero steps are what a masked class takes: no logarithm may spoil the figure."""
    found = ratio_of_means([0.0, 0.0, 0.0], [4.0, 5.0, 6.0])
    assert found is None or found.low <= found.value == 0.0 <= found.high < 1
    found = ratio_of_means([0.0, 0.0, 1.0], [4.0, 5.0, 6.0])
    assert found is None or 0 <= found.low <= found.value <= found.high
    found = ratio_of_means([4.0, 5.0, 6.0], [0.0, 0.0, 0.0])
    assert found is None or not any(math.isnan(x) for x in ends(found))
    found = ratio_of_means([0.0, 0.0], [0.0, 0.0])
    assert found is None or not any(math.isnan(x) for x in ends(found))
