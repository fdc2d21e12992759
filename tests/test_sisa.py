"""SISA: where samples lie, what a checkpoint holds, that forgetting equals never having known, and
that it costs what was predicted."""

import copy
import dataclasses
import functools
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import glyphs, tiny_dataset, weights_hash
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from forget.cli import main as cli
from forget.core.device import derive, generator
from forget.core.errors import BadInput
from forget.core.steps import drive
from forget.data import Dataset, Samples, find_dataset
from forget.learners import sisa
from forget.learners.sharding import BY_CLASS, UNIFORM, Sharding, expected_share, plan, stage_visits
from forget.learners.sisa import Sisa, checkpoint_of
from forget.methods import Task
from forget.methods.sisa import SisaForget
from forget.models import ARCHITECTURES, build
from forget.models.ensemble import Ensemble
from forget.models.mlp import MLP
from forget.report.export import save_outcome
from forget.unlearning import store
from forget.unlearning.learn import learn, resume, start_from
from forget.unlearning.measure import Splits
from forget.unlearning.request import NOTHING, Forgotten, parse_request, split
from forget.unlearning.result import Start
from forget.unlearning.run import run, unlearn
from forget.unlearning.store import Stored, frozen

TINY = tiny_dataset()
FIELDS = ("weights", "optimizer", "generator", "ids")
SMALL = {"slices": 3, "epochs": 2.0, "batch_size": 16, "min_steps": 0}


def learner_of(**given) -> Sisa:
    shards = 2 if given.get("sharding") == BY_CLASS else 3
    return Sisa(**({"shards": shards, "arch": "mlp"} | SMALL | given))


def trained(learner: Sisa, data: Samples = TINY.train, seed: int = 0, n_classes: int = 4):
    draw = generator(seed)
    model = learner.build(tuple(data.x.shape[1:]), n_classes, draw)
    drive(learner.train(model, data, draw))
    return frozen(model)


@functools.cache
def start_of(learner: Sisa) -> Start:
    return Start(Stored(trained(learner), {"input_shape": list(TINY.input_shape)}), learner)


def forget(start: Start, spec: str, dataset: Dataset = TINY):
    """The model after one request, made as a run makes it, and all that it forgot."""
    request = parse_request(spec, dataset, 0, start.forgotten)
    splits = Splits(dataset, request, start.forgotten)
    done = unlearn(dataset, start, request, SisaForget(), 0, splits)
    return done.model, start.forgotten + request


def without(forgotten: Forgotten, data: Samples = TINY.train) -> Samples:
    keep = torch.ones(len(data), dtype=torch.bool)
    keep[forgotten.ids] = False
    return data.take(keep)


def same_tensors(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_model(one: Ensemble, other: Ensemble) -> bool:
    """Every weight, which shards are alive, and every checkpoint, bit for bit."""
    return (same_tensors(one.state_dict(), other.state_dict())
            and same_tensors(one.secret, other.secret))


def lineages(tensors: dict) -> dict[tuple[int, int], set[int]]:
    """The ids of each checkpoint, by shard and slice."""
    return {tuple(map(int, name.split(".")[:2])): set(ids.tolist())
            for name, ids in tensors.items() if name.endswith(".ids")}


def id_in(shard: int, slice_: int, start: Start) -> int:
    """A training id that lies there."""
    shards, slices = start.learner.division_of(start.model).place(TINY.train)
    return int(TINY.train.ids[(shards == shard) & (slices == slice_)][0])


def blank(n: int, n_classes: int = 10) -> Samples:
    """Samples with ids and classes and no pixels, for what never looks at any."""
    y = torch.from_numpy(np.random.default_rng(n).integers(0, n_classes, n))
    return Samples(torch.empty(n, 0), y, torch.arange(n))


KINDS = pytest.mark.parametrize("kind", [UNIFORM, BY_CLASS])
EVERY_KIND = [learner_of(arch=arch, sharding=kind, aggregation=say)
              for arch, kind, say in itertools.product(
                  ("mlp", "cnn"), (UNIFORM, BY_CLASS), ("mean", "vote"))]
# Who speaks for the shards plays no part in training: each way is seen with each of the others.
EVERY_LEARNER = pytest.mark.parametrize(
    "learner", [pytest.param(one, marks=[] if place in (0, 3, 5, 6) else pytest.mark.exhaustive)
                for place, one in enumerate(EVERY_KIND)],
    ids=lambda one: f"{one.arch}-{one.sharding}-{one.aggregation}")
EVERY_REQUEST = pytest.mark.parametrize("spec", ["samples:0,5,9", "random:20", "class:b"])


# Where a sample lies.


@given(st.integers(0, 400), st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**62),
       st.sampled_from([UNIFORM, BY_CLASS]))
def test_every_sample_lies_in_exactly_one_shard_and_slice(n, shards, slices, seed, kind):
    division = Sharding(shards, slices, kind, 18, seed)
    data = blank(n, 18)
    of_shard, of_slice = division.place(data)
    assert of_shard.shape == of_slice.shape == (n,)
    assert of_shard.dtype == of_slice.dtype == torch.int64
    assert all(0 <= value < shards for value in of_shard.tolist())
    assert all(0 <= value < slices for value in of_slice.tolist())
    counts = division.counts(data)
    assert counts.shape == (shards, slices)
    expected = torch.zeros(shards, slices, dtype=torch.int64)
    for shard, slice_ in zip(of_shard.tolist(), of_slice.tolist(), strict=True):
        expected[shard, slice_] += 1
    assert torch.equal(counts, expected)


@given(st.data(), st.integers(1, 200), st.integers(0, 2**62),
       st.sampled_from([UNIFORM, BY_CLASS]))
def test_a_place_depends_on_id_class_and_seed_only(data, n, seed, kind):
    division = Sharding(4, 3, kind, 10, seed)
    samples = blank(n)
    shards, slices = division.place(samples)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1)))
    part = samples.take(rows)
    other_pixels = dataclasses.replace(part, x=torch.rand(len(rows), 2))
    for some in (part, other_pixels):
        assert torch.equal(division.place(some)[0], shards[rows])
        assert torch.equal(division.place(some)[1], slices[rows])


