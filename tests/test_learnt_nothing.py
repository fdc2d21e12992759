"""Features of any size and offset are learnt; where nothing was learnt there is no verdict."""

import json

import numpy as np
import pytest
import torch
from conftest import tiny_dataset

from forget import models
from forget.data import Dataset, Samples
from forget.evaluation.compare import compare
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.metrics.accuracy import Predictions
from forget.metrics.guessing import Learnt
from forget.metrics.verdict import MATCHES, UNLEARNT, judge
from forget.models import Standardise, build
from forget.models.foreign import recognise
from forget.models.mlp import MLP
from forget.report.export import save_outcome, summary
from forget.unlearning import store
from forget.unlearning.learn import home_of, learn, start_from
from forget.unlearning.represent import recipe_of
from forget.unlearning.request import NOTHING, parse_request
from forget.unlearning.run import run

CHANGES = {
    "as they are": lambda x: x,
    "x 1e-4": lambda x: x * 1e-4,
    "x 1e6": lambda x: x * 1e6,
    "+ 2000": lambda x: x + 2000,
    "constant columns": lambda x: np.hstack([x, np.full((len(x), 3), 2000.0)]),
    "columns of all sizes": lambda x: x * np.array([1e4, 1, 1e-4, 1e-8, 1e-2, 1e3]),
    "small beside a constant": lambda x: np.hstack([x * 1e-4, np.full((len(x), 1), 1000.0)]),
}
QUICK = {"network": {"min_steps": 80, "epochs": 1}, "convex": {},
         "sisa": {"shards": 2, "slices": 2, "epochs": 2.0}}  # fmt: skip


def made(change, seed: int = 0) -> Dataset:
    """Three clouds in six dimensions, changed."""
    rng = np.random.default_rng(seed)
    centres, parts = rng.normal(0, 2, (3, 6)), []
    for each in (40, 20, 20):
        y = np.repeat(np.arange(3), each)
        order = rng.permutation(len(y))
        x = change(centres[y] + rng.normal(0, 1, (len(y), 6)))
        parts.append(Samples.from_arrays(x[order].astype(np.float32), y[order]))
    return Dataset("made", ("a", "b", "c"), *parts)


def nothing_in_it() -> Dataset:
    return made(lambda x: x * 0 + 3)


def outcome(dataset, learner, spec="random:6", method=None):
    learner = LEARNERS[learner](**QUICK[learner])
    method = METHODS[method or {"network": "finetune", "sisa": "sisa",
                                "convex": "certified"}[learner.name]]()
    start = start_from(learner, dataset, 0)
    return run(dataset, start, parse_request(spec, dataset, 0), method, 0)


@pytest.fixture(autouse=True)
def _home(home):
    """A data folder of its own."""


# Standardising.


@pytest.mark.parametrize("learner", ["network", "sisa"])
@pytest.mark.parametrize("change", CHANGES)
def test_features_of_any_size_are_learnt_equally_well(learner, change):
    dataset = made(CHANGES[change])
    stored = learn(LEARNERS[learner](**QUICK[learner]), dataset, 0)
    assert stored.record["test_accuracy"] >= 0.9


def test_each_feature_gets_mean_0_and_deviation_1():
    x = torch.tensor([[1.0, -3.0], [3.0, 5.0]]) * torch.tensor([1e-4, 1e6]) + 2.0
    scale = Standardise(2)
    assert torch.equal(scale(x), x)
    scale.fit(x)
    assert torch.allclose(scale(x), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), atol=1e-2)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 2000.0, 3e37, 1e-40])
def test_a_feature_that_does_not_vary_is_only_shifted(value):
    x = torch.full((1000, 1), value)
    scale = Standardise(1)
    scale.fit(x)
    assert scale.span.item() == 1.0
    assert scale(x).abs().max() <= abs(value) * 1e-6
    assert scale(x + 1).isfinite().all()


