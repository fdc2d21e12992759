"""The map of two models: by hand, the same for the same, blind to turn, shift and size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forget.core.device import generator
from forget.core.errors import BadInput, Diverged
from forget.metrics.projection import shared_map


def drawn(seed: int, n: int = 40, d: int = 6) -> torch.Tensor:
    """Features whose directions have different variances, so that the first two are clear."""
    return torch.randn(n, d, generator=generator(seed)) * torch.arange(d, 0, -1) ** 2


def distances(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points.double(), points.double())


def test_a_rectangle_by_hand():
    # Sides 2 and 1: centred corners (+-1, +-.5), mean square distance 1.25.
    a = torch.tensor([[0., 0.], [2., 0.], [0., 1.], [2., 1.]])
    on_a, on_b = shared_map(a, a)
    expected = torch.tensor([[-1., -.5], [1., -.5], [-1., .5], [1., .5]]).double() / 1.25**0.5
    assert torch.allclose(on_a, expected) and torch.allclose(on_b, expected)


def test_the_same_input_gives_the_same_map_bit_for_bit():
    first, second = shared_map(drawn(0), drawn(1)), shared_map(drawn(0), drawn(1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_identical_models_have_identical_maps():
    on_a, on_b = shared_map(drawn(0), drawn(0))
    assert torch.allclose(on_a, on_b, atol=1e-9)


@given(st.integers(0, 1000), st.floats(1e-2, 1e2))
def test_neurons_in_another_order_turned_scaled_and_shifted_give_the_same_map(seed, scale):
    a = drawn(seed).double()
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator(seed)).double()).Q
    on_a, on_b = shared_map(a, scale * a @ turn + 3)
    assert torch.allclose(on_a, on_b, atol=1e-6)


@given(st.integers(0, 1000))
def test_the_sign_hangs_on_the_features_alone(seed):
    """Without a rule, an axis could come out either way when the rows come in another order."""
    a = drawn(seed)
    on_a, _ = shared_map(a, a)
    order = torch.randperm(len(a), generator=generator(seed))
    assert torch.allclose(shared_map(a[order], a[order])[0], on_a[order], atol=1e-6)
    assert torch.allclose(shared_map(-a, -a)[0], -on_a, atol=1e-6)


def test_both_go_through_one_projection():
    """In two dimensions nothing is lost: all distances within a model are kept, in its own size."""
    a, b = drawn(0, d=2), drawn(1, d=2)
    for points, mapped in zip((a, b), shared_map(a, b), strict=True):
        ratio = (distances(mapped) / distances(points))[~torch.eye(len(a), dtype=torch.bool)]
        assert torch.allclose(ratio, ratio[0], rtol=1e-6)


def test_it_shows_the_two_directions_of_most_variance():
    a = torch.randn(200, 5, generator=generator(0)) * torch.tensor([1., 20., 1., 10., 1.])
    on_a, _ = shared_map(a, a)
    for axis, feature in ((0, 1), (1, 3)):
        both = torch.stack([on_a[:, axis], a[:, feature].double()])
        assert torch.corrcoef(both)[0, 1] > 0.99


def test_a_sample_that_moved_is_seen_to_move():
    a = drawn(0, n=100)
    b = a.clone()
    b[7] = a[7] + torch.tensor([200., 0, 0, 0, 0, 0])
    moves = (shared_map(a, b)[1] - shared_map(a, b)[0]).norm(dim=1)
    assert moves.argmax() == 7 and moves[7] > 3 * moves.median()


def test_other_widths_are_filled_up():
    a = drawn(0, d=6).double()
    wide = torch.cat([torch.zeros(40, 3), a], 1)
    for pair in ((a, wide), (wide, a)):
        on_a, on_b = shared_map(*pair)
        assert on_a.shape == (40, 2) and torch.allclose(on_a, on_b, atol=1e-9)


@pytest.mark.parametrize(("n", "p", "q"), [(0, 3, 3), (1, 3, 5), (2, 64, 64), (5, 1, 1), (3, 1, 4)])
def test_few_samples_and_few_features_have_a_map_too(n, p, q):
    on_a, on_b = shared_map(drawn(0, n, p), drawn(1, n, q))
    assert on_a.shape == on_b.shape == (n, 2)
    assert on_a.isfinite().all() and on_b.isfinite().all()


def test_a_model_that_says_the_same_of_all_is_a_point():
    on_a, on_b = shared_map(torch.full((40, 6), 0.1), drawn(0))
    assert torch.equal(on_a, torch.zeros(40, 2, dtype=torch.float64))
    assert on_b.norm() > 1


def test_other_numbers_of_samples_are_refused():
    with pytest.raises(BadInput, match="40 samples"):
        shared_map(drawn(0), drawn(0, n=39))


def test_what_is_not_finite_is_refused():
    broken = drawn(0)
    broken[3, 2] = float("inf")
    with pytest.raises(Diverged):
        shared_map(drawn(0), broken)