@given(st.integers(0, 2**62))
def test_a_uniform_place_does_not_depend_on_the_class(seed):
    division = Sharding(5, 4, UNIFORM, 10, seed)
    data = blank(100)
    other = dataclasses.replace(data, y=(data.y + 3) % 10)
    for one, two in zip(division.place(data), division.place(other), strict=True):
        assert torch.equal(one, two)


@KINDS
def test_another_seed_divides_otherwise(kind):
    data = blank(500)
    places = [Sharding(5, 4, kind, 10, seed).place(data) for seed in (0, 1)]
    assert all(not torch.equal(one, two) for one, two in zip(*places, strict=True))


def test_dividing_says_nothing_on_the_terminal():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sharding(5, 4, UNIFORM, 10, 2**62 - 1).place(blank(20))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ids", [torch.arange(60_000), torch.arange(0, 600_000, 10),
                                 2**40 + torch.arange(60_000)], ids=["all", "tenth", "large"])
def test_uniform_shards_and_slices_fill_evenly_and_independently(seed, ids):
    data = Samples(torch.empty(len(ids), 0), torch.zeros(len(ids), dtype=torch.int64), ids)
    counts = Sharding(20, 4, UNIFORM, 10, seed).counts(data).double().numpy()
    # One in ten million: fifteen tests of two kinds, on fixed seeds.
    assert stats.chisquare(counts.ravel()).pvalue > 1e-7
    assert stats.chisquare(counts.ravel()).pvalue < 1 - 1e-7  # nor more evenly than by chance
    assert stats.chi2_contingency(counts).pvalue > 1e-7