def test_one_row_is_no_deviation_and_no_row_no_fit():
    scale = Standardise(2)
    scale.fit(torch.zeros(0, 2))
    assert (scale.shift.tolist(), scale.span.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    scale.fit(torch.tensor([[4.0, 5.0]]))
    assert (scale.shift.tolist(), scale.span.tolist()) == ([4.0, 5.0], [1.0, 1.0])


@pytest.mark.drawn(2)
@pytest.mark.parametrize("spec", ["random:1", "random:6", "class:b", "samples:0,1,2,3,4,5"])
def test_sisa_on_vectors_is_still_exact_to_the_bit(spec):
    """Statistics included: training the same division without the samples gives the same."""
    dataset = made(CHANGES["columns of all sizes"])
    learner = LEARNERS["sisa"](shards=3, slices=3, epochs=2.0)
    start = start_from(learner, dataset, 0)
    request = parse_request(spec, dataset, 0)
    result = run(dataset, start, request, METHODS["sisa"](), 0, references=0)
    fresh = learn(learner, dataset, 0, NOTHING + request).model
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, result.unlearned.state_dict()[name]), name


def test_a_shards_statistics_are_those_of_its_own_samples_and_no_others():
    dataset = made(CHANGES["+ 2000"])
    learner = LEARNERS["sisa"](shards=4, slices=2, epochs=2.0)
    start = start_from(learner, dataset, 0)
    shards, _ = learner.division_of(start.model).place(dataset.train)
    for number, network in enumerate(start.model.networks):
        own = dataset.train.x[shards == number].double()
        assert torch.allclose(network.scale.shift.double(), own.mean(0), rtol=1e-6)
        assert torch.allclose(network.scale.span.double(), own.std(0, correction=0), rtol=1e-5)
    gone = torch.nonzero(shards == 0).flatten()[:1].tolist()
    request = parse_request("samples:" + ",".join(map(str, gone)), dataset, 0)
    after = run(dataset, start, request, METHODS["sisa"](), 0, references=0).unlearned
    before = start.model.state_dict()
    moved = {name.split(".")[1] for name, value in after.state_dict().items()
             if not torch.equal(value, before[name])}
    assert moved == {"0"}


def test_a_retrained_networks_statistics_never_saw_what_was_forgotten():
    dataset = made(CHANGES["as they are"])
    result = outcome(dataset, "network", "class:b", "retrain")
    kept = dataset.train.x[dataset.train.y != 1].double()
    for model in (result.unlearned, result.references[0]):
        assert torch.allclose(model.scale.shift.double(), kept.mean(0), atol=1e-6)


# What earlier versions wrote.


def as_of_old(path) -> dict:
    """A model file with one shift and one span for all features, as earlier versions have it."""
    tensors, record = store.read_sealed(path)
    tensors = {name: torch.tensor(float(name.endswith("span")))
               if name.endswith(("scale.shift", "scale.span")) else value
               for name, value in tensors.items()}
    path.write_bytes(store.sealed_bytes(tensors, record))
    return tensors


@pytest.mark.parametrize("learner", ["network", "sisa"])
def test_a_model_of_an_earlier_version_is_read_and_takes_vectors_as_they_are(learner, tmp_path):
    dataset = made(CHANGES["as they are"])
    stored = learn(LEARNERS[learner](**QUICK[learner]), dataset, 0)
    path = tmp_path / "old.safetensors"
    path.write_bytes(store.to_bytes(stored))
    as_of_old(path)
    old = store.load(path).model
    for scale in (one for one in old.modules() if isinstance(one, models.Scale)):
        assert torch.equal(scale(dataset.test.x), dataset.test.x)
    assert Predictions.of(old, dataset.test).accuracy > 0


def test_models_of_pixels_keep_their_names_and_those_of_vectors_get_another(home):
    images, vectors = tiny_dataset(), made(CHANGES["as they are"])
    for learner in ("network", "sisa", "convex"):
        assert "standardised" not in recipe_of(LEARNERS[learner](), images)
    assert "standardised" not in recipe_of(LEARNERS["network"](arch="linear"), vectors)
    assert "standardised" not in recipe_of(LEARNERS["convex"](), vectors)
    assert recipe_of(LEARNERS["network"](), vectors)["standardised"]
    assert recipe_of(LEARNERS["sisa"](), vectors)["standardised"]
    assert home_of(LEARNERS["network"](), images, 0, NOTHING).name == (
        "tiny-network-" + store.key_of(learner="network",
                                       settings=LEARNERS["network"]().settings(),
                                       data=images.fingerprint, seed=0, without=NOTHING.key)
        + ".safetensors")


