"""KLoM: how far unlearned models' margins lie from retrained models', point by point."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forget.core.device import generator
from forget.core.errors import ForgetError
from forget.metrics.klom import klom

NAN = math.nan


def normal(models: int, points: int, seed: int, mean: float = 0.0, spread: float = 1.0):
    drawn = torch.randn(models, points, generator=generator(seed), dtype=torch.float64)
    return mean + spread * drawn


# Twenty margins, two a bin: the reference fills the lower five bins and the other the upper five.
# With half a count more in each the shares are 2.5 / 15 and 0.5 / 15, five times each, and the
# other way round: KL = 5 (2.5 - 0.5) / 15 log 5.
def test_by_hand():
    low, high = torch.arange(10.0)[:, None], torch.arange(10.0, 20.0)[:, None]
    assert klom(low, high).item() == pytest.approx(2 / 3 * math.log(5))
    assert klom(high, low).item() == pytest.approx(2 / 3 * math.log(5))


def slowly(reference, unlearned) -> list[float]:
    """The estimator by ranks, point by point; for so many margins that bins are equally full."""
    found = []
    for one, other in zip(reference.T.tolist(), unlearned.T.tolist(), strict=True):
        pooled = sorted(one + other)
        each = len(pooled) // 10
        assert 10 * each == len(pooled)
        counts = [[0.5] * 10, [0.5] * 10]
        for counted, side in zip(counts, (one, other), strict=True):
            for value in side:
                counted[pooled.index(value) // each] += 1
        p, q = (np.array(counted) / sum(counted) for counted in counts)
        found.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return found


@pytest.mark.parametrize(("models", "others"), [(15, 15), (32, 18), (7, 33), (1, 9), (60, 60)])
@pytest.mark.parametrize("shift", [0.0, 0.8, 5.0])
def test_is_what_a_slow_loop_over_ranks_gives(models, others, shift):
    reference, unlearned = normal(models, 6, 0), normal(others, 6, 1, mean=shift, spread=1.5)
    assert klom(reference, unlearned).tolist() == pytest.approx(slowly(reference, unlearned))


def test_is_of_the_reference_from_the_unlearned_and_not_the_other_way():
    """A narrow reference inside wide margins, and a wide one around narrow margins."""
    narrow, wide = normal(30, 1, 0, spread=0.2), normal(10, 1, 1)
    assert klom(narrow, wide).tolist() == pytest.approx(slowly(narrow, wide))
    assert klom(wide, narrow).tolist() == pytest.approx(slowly(wide, narrow))
    assert abs(klom(narrow, wide) - klom(wide, narrow)) > 0.01


@given(st.integers(0, 100), st.integers(2, 40), st.integers(1, 5))
def test_the_same_margins_on_both_sides_are_no_distance(seed, models, points):
    margins = normal(models, points, seed)
    assert klom(margins, margins).tolist() == pytest.approx([0.0] * points, abs=1e-12)


@given(st.integers(0, 100), st.integers(2, 40), st.integers(2, 40), st.floats(-5, 5),
       st.floats(0.1, 3))
def test_never_negative_one_figure_a_point_and_finite(seed, reference, unlearned, mean, spread):
    found = klom(normal(reference, 4, seed), normal(unlearned, 4, seed + 1000, mean, spread))
    assert found.shape == (4,)
    assert found.isfinite().all()
    assert (found >= -1e-12).all()


def test_two_groups_of_retrained_models_are_close():
    """A histogram's divergence of equal sources is about (bins - 1) / 2 (1/R + 1/U) nats."""
    found = klom(normal(200, 300, 0), normal(200, 300, 1)).mean().item()
    assert 0.3 * 0.045 < found < 1.3 * 0.045


def test_more_models_lower_the_floor():
    floors = [klom(normal(n, 200, 0), normal(n, 200, 1)).mean().item() for n in (16, 64, 256)]
    assert floors == sorted(floors, reverse=True)
    assert floors[-1] < floors[0] / 5