@given(st.integers(2, 30), st.integers(0, 2**62), st.data())
def test_by_class_keeps_each_class_in_one_shard_and_two_classes_a_shard(n_classes, seed, data):
    shards = data.draw(st.integers(1, n_classes // 2))
    division = Sharding(shards, 3, BY_CLASS, n_classes, seed)
    classes = torch.arange(n_classes).repeat(20)
    samples = Samples(torch.empty(len(classes), 0), classes, torch.arange(len(classes)))
    placed = division.place(samples)[0]
    homes = [set(placed[classes == label].tolist()) for label in range(n_classes)]
    assert all(len(home) == 1 for home in homes)
    per_shard = [sum(home == {shard} for home in homes) for shard in range(shards)]
    assert min(per_shard) >= 2
    assert max(per_shard) - min(per_shard) <= 1


@pytest.mark.parametrize(("shards", "n_classes"), [(2, 3), (3, 4), (6, 10), (6, 11), (1, 1)])
def test_too_many_shards_by_class_are_bad_input(shards, n_classes):
    with pytest.raises(BadInput, match=str(2 * shards)):
        Sharding(shards, 3, BY_CLASS, n_classes, 0)


@given(st.integers(0, 2**62))
@examples(max_examples=20)
def test_slices_do_not_depend_on_the_shards(seed):
    data = blank(300)
    of_slice = [Sharding(shards, 4, kind, 10, seed).place(data)[1]
                for shards, kind in ((1, UNIFORM), (7, UNIFORM), (5, BY_CLASS))]
    assert all(torch.equal(of_slice[0], other) for other in of_slice)


@given(st.integers(0, 3000), st.integers(1, 20), st.floats(0.1, 50))
def test_a_stage_passes_over_its_share_of_the_epochs(n, slices, epochs):
    assert abs(stage_visits(n, slices, epochs) - 2 * epochs * n / (slices + 1)) <= 0.5


# What a checkpoint holds.


@EVERY_LEARNER
def test_a_checkpoint_lies_after_every_slice_with_the_ids_of_all_slices_up_to_it(learner):
    model = start_of(learner).model
    shards, slices = learner.division_of(model).place(TINY.train)
    cells = list(itertools.product(range(learner.shards), range(learner.slices)))
    assert set(model.secret) == {"seed"} | {
        f"{shard}.{slice_}.{field}" for shard, slice_ in cells for field in FIELDS}
    for shard, slice_ in cells:
        seen = model.secret[f"{shard}.{slice_}.ids"]
        expected = TINY.train.ids[(shards == shard) & (slices <= slice_)]
        assert torch.equal(seen, expected.sort().values)


@EVERY_LEARNER
def test_a_checkpoint_holds_all_that_training_goes_on_from(learner):
    model = start_of(learner).model
    for shard, network in enumerate(model.networks):
        size = sum(parameter.numel() for parameter in network.parameters())
        steps = 0
        for slice_ in range(learner.slices):
            held = checkpoint_of(model, shard, slice_)
            visits = round(2 * learner.epochs * len(held.ids) / (learner.slices + 1))
            steps += math.ceil(visits / learner.batch_size)
            assert held.weights.shape == (size,)
            assert held.weights.dtype == torch.float32
            first, second, count = held.optimizer.split([size, size, 1])
            assert count.item() == steps > 0
            assert (first != 0).any()
            assert (second >= 0).all()
            assert (second > 0).any()
            assert held.generator.dtype == torch.uint8
            torch.Generator().set_state(held.generator)
        flat = torch.cat([parameter.flatten() for parameter in network.parameters()])
        assert torch.equal(flat, held.weights)


def test_generator_states_differ_from_checkpoint_to_checkpoint():
    model = start_of(learner_of()).model
    states = {bytes(value.tolist()) for name, value in model.secret.items()
              if name.endswith(".generator")}
    assert len(states) == 9


# Shards are isolated, and so are slices from those before them.


def with_other_pixels(rows: torch.Tensor) -> Samples:
    x = TINY.train.x.clone()
    x[rows] = 255 - x[rows]
    return dataclasses.replace(TINY.train, x=x)


@pytest.mark.parametrize("arch", ["mlp", "cnn"])
@KINDS
def test_a_sample_influences_its_own_shard_only_and_only_from_its_own_slice_on(arch, kind):
    learner = learner_of(arch=arch, sharding=kind)
    model = start_of(learner).model
    shards, slices = learner.division_of(model).place(TINY.train)
    other = trained(learner, with_other_pixels((shards == 1) & (slices == 1)))
    for shard, slice_ in itertools.product(range(learner.shards), range(learner.slices)):
        one, two = (checkpoint_of(each, shard, slice_).weights for each in (model, other))
        assert torch.equal(one, two) != (shard == 1 and slice_ >= 1)


@EVERY_LEARNER
def test_the_order_of_the_rows_changes_nothing(learner):
    order = torch.randperm(len(TINY.train), generator=generator(5))
    assert same_model(trained(learner, TINY.train.take(order)), start_of(learner).model)


def test_the_networks_of_the_shards_begin_with_other_weights_and_see_other_data():
    model = start_of(learner_of()).model
    assert len({weights_hash(network) for network in model.networks}) == 3
    seen = [lineages(model.secret)[shard, 2] for shard in range(3)]
    assert set().union(*seen) == set(TINY.train.ids.tolist())
    assert sum(map(len, seen)) == len(TINY.train)


# Exactness, by an implementation of its own.


def by_hand(learner: Sisa, network: nn.Module, optimizer, draw, data: Samples, slices, start: int):
    """Go on training a network stage by stage from slice ``start``; its flat weights after each."""
    order = data.ids.argsort()
    x, y, slices = data.x[order], data.y[order], slices[order]
    after = []
    for slice_ in range(start, learner.slices):
        known = [row for row in range(len(y)) if slices[row] <= slice_]
        visits = round(learner.epochs * 2 * len(known) / (learner.slices + 1))
        queue: list[int] = []
        while len(queue) < visits:
            queue += [known[i] for i in torch.randperm(len(known), generator=draw).tolist()]
        queue = queue[:visits]
        steps = math.ceil(visits / learner.batch_size)
        for step in range(steps):
            rows = queue[step * learner.batch_size : (step + 1) * learner.batch_size]
            batch = x[rows]
            if learner.shift and batch.ndim == 4:
                by = torch.randint(-learner.shift, learner.shift + 1, (2,), generator=draw)
                batch = batch.roll(tuple(by.tolist()), (2, 3))
            optimizer.param_groups[0]["lr"] = learner.lr * (1 - step / steps)
            network.zero_grad()
            F.cross_entropy(network(batch), y[rows]).backward()
            optimizer.step()
        after.append(flat(network))
    return after


def flat(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


def picked_up(learner: Sisa, checkpoint: dict[str, torch.Tensor]):
    """A network, optimizer and generator as a checkpoint left them."""
    network = ARCHITECTURES[learner.arch].build(TINY.input_shape, 4)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0, fused=True)
    size, at = len(checkpoint["weights"]), 0
    for parameter in network.parameters():
        here = slice(at, at + parameter.numel())
        at = here.stop
        pieces = [vector[here].reshape(parameter.shape) for vector in (
            checkpoint["weights"], checkpoint["optimizer"][:size],
            checkpoint["optimizer"][size : 2 * size])]
        parameter.data.copy_(pieces[0])
        optimizer.state[parameter] = {
            "step": checkpoint["optimizer"][-1].clone(),
            "exp_avg": torch.zeros_like(parameter).copy_(pieces[1]).detach(),
            "exp_avg_sq": torch.zeros_like(parameter).copy_(pieces[2]).detach()}
    draw = torch.Generator()
    draw.set_state(checkpoint["generator"])
    return network, optimizer, draw


def from_the_beginning(learner: Sisa, model: Ensemble, shard: int):
    draw = torch.Generator().manual_seed(derive(int(model.secret["seed"]), "training", shard))
    network = build(learner.arch, TINY.input_shape, 4, draw)
    return network, torch.optim.AdamW(network.parameters(), weight_decay=0.0, fused=True), draw


@pytest.mark.drawn(6)
@EVERY_LEARNER
@EVERY_REQUEST
def test_forgetting_equals_training_from_the_checkpoints_by_hand(learner, spec):
    """On the samples that stay only: those to forget are not even there."""
    original = start_of(learner).model
    unlearned, forgotten = forget(start_of(learner), spec)
    stay = without(forgotten)
    shards, slices = learner.division_of(original).place(stay)
    gone = learner.division_of(original).place(TINY.train.take(forgotten.ids))
    affected = set(gone[0].tolist())
    assert affected
    for shard in affected:
        start = int(gone[1][gone[0] == shard].min())
        if start:
            before = {field: original.secret[f"{shard}.{start - 1}.{field}"] for field in FIELDS}
            state = picked_up(learner, before)
        else:
            state = from_the_beginning(learner, original, shard)
        mine = by_hand(learner, *state, stay.take(shards == shard), slices[shards == shard], start)
        for slice_, weights in enumerate(mine, start):
            assert torch.equal(weights, unlearned.secret[f"{shard}.{slice_}.weights"])
        assert torch.equal(flat(unlearned.networks[shard]), mine[-1])


@pytest.mark.drawn(6)
@EVERY_LEARNER
@EVERY_REQUEST
def test_forgetting_equals_never_having_known(learner, spec):
    unlearned, forgotten = forget(start_of(learner), spec)
    assert same_model(unlearned, trained(learner, without(forgotten)))
    assert not same_tensors(unlearned.state_dict(), start_of(learner).model.state_dict())


@given(st.lists(st.integers(0, 239), min_size=1, max_size=40, unique=True), st.integers(1, 6),
       st.integers(1, 5), st.sampled_from([0.1, 0.5, 1.0, 2.3]), st.integers(1, 70))
@examples(max_examples=15)
def test_forgetting_equals_never_having_known_for_any_division(ids, shards, slices, epochs, size):
    learner = learner_of(shards=shards, slices=slices, epochs=epochs, batch_size=size)
    start = Start(Stored(trained(learner, seed=3), {}), learner)
    unlearned, forgotten = forget(start, "samples:" + ",".join(map(str, ids)))
    assert same_model(unlearned, trained(learner, without(forgotten), seed=3))


@pytest.mark.parametrize("what", ["nothing", "weights", "moments", "count", "generator"])
@pytest.mark.parametrize("arch", ["mlp", "cnn"])
def test_forgetting_from_a_checkpoint_without_a_part_of_it_is_not_exact(what, arch):
    """So the tests of exactness can fail."""
    start = start_of(learner_of(arch=arch))
    model = copy.deepcopy(start.model)
    secret = {name: value.clone() for name, value in model.secret.items()}
    if what == "weights":
        secret["1.1.weights"] += 1e-7
    elif what == "moments":
        secret["1.1.optimizer"][:-1] = 0
    elif what == "count":
        secret["1.1.optimizer"][-1] = 0
    elif what == "generator":
        secret["1.1.generator"] = generator(0).get_state()
    model.secret = secret
    spec = f"samples:{id_in(1, 2, start)}"
    changed, forgotten = forget(dataclasses.replace(start, stored=Stored(model, {})), spec)
    exact = trained(start.learner, without(forgotten))
    same = torch.equal(flat(changed.networks[1]), flat(exact.networks[1]))
    assert same == (what == "nothing")
    assert torch.equal(flat(changed.networks[0]), flat(exact.networks[0]))


@pytest.mark.parametrize("slice_", range(3))
def test_shards_and_slices_that_never_saw_the_sample_are_left_as_they_are(slice_):
    start = start_of(learner_of())
    unlearned, _ = forget(start, f"samples:{id_in(2, slice_, start)}")
    for name, value in start.model.secret.items():
        if name == "seed":
            assert torch.equal(unlearned.secret[name], value)
            continue
        shard, place, field = name.split(".")
        again = shard == "2" and int(place) >= slice_
        if field in ("weights", "optimizer", "ids"):
            assert torch.equal(unlearned.secret[name], value) != again
        elif not again:
            assert torch.equal(unlearned.secret[name], value)
    for shard, (one, two) in enumerate(
        zip(start.model.networks, unlearned.networks, strict=True)
    ):
        assert torch.equal(flat(one), flat(two)) == (shard != 2)


def test_feature_vectors_are_forgotten_exactly_too():
    draw = generator(0)
    data = Samples(torch.randn(90, 5, generator=draw), torch.arange(90) % 3, torch.arange(90))
    dataset = Dataset("rows", ("a", "b", "c"), data, data, data)
    learner = learner_of()
    start = Start(Stored(trained(learner, data, n_classes=3), {}), learner)
    unlearned, forgotten = forget(start, "random:7", dataset)
    assert same_model(unlearned, trained(learner, without(forgotten, data), n_classes=3))


# What is touched.


def marked() -> Dataset:
    """Each image has its id written into its first two pixels."""
    x = TINY.train.x.clone()
    x[:, 0, 0, 0] = TINY.train.ids % 256
    x[:, 0, 0, 1] = TINY.train.ids // 256
    return dataclasses.replace(TINY, train=dataclasses.replace(TINY.train, x=x))


def ids_of(x: torch.Tensor) -> list[int]:
    return (x[:, 0, 0, 0].long() + 256 * x[:, 0, 0, 1].long()).tolist()


class Touched:
    """Counts in two ways what training reads: where it fetches, and what its networks are shown."""

    def __init__(self, monkeypatch):
        self.fetched: list[int] = []
        self.shown: list[int] = []
        fetch, forward = sisa.fetch, MLP.forward

        def fetching(data, rows):
            self.fetched += data.ids[rows].tolist()
            return fetch(data, rows)

        def showing(network, x):
            if torch.is_grad_enabled():
                self.shown += ids_of(x)
            return forward(network, x)

        monkeypatch.setattr(sisa, "fetch", fetching)
        monkeypatch.setattr(MLP, "forward", showing)

    def start_again(self) -> None:
        self.fetched, self.shown = [], []


@pytest.mark.drawn(5)
@KINDS
@pytest.mark.parametrize("spec", ["samples:3", "samples:0,5,9", "random:20", "random:150",
                                  "class:b"])  # fmt: skip
def test_a_request_touches_exactly_what_its_plan_says_and_nothing_forgotten(
    monkeypatch, kind, spec
):
    dataset, learner = marked(), learner_of(sharding=kind, shift=0, epochs=2.3)
    touched = Touched(monkeypatch)
    start = Start(Stored(trained(learner, dataset.train), {}), learner)
    whole = plan(learner.division_of(start.model), blank(0), dataset.train, learner.epochs)
    assert len(touched.fetched) == len(touched.shown) == whole.everything
    assert set(touched.shown) == set(range(240))

    request = parse_request(spec, dataset, 0)
    predicted = plan(learner.division_of(start.model), *split(dataset.train, request, NOTHING),
                     learner.epochs)
    touched.start_again()
    forget(start, spec, dataset)
    assert touched.fetched == touched.shown
    assert len(touched.shown) == predicted.visits > 0
    assert not set(touched.shown) & set(request.ids.tolist())

    touched.start_again()
    trained(learner, without(Forgotten((request,)), dataset.train))
    assert len(touched.shown) == predicted.everything
    assert predicted.share == predicted.visits / predicted.everything


def test_each_stage_passes_over_its_samples_equally_often(monkeypatch):
    touched = Touched(monkeypatch)
    learner = learner_of(shards=1, slices=1, epochs=3.0, shift=0)
    trained(learner, marked().train)
    counts = np.bincount(touched.shown, minlength=240)
    assert (counts == 3).all()
    assert touched.shown[:240] != touched.shown[240:480]


def test_a_request_after_another_touches_what_its_own_plan_says(monkeypatch):
    dataset, learner = marked(), learner_of(shift=0)
    touched = Touched(monkeypatch)
    start = Start(Stored(trained(learner, dataset.train), {}), learner)
    for _ in range(5):
        request = parse_request("random:4", dataset, 0, start.forgotten)
        predicted = plan(learner.division_of(start.model),
                         *split(dataset.train, request, start.forgotten), learner.epochs)
        touched.start_again()
        model, forgotten = forget(start, "random:4", dataset)
        assert len(touched.shown) == predicted.visits
        assert not set(touched.shown) & set(forgotten.ids.tolist())
        start = Start(Stored(model, {}), learner, forgotten)


# What is destroyed.


@pytest.mark.drawn(6)
@EVERY_LEARNER
@EVERY_REQUEST
def test_no_checkpoint_that_saw_a_forgotten_sample_is_left(learner, spec):
    start = start_of(learner)
    before = {name: value.clone() for name, value in start.model.secret.items()}
    unlearned, forgotten = forget(start, spec)
    gone = set(forgotten.ids.tolist())
    assert any(seen & gone for seen in lineages(start.model.secret).values())
    assert not any(seen & gone for seen in lineages(unlearned.secret).values())
    assert unlearned.secret.keys() == start.model.secret.keys()
    # The model that the request started from can be asked again.
    assert same_tensors(start.model.secret, before)


def test_what_saw_the_samples_is_destroyed_before_anything_is_trained():
    start = start_of(learner_of())
    model = copy.deepcopy(start.model).requires_grad_(True)
    request = parse_request("random:20", TINY, 0)
    parts = split(TINY.train, request, NOTHING)
    task = Task(start.learner, *parts, TINY.held_out, False, (), generator(0))
    work = SisaForget().steps(model, task)
    next(work)
    gone = set(request.ids.tolist())
    assert not any(seen & gone for seen in lineages(model.secret).values())
    held = {name.rsplit(".", 1)[0] for name in model.secret if name != "seed"}
    assert all(f"{cell}.{field}" in model.secret for cell in held for field in FIELDS)
    work.close()


def test_fifty_requests_in_a_row_leave_no_lineage_and_stay_exact():
    learner = learner_of(shards=4)
    model = trained(learner)
    start = Start(Stored(model, {}), learner)
    draw = np.random.default_rng(0)
    division = learner.division_of(model)
    shards, slices = division.place(TINY.train)
    for turn in range(50):
        left = np.setdiff1d(np.arange(240), start.forgotten.ids.numpy())
        some = draw.choice(left, draw.integers(1, 6), replace=False)
        spec = "class:d" if turn == 30 else "samples:" + ",".join(map(str, some))
        model, forgotten = forget(start, spec)
        gone = torch.isin(TINY.train.ids, forgotten.ids)
        for (shard, slice_), seen in lineages(model.secret).items():
            there = (shards == shard) & (slices <= slice_) & ~gone
            assert seen == set(TINY.train.ids[there].tolist())
        assert len(lineages(model.secret)) == 12
        start = Start(Stored(model, {}), learner, forgotten)
    assert len(start.forgotten.ids) > 150
    assert same_model(model, trained(learner, without(start.forgotten)))


def test_what_was_forgotten_must_be_gone_even_where_the_labels_were_changed_since():
    """Under by_class a label says where a sample lies: a corrected one points to another shard."""
    learner = learner_of(sharding=BY_CLASS)
    start = start_of(learner)
    homes = learner.division_of(start.model).place(TINY.train)[0]
    wrong = int(TINY.train.ids[homes == 0][0])
    y = TINY.train.y.clone()
    y[wrong] = TINY.train.y[homes == 1][0]
    corrected = dataclasses.replace(TINY, train=dataclasses.replace(TINY.train, y=y))
    try:
        unlearned, _ = forget(start, f"samples:{wrong}", corrected)
    except BadInput:
        return
    assert not any(wrong in seen for seen in lineages(unlearned.secret).values())


def outcome(start: Start, spec: str, dataset: Dataset = TINY):
    request = parse_request(spec, dataset, 0, start.forgotten)
    return run(dataset, start, request, SisaForget(), 0, references=0)


def test_saved_files_hold_no_checkpoint_that_saw_a_forgotten_sample(home, tmp_path):
    start = start_from(learner_of(), TINY, 0)
    folder = tmp_path / "out"
    for spec in ("samples:3,17,99", "random:12", "class:b"):
        result = outcome(start, spec)
        save_outcome(result, folder)
        names = {path.name for path in folder.iterdir()}
        assert names == {"model.safetensors", "model.secret.safetensors", "result.json"}
        secret = folder / "model.secret.safetensors"
        assert secret.stat().st_mode & 0o077 == 0
        tensors, _ = store.read_sealed(secret)
        gone = set(result.forgotten.ids.tolist())
        assert len(lineages(tensors)) == 9
        assert not any(seen & gone for seen in lineages(tensors).values())
        written = b"".join(path.read_bytes() for path in folder.iterdir())
        for (shard, slice_), seen in lineages(start.model.secret).items():
            for field in ("weights", "optimizer"):
                held = start.model.secret[f"{shard}.{slice_}.{field}"].numpy().tobytes()
                # Found where it never saw the samples, so that this would be found where it had.
                assert (held in written) == (not seen & gone)
        public = (folder / "model.safetensors").read_bytes()
        assert not any(value.numpy().tobytes() in public for name, value in tensors.items()
                       if name.endswith((".generator", ".optimizer")))
        start = result.next_start()


def test_a_stored_model_comes_back_with_its_checkpoints_and_forgets_the_same(home):
    fresh, stored = (start_from(learner_of(arch="cnn"), TINY, 0) for _ in range(2))
    assert same_model(fresh.model, stored.model)
    assert same_model(forget(fresh, "random:9")[0], forget(stored, "random:9")[0])


def test_a_model_to_compare_with_keeps_no_checkpoints(home):
    request = parse_request("random:5", TINY, 0)
    assert learn(learner_of(), TINY, 0, Forgotten((request,))).model.secret == {}
    assert not list(home.rglob("*.secret.safetensors"))


def test_resumed_from_disk_it_goes_on_exactly(home, tmp_path):
    start = start_from(learner_of(arch="cnn"), TINY, 0)
    first = outcome(start, "random:10")
    save_outcome(first, tmp_path)
    again = resume(tmp_path / "model.safetensors", TINY)
    assert torch.equal(again.forgotten.ids, first.forgotten.ids)
    second = outcome(again, "class:c")
    assert same_tensors(second.unlearned.state_dict(),
                        outcome(first.next_start(), "class:c").unlearned.state_dict())
    exact = trained(start.learner, without(second.forgotten))
    assert same_tensors(second.unlearned.state_dict(), exact.state_dict())
    save_outcome(second, tmp_path)
    tensors, _ = store.read_sealed(tmp_path / "model.secret.safetensors")
    gone = set(second.forgotten.ids.tolist())
    assert not any(seen & gone for seen in lineages(tensors).values())


# Through the command line.

SISA = ["--method", "sisa"]
RECIPE = ["--set", "learner.shards=3", "--set", "learner.slices=3", "--set", "learner.epochs=2",
          "--set", "learner.shift=0"]
QUICK = [*SISA, *RECIPE]


def save_npz(folder, seed: int = 0) -> str:
    draw = np.random.default_rng(seed)
    x_train, y_train = glyphs(draw, 60, 4)
    x_test, y_test = glyphs(draw, 40, 4)
    path = folder / "bars.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return str(path)


def call(*arguments) -> int:
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def test_a_second_run_goes_on_from_the_model_of_the_first(home, tmp_path, capsys):
    data, out, one = save_npz(tmp_path), tmp_path / "out", tmp_path / "one"
    assert call("run", data, "--forget", "random:6", *QUICK, "--out", out) == 0
    assert call("run", data, "--model", out / "model.safetensors", "--forget", "class:2",
                *SISA, "--out", out) == 0  # fmt: skip
    assert call("run", data, "--forget", "random:6", "--forget", "class:2", *QUICK,
                "--out", one) == 0  # fmt: skip
    assert weights_hash(store.load(out / "model.safetensors").model) == weights_hash(
        store.load(one / "model.safetensors").model)
    tensors, about = store.read_sealed(out / "model.secret.safetensors")
    assert [spec for spec, _ in about["requests"]] == ["random:6", "class:2"]
    gone = set(tensors["forgotten_ids"].tolist())
    y = find_dataset(data).load().train.y
    assert {int(i) for i in (y == 2).nonzero().flatten()} < gone
    assert not any(seen & gone for seen in lineages(tensors).values())


def check_refused(capsys, status: int) -> str:
    said = capsys.readouterr().err
    assert status == 2
    (line,) = [line for line in said.splitlines() if line.startswith("forget: ")]
    assert "Traceback" not in said
    return line


def test_without_the_secret_beside_it_a_model_is_refused(home, tmp_path, capsys):
    data, out = save_npz(tmp_path), tmp_path / "out"
    assert call("run", data, "--forget", "random:6", *QUICK, "--out", out) == 0
    (out / "model.secret.safetensors").unlink()
    capsys.readouterr()
    status = call("run", data, "--model", out / "model.safetensors", "--forget", "random:2", *SISA)
    assert "model.secret.safetensors" in check_refused(capsys, status)


def test_without_its_secret_a_stored_original_is_refused_and_trained_again_when_asked(
    home, tmp_path, capsys
):
    """The refusal says: put it there, or train the model here. So training must help."""
    data = save_npz(tmp_path)
    assert call("run", data, "--forget", "random:6", *QUICK) == 0
    for secret in home.rglob("*.secret.safetensors"):
        secret.unlink()
    capsys.readouterr()
    status = call("run", data, "--forget", "random:5", *QUICK)
    if status != 0:  # trained again of itself is as good
        assert "train" in check_refused(capsys, status)
        assert call("train", data, "--learner", "sisa", *RECIPE) == 0
        assert call("run", data, "--forget", "random:5", *QUICK) == 0


def test_a_model_is_not_resumed_on_other_data_of_the_same_name(home, tmp_path):
    """Its checkpoints saw other pictures under the same ids: nothing about it would be exact."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    mine, others = (find_dataset(save_npz(folder, seed)).load()
                    for seed, folder in enumerate((one, two)))
    assert mine.name == others.name
    assert mine.fingerprint != others.fingerprint
    save_outcome(outcome(start_from(learner_of(), mine, 0), "random:3", mine), tmp_path / "out")
    resume(tmp_path / "out" / "model.safetensors", mine)
    with pytest.raises(BadInput):
        resume(tmp_path / "out" / "model.safetensors", others)


def test_without_any_checkpoint_forgetting_is_bad_input():
    start = start_of(learner_of())
    bare = copy.deepcopy(start.model)
    bare.secret = {}
    with pytest.raises(BadInput, match="checkpoints"):
        forget(dataclasses.replace(start, stored=Stored(bare, {})), "random:3")


@pytest.mark.parametrize("count", ["abc", "0", "-1", "1.5", "257", " ", "²", "1e2"])
def test_a_wrong_count_of_workers_is_bad_input_in_one_sentence(
    home, tmp_path, monkeypatch, capsys, count
):
    monkeypatch.setenv("FORGET_WORKERS", count)
    status = call("run", save_npz(tmp_path), "--forget", "random:6", *QUICK)
    line = check_refused(capsys, status)
    assert "FORGET_WORKERS" in line
    assert count in line


# An ensemble says what its shards say.


class Says(nn.Module):
    """The same logits, whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float32))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def ensemble(aggregation: str, *probabilities) -> Ensemble:
    networks = [Says(torch.tensor(p, dtype=torch.float64).log()) for p in probabilities]
    return Ensemble(networks, len(probabilities[0]), aggregation)


