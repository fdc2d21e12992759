"""What every method and every learner must do, checked on each registered one, and what each says
that it does beyond that."""

import copy
import dataclasses
import functools
import itertools
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_dataset, weights_hash
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from forget.core.device import generator
from forget.core.errors import BadInput, Cancelled
from forget.core.steps import Step, drive
from forget.data import Dataset, Samples
from forget.learners import LEARNERS, network
from forget.learners.network import Network, batches, shifted, tilted
from forget.methods import METHODS, Method
from forget.methods import gradient_ascent as ascent
from forget.metrics.accuracy import Predictions
from forget.unlearning.measure import Splits
from forget.unlearning.request import Forgotten, parse_request
from forget.unlearning.result import Start
from forget.unlearning.run import unlearn
from forget.unlearning.store import Stored, frozen
from forget.unlearning.watch import Watch

TINY = tiny_dataset()

# Glyphs of neighbouring classes are two pixels apart, so shifted copies of them would be ambiguous.
LEARNER_SETTINGS = {
    "network": {"epochs": 1, "min_steps": 40, "shift": 0},
    "sisa": {"arch": "mlp", "epochs": 20, "shards": 2, "slices": 2, "batch_size": 16, "shift": 0},
    "convex": {},
}
# Fine-tuning has two batches an epoch here.
METHOD_SETTINGS = {"epochs": 10, "min_steps": 1}

LINK = re.compile(r"https://(arxiv\.org/abs/|doi\.org/|proceedings\.|openreview\.net/)\S+")
EVERY_METHOD = pytest.mark.parametrize("name", list(METHODS))
EVERY_LEARNER = pytest.mark.parametrize("name", list(LEARNERS))


def reduced(cls, settings, **given):
    """One of a registry's classes with those of the settings that it has."""
    known = {spec.name for spec in cls.knobs()}
    return cls(**({key: value for key, value in settings.items() if key in known} | given))


def learner_of(name, **given):
    return LEARNERS[name](**LEARNER_SETTINGS[name] | given)


def method_of(name, **given):
    return reduced(METHODS[name], METHOD_SETTINGS, **given)


def trained(learner, data: Samples, seed: int, n_classes: int = 4) -> nn.Module:
    draw = generator(seed)
    model = learner.build(tuple(data.x.shape[1:]), n_classes, draw)
    drive(learner.train(model, data, draw))
    drive(learner.prepare(model, data, draw))
    return frozen(model)


@functools.cache
def start_of(learner_name: str) -> Start:
    learner = learner_of(learner_name)
    model = trained(learner, TINY.train, 0)
    return Start(Stored(model, {"input_shape": list(TINY.input_shape)}), learner)


class Recorder(Watch):
    """Keeps the steps, and stops after some of them if it is told to."""

    def __init__(self, stop_after=None):
        self.steps: list[Step] = []
        self.stop_after = stop_after

    def step(self, step, seconds):
        self.steps.append(step)

    def cancelled(self):
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def forget(method, spec="class:b", seed=0, dataset=TINY, start=None, watch=None):
    """The unlearned model, made as a run makes it."""
    start = start or start_of(method.learner)
    request = parse_request(spec, dataset, 0)
    splits = Splits(dataset, request, start.forgotten)
    watch = watch or Recorder()
    done = unlearn(dataset, start, request, method, seed, splits, watch)
    assert done.took.wall >= 0
    return done.model


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return weights_hash(one) == weights_hash(other)


def with_noise(dataset: Dataset, part: str, rows) -> Dataset:
    """The dataset with other pixels in some rows of one part."""
    data = getattr(dataset, part)
    x = data.x.clone()
    x[rows] = torch.randint(0, 256, x[rows].shape, generator=generator(9), dtype=torch.uint8)
    assert not torch.equal(x, data.x)
    return dataclasses.replace(dataset, **{part: dataclasses.replace(data, x=x)})