@pytest.mark.parametrize("scales", [
    {}, {"scale.shift": torch.tensor(0.0), "scale.span": torch.tensor(1.0)},
    {"scale.shift": torch.arange(6.0), "scale.span": torch.arange(1.0, 7.0)},
])  # fmt: skip
def test_a_checkpoint_of_vectors_may_bring_its_statistics(scales):
    model = build("mlp", (6,), 3, torch.Generator().manual_seed(0))
    weights = {name: value for name, value in model.state_dict().items() if "scale" not in name}
    read = recognise(weights | scales)
    assert isinstance(read, MLP)
    shift = scales.get("scale.shift", torch.zeros(())).expand(6)
    assert torch.equal(read.scale.shift, shift)


# No verdict.


@pytest.mark.drawn(3)
@pytest.mark.parametrize("learner", ["network", "sisa", "convex"])
@pytest.mark.parametrize("spec", ["random:6", "class:b"])
def test_a_model_that_learnt_nothing_gets_no_verdict(learner, spec, tmp_path):
    result = outcome(nothing_in_it(), learner, spec)
    assert result.verdict.words == UNLEARNT
    assert not result.verdict.good
    assert "33.3 %" in result.verdict.reason
    assert "What helps" in result.verdict.reason
    assert "matches" not in summary(result)
    save_outcome(result, tmp_path)
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["verdict"] == UNLEARNT
    assert told["original_learnt"]["clear"] is False


def test_a_certified_head_on_shifted_features_says_so_too():
    """Its recipe is fixed: only the direction counts, and all point the same way."""
    shifted = made(lambda x: np.hstack([x * 1e-4, np.full((len(x), 1), 1000.0)]))
    result = outcome(shifted, "convex")
    assert result.verdict.words == UNLEARNT
    assert "direction" in result.verdict.reason


def test_a_comparison_gives_no_verdict_either():
    dataset = nothing_in_it()
    entries = [(METHODS["finetune"](), LEARNERS["network"](**QUICK["network"]))]
    comparison = compare(dataset, parse_request("class:b", dataset, 0), entries, [0, 1])
    (row,) = comparison.rows
    assert (row["verdict"], row["matching"]) == (UNLEARNT, 0)


def test_a_model_that_learnt_is_judged():
    assert outcome(made(CHANGES["x 1e-4"]), "sisa", "class:b").verdict.words == MATCHES


def test_what_was_only_memorised_was_learnt():
    """Labels by chance: unseen samples are guessed, and the training samples known by heart."""
    rng = np.random.default_rng(0)
    parts = [Samples.from_arrays(rng.normal(size=(n, 6)).astype(np.float32),
                                 np.arange(n) % 3) for n in (60, 30, 60)]
    dataset = Dataset("noise", ("a", "b", "c"), *parts)
    result = outcome(dataset, "network", "random:6", "retrain")
    assert result.learnt.clear
    assert result.verdict.words != UNLEARNT


@pytest.mark.parametrize(("right", "samples", "frequent", "clear"), [
    (40, 120, 40, False), (46, 120, 40, False), (60, 120, 40, True), (120, 120, 40, True),
    (0, 120, 40, False), (108, 120, 108, False), (119, 120, 108, True),
    (5, 10, 5, False), (10, 10, 5, True),
    (5_600, 50_000, 5_600, False), (8_000, 50_000, 5_600, False), (49_000, 50_000, 5_600, True),
    (15, 100, 1, True), (100, 100, 100, False),
])  # fmt: skip
def test_better_than_guessing_is_beyond_chance_and_by_enough(right, samples, frequent, clear):
    assert Learnt(right, samples, frequent).clear is clear


def test_the_rule_comes_before_every_other():
    nothing = dict.fromkeys(("forget_accuracy", "retain_accuracy", "test_forget_accuracy",
                             "test_retain_accuracy"), 1 / 3)
    knew = Learnt(40, 120, 40)
    assert judge(nothing, nothing, nothing, None, 120, False, knew).words == UNLEARNT
    assert judge(nothing, nothing, nothing, None, 120, True, knew).words == UNLEARNT