def said(model: Ensemble) -> list[float]:
    return model(torch.zeros(2, 1)).exp()[1].tolist()


def test_the_mean_of_probabilities_against_numbers_worked_out_by_hand():
    model = ensemble("mean", [0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1])
    assert said(model) == pytest.approx([0.4, 0.45, 0.15])


def test_votes_against_numbers_worked_out_by_hand():
    # Two of three name class 0, though the mean likes class 1 better.
    model = ensemble("vote", [0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1])
    assert said(model) == pytest.approx([(2 + 0.4) / 4, (1 + 0.45) / 4, 0.15 / 4])
    assert model(torch.zeros(1, 1)).argmax() == 0
    model.aggregation = "mean"
    assert model(torch.zeros(1, 1)).argmax() == 1


@pytest.mark.parametrize(("one", "two", "winner"), [
    ([0.9, 0.1, 0.0], [0.2, 0.8, 0.0], 0), ([0.6, 0.4, 0.0], [0.1, 0.9, 0.0], 1),
    # A tie is broken among those that have votes, not for a favourite of the mean that has none.
    ([0.51, 0.0, 0.49], [0.0, 0.51, 0.49], 0),
])  # fmt: skip
def test_a_tie_of_votes_is_broken_by_the_mean(one, two, winner):
    one, two = ([max(p, 1e-9) for p in each] for each in (one, two))
    x = torch.zeros(1, 1)
    assert ensemble("vote", one, two)(x).argmax() == winner
    assert ensemble("vote", two, one)(x).argmax() == winner