def check_forgets(method: Method, spec: str = "class:b") -> None:
    """A class request brings the class's accuracy down, unseen samples included, and the rest
    stays as it was."""
    splits = Splits(TINY, parse_request(spec, TINY, 0), Forgotten())
    before = splits.measure(start_of(method.learner).model).accuracies
    assert min(before.values()) > 0.9
    after = splits.measure(forget(method, spec)).accuracies
    assert after["forget_accuracy"] <= 0.1
    assert after["test_forget_accuracy"] <= 0.1
    assert after["retain_accuracy"] >= before["retain_accuracy"] - 0.1
    assert after["test_retain_accuracy"] >= before["test_retain_accuracy"] - 0.1


# Every method.


@EVERY_METHOD
def test_a_method_has_a_name_for_people_and_a_sentence(name):
    cls = METHODS[name]
    assert cls.title
    assert cls.summary.endswith(".")
    assert cls.learner in LEARNERS


@EVERY_METHOD
def test_a_docstring_cites_a_paper(name):
    assert LINK.search(METHODS[name].__doc__)


@EVERY_LEARNER
def test_a_learners_docstring_cites_a_paper(name):
    assert LINK.search(LEARNERS[name].__doc__)


@pytest.mark.parametrize("cls", [*METHODS.values(), *LEARNERS.values()], ids=lambda cls: cls.name)
def test_every_knob_has_help_and_a_default_inside_its_bounds(cls):
    for spec in cls.knobs():
        assert len(spec.help) > 5
        if spec.choices is not None:
            assert len(spec.choices) >= 2
            assert spec.default in spec.choices
        else:
            assert spec.low < spec.high
            assert spec.low <= spec.default <= spec.high
            assert not (spec.log and spec.low <= 0)
        assert type(spec.default) is spec.type


@pytest.mark.parametrize("cls", [*METHODS.values(), *LEARNERS.values()], ids=lambda cls: cls.name)
def test_every_number_is_refused_just_outside_its_bounds(cls):
    for spec in cls.knobs():
        if spec.choices is None:
            step = 1 if spec.type is int else 1e-6
            for wrong in (spec.low - step, spec.high + step):
                with pytest.raises(BadInput, match=spec.name):
                    cls(**{spec.name: wrong})


@EVERY_METHOD
@pytest.mark.parametrize("spec", [f"class:{name}" for name in "ad"])
def test_a_class_is_forgotten_and_the_rest_kept(name, spec):
    check_forgets(method_of(name), spec)


class Idle(Method):
    """Takes steps and changes nothing."""

    name = "idle"
    learner = "network"

    def steps(self, model, task):
        for index in range(1, 4):
            yield Step(index, 3, "idling", {"loss": 0.0})


class Wrecker(Idle):
    """Forgets everything there is."""

    def steps(self, model, task):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        yield Step(1, 1, "wrecking", {})


@pytest.mark.parametrize("cls", [Idle, Wrecker])
def test_a_method_that_does_nothing_or_too_much_fails_the_same_check(cls):
    with pytest.raises(AssertionError):
        check_forgets(cls())
    assert "idle" not in METHODS


@EVERY_METHOD
@pytest.mark.parametrize("spec", ["class:c", "random:20", "samples:0,5,9"])
def test_the_original_is_bit_identical_after_a_run(name, spec):
    original = start_of(METHODS[name].learner).model
    before = weights_hash(original)
    unlearned = forget(method_of(name), spec)
    assert weights_hash(original) == before
    assert not same_weights(unlearned, original)
    assert not any(weight.requires_grad for weight in original.parameters())


@EVERY_METHOD
def test_the_unlearned_model_shares_no_memory_with_the_original(name):
    original = start_of(METHODS[name].learner).model
    mine = {value.data_ptr() for value in forget(method_of(name)).state_dict().values()}
    assert mine.isdisjoint(value.data_ptr() for value in original.state_dict().values())


@EVERY_METHOD
def test_the_unlearned_model_comes_in_eval_mode_and_without_gradients(name):
    model = forget(method_of(name))
    assert not any(module.training for module in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())


