"""Relearning: how fast accuracy on the forget set comes back when training goes on."""

import dataclasses

import pytest
import torch
from clusters import people
from conftest import weights_hash
from torch import nn

from forget.core.device import generator
from forget.core.errors import ForgetError
from forget.data import Samples
from forget.metrics.accuracy import Predictions
from forget.metrics.relearn import Relearned, relearn
from forget.models import build

CROWD = people(count=4, photos=60, spread=0.3).train
GONE = 2
FORGET, RETAIN = CROWD.take(CROWD.y == GONE), CROWD.take(CROWD.y != GONE)


def trained(data: Samples, arch: str = "mlp", seed: int = 0, steps: int = 60) -> nn.Module:
    """A network that knows these samples, by plain full-batch steps."""
    model = build(arch, tuple(CROWD.x.shape[1:]), 4, generator(seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.x), data.y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.requires_grad_(False)


def fresh(arch: str = "mlp", seed: int = 5) -> nn.Module:
    return build(arch, tuple(CROWD.x.shape[1:]), 4, generator(seed)).requires_grad_(False)


ORIGINAL, RETRAINED = trained(CROWD), trained(RETAIN)


def back_in(model: nn.Module, target: float = 0.9, seed: int = 0) -> Relearned:
    return relearn(model, FORGET, RETAIN, target, generator(seed))


def test_the_small_world_is_as_meant():
    assert Predictions.of(ORIGINAL, FORGET).accuracy == 1.0
    assert Predictions.of(RETRAINED, FORGET).accuracy == 0.0
    assert Predictions.of(RETRAINED, RETAIN).accuracy == 1.0


def test_a_model_that_knows_the_class_is_back_at_once():
    found = back_in(ORIGINAL)
    assert found.back
    assert found.steps == 0
    assert found.accuracies[0] == 1.0


@pytest.mark.parametrize("model", [ORIGINAL, RETRAINED, fresh()],
                         ids=["original", "retrained", "fresh"])
def test_step_0_is_the_model_itself(model):
    assert back_in(model).accuracies[0] == pytest.approx(Predictions.of(model, FORGET).accuracy)


@pytest.mark.parametrize("model", [RETRAINED, fresh("mlp", 5)], ids=["retrained", "fresh"])
def test_a_model_that_never_saw_the_class_has_to_learn_it(model):
    found = back_in(model)
    assert found.back
    assert found.steps > 0
    assert max(found.accuracies) >= 0.9


def test_a_model_that_half_remembers_is_back_sooner_than_a_retrained_one():
    """Half-way between the original's weights and those of a model trained without the class."""
    half = trained(RETAIN, steps=0)
    after = trained(RETAIN)
    for mine, one, other in zip(half.parameters(), ORIGINAL.parameters(), after.parameters(),
                                strict=True):
        mine.data = (one + 2 * other) / 3
    assert Predictions.of(half, FORGET).accuracy < 0.9
    assert back_in(half).steps < back_in(RETRAINED).steps


def test_a_masked_class_is_back_sooner_than_one_that_was_never_learnt():
    masked = trained(CROWD)
    logits = masked(FORGET.x)
    lead = logits[:, GONE] - logits[:, torch.arange(4) != GONE].amax(1)
    masked.layers[-1][1].bias.data[GONE] -= lead.amax() + 0.1
    assert Predictions.of(masked, FORGET).accuracy == 0.0
    assert back_in(masked).steps < back_in(RETRAINED).steps


@pytest.mark.parametrize("target", [0.3, 0.5, 0.9, 1.0])
def test_steps_are_where_the_curve_crosses_the_target(target):
    found = back_in(RETRAINED, target)
    assert found.back
    after = next(i for i, value in enumerate(found.accuracies) if value >= target)
    low, high = found.accuracies[after - 1 : after + 1]
    assert low < target <= high
    assert found.steps == pytest.approx(after - 1 + (target - low) / (high - low))


def test_a_lower_target_is_reached_no_later():
    steps = [back_in(RETRAINED, target).steps for target in (0.2, 0.5, 0.8, 1.0)]
    assert steps == sorted(steps)


def test_a_target_above_reach_is_never_met():
    """Two equal inputs with two labels: no model can know more than half."""
    x = FORGET.x[:1].repeat(10, 1)
    y = torch.tensor([GONE, 1] * 5)
    riddle = dataclasses.replace(FORGET, x=x, y=y, ids=torch.arange(10), pictures=None, keys=())
    found = relearn(RETRAINED, riddle, RETAIN, 0.9, generator(0))
    assert not found.back
    assert found.steps == len(found.accuracies) - 1
    assert max(found.accuracies) <= 0.5


@pytest.mark.parametrize("arch", ["mlp", "linear"])
def test_the_model_given_is_left_as_it_was(arch):
    model = trained(RETAIN, arch, steps=30)
    before, grad = weights_hash(model), [p.requires_grad for p in model.parameters()]
    mode = model.training
    relearn(model, FORGET, RETAIN, 0.9, generator(0))
    assert weights_hash(model) == before
    assert [p.requires_grad for p in model.parameters()] == grad
    assert all(p.grad is None for p in model.parameters())
    assert model.training == mode


def test_a_linear_head_learns_again_too():
    found = relearn(fresh("linear"), FORGET, RETAIN, 0.9, generator(0))
    assert found.accuracies[0] < 0.5
    assert found.back


def test_the_same_generator_gives_the_same_curve():
    """Among samples that lie in each other's way, where it matters which ones a step takes."""
    crowd = people(count=4, photos=160, spread=2.0).train
    forget, retain = crowd.take(crowd.y == GONE), crowd.take(crowd.y != GONE)
    curves = [relearn(RETRAINED, forget, retain, 1.0, generator(seed)) for seed in (3, 3, 4)]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_the_rest_is_trained_on_too():
    """Else a model could be back by calling everything the class: here the rest contradicts it."""
    against = dataclasses.replace(FORGET, y=torch.full_like(FORGET.y, 1))
    assert not relearn(RETRAINED, FORGET, against, 0.9, generator(0)).back


def test_the_data_given_are_left_as_they_were():
    x, y = FORGET.x.clone(), RETAIN.y.clone()
    back_in(RETRAINED)
    assert torch.equal(FORGET.x, x)
    assert torch.equal(RETAIN.y, y)


def test_a_permutation_of_classes_changes_nothing():
    """The class names are the reader's: rename them in labels and in the output layer alike."""
    order = torch.tensor([3, 0, 1, 2])  # class c is called order[c]
    renamed = trained(RETAIN)
    output = renamed.layers[-1][1]
    output.weight.data[order] = output.weight.data.clone()
    output.bias.data[order] = output.bias.data.clone()
    def called(data):
        return dataclasses.replace(data, y=order[data.y])

    found = relearn(renamed, called(FORGET), called(RETAIN), 0.9, generator(0))
    expected = back_in(RETRAINED)
    assert found.accuracies == pytest.approx(expected.accuracies, abs=0.1)
    assert found.steps == pytest.approx(expected.steps, abs=0.5)


def test_one_sample_is_enough():
    found = relearn(RETRAINED, FORGET.take(slice(0, 1)), RETAIN, 1.0, generator(0))
    assert found.accuracies[0] == 0.0
    assert found.back
    assert set(found.accuracies) <= {0.0, 1.0}


def test_a_request_that_leaves_nothing_else_can_still_be_relearnt():
    found = relearn(RETRAINED, FORGET, RETAIN.take(slice(0, 0)), 0.9, generator(0))
    assert found.back


def test_nothing_to_relearn_is_refused():
    with pytest.raises(ForgetError):
        relearn(RETRAINED, FORGET.take(slice(0, 0)), RETAIN, 0.9, generator(0))


def test_a_model_that_says_nan_is_refused():
    broken = trained(RETAIN, steps=1)
    next(broken.parameters()).data[0, 0] = float("nan")
    with pytest.raises(ForgetError):
        relearn(broken, FORGET, RETAIN, 0.9, generator(0))