def test_margins_far_apart_are_far():
    """With 100 a side, all in bins that the other side leaves to the half count: over 2 nats."""
    assert (klom(normal(100, 50, 0), normal(100, 50, 1, mean=40)) > 2).all()
    assert (klom(normal(100, 50, 0), normal(100, 50, 1, mean=-40)) > 2).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_grows_with_the_shift(sign):
    reference, unlearned = normal(100, 200, 0), normal(100, 200, 1)
    means = [klom(reference, unlearned + sign * shift).mean().item() for shift in (0, .5, 1, 2, 4)]
    assert means == sorted(means)
    assert means[1] > means[0] + 0.05


def test_sees_a_change_of_spread_alone():
    reference = normal(200, 100, 0)
    floor = klom(reference, normal(200, 100, 1)).mean()
    assert klom(reference, normal(200, 100, 1, spread=3.0)).mean() > 3 * floor
    assert klom(reference, normal(200, 100, 1, spread=0.3)).mean() > 3 * floor


@given(st.integers(0, 50), st.floats(0.1, 10), st.floats(-20, 20))
def test_does_not_mind_the_unit_of_the_margins(seed, scale, shift):
    reference, unlearned = normal(30, 5, seed), normal(20, 5, seed + 1, mean=0.7)
    torch.testing.assert_close(klom(scale * reference + shift, scale * unlearned + shift),
                               klom(reference, unlearned), rtol=1e-9, atol=1e-9)


@given(st.integers(0, 50))
def test_the_order_of_models_and_of_points_does_not_matter(seed):
    reference, unlearned = normal(30, 6, seed), normal(20, 6, seed + 1, mean=0.7)
    draw = generator(seed)
    expected = klom(reference, unlearned)
    shuffled = klom(reference[torch.randperm(30, generator=draw)],
                    unlearned[torch.randperm(20, generator=draw)])
    torch.testing.assert_close(shuffled, expected)
    points = torch.randperm(6, generator=draw)
    torch.testing.assert_close(klom(reference[:, points], unlearned[:, points]), expected[points])


@given(st.integers(0, 50))
def test_each_point_stands_alone(seed):
    reference, unlearned = normal(30, 4, seed), normal(20, 4, seed + 1, mean=0.7)
    alone = torch.cat([klom(reference[:, [i]], unlearned[:, [i]]) for i in range(4)])
    torch.testing.assert_close(klom(reference, unlearned), alone)


@given(st.integers(0, 50), st.integers(1, 10))
def test_a_model_that_is_left_out_for_a_point_is_as_if_it_were_not_there(seed, gaps):
    reference, unlearned = normal(30, 1, seed), normal(20, 1, seed + 1, mean=0.7)
    nothing = torch.full((gaps, 1), NAN, dtype=torch.float64)
    gappy = torch.cat([unlearned[:7], nothing, unlearned[7:]])
    found = klom(torch.cat([nothing, reference]), gappy)
    torch.testing.assert_close(found, klom(reference, unlearned))


def test_gaps_of_one_point_do_not_reach_another():
    reference, unlearned = normal(30, 2, 0), normal(30, 2, 1)
    gappy = reference.clone()
    gappy[:12, 0] = NAN
    assert klom(gappy, unlearned)[1] == klom(reference, unlearned)[1]
    assert klom(gappy, unlearned)[0] == pytest.approx(
        klom(reference[12:, :1], unlearned[:, :1]).item())


def test_a_point_that_every_model_agrees_on_has_no_distance():
    same = torch.full((20, 3), 1.5, dtype=torch.float64)
    assert klom(same, same).tolist() == pytest.approx([0.0] * 3, abs=1e-12)


@pytest.mark.parametrize("side", [0, 1])
def test_a_point_without_models_on_a_side_has_no_figure_and_spoils_no_other(side):
    sides = [normal(20, 2, 0), normal(20, 2, 1)]
    expected = klom(*sides)[1].item()
    sides[side][:, 0] = NAN
    try:
        found = klom(*sides)
    except ForgetError:
        return
    assert found[0].isnan()
    assert found[1].item() == pytest.approx(expected)


def test_no_points_give_no_figures():
    assert klom(normal(5, 0, 0), normal(5, 0, 1)).shape == (0,)