@EVERY_METHOD
@pytest.mark.parametrize("spec", ["class:b", "random:20"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name, spec):
    models = [forget(method_of(name), spec, seed=seed) for seed in (3, 3, 4)]
    assert same_weights(models[0], models[1])
    if name == "sisa":  # all chance is in the checkpoints: what it goes on with, it got from them
        assert same_weights(models[0], models[2])
    else:
        assert not same_weights(models[0], models[2])


@EVERY_METHOD
def test_only_the_generator_given_makes_chance(name):
    torch.manual_seed(1)
    one = forget(method_of(name))
    torch.manual_seed(2)
    assert same_weights(one, forget(method_of(name)))


@EVERY_METHOD
@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_stopping_between_steps_leaves_the_original_untouched(name, after):
    original = start_of(METHODS[name].learner).model
    before = weights_hash(original)
    watch = Recorder(stop_after=after)
    with pytest.raises(Cancelled):
        forget(method_of(name), watch=watch)
    assert len(watch.steps) == after
    assert weights_hash(original) == before


@EVERY_METHOD
def test_the_history_is_finite_counted_and_ends_at_its_total(name):
    watch = Recorder()
    forget(method_of(name), watch=watch)
    assert [step.index for step in watch.steps] == list(range(1, len(watch.steps) + 1))
    assert all(step.index <= step.total for step in watch.steps)
    assert watch.steps[-1].index == watch.steps[-1].total
    assert all(step.doing and step.measured for step in watch.steps)
    assert all(math.isfinite(v) for step in watch.steps for v in step.measured.values())


@EVERY_METHOD
def test_a_single_sample_can_be_forgotten(name):
    model = forget(method_of(name), "samples:7")
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert Predictions.of(model, TINY.test).accuracy > 0.9


def rows_of(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def shifted_rows_of(x: torch.Tensor) -> set[bytes]:
    """The rows as they are and moved by a pixel, as training may have moved them."""
    moves = itertools.product((-1, 0, 1), repeat=2)
    return set().union(*(rows_of(torch.roll(x, move, (2, 3))) for move in moves))


@pytest.mark.parametrize(
    "name", [name for name, cls in METHODS.items() if cls.learner == "network"])
@pytest.mark.parametrize("spec", ["class:b", "random:20"])
def test_no_gradient_ever_sees_held_out_or_test_samples(name, spec):
    """Held-out data serve stop rules only; retraining and fine-tuning do not even touch D_f."""
    seen: set[bytes] = set()

    def look(model, inputs):
        if torch.is_grad_enabled():
            seen.update(rows_of(inputs[0]))

    start = start_of(METHODS[name].learner)
    model = copy.deepcopy(start.model)
    model.register_forward_pre_hook(look)
    forget(method_of(name), spec, start=Start(Stored(model, start.stored.record), start.learner))
    assert seen & shifted_rows_of(TINY.train.x)
    assert seen.isdisjoint(shifted_rows_of(TINY.held_out.x))
    assert seen.isdisjoint(shifted_rows_of(TINY.test.x))
    forgotten = shifted_rows_of(TINY.train.x[parse_request(spec, TINY, 0).ids])
    if name == "gradient_ascent":
        assert seen & forgotten
    elif name in ("retrain", "finetune"):
        assert seen.isdisjoint(forgotten)


# Retraining.


def test_retraining_leaves_no_weight_as_it_was():
    original = start_of("network").model
    retrained = forget(method_of("retrain"))
    for (name, old), new in zip(
        original.named_parameters(), retrained.parameters(), strict=True
    ):
        assert not (old == new).any(), name


def test_retraining_resets_nested_layers_too():
    class Nested(nn.Module):
        n_classes = 4

        def __init__(self, inner):
            super().__init__()
            self.outer = nn.ModuleDict({"inner": nn.Sequential(nn.Identity(), inner)})

        def forward(self, x):
            return self.outer["inner"](x)

    @dataclasses.dataclass(frozen=True)
    class NestedNetwork(Network):
        def build(self, input_shape, n_classes, generator):
            return Nested(super().build(input_shape, n_classes, generator))

    learner = NestedNetwork(**LEARNER_SETTINGS["network"])
    original = trained(learner, TINY.train, 0)
    retrained = forget(method_of("retrain"), start=Start(Stored(original, {}), learner))
    for old, new in zip(original.parameters(), retrained.parameters(), strict=True):
        assert not (old == new).any()


def test_retraining_does_not_depend_on_the_forgotten_samples():
    ids = parse_request("class:b", TINY, 0).ids
    other = forget(method_of("retrain"), dataset=with_noise(TINY, "train", ids))
    assert same_weights(forget(method_of("retrain")), other)


def test_retraining_depends_on_the_retained_samples():
    ids = torch.nonzero(TINY.train.y != 1).flatten()[:5]
    other = forget(method_of("retrain"), dataset=with_noise(TINY, "train", ids))
    assert not same_weights(forget(method_of("retrain")), other)


def test_retraining_does_not_depend_on_the_original():
    start = start_of("network")
    other = Start(Stored(trained(start.learner, TINY.train, 5), {}), start.learner)
    assert same_weights(forget(method_of("retrain")), forget(method_of("retrain"), start=other))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "gradient_ascent"])