@pytest.mark.parametrize("aggregation", ["mean", "vote"])
@pytest.mark.parametrize("size", [1.0, 30.0, 200.0, 1e4])
def test_logits_are_finite_and_normalised_however_sure_the_shards_are(aggregation, size):
    draw = generator(0)
    networks = [Says(size * torch.randn(6, generator=draw)) for _ in range(5)]
    logits = Ensemble(networks, 6, aggregation)(torch.zeros(3, 1))
    assert logits.shape == (3, 6)
    assert logits.isfinite().all()
    assert logits.exp().sum(1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


@given(st.integers(1, 7), st.integers(2, 5), st.integers(0, 1000))
@examples(max_examples=40)
def test_both_aggregations_against_plain_counting(shards, n_classes, seed):
    draw = generator(seed)
    networks = [Says(2 * torch.randn(n_classes, generator=draw)) for _ in range(shards)]
    p = np.array([network.logits.softmax(0).tolist() for network in networks])
    x = torch.zeros(1, 1)
    mean = Ensemble(networks, n_classes, "mean")(x)[0]
    assert mean.exp().tolist() == pytest.approx(p.mean(0).tolist(), rel=1e-4)
    votes = np.bincount(p.argmax(1), minlength=n_classes)
    winner = int(Ensemble(networks, n_classes, "vote")(x).argmax())
    assert winner == max(range(n_classes), key=lambda label: (votes[label], p.mean(0)[label]))


def test_a_dead_shard_has_no_say():
    for aggregation in ("mean", "vote"):
        model = ensemble(aggregation, [0.9, 0.1], [0.3, 0.7], [0.4, 0.6])
        model.alive[0] = False
        alone = ensemble(aggregation, [0.3, 0.7], [0.4, 0.6])
        assert said(model) == pytest.approx(said(alone))


# A shard that has nothing left.


@pytest.mark.parametrize("aggregation", ["mean", "vote"])
def test_a_shard_whose_classes_are_all_forgotten_leaves_the_average(aggregation):
    learner = learner_of(sharding=BY_CLASS, aggregation=aggregation)
    start = start_of(learner)
    homes = learner.division_of(start.model).place(TINY.train)[0]
    for label in sorted(set(TINY.train.y[homes == 0].tolist())):
        model, forgotten = forget(start, f"class:{TINY.classes[label]}")
        start = Start(Stored(model, {}), learner, forgotten)
    assert model.alive.tolist() == [False, True]
    assert same_model(model, trained(learner, without(forgotten)))
    both = model(TINY.test.x).softmax(1)
    alone = Ensemble([model.networks[1]], 4, aggregation)(TINY.test.x).softmax(1)
    assert torch.allclose(both, alone, atol=1e-6)
    remaining = TINY.test.y[torch.isin(TINY.test.y, TINY.train.y[homes == 1])].unique()
    assert torch.isin(both.argmax(1), remaining).double().mean() > 0.9


@pytest.mark.parametrize("arch", ["mlp", "cnn"])
def test_a_tiny_shard_that_forgetting_empties_leaves_the_average(arch):
    learner = learner_of(shards=60, arch=arch)
    model = trained(learner)
    start = Start(Stored(model, {}), learner)
    shards, _ = learner.division_of(model).place(TINY.train)
    counts = torch.bincount(shards, minlength=60)
    small = int(counts.argsort()[(counts.sort().values == 0).sum()])
    ids = TINY.train.ids[shards == small]
    unlearned, forgotten = forget(start, "samples:" + ",".join(map(str, ids.tolist())))
    assert model.alive[small]
    assert not unlearned.alive[small]
    assert unlearned.alive.sum() == model.alive.sum() - 1
    assert same_model(unlearned, trained(learner, without(forgotten)))
    assert lineages(unlearned.secret)[small, 2] == set()
    before = unlearned(TINY.test.x)
    with torch.no_grad():
        for parameter in unlearned.networks[small].parameters():
            parameter.fill_(torch.nan)
    assert torch.equal(before, unlearned(TINY.test.x))
    assert before.isfinite().all()


def test_shards_that_are_empty_from_the_beginning_say_nothing():
    few = TINY.train.take(torch.arange(30))
    learner = learner_of(shards=100)
    model = trained(learner, few)
    counts = learner.division_of(model).counts(few).sum(1)
    assert torch.equal(model.alive, counts > 0)
    assert not model.alive.all()
    assert model(TINY.test.x).isfinite().all()


def test_shards_that_are_all_too_small_for_a_step_are_refused():
    """A tenth of an epoch of three samples is no step: a network knows only its first weights."""
    with pytest.raises(BadInput, match="fewer shards"):
        trained(learner_of(shards=60, epochs=0.1))


def test_a_shard_that_was_never_trained_for_want_of_passes_says_nothing():
    learner = learner_of(shards=60, epochs=0.5)
    model = trained(learner)
    for shard, alive in enumerate(model.alive.tolist()):
        if alive:
            assert checkpoint_of(model, shard, learner.slices - 1).optimizer[-1] > 0


# What it costs.


def simulated(shards: int, slices: int, k: int, times: int) -> np.ndarray:
    """Share of the work of each simulated request, cells drawn and counted plainly."""
    draw = np.random.default_rng(shards * 1000 + slices * 100 + k)
    whole = shards * slices * (slices + 1) / 2
    costs = np.zeros(times)
    for turn in range(times):
        first: dict[int, int] = {}
        cells = zip(draw.integers(0, shards, k).tolist(), draw.integers(1, slices + 1, k).tolist(),
                    strict=True)
        for shard, slice_ in cells:
            first[shard] = min(slice_, first.get(shard, slice_))
        costs[turn] = sum(sum(range(start, slices + 1)) for start in first.values()) / whole
    return costs


@pytest.mark.drawn(10)
@pytest.mark.parametrize(("shards", "slices", "k"), [
    *itertools.product((1, 5, 20), (1, 2, 4, 10), (1, 10)), (20, 4, 100), (5, 50, 3),
])  # fmt: skip
def test_the_expected_share_against_simulation(shards, slices, k):
    costs = simulated(shards, slices, k, 3000)
    error = costs.std(ddof=1) / math.sqrt(len(costs))
    assert expected_share(k, shards, slices) == pytest.approx(
        costs.mean(), abs=4.5 * error + 1e-12)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 300))
