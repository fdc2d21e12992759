"""Linear CKA against figures worked by hand, its properties, and layers of whole models."""

import threading

import pytest
import torch
from conftest import tiny_dataset
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from forget.certified.losses import loss_called
from forget.core.device import generator
from forget.core.errors import BadInput, Diverged
from forget.features.pixels import Pixels
from forget.metrics import cka as module
from forget.metrics.cka import cka, layer_by_layer
from forget.models import build
from forget.models.ensemble import Ensemble
from forget.models.head import Head

TINY = tiny_dataset()
X = TINY.test.x  # (80, 1, 12, 12)


def drawn(seed: int, n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(seed))


def rotation(seed: int, d: int) -> torch.Tensor:
    return torch.linalg.qr(drawn(seed, d, d).double()).Q


def network(seed: int, name: str = "cnn"):
    return build(name, X.shape[1:], 4, generator(seed)).requires_grad_(False)


def ensemble(*seeds: int) -> Ensemble:
    return Ensemble([network(seed) for seed in seeds], 4, "mean")


def hooks(model: nn.Module) -> int:
    return sum(len(one._forward_hooks) for one in model.modules())


def test_one_column_each_is_the_squared_correlation():
    # Centred: (-1, 0, 1) and (-1, 1, 0); their product is 1, their squares are 2 each.
    assert cka(torch.tensor([[1.], [2.], [3.]]), torch.tensor([[0.], [2.], [1.]])) == pytest.approx(
        (1 / 2) ** 2)


def test_two_columns_against_one_by_hand():
    # A and its first column B are centred: B'A = (2, 0), so 4 above the line;
    # A'A = 2 I, of norm 2 sqrt 2, and B'B = 2 below.
    a = torch.tensor([[1., 0.], [-1., 0.], [0., 1.], [0., -1.]])
    assert cka(a, a[:, :1]) == pytest.approx(4 / (2 * 2**0.5 * 2))


def test_columns_without_correlation_have_none():
    a = torch.tensor([[1.], [-1.], [1.], [-1.]])
    assert cka(a, torch.tensor([[1.], [1.], [-1.], [-1.]])) == 0