def test_methods_without_a_stop_rule_do_not_look_at_held_out_data(name):
    other = forget(method_of(name), dataset=with_noise(TINY, "held_out", slice(None)))
    assert same_weights(forget(method_of(name)), other)


# Fine-tuning.


def layer_weights(model) -> dict[str, list[torch.Tensor]]:
    return {name: list(layer.parameters()) for name, layer in model.layers}


def changed_layers(model, original) -> list[bool]:
    pairs = zip(layer_weights(model).values(), layer_weights(original).values(), strict=True)
    return [any(not torch.equal(a, b) for a, b in zip(new, old, strict=True)) for new, old in pairs]


@pytest.mark.parametrize("name", ["finetune", "gradient_ascent"])
@pytest.mark.parametrize("last", [1, 2, 4, 50])
def test_layers_that_are_not_asked_for_stay_bit_for_bit(name, last):
    original = start_of("network").model
    model = forget(method_of(name, last_layers=last))
    n_layers = len(original.layers)
    kept = max(0, n_layers - last)
    assert changed_layers(model, original) == [False] * kept + [True] * (n_layers - kept)


@pytest.mark.parametrize("reinitialise", ["yes", "no"])
def test_fine_tuning_does_not_depend_on_the_forgotten_samples(reinitialise):
    method = method_of("finetune", reinitialise=reinitialise)
    ids = parse_request("class:b", TINY, 0).ids
    assert same_weights(forget(method), forget(method, dataset=with_noise(TINY, "train", ids)))


def test_fine_tuning_depends_on_the_original():
    start = start_of("network")
    other = Start(Stored(trained(start.learner, TINY.train, 5), {}), start.learner)
    method = method_of("finetune")
    assert not same_weights(forget(method), forget(method, start=other))


def test_fine_tuning_draws_layers_anew_only_where_it_is_asked_to():
    original = start_of("network").model
    distance = {}
    for reinitialise in ("yes", "no"):
        model = forget(method_of("finetune", reinitialise=reinitialise, lr=1e-6, min_steps=1))
        distance[reinitialise] = (model.fc2.weight - original.fc2.weight).norm().item()
    assert distance["no"] < 1e-3
    assert distance["yes"] > 0.5


def test_fine_tuning_takes_as_many_steps_as_its_epochs_have_batches():
    watch = Recorder()
    forget(method_of("finetune", epochs=3, batch_size=50, min_steps=1), watch=watch)
    assert len(watch.steps) == 3 * math.ceil(180 / 50)


def test_fine_tuning_few_samples_takes_whole_epochs_until_its_least_number_of_steps():
    watch = Recorder()
    forget(method_of("finetune", epochs=1, batch_size=50, min_steps=9), watch=watch)
    assert len(watch.steps) == 3 * math.ceil(180 / 50)