def test_known_cases_of_the_expected_share(shards, slices, k):
    assert expected_share(1, 1, slices) == pytest.approx((2 * slices + 1) / (3 * slices))
    assert expected_share(1, shards, slices) == pytest.approx(
        (2 * slices + 1) / (3 * slices) / shards)
    assert expected_share(k, shards, 1) == pytest.approx(1 - (1 - 1 / shards) ** k)
    assert expected_share(0, shards, slices) == 0
    assert expected_share(k, shards, slices) <= expected_share(k + 1, shards, slices) <= 1


def test_one_sample_costs_its_share_of_one_shard():
    division = Sharding(5, 4, UNIFORM, 10, 0)
    data = blank(20_000)
    shares = []
    for row in range(400):
        keep = torch.ones(len(data), dtype=torch.bool)
        keep[row] = False
        shares.append(plan(division, data.take(~keep), data.take(keep), 10.0).share)
    error = np.std(shares, ddof=1) / math.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx((2 * 4 + 1) / (3 * 4) / 5, abs=3 * error)


def test_the_mean_share_of_200_requests_is_within_2_percent_of_the_closed_form():
    data = blank(60_000)
    draw = generator(0)
    shares = []
    for seed in range(200):
        division = Sharding(20, 4, UNIFORM, 10, seed)
        gone = torch.zeros(len(data), dtype=torch.bool)
        gone[torch.randperm(len(data), generator=draw)[:10]] = True
        shares.append(plan(division, data.take(gone), data.take(~gone), 6.0).share)
    assert np.mean(shares) == pytest.approx(expected_share(10, 20, 4), rel=0.02)