def test_both_forms_are_the_closed_form():
    for n, p, q in ((40, 3, 5), (6, 30, 20)):  # the first is cheaper by features, the other by rows
        a, b = drawn(1, n, p).double(), drawn(2, n, q).double()
        centre = torch.eye(n, dtype=torch.float64) - 1 / n
        k, m = centre @ a @ a.T @ centre, centre @ b @ b.T @ centre
        expected = (k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt()
        assert cka(a, b) == pytest.approx(expected.item(), rel=1e-12)


@given(st.integers(0, 1000), st.sampled_from([(30, 4), (5, 12)]), st.floats(1e-3, 1e3))
def test_turn_scale_and_shift_change_nothing(seed, shape, scale):
    a = drawn(seed, *shape).double()
    turned = scale * a @ rotation(seed + 1, shape[1]) + drawn(seed, 1, shape[1])
    assert cka(a, a) == pytest.approx(1, abs=1e-12)
    assert cka(a, turned) == pytest.approx(1, abs=1e-9)


@given(st.integers(0, 1000))
def test_it_lies_between_0_and_1_and_is_the_same_both_ways_round(seed):
    a, b = drawn(seed, 12, 3), drawn(seed + 1, 12, 7)
    assert 0 <= cka(a, b) <= 1
    assert cka(a, b) == pytest.approx(cka(b, a), rel=1e-12)


def test_independent_features_of_many_samples_are_near_0():
    assert cka(drawn(1, 5000, 8), drawn(2, 5000, 8)) < 0.01
    several = [cka(drawn(seed, 2000, 8), drawn(seed + 1, 2000, 32)) for seed in range(20)]
    assert sum(several) / 20 == pytest.approx((8 * 32) ** 0.5 / 2000, rel=0.1)


@pytest.mark.parametrize("constant", [torch.full((7, 3), 0.1), torch.ones(7, 3) / 3])
def test_a_constant_side_has_none(constant):
    assert cka(constant, drawn(0, 7, 2)) is None
    assert cka(drawn(0, 7, 2), constant) is None


def test_one_sample_and_no_sample_have_none():
    assert cka(torch.ones(1, 3), torch.ones(1, 2)) is None
    assert cka(torch.ones(0, 3), torch.ones(0, 2)) is None


def test_what_is_not_finite_is_refused():
    with pytest.raises(Diverged):
        cka(torch.tensor([[1.], [float("nan")]]), torch.tensor([[1.], [2.]]))


def test_other_numbers_of_samples_are_refused():
    with pytest.raises(BadInput, match="3 samples"):
        cka(torch.ones(3, 2), torch.ones(4, 2))


@pytest.mark.parametrize("name", ["cnn", "mlp"])
def test_each_layer_of_a_network_is_like_itself(name):
    model = network(0, name)
    values = layer_by_layer(model, model, X)
    assert list(values) == [title for title, _ in model.layers]
    assert list(values.values()) == pytest.approx([1] * len(values))


def test_a_layer_is_compared_by_its_own_outputs(monkeypatch):
    monkeypatch.setattr("forget.models.CHUNK", 7)  # in parts that do not divide the samples
    a, b = network(0), network(1)
    pixels = a.scale(X)
    assert layer_by_layer(a, b, X)["convolution 1"] == pytest.approx(
        cka(a.conv1(pixels).flatten(1), b.conv1(pixels).flatten(1)), rel=1e-5)
    assert layer_by_layer(a, b, X)["output"] == pytest.approx(cka(a(X), b(X)), rel=1e-5)


def test_only_layers_from_the_changed_one_on_differ():
    a, b = network(0), network(0)
    with torch.no_grad():
        b.fc1.weight.copy_(network(1).fc1.weight)
    values = layer_by_layer(a, b, X)
    same = [name for name, value in values.items() if value == pytest.approx(1, abs=1e-9)]
    assert same == ["convolution 1", "normalisation 1", "convolution 2", "normalisation 2"]


def test_an_ensemble_has_a_value_a_shard_and_none_for_one_without_data():
    a, b = ensemble(0, 1), ensemble(0, 1)
    b.alive[1] = False
    values = layer_by_layer(a, b, X)
    assert values["shard 1"] == pytest.approx(1)
    assert values["shard 2"] is None


def test_a_head_has_one_layer():
    heads = []
    for seed in (0, 1):
        head = Head(Pixels(tuple(X.shape[1:])), 1.0, loss_called("softmax"), 4)
        head.requires_grad_(False).weight.copy_(drawn(seed, *head.weight.shape))
        heads.append(head)
    values = layer_by_layer(*heads, X)
    assert list(values) == ["head"] and values["head"] == pytest.approx(
        cka(heads[0](X), heads[1](X)))


def test_models_with_other_layers_are_refused():
    with pytest.raises(BadInput, match="same layers"):
        layer_by_layer(network(0), network(0, "mlp"), X)


def test_no_hook_stays_behind_even_after_a_failure():
    a, b = network(0), network(1)
    layer_by_layer(a, b, X)
    assert hooks(a) == hooks(b) == 0
    with pytest.raises(RuntimeError):
        layer_by_layer(a, b, torch.zeros(2, 3, 5, 5))
    assert hooks(a) == hooks(b) == 0


def test_what_another_thread_asks_a_shared_model_is_not_counted(monkeypatch):
    shared, other = network(0), network(1)
    alone = layer_by_layer(shared, other, X)

    def with_company(model, x):
        asking = threading.Thread(target=shared, args=(X[:5],))
        asking.start()
        asking.join()
        return logits_of(model, x)

    logits_of = module.logits_of
    monkeypatch.setattr(module, "logits_of", with_company)
    assert layer_by_layer(shared, other, X) == alone