# Gradient ascent.


def ascend(spec="class:b", start=None, **settings):
    """The model, and what every step left of the weights."""
    states = []

    class Kept(ascent.GradientAscent):
        def steps(self, model, task):
            states.append(copy.deepcopy(model.state_dict()))
            for step in super().steps(model, task):
                states.append(copy.deepcopy(model.state_dict()))
                yield step

    watch = Recorder()
    model = forget(Kept(**settings), spec, watch=watch, start=start)
    return model, watch.steps, states


def norm_between(one: dict, other: dict) -> float:
    return torch.cat([(one[k].double() - other[k].double()).flatten() for k in one]).norm().item()


def rest_accuracy(model) -> float:
    """Held-out accuracy on the classes that are kept when b is forgotten."""
    return Predictions.of(model, TINY.held_out.take(TINY.held_out.y != 1)).accuracy


def test_ascent_that_breaks_the_rest_at_once_gives_back_the_original():
    model, steps, _ = ascend(lr=10.0, floor=0.0)
    assert len(steps) == 1
    assert "floor" in steps[0].doing
    assert same_weights(model, start_of("network").model)


@pytest.mark.parametrize("lr", [0.03, 0.1, 0.3])
def test_ascent_that_breaks_the_rest_later_gives_back_the_last_good_step(lr, monkeypatch):
    monkeypatch.setattr(ascent.StopRule, "forgotten", lambda rule, measured, model: False)
    model, steps, states = ascend("random:100", lr=lr, floor=5.0, retain_weight=0.0)
    assert "floor" in steps[-1].doing
    assert len(steps) > 1
    assert norm_between(model.state_dict(), states[-2]) == 0
    assert norm_between(states[-2], states[0]) > 0
    assert steps[-1].measured == steps[-2].measured


@pytest.mark.drawn(6)
@pytest.mark.parametrize("lr", [0.005, 0.01, 0.03, 0.1, 0.15])
@pytest.mark.parametrize("floor", [0.0, 0.5, 10.0])
def test_the_floor_holds_over_a_thirtyfold_range_of_learning_rates(lr, floor):
    """One sample may flip even at a floor of nothing: it is no evidence."""
    model, _, _ = ascend(lr=lr, floor=floor)
    before = rest_accuracy(start_of("network").model)
    one_sample = 1 / (TINY.held_out.y != 1).sum().item()
    assert rest_accuracy(model) >= before - max(floor / 100, one_sample) - 1e-6


@pytest.mark.parametrize("lr", [1e-3, 0.01, 0.05])
@pytest.mark.parametrize("settings", [{}, {"retain_weight": 0.0}, {"last_layers": 50}])
def test_one_step_moves_the_weights_by_exactly_the_learning_rate(lr, settings):
    _, steps, states = ascend(lr=lr, max_steps=1, floor=100.0, **settings)
    assert len(steps) == 1
    assert norm_between(states[-1], states[0]) == pytest.approx(lr, rel=1e-3)


def test_every_step_has_the_same_length():
    _, steps, states = ascend(lr=0.02, floor=100.0)
    lengths = [norm_between(a, b) for a, b in itertools.pairwise(states)]
    assert len(steps) > 3
    assert lengths == pytest.approx([0.02] * len(steps), rel=1e-3)


def test_one_small_step_raises_the_loss_of_the_forget_set():
    _, steps, _ = ascend(lr=0.01, max_steps=1, retain_weight=0.0)
    data = TINY.train.take(TINY.train.y == 1)
    before = F.cross_entropy(start_of("network").model(data.x), data.y).item()
    assert steps[0].measured["forget_loss"] > before


def test_ascent_stops_when_the_class_is_at_one_percent():
    _, steps, _ = ascend(lr=0.02)
    accuracies = [step.measured["forget_accuracy"] for step in steps]
    assert "forgotten" in steps[-1].doing
    assert accuracies[-1] <= 0.01
    assert min(accuracies[:-1]) > 0.01