def test_one_model_asked_200_times_costs_the_closed_form_too():
    """Shards of one division differ in size by chance, yet not by enough to matter."""
    data = blank(60_000)
    division = Sharding(20, 4, UNIFORM, 10, 1)
    draw = generator(1)
    shares = []
    for _ in range(200):
        gone = torch.zeros(len(data), dtype=torch.bool)
        gone[torch.randperm(len(data), generator=draw)[:10]] = True
        shares.append(plan(division, data.take(gone), data.take(~gone), 6.0).share)
    error = np.std(shares, ddof=1) / math.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(expected_share(10, 20, 4), abs=3 * error)


def test_a_whole_class_touches_every_shard_under_uniform_sharding_and_one_by_class():
    data = blank(60_000)
    gone = data.y == 7
    for seed in range(10):
        planned = plan(Sharding(20, 4, UNIFORM, 10, seed), data.take(gone), data.take(~gone), 6.0)
        assert planned.first == dict.fromkeys(range(20), 0)
        assert planned.share == 1
        planned = plan(Sharding(5, 4, BY_CLASS, 10, seed), data.take(gone), data.take(~gone), 6.0)
        assert len(planned.first) == 1
        # One of its two classes is left: half a shard of nine halves. Sizes vary.
        assert planned.share == pytest.approx(1 / 9, rel=0.1)