@pytest.mark.parametrize("lr", [0.002, 0.01, 0.05])
def test_ascent_on_samples_stops_when_their_loss_reaches_that_of_held_out_data(lr):
    original = start_of("network").model
    held_out = F.cross_entropy(original(TINY.held_out.x), TINY.held_out.y).item()
    data = TINY.train.take(parse_request("samples:0,1,2,3,4", TINY, 0).ids)
    assert F.cross_entropy(original(data.x), data.y).item() < held_out
    _, steps, _ = ascend("samples:0,1,2,3,4", lr=lr, floor=100.0, max_steps=500)
    losses = [step.measured["forget_loss"] for step in steps]
    assert "forgotten" in steps[-1].doing
    assert losses[-1] >= held_out * (1 - 1e-5)
    assert all(loss < held_out * (1 + 1e-5) for loss in losses[:-1])


def test_ascent_stops_at_its_most_steps():
    _, steps, _ = ascend(lr=1e-5, max_steps=7)
    assert len(steps) == 7


def test_plain_ascent_does_not_look_at_the_retained_samples():
    method = method_of("gradient_ascent", retain_weight=0.0)
    ids = torch.nonzero(TINY.train.y != 1).flatten()
    assert same_weights(forget(method), forget(method, dataset=with_noise(TINY, "train", ids)))


def test_ascent_with_a_retain_weight_does_look_at_them():
    method = method_of("gradient_ascent")
    ids = torch.nonzero(TINY.train.y != 1).flatten()
    assert not same_weights(forget(method), forget(method, dataset=with_noise(TINY, "train", ids)))


def test_held_out_pixels_change_nothing_but_when_ascent_stops():
    """With a floor and a stop rule out of reach, they must not change the weights at all."""
    settings = {"lr": 1e-3, "floor": 100.0, "max_steps": 5}
    method = method_of("gradient_ascent", **settings)
    other = forget(method, dataset=with_noise(TINY, "held_out", slice(None)))
    assert same_weights(forget(method), other)


def tiny_double_mlp(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def double_samples(seed: int, n: int = 12) -> Samples:
    draw = generator(seed)
    return Samples(torch.randn(n, 5, generator=draw).double(),
                   torch.randint(0, 3, (n,), generator=draw), torch.arange(n))  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_of_the_loss_where_right_against_finite_differences(seed):
    model, data = tiny_double_mlp(seed), double_samples(seed)
    right = model(data.x).argmax(1) == data.y
    assert 0 < right.sum() < len(data)
    weights = list(model.parameters())
    gradients = torch.autograd.grad(ascent._loss_where_right(model, data), weights)
    h = 1e-6
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            flat = weight.view(-1)
            for place in range(len(flat)):
                value = flat[place].item()
                flat[place] = value + h
                above = ascent._loss_where_right(model, data).item()
                flat[place] = value - h
                below = ascent._loss_where_right(model, data).item()
                flat[place] = value
                assert (above - below) / (2 * h) == pytest.approx(
                    gradient.view(-1)[place].item(), rel=1e-5, abs=1e-8)  # fmt: skip


def test_the_loss_where_right_leaves_lost_samples_out():
    model, data = tiny_double_mlp(0), double_samples(0)
    right = model(data.x).argmax(1) == data.y
    kept = data.take(right)
    expected = F.cross_entropy(model(kept.x), kept.y)
    assert ascent._loss_where_right(model, data).item() == pytest.approx(expected.item())


def test_the_loss_where_right_is_zero_with_zero_gradient_if_all_are_lost():
    model, data = tiny_double_mlp(0), double_samples(0)
    lost = data.take(model(data.x).argmax(1) != data.y)
    loss = ascent._loss_where_right(model, lost)
    assert loss.item() == 0
    assert all((g == 0).all() for g in torch.autograd.grad(loss, list(model.parameters())))


@given(st.integers(1, 40), st.integers(1, 15), st.integers(1, 4))
def test_a_cycle_covers_every_row_once_each_time_round(n, size, rounds):
    data = Samples(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64), torch.arange(n))
    cycle = ascent.Cycle(data, size, generator(n))
    for _ in range(rounds):
        parts = [cycle.next().ids for _ in range(math.ceil(n / size))]
        assert torch.cat(parts).sort().values.tolist() == list(range(n))
        assert all(1 <= len(part) <= size for part in parts)


# Every learner.


@EVERY_LEARNER
def test_a_learner_gives_the_same_weights_for_a_seed_and_others_for_another(name):
    learner = learner_of(name)
    models = [trained(learner, TINY.train, seed) for seed in (1, 1, 2)]
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


@EVERY_LEARNER
@pytest.mark.parametrize("seed", range(3))
def test_a_learner_learns_the_tiny_dataset(name, seed):
    model = trained(learner_of(name), TINY.train, seed)
    assert Predictions.of(model, TINY.test).accuracy > 0.9


@EVERY_LEARNER
def test_a_learners_model_takes_raw_images(name):
    learner = learner_of(name)
    model = learner.build(TINY.input_shape, 4, generator(0))
    assert TINY.train.x.dtype == torch.uint8
    logits = model(TINY.train.x[:7])
    assert logits.shape == (7, 4)
    assert logits.is_floating_point()
    assert model.n_classes == 4


@EVERY_LEARNER
def test_a_learner_learns_feature_vectors(name):
    draw = generator(0)
    y = torch.arange(200) % 3
    x = torch.randn(200, 6, generator=draw) * 0.3
    x[torch.arange(200), y] += 2
    data = Samples(x, y, torch.arange(200))
    learner = learner_of(name)
    if hasattr(learner, "lr"):
        learner = dataclasses.replace(learner, lr=0.02)
    model = trained(learner, data, 0, n_classes=3)
    assert Predictions.of(model, data).accuracy > 0.9


@EVERY_LEARNER
def test_a_learner_takes_chance_from_its_generator_alone(name):
    learner = learner_of(name)
    torch.manual_seed(1)
    one = trained(learner, TINY.train, 0)
    torch.manual_seed(2)
    torch.rand(100)
    assert same_weights(one, trained(learner, TINY.train, 0))


@EVERY_LEARNER
def test_a_learner_does_not_change_its_data(name):
    x, y = TINY.train.x.clone(), TINY.train.y.clone()
    trained(learner_of(name), TINY.train, 0)
    assert torch.equal(x, TINY.train.x)
    assert torch.equal(y, TINY.train.y)


@EVERY_LEARNER
def test_training_yields_steps_that_are_counted_to_their_total(name):
    learner = learner_of(name)
    seen = []
    draw = generator(0)
    model = learner.build(TINY.input_shape, 4, draw)
    drive(learner.train(model, TINY.train, draw), lambda step, _: seen.append(step))
    assert [step.index for step in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].total == len(seen)
    if name != "convex":  # nobody knows beforehand how many iterations a solver takes
        assert {step.total for step in seen} == {len(seen)}
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(("n", "size", "epochs", "least", "expected"), [
    (240, 128, 1, 1, 2), (240, 128, 3, 1, 6), (240, 128, 1, 60, 60), (240, 128, 1, 5, 6),
    (10, 128, 1, 3, 3),
])  # fmt: skip
def test_the_network_trains_whole_epochs_and_at_least_its_least_steps(
    n, size, epochs, least, expected
):
    learner = Network(batch_size=size, epochs=epochs, min_steps=least, arch="mlp")
    model = learner.build(TINY.input_shape, 4, generator(0))
    data = TINY.train.take(slice(0, n))
    assert sum(1 for _ in learner.train(model, data, generator(0))) == expected


@pytest.mark.parametrize(("shape", "arch"), [
    ((1, 12, 12), "cnn"), ((3, 8, 8), "cnn"), ((1, 12, 9), "mlp"), ((1, 7, 7), "mlp"),
    ((20,), "mlp"),
])  # fmt: skip
def test_the_architecture_is_chosen_by_the_inputs(shape, arch):
    assert Network().build(shape, 4, generator(0)).name == arch