def test_a_plan_counts_each_cell():
    division = Sharding(3, 3, UNIFORM, 4, 0)
    gone = torch.arange(240) % 7 == 0
    planned = plan(division, TINY.train.take(gone), TINY.train.take(~gone), 2.0)
    assert torch.equal(planned.forget + planned.retain, division.counts(TINY.train))
    assert planned.forget.sum() == gone.sum()
    shards, slices = division.place(TINY.train.take(gone))
    assert planned.first == {shard: int(slices[shards == shard].min())
                             for shard in sorted(set(shards.tolist()))}


def test_a_plan_for_nothing_costs_nothing():
    planned = plan(Sharding(3, 3, UNIFORM, 4, 0), blank(0), TINY.train, 2.0)
    assert planned.first == {}
    assert planned.visits == planned.share == 0
    assert planned.everything > 0


def test_a_shard_with_one_class_left_does_not_slow_down():
    """Once it is sure, its gradients fade below 1e-38, where a CPU needs 20 times as long."""
    learner = learner_of(sharding=BY_CLASS, arch="cnn", slices=1, epochs=60.0, batch_size=4)
    model = trained(learner, TINY.train.take(TINY.train.y == 0))
    (shard,) = model.alive.nonzero().flatten().tolist()
    held = checkpoint_of(model, shard, 0).optimizer.abs()
    assert held[-1] == 900
    assert not ((held > 0) & (held < torch.finfo(torch.float32).tiny)).any()