def test_an_architecture_that_does_not_suit_the_inputs_is_bad_input():
    with pytest.raises(BadInput, match="choose 'mlp'"):
        Network(arch="cnn").build((20,), 4, generator(0))


@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 4), st.integers(0, 1000))
def test_batches_cover_each_row_exactly_once_an_epoch(n, size, epochs, seed):
    drawn = list(batches(n, size, epochs, generator(seed)))
    per_epoch = math.ceil(n / size)
    assert len(drawn) == epochs * per_epoch
    for epoch in range(epochs):
        rows = torch.cat(drawn[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert rows.sort().values.tolist() == list(range(n))
    assert all(1 <= len(rows) <= size for rows in drawn)


def test_batches_are_another_order_each_epoch():
    first, second = batches(100, 100, 2, generator(0))
    assert not torch.equal(first, second)


@given(st.integers(0, 4), st.integers(0, 10**6))
def test_a_shift_moves_the_whole_batch_by_at_most_so_many_pixels(most, seed):
    x = torch.arange(2 * 1 * 9 * 9).reshape(2, 1, 9, 9)
    moved = shifted(x, most, generator(seed))
    reach = range(-most, most + 1)
    assert any(torch.equal(moved, torch.roll(x, (a, b), (2, 3))) for a in reach for b in reach)


def test_every_shift_up_to_the_most_is_drawn_sometimes():
    x = torch.eye(9)[4].outer(torch.eye(9)[4])[None, None]
    draw = generator(0)
    places = {tuple(shifted(x, 1, draw)[0, 0].nonzero()[0].tolist()) for _ in range(300)}
    assert places == {(a, b) for a in (3, 4, 5) for b in (3, 4, 5)}


@given(st.integers(1, 45), st.integers(0, 10**6))
def test_a_tilt_leaves_about_two_thirds_of_the_images_as_they_are(most, seed):
    x = torch.zeros(64, 1, 21, 21, dtype=torch.uint8)
    x[:, :, 4:17, 9:12] = 200
    tipped = tilted(x, most, generator(seed))
    assert torch.equal(tipped, tilted(x, most, generator(seed)))
    same = (tipped == x).flatten(1).all(1)
    assert 24 <= same.sum() <= 60
    assert tipped.min() >= 0 and tipped.max() <= 200.001
    size = tipped.flatten(1).sum(1) / x[0].sum()
    assert ((size > .6) & (size < 1.7)).all()  # nothing is lost, and nothing grows out of it


@pytest.mark.parametrize("angle", [-20, 5, 20])
def test_a_tilted_image_is_the_one_that_another_program_turns(angle, monkeypatch):
    """Without slant and size it is Pillow's rotation."""
    monkeypatch.setattr(network, "SIZE", 0.0)
    monkeypatch.setattr(network, "SLANT", 0.0)
    monkeypatch.setattr(torch, "rand", lambda *size, generator: torch.full(
        size, 0.0 if len(size) == 1 else 0.5 + angle / 40))
    x = torch.zeros(1, 1, 31, 31)
    x[:, :, 5:26, 12:17] = 200.0
    turned = Image.fromarray(x[0, 0].numpy()).rotate(angle, Image.Resampling.BILINEAR)
    assert (tilted(x, 20, generator(0))[0, 0] - torch.from_numpy(np.array(turned))).abs().max() < 1


def test_feature_vectors_are_never_tilted():
    x = torch.arange(12.0).reshape(3, 4)
    assert tilted(x, 20, generator(0)) is x
    assert tilted(x.view(3, 1, 2, 2), 0, generator(0)).data_ptr() == x.data_ptr()


def test_feature_vectors_are_never_shifted():
    x = torch.arange(12.0).reshape(3, 4)
    assert shifted(x, 4, generator(0)) is x
