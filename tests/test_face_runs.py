"""Runs on people: what is erased, what a certificate covers, what the command line takes and says.

Most of it on made-up people; what needs the real photos and the real network is slow.
"""

import contextlib
import dataclasses
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from browser import copy_faces
from clusters import people
from conftest import tiny_dataset, weights_hash
from hypothesis import given
from hypothesis import strategies as st
from made_up import Small, photo
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from forget.certified.newton import solve
from forget.cli import main as cli
from forget.core.device import generator
from forget.core.errors import BadInput, DamagedFile
from forget.core.steps import Returning
from forget.data import Dataset, find_dataset, mnist, photos
from forget.data.photos import RECIPES
from forget.faces import embed
from forget.faces.embedders import EMBEDDERS
from forget.features.vectors import Vectors
from forget.learners import LEARNERS
from forget.learners.convex import SOLVED, Convex
from forget.methods import METHODS
from forget.methods.certified import Certified
from forget.methods.retrain import Retrain
from forget.metrics.verdict import DAMAGED, MATCHES, OVER, UNCHANGED, UNDER, UNLEARNT
from forget.models import ARCHITECTURES, build, shapes_of
from forget.models.foreign import recognise
from forget.models.linear import Linear
from forget.report.export import save_outcome
from forget.unlearning import store
from forget.unlearning.checks import is_verified
from forget.unlearning.learn import learn, start_from
from forget.unlearning.represent import represent
from forget.unlearning.request import NOTHING, Forgotten, keys_of, parse_request
from forget.unlearning.result import Result
from forget.unlearning.run import run
from forget.unlearning.verify import TOWARDS, verify

ROOT = Path(__file__).parent.parent
PARTS = ("train", "held_out", "test")
VERDICTS = {MATCHES, UNDER, OVER, DAMAGED, UNCHANGED}
EVERY_METHOD = pytest.mark.parametrize("name", list(METHODS))
EXACT = ("retrain", "sisa", "certified")
"""Methods that end where retraining ends."""


@pytest.fixture(scope="module")
def crowd() -> Dataset:
    """Eight people who are told apart without an error."""
    return people(8, spread=.5, size=128)


@pytest.fixture(scope="module", autouse=True)
def _one_home(tmp_path_factory):
    """A home for all tests that ask for none of their own: originals are trained once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def asked(dataset: Dataset, *specs: str) -> Forgotten:
    """Requests on top of each other."""
    forgotten = NOTHING
    for spec in specs:
        forgotten += parse_request(spec, dataset, 0, forgotten)
    return forgotten


def learner_for(method: str, **settings):
    name = METHODS[method].learner
    return LEARNERS[name](**RECIPES[name] | settings)


def forget(dataset: Dataset, method: str, *specs: str, references: int = 1, **settings) -> Result:
    """Requests on top of each other, on the stored original."""
    start = start_from(learner_for(method, **settings), dataset, 0)
    for spec in specs:
        request = parse_request(spec, dataset, 0, start.forgotten)
        result = run(dataset, start, request, METHODS[method](), 0, references)
        start = result.next_start()
    return result


# Keys of what was forgotten.


def test_a_person_who_is_forgotten_has_keys_in_every_part(crowd):
    keys = keys_of(crowd, asked(crowd, "class:p3"))
    expected = {key for part in PARTS for key, y in zip(
        getattr(crowd, part).keys, getattr(crowd, part).y.tolist(), strict=True) if y == 3}
    assert keys == expected
    assert len(keys) == 10


def test_single_photos_have_their_own_keys_only(crowd):
    assert keys_of(crowd, asked(crowd, "samples:0,5,31")) == {
        crowd.train.keys[row] for row in (0, 5, 31)}


def test_all_training_photos_of_a_person_one_by_one_leave_the_unseen_ones(crowd):
    rows = (crowd.train.y == 2).nonzero().flatten().tolist()
    keys = keys_of(crowd, asked(crowd, "samples:" + ",".join(map(str, rows))))
    assert keys == {crowd.train.keys[row] for row in rows}


def test_keys_add_up_over_requests(crowd):
    chain = asked(crowd, "samples:0", "class:p3", "random:3", "class:p5")
    assert keys_of(crowd, chain) == set().union(
        *(keys_of(crowd, Forgotten((request,))) for request in chain.requests))


def test_nothing_forgotten_has_no_keys(crowd):
    assert keys_of(crowd, NOTHING) == set()


def test_digits_have_no_keys(tiny):
    for spec in ("class:b", "random:5", "samples:1,2"):
        assert keys_of(tiny, asked(tiny, spec)) == set()


@given(st.lists(st.sampled_from(["class:p1", "class:p2", "class:p6", "random:4", "random:1"]),
                unique=True, max_size=4))
def test_keys_are_those_of_forgotten_samples_and_of_whole_people_only(specs):
    dataset = people(8, seed=1)
    forgotten = asked(dataset, *specs)
    keys = keys_of(dataset, forgotten)
    gone = {dataset.train.keys[row] for row in forgotten.ids.tolist()}
    assert gone <= keys
    for part in PARTS:
        samples = getattr(dataset, part)
        for key, y in zip(samples.keys, samples.y.tolist(), strict=True):
            assert (key in keys) == (key in gone or y in forgotten.classes)


# Certificates.


def test_a_certificate_over_an_embedder_covers_the_head_alone_and_says_why(crowd):
    stated = forget(crowd, "certified", "class:p3", references=0).files.certificate
    embedder = EMBEDDERS["dlib_resnet"]
    assert stated["covers"] == "head"
    assert stated["embedder"] == "dlib_resnet"
    assert embedder.title in stated["covers_because"]
    assert embedder.learnt_from in stated["covers_because"]
    assert "cannot be checked" in stated["covers_because"]


def test_a_certificate_over_vectors_made_elsewhere_covers_the_head(crowd):
    plain = dataclasses.replace(crowd, embedder="")
    stated = forget(plain, "certified", "class:p3", references=0).files.certificate
    assert stated["covers"] == "head"
    assert "embedder" not in stated


def test_a_model_of_people_says_in_its_file_which_embedder_it_reads(crowd):
    result = forget(crowd, "gradient_ascent", "class:p3", references=0)
    assert result.start.stored.record["embedder"] == "dlib_resnet"
    assert result.record()["embedder"] == "dlib_resnet"
    assert result.next_start().stored.record["embedder"] == "dlib_resnet"


def test_a_model_of_digits_says_nothing_of_embedders(tiny):
    start = start_from(LEARNERS["network"](min_steps=5, epochs=1), tiny, 0)
    assert "embedder" not in start.stored.record


def verified(paths: Path, dataset: Dataset):
    return verify(paths / "certificate.json", paths / "model.safetensors", dataset,
                  paths / "model.secret.safetensors", reference=True)


def test_a_certificate_of_people_can_be_checked_with_and_without_the_forgotten(crowd, tmp_path):
    save_outcome(forget(crowd, "certified", "class:p3", references=0), tmp_path)
    without = dataclasses.replace(crowd, train=crowd.train.take(crowd.train.y != 3))
    for dataset in (crowd, without):
        checks = verified(tmp_path, dataset)
        assert is_verified(checks)
        assert [check.what for check in checks if check.passed is None] == (
            [] if dataset is crowd else [TOWARDS])


@pytest.mark.parametrize(("field", "value"), [
    ("covers", "whole model"), ("embedder", "none"), ("covers_because", "trust me"),
])  # fmt: skip
def test_a_certificate_that_claims_to_cover_more_does_not_hold(crowd, tmp_path, field, value):
    save_outcome(forget(crowd, "certified", "class:p3", references=0), tmp_path)
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}, indent=2) + "\n")
    assert any(check.passed is False for check in verified(tmp_path, crowd))


def test_a_certificate_names_nobody_and_no_photo(crowd, tmp_path):
    renamed = dataclasses.replace(
        crowd, classes=tuple(f"Person Numero{one}" for one in range(8)))
    result = forget(renamed, "certified", "class:Person Numero3", references=0)
    save_outcome(result, tmp_path)
    for name in ("certificate.json", "model.safetensors"):
        data = (tmp_path / name).read_bytes()
        assert b"Numero" not in data
        assert not any(key.encode() in data for key in crowd.train.keys)


# What a run says of strangers.


@pytest.fixture(scope="module")
def results(crowd, _one_home) -> dict[str, Result]:
    """Person p3 forgotten by every method."""
    return {name: forget(crowd, name, "class:p3") for name in METHODS}


def share_of_strangers(model: nn.Module, dataset: Dataset, person: int, value: float) -> float:
    """Counted photo by photo: how often the best class is below the threshold."""
    rows = dataset.test.x[dataset.test.y == person]
    with torch.no_grad():
        best = [model(row[None]).double().softmax(1).max().item() for row in rows]
    return np.mean([score < value for score in best])


@EVERY_METHOD
def test_the_shares_told_are_those_of_the_models(results, crowd, name):
    result = results[name]
    told = result.to_json()["unknown"]
    models = {"original": result.start.model, "unlearned": result.unlearned,
              "retrained": result.references[0]}
    assert set(told["forgotten_rejected"]) == set(models)
    for which, model in models.items():
        expected = share_of_strangers(model, crowd, 3, told["value"])
        assert told["forgotten_rejected"][which] == pytest.approx(expected)


@EVERY_METHOD
def test_the_threshold_is_told_with_its_rates(results, crowd, name):
    told = results[name].to_json()["unknown"]
    assert set(told) == {"value", "false_accept", "false_reject", "strangers", "known",
                         "forgotten_rejected"}
    assert 1 / 8 <= told["value"] <= 1
    assert told["strangers"] == len(crowd.test)
    assert told["known"] == 3 * len(crowd.test)


@EVERY_METHOD
def test_a_forgotten_person_becomes_a_stranger_and_nobody_else_does(results, crowd, name):
    result = results[name]
    rejected = result.rejected
    assert rejected["original"] <= .2
    assert rejected["retrained"] >= .8
    assert result.measured_unlearned.accuracies["test_forget_accuracy"] <= .2
    others = result.measured_unlearned.test.take(crowd.test.y != 3)
    assert others.accuracy >= .95
    if name in EXACT:
        assert rejected["unlearned"] >= .8
        assert result.threshold.rejected(others) <= .2


@EVERY_METHOD
def test_accuracy_counts_nobody_known_as_wrong_in_all_three_models(results, crowd, name):
    result = results[name]
    told = result.to_json()["metrics"]
    line = result.threshold.value
    for which, model in (("original", result.start.model), ("unlearned", result.unlearned),
                         ("retrained", result.references[0])):
        with torch.no_grad():
            p, guess = model(crowd.test.x).double().softmax(1).max(1)
        right = (guess == crowd.test.y) & (p >= line)
        theirs = crowd.test.y == 3
        assert told[which]["test_forget_accuracy"] == pytest.approx(right[theirs].double().mean())
        assert told[which]["test_retain_accuracy"] == pytest.approx(right[~theirs].double().mean())


@EVERY_METHOD
def test_who_is_nobody_known_in_every_photo_is_not_under_forgotten(results, name):
    result = results[name]
    said = result.measured_unlearned.forget
    assert said.counts[-1] + said.counts[:-1].sum() == len(result.request)
    if said.counts[-1] == len(result.request) and result.rejected["unlearned"] == 1:
        assert result.verdict.words != UNDER
        assert said.matrix[3].tolist() == [0] * 8 + [len(result.request)]
    else:
        assert name not in EXACT


def test_two_retrained_models_give_the_same_answers(results):
    """Whom of those that it knows a model finds nearest is chance where it knows nobody."""
    distance = results["retrain"].distance
    assert distance["agreement_forget"] == 1
    assert distance["agreement_test"] >= .95


@EVERY_METHOD
def test_every_method_ends_with_a_verdict(results, name):
    verdict = results[name].verdict
    assert verdict.words in VERDICTS
    if name in EXACT:
        assert verdict.words == MATCHES, verdict.reason


@pytest.mark.drawn(4)
@EVERY_METHOD
@pytest.mark.parametrize("spec", ["samples:0,9,17", "random:6"])
def test_photos_of_people_who_stay_have_no_share_of_strangers(crowd, name, spec):
    result = forget(crowd, name, spec)
    told = result.to_json()["unknown"]
    assert told["forgotten_rejected"] is None
    assert told["value"] == result.threshold.value
    assert result.verdict.words in VERDICTS
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_without_an_embedder_nothing_is_said_of_strangers(crowd):
    result = forget(dataclasses.replace(crowd, embedder=""), "retrain", "class:p3", references=0)
    assert result.threshold is None
    assert result.to_json()["unknown"] is None


def test_too_few_people_for_a_threshold_are_no_hindrance():
    three = people(3, spread=.5, size=64)
    result = forget(three, "certified", "class:p1")
    assert result.threshold is None
    assert result.rejected is None
    assert result.to_json()["unknown"] is None
    assert result.verdict.words == MATCHES


def test_without_a_reference_only_its_share_is_missing(crowd):
    rejected = forget(crowd, "retrain", "class:p3", references=0).rejected
    assert rejected["retrained"] is None
    assert rejected["unlearned"] >= .8


def test_shares_of_several_references_are_their_mean(crowd):
    result = forget(crowd, "gradient_ascent", "class:p3", references=2)
    shares = [result.threshold.rejected(m.test.take(crowd.test.y == 3))
              for m in result.measured_references]
    assert result.rejected["retrained"] == pytest.approx(np.mean(shares))


# Every method, with the recipes for faces.


@EVERY_METHOD
def test_a_method_leaves_the_original_alone(results, crowd, name):
    result = results[name]
    again = learn(learner_for(name), crowd, 0).model
    assert weights_hash(result.start.model) == weights_hash(again)
    assert weights_hash(result.unlearned) != weights_hash(again)


@pytest.mark.drawn(2)
@EVERY_METHOD
def test_people_who_are_lent_give_the_same_numbers_and_leave_no_file(crowd, results, name):
    home = Path(os.environ["FORGET_HOME"])
    before = sorted(home.rglob("*"))
    lent = forget(dataclasses.replace(crowd, private={}), name, "class:p3")
    assert sorted(home.rglob("*")) == before
    public = results[name]
    assert lent.threshold == public.threshold
    assert lent.rejected == public.rejected
    assert lent.measured_unlearned.accuracies == public.measured_unlearned.accuracies
    assert lent.reference_accuracies == public.reference_accuracies


@pytest.mark.drawn(2)
@EVERY_METHOD
def test_requests_on_top_of_each_other_each_make_a_stranger(crowd, name):
    result = forget(crowd, name, "samples:13", "class:p3", "class:p6")
    assert result.start.forgotten.classes == [3]
    if name != "sisa":  # whose shards, with few samples each, may name a person by chance
        guess = result.measured_unlearned.test.guess[crowd.test.y == 6]
        assert (guess == 6).float().mean() <= .2
    stay = (crowd.test.y != 3) & (crowd.test.y != 6)
    assert result.measured_unlearned.test.take(stay).accuracy >= .9


@pytest.mark.parametrize("name", EXACT)
def test_nothing_is_left_of_what_the_forgotten_photos_showed(crowd, name):
    """With other rows in their places the same model comes out in the end."""
    specs = ("samples:13", "class:p3", "class:p6")
    gone = asked(crowd, *specs).ids
    x = crowd.train.x.clone()
    x[gone] = torch.randn(len(gone), x.shape[1], generator=generator(5))
    other = dataclasses.replace(crowd, train=dataclasses.replace(crowd.train, x=x), private={})
    one, two = (forget(dataset, name, *specs, references=0).unlearned
                for dataset in (crowd, other))
    if name == "certified":
        assert (one.secret["weights"] - two.secret["weights"]).abs().max() < 1e-6
    else:
        assert weights_hash(one) == weights_hash(two)


@EVERY_METHOD
def test_the_fewest_people_who_can_be_told_apart(name):
    """Two people with two photos each: one to learn from, one to test on, none held out."""
    two = people(2, 2, spread=.2, size=32, held_out=0)
    with pytest.raises(BadInput, match="fewer than two classes"):
        forget(two, name, "class:p0")
    three = people(3, 4, spread=.2, size=32, held_out=0)
    if name == "gradient_ascent":
        with pytest.raises(BadInput, match="needs held-out samples"):
            forget(three, name, "class:p1")
        return
    result = forget(three, name, "class:p1")
    assert result.verdict.words in {*VERDICTS, UNLEARNT}  # five of six rows can be luck
    assert result.threshold is None


# The certified head, one class against the rest.


def head_rows(x: torch.Tensor) -> np.ndarray:
    """Rows as the head reads them, by numpy: direction and a constant column, times sixteen."""
    x = x.numpy().astype(float)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(1 - .1**2)
    return 16 * np.hstack([x, np.full((len(x), 1), .1)]).astype(np.float32).astype(float)


def cold(dataset: Dataset, learner: Convex, forgotten: Forgotten) -> torch.Tensor:
    """The solution on what is left, from zero, as the learner trains it."""
    rows = represent(learner, dataset).train
    keep = torch.ones(len(rows), dtype=torch.bool)
    keep[forgotten.ids] = False
    model = learner.build(dataset.input_shape, len(dataset.classes), generator(0))
    objective = learner.objective(model, rows.take(keep))
    work = Returning(solve(objective, objective.zeros(), SOLVED, generator(0)))
    for _ in work:
        continue
    return work.returned.w


CHAINS = pytest.mark.parametrize("specs", [
    ("class:p3",), ("class:p0",), ("class:p7",), ("samples:4,5,9",), ("class:p3", "class:p0"),
    ("samples:12", "class:p3"), ("samples:0,17", "class:p2", "samples:5"),
], ids=" then ".join)  # fmt: skip


@pytest.mark.drawn(5)
@CHAINS
@pytest.mark.parametrize("spread", [.5, 2.0], ids=["apart", "mixed"])
def test_certified_ends_where_a_cold_start_ends(specs, spread):
    dataset = people(8, spread=spread, size=24, seed=2)
    result = forget(dataset, "certified", *specs, references=0)
    found = result.unlearned.secret["weights"]
    expected = cold(dataset, result.start.learner, result.forgotten)
    assert (found - expected).abs().max() < 1e-6


def test_certified_ends_where_scikit_learn_ends():
    dataset = people(6, spread=1.2, size=12)
    learner = learner_for("certified", lam=1e-2)
    start = start_from(learner, dataset, 0)
    result = run(dataset, start, parse_request("class:p2", dataset, 0), Certified(), 0,
                 references=0)
    stay = dataset.train.y != 2
    x, y = head_rows(dataset.train.x[stay]), dataset.train.y[stay].numpy()
    for person in (0, 1, 3, 4, 5):
        own = LogisticRegression(C=1 / (learner.lam * len(y)), fit_intercept=False, tol=1e-12,
                                 max_iter=100_000).fit(x, y == person)
        assert result.unlearned.secret["weights"][:, person].numpy() == pytest.approx(
            own.coef_[0], abs=1e-6)


def test_what_is_published_differs_from_a_retrained_model_by_the_noise_of_both(crowd):
    result = forget(crowd, "certified", "class:p3", sigma=1e-4)
    (reference,) = result.references
    gap = result.unlearned.weight - reference.weight
    assert gap.std().item() == pytest.approx(2**.5 * 1e-4, rel=.1)  # over 1,032 weights
    assert gap.mean().abs() < 2e-5


def norm_of_gradient(dataset: Dataset, result: Result) -> float:
    """Of the objective on what is left at the un-noised weights, by numpy."""
    keep = np.ones(len(dataset.train), bool)
    keep[result.forgotten.ids.numpy()] = False
    x = head_rows(dataset.train.x)[keep]
    y = dataset.train.y.numpy()[keep]
    w = result.unlearned.secret["weights"].numpy()
    wanted = y[:, None] if w.shape[1] == 1 else np.eye(len(dataset.classes))[y]
    p = 1 / (1 + np.exp(-x @ w))
    return np.linalg.norm(x.T @ (p - wanted) + result.start.learner.lam * len(y) * w)


@pytest.mark.drawn(4)
@pytest.mark.parametrize(("count", "photos", "spread", "specs"), [
    (2, 10, .5, ["samples:0"]), (2, 10, 3.0, ["random:3"]), (3, 6, .5, ["class:p1"]),
    (8, 10, .05, ["class:p3"]), (8, 10, 5.0, ["class:p3"]), (40, 4, .5, ["class:p39", "class:p0"]),
    (8, 10, .5, ["random:15"]), (8, 10, 2.0, ["samples:0", "samples:1", "samples:2", "class:p0"]),
    (5, 20, .5, ["class:p1", "class:p2", "class:p3"]), (60, 6, 1.0, ["class:p17"]),
])  # fmt: skip
def test_no_more_of_the_gradient_is_left_than_is_said(count, photos, spread, specs):
    dataset = people(count, photos, spread, size=20, seed=3)
    result = forget(dataset, "certified", *specs, references=0)
    norm = norm_of_gradient(dataset, result)
    assert norm <= 1.01 * SOLVED
    assert norm == pytest.approx(result.kept_back["residual"], rel=.01, abs=1e-11)
    assert result.statement["residual"] <= result.statement["residual_allowed"]


def test_the_column_of_the_forgotten_person_moves_most(crowd):
    result = forget(crowd, "certified", "class:p3", references=0)
    before = result.start.model.secret["weights"]
    moved = (result.unlearned.secret["weights"] - before).norm(dim=0)
    assert moved.argmax() == 3


@pytest.mark.parametrize(("loss", "apart"), [("ovr", False), ("softmax", True)])
def test_only_where_columns_meet_is_the_forgotten_one_set_aside(crowd, loss, apart):
    result = forget(crowd, "certified", "class:p3", references=0, loss=loss)
    assert any("set aside" in point.step.doing for point in result.curve) == apart


def test_the_last_photos_of_a_person_make_the_same_model_as_the_person(crowd):
    rows = (crowd.train.y == 3).nonzero().flatten().tolist()
    by_photos = forget(crowd, "certified", "samples:" + ",".join(map(str, rows)), references=0)
    whole = forget(crowd, "certified", "class:p3", references=0)
    gap = by_photos.unlearned.secret["weights"] - whole.unlearned.secret["weights"]
    assert gap.abs().max() < 1e-6


# The linear architecture.


SIZES = [(1, 2), (2, 2), (128, 40), (512, 3)]


@pytest.mark.parametrize(("size", "people_count"), SIZES)
def test_a_linear_head_is_known_by_its_shapes(size, people_count):
    model = build("linear", (size,), people_count, generator(0))
    again = Linear.from_shapes(shapes_of(model))
    assert (again.input_shape, again.n_classes) == ((size,), people_count)
    assert again.name == "linear"


@pytest.mark.parametrize(("size", "people_count"), SIZES)
@pytest.mark.parametrize("names", [
    ("fc.weight", "fc.bias"), ("bias_first.weight", "bias_first.bias"), ("w", "b"),
    ("0.weight", "0.bias"),
], ids=" ".join)  # fmt: skip
def test_a_linear_head_is_recognised_under_any_names(size, people_count, names):
    model = build("linear", (size,), people_count, generator(0))
    found = recognise(dict(zip(names, (model.fc.weight, model.fc.bias), strict=True)))
    assert isinstance(found, Linear)
    x = torch.randn(5, size, generator=generator(1))
    assert torch.equal(found(x), model(x))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_with_a_linear_head_is_recognised(tmp_path, suffix):
    model = build("linear", (128,), 40, generator(0))
    path = tmp_path / f"theirs{suffix}"
    state = {name: value.detach() for name, value in model.state_dict().items()}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = store.read_foreign(path)
    assert isinstance(found, Linear)
    assert weights_hash(found) == weights_hash(model)


@pytest.mark.parametrize("shapes", [
    [(3, 4), (4,)], [(3, 4), (2,)], [(3,), (3, 4)], [(3, 4)], [(3,)], [], [(3, 4), (3,), (1,)],
    [(3, 4, 1), (3,)], [(3, 4), (3, 1)],
], ids=str)  # fmt: skip
def test_other_shapes_are_no_linear_head(shapes):
    assert Linear.from_shapes(shapes) is None
    with pytest.raises(DamagedFile):
        recognise({f"{number}": torch.zeros(shape) for number, shape in enumerate(shapes)}
                  or {"x": torch.zeros(1)})


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_no_other_architecture_is_taken_for_a_linear_head(name):
    shape = (1, 28, 28) if name == "cnn" else (30,)
    model = build(name, shape, 7, generator(0))
    assert recognise(dict(model.state_dict())).name == name


def test_a_linear_head_beside_a_scaling_it_does_not_have_is_a_clear_error():
    """As an older program might save it; a page shows what :class:`DamagedFile` says."""
    tensors = {"fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3),
               "scale.shift": torch.tensor(0.0), "scale.span": torch.tensor(1.0)}
    with contextlib.suppress(DamagedFile):
        assert isinstance(recognise(tensors), Linear)


def test_a_linear_head_reads_the_direction_of_a_row_only():
    model = build("linear", (8,), 3, generator(0))
    x = torch.randn(5, 8, generator=generator(1))
    assert torch.allclose(model(x), model(100 * x), atol=1e-4)
    assert model(torch.zeros(1, 8)).isfinite().all()


def test_a_linear_head_refuses_images(home):
    with pytest.raises(BadInput, match="feature vectors"):
        learn(LEARNERS["network"](arch="linear"), tiny_dataset(), 0)


# The command line, on made-up photos.


class Quick(Small):
    """The small embedder under the name of the real one, whose title a certificate tells."""

    name = "dlib_resnet"


@pytest.fixture
def small(monkeypatch, home) -> Path:
    """An empty home, made-up faces and the small embedder; gives the home."""
    monkeypatch.setattr(embed, "find_faces", made_up.find_faces)
    monkeypatch.setattr(embed, "aligned", made_up.aligned)
    monkeypatch.setattr(photos, "find_embedder", lambda: Quick)
    return home


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six people with six photos each, no two alike."""
    for person in range(6):
        place = tmp_path / "Our family" / f"Person {person}"
        place.mkdir(parents=True)
        for number in range(6):
            (place / f"{number}.png").write_bytes(photo(100 * person + number))
    return tmp_path / "Our family"


def call(*arguments) -> int:
    """The exit status of one command, whoever ends it."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def run_in(folder, *arguments, spec="class:Person 3", method="retrain") -> int:
    return call("run", folder, "--forget", spec, "--method", method, *arguments)


def params_of(path: Path) -> dict:
    return json.loads(path.read_text())["params"]


@pytest.mark.drawn(3)
@EVERY_METHOD
def test_a_run_takes_the_recipe_erases_the_person_and_says_how_often_nobody_is_known(
    small, folder, capsys, tmp_path, name
):
    assert run_in(folder, "--json", tmp_path / "r.json", method=name) == 0
    told = json.loads((tmp_path / "r.json").read_text())
    recipe = RECIPES[METHODS[name].learner]
    assert {knob: told["params"][f"learner.{knob}"] for knob in recipe} == recipe
    assert embeddings(small) == keys_in(folder) - keys_in(folder / "Person 3")
    said = capsys.readouterr().out
    assert "deleted from the cache: 6 embeddings" in said
    (line,) = [line for line in said.splitlines() if "nobody is known" in line]
    for which, share in told["unknown"]["forgotten_rejected"].items():
        assert f"{which} {share:.0%}" in line


@pytest.mark.drawn(3)
@pytest.mark.parametrize(("method", "knob", "value"), [
    ("retrain", "arch", "mlp"), ("retrain", "min_steps", 7), ("retrain", "lr", .01),
    ("sisa", "min_steps", 3), ("sisa", "shards", 2),
    ("certified", "loss", "softmax"), ("certified", "loss", "auto"), ("certified", "lam", .01),
])  # fmt: skip
def test_a_recipe_can_be_overridden_knob_by_knob(small, folder, tmp_path, method, knob, value):
    assert run_in(folder, "--set", f"learner.{knob}={value}", "--json", tmp_path / "r.json",
                  method=method) == 0  # fmt: skip
    told = params_of(tmp_path / "r.json")
    assert told[f"learner.{knob}"] == value
    for other, expected in RECIPES[METHODS[method].learner].items():
        if other != knob:
            assert told[f"learner.{other}"] == expected


@pytest.mark.parametrize("prefix", ["", "learner."])
def test_train_overrides_a_recipe_too(small, folder, capsys, prefix):
    assert call("train", folder, "--set", f"{prefix}arch=mlp", "--set", f"{prefix}min_steps=5") == 0
    records = [store.load(path).record for path in (small / "trained").iterdir()]
    assert {record["settings"]["arch"] for record in records} == {"mlp"}
    assert {record["settings"]["min_steps"] for record in records} == {5}


def test_people_and_digits_have_recipes_of_their_own():
    assert find_dataset("mnist").recipes == mnist.RECIPES
    assert find_dataset("faces").recipes == RECIPES
    assert not find_dataset("faces").recipes["network"].get("tilt")


def embeddings(home: Path) -> set[str]:
    return {path.stem for path in (home / "embeddings").rglob("*.safetensors")}


def keys_in(place: Path) -> set[str]:
    return {embed.key_of(path.read_bytes()) for path in place.rglob("*.png")}


def test_a_run_on_photos_deletes_theirs_only(small, folder, capsys):
    assert call("train", folder) == 0
    dataset = find_dataset(str(folder)).load()
    assert run_in(folder, spec="samples:2,5") == 0
    assert keys_in(folder) - embeddings(small) == {dataset.train.keys[row] for row in (2, 5)}


def test_several_requests_delete_all_of_theirs(small, folder):
    assert run_in(folder, "--forget", "class:Person 5", "--forget", "samples:0") == 0
    left = keys_in(folder) - keys_in(folder / "Person 3") - keys_in(folder / "Person 5")
    assert len(left - embeddings(small)) == 1
    assert embeddings(small) <= left


def test_a_wrong_request_deletes_nothing(small, folder):
    assert call("train", folder) == 0
    assert run_in(folder, spec="class:Nobody") == 2
    assert embeddings(small) == keys_in(folder)


def test_training_deletes_nothing(small, folder):
    assert call("train", folder) == 0
    assert embeddings(small) == keys_in(folder)


def test_no_name_of_a_person_or_a_photo_is_written_to_the_home(small, folder):
    for place in list(folder.iterdir()):
        place.rename(folder / place.name.replace("Person ", "Zacharias"))
    for file in list(folder.rglob("3.png")):
        file.rename(file.with_name("holiday-snap.png"))
    assert run_in(folder, spec="class:Zacharias3") == 0
    for path in small.rglob("*"):
        assert "Zacharias" not in path.name and "holiday" not in path.name
        if path.is_file():
            data = path.read_bytes()
            assert b"Zacharias" not in data and b"holiday-snap" not in data


def test_findings_are_said_on_standard_error_and_the_result_on_standard_output(
    small, folder, capsys
):
    (folder / "notes.txt").write_text("")
    (folder / "Person 1" / "sky.png").write_bytes(photo(900, faces=0))
    (folder / "Person 2" / "again.png").write_bytes(
        (folder / "Person 2" / "0.png").read_bytes())
    (folder / "Alone").mkdir()
    (folder / "Alone" / "1.png").write_bytes(photo(901))
    assert run_in(folder) == 0
    said = capsys.readouterr()
    notes = [line for line in said.err.replace("\r", "\n").splitlines()
             if line.startswith("note: ")]
    dataset = find_dataset(str(folder)).load()
    assert notes == ["note: 36 of 39 photos are used; 3 are left out",
                     *(f"note: {finding}" for finding in dataset.findings)]
    assert len(notes) == 5
    assert "note: " not in said.out
    assert said.out.startswith("Our family: forget class:Person 3")


def test_many_findings_are_a_line_a_kind_and_all_of_them_where_that_is_asked_for(
    small, folder, capsys
):
    for number in range(53):
        (folder / "Person 1" / f"sky{number:02}.png").write_bytes(photo(900 + number, faces=0))
    for number in range(4):
        (folder / f"notes{number}.txt").write_text("")

    def notes(*more) -> list[str]:
        assert call("train", folder, "--set", "min_steps=5", *more) == 0
        said = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return [line.removeprefix("note: ") for line in said if line.startswith("note: ")]

    used, files, skies, hint = notes()
    assert used.endswith("photos are used; 53 are left out")
    assert files.startswith("4 other files are left out (“notes0.txt”, “notes1.txt”, “notes2.txt” ")
    assert skies.startswith("53 photos are left out (“Person 1/sky00.png”, ")
    assert hint == "--verbose names every file"
    listed = notes("--verbose")
    assert listed[0] == used
    assert listed[1:] == [*map(str, find_dataset(str(folder)).load().findings)]
    assert len(listed) == 1 + 57


def test_a_certified_run_over_a_folder_can_be_verified(small, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_in(folder, "--out", out, method="certified") == 0
    assert "covers the head" in capsys.readouterr().out
    assert call("verify", out / "certificate.json", "--model", out / "model.safetensors",
                "--data", folder, "--secret", out / "model.secret.safetensors",
                "--reference") == 0  # fmt: skip
    assert "verified" in capsys.readouterr().out


def test_a_certificate_over_a_folder_holds_when_the_person_is_deleted_from_it(
    small, folder, tmp_path
):
    """As ``--data`` says: the data, with or without what was forgotten."""
    out = tmp_path / "out"
    assert run_in(folder, "--out", out, method="certified") == 0
    shutil.rmtree(folder / "Person 3")
    assert call("verify", out / "certificate.json", "--model", out / "model.safetensors",
                "--data", folder, "--secret", out / "model.secret.safetensors") == 0  # fmt: skip


def test_a_run_goes_on_from_a_model_that_an_earlier_one_wrote(small, folder, tmp_path):
    out = tmp_path / "out"
    assert run_in(folder, "--out", out) == 0
    assert run_in(folder, "--model", out / "model.safetensors", "--json", tmp_path / "r.json",
                  spec="class:Person 4") == 0  # fmt: skip
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["forgotten_before"] == ["class:Person 3"]
    assert told["unknown"]["forgotten_rejected"]["unlearned"] is not None


@pytest.mark.parametrize("arch", ["linear", "mlp"])
def test_a_run_starts_from_a_head_that_someone_else_trained(small, folder, tmp_path, arch, capsys):
    dataset = find_dataset(str(folder)).load()
    model = learn(LEARNERS["network"](arch=arch, min_steps=100), dataset, 0).model
    torch.save({name: value for name, value in model.state_dict().items()
                if arch == "mlp" or not name.startswith("scale.")}, tmp_path / "theirs.pt")
    assert run_in(folder, "--model", tmp_path / "theirs.pt", "--json", tmp_path / "r.json",
                  method="gradient_ascent") == 0  # fmt: skip
    assert json.loads((tmp_path / "r.json").read_text())["verdict"] in VERDICTS


def test_a_head_for_other_people_is_refused(small, folder, tmp_path, capsys):
    model = build("linear", (12,), 9, generator(0))
    torch.save(dict(model.state_dict()), tmp_path / "theirs.pt")
    assert run_in(folder, "--model", tmp_path / "theirs.pt") == 2
    assert "9 classes" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("people_count", [0, 1])
def test_a_folder_with_too_few_people_is_one_sentence(small, tmp_path, capsys, people_count):
    place = tmp_path / "few"
    place.mkdir()
    for person in range(people_count):
        (place / f"{person}").mkdir()
        for number in range(3):
            (place / f"{person}" / f"{number}.png").write_bytes(photo(person + number))
    assert call("train", place) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("forget: ")


# train_face.py


@pytest.fixture
def given_to_main(monkeypatch) -> list:
    """What ``train_face.py`` hands to the command line, which does nothing here."""
    calls = []

    def main(arguments=None):
        calls.append(list(arguments))
        return 0

    monkeypatch.setattr(cli, "main", main)
    return calls


def train_face(monkeypatch, *arguments: str) -> int:
    """The exit status of ``python train_face.py`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["train_face.py", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "train_face.py"), run_name="__main__")
    return end.value.code


@pytest.mark.parametrize(("arguments", "expected"), [
    ([], ["train", "faces"]),
    (["--data", "mine"], ["train", "mine"]),
    (["--data=mine"], ["train", "mine"]),
    (["--data", "our family/2020"], ["train", "our family/2020"]),
    (["--data=a=b"], ["train", "a=b"]),
    (["--seed", "3"], ["train", "faces", "--seed", "3"]),
    (["--data", "mine", "--seed", "3"], ["train", "mine", "--seed", "3"]),
    (["--seed", "3", "--data", "mine"], ["train", "mine", "--seed", "3"]),
    (["--seed=3", "--data=mine", "--learner", "convex"],
     ["train", "mine", "--seed=3", "--learner", "convex"]),
    (["--set", "lr=0.01", "--data", "mine", "--set", "min_steps=5"],
     ["train", "mine", "--set", "lr=0.01", "--set", "min_steps=5"]),
    (["--data", "mine", "--data", "yours"], ["train", "yours"]),
], ids=" ".join)  # fmt: skip
def test_train_face_is_the_train_command(monkeypatch, given_to_main, arguments, expected):
    assert train_face(monkeypatch, *arguments) == 0
    (given,) = given_to_main
    assert given[:2] == expected[:2]
    assert given[2:] == expected[2:]


@pytest.mark.parametrize("arguments", [
    ["--data"], ["--seed", "3", "--data"], ["--data", "--seed", "3"], ["--dat", "mine"],
    ["mine"], ["--seed", "3", "mine"], ["--nope"], ["--seed", "x"], ["--data="],
    ["--data", "/no/such/folder"], ["--data", "mine.txt", "--seed", "3"],
], ids=" ".join)  # fmt: skip
def test_wrong_arguments_end_with_two_and_train_nothing(monkeypatch, home, capsys, arguments):
    assert train_face(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip()
    assert "Traceback" not in said.err
    assert not (home / "trained").exists()


def test_train_face_explains_itself(monkeypatch, capsys):
    assert train_face(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    assert "--data FOLDER" in said
    assert "--learner" in said


def test_train_face_hands_on_the_exit_status(monkeypatch):
    monkeypatch.setattr(cli, "main", lambda arguments: 130)
    assert train_face(monkeypatch) == 130


def test_train_face_trains_a_folder_and_says_what_came_of_it(small, folder, monkeypatch, capsys):
    (folder / "notes.txt").write_text("")
    assert train_face(monkeypatch, "--data", str(folder), "--set", "min_steps=20") == 0
    said = capsys.readouterr()
    assert "Our family, learner network, seed 0" in said.out
    assert "of the test set right" in said.out
    assert "note: “notes.txt” is left out" in said.err
    assert "photo" in said.err and "step" in said.err  # the bars


# Real photos and the real network.


@pytest.fixture(scope="module")
def orl(tmp_path_factory) -> Path:
    """A home with the AT&T faces, the network, and what is known of the photos."""
    return copy_faces(tmp_path_factory.mktemp("orl") / "home")


def program(home: Path, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"FORGET_HOME": str(home)}, check=False)


@pytest.mark.slow
def test_forgetting_a_real_person_deletes_their_embeddings_alone(orl, monkeypatch, tmp_path):
    monkeypatch.setenv("FORGET_HOME", str(orl))
    source = find_dataset("faces")
    dataset = source.load()
    keys = {person: keys_of(dataset, asked(dataset, f"class:{person}")) for person in ("s7", "s12")}
    everybody = embeddings(orl)
    assert len(everybody) == 400
    done = program(orl, "-m", "forget", "run", "faces", "--forget", "class:s7", "--method",
                   "certified", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert everybody - embeddings(orl) == keys["s7"]
    assert "deleted from the cache: 10 embeddings" in done.stdout
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["verdict"] == MATCHES
    assert told["certificate"]["covers"] == "head"
    assert told["unknown"]["forgotten_rejected"]["unlearned"] >= .8
    assert cli.main(["run", "faces", "--forget", "samples:0,1", "--method", "gradient_ascent"]) == 0
    assert len(keys["s7"] & embeddings(orl)) == 10  # the data still hold the person
    assert everybody - embeddings(orl) == {dataset.train.keys[row] for row in (0, 1)}


def write_people(folder: Path, count: int) -> Path:
    """Real people in folders of PNGs, and everything that may be wrong in one."""
    for one in find_dataset("faces").photos():
        person, number = one.name.removesuffix(".pgm").split("/")
        if int(person[1:]) <= count and int(number) <= 6:
            place = folder / f"Person {person}"
            place.mkdir(parents=True, exist_ok=True)
            Image.open(io.BytesIO(one.data)).save(place / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    cloud = Image.new("RGB", (200, 200), "skyblue")
    ImageDraw.Draw(cloud).ellipse([40, 60, 160, 120], "white")
    cloud.save(folder / "Person s1" / "cloud.png")
    shutil.copy(folder / "Person s2" / "1.png", folder / "Person s2" / "again.png")
    shutil.copy(folder / "Person s3" / "1.png", folder / "Person s4" / "mine.png")
    (folder / "Alone").mkdir()
    Image.open(folder / "Person s5" / "1.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        folder / "Alone" / "1.png")
    return folder


@pytest.mark.slow
def test_a_folder_of_real_people_end_to_end(orl, tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(orl))
    folder = write_people(tmp_path / "Friends", 6)
    done = program(orl, "train_face.py", "--seed", "1", "--data", folder)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.replace("\r", "\n").splitlines()
             if line.startswith("note: ")]
    assert notes[0] == "note: 34 of 40 photos are used; 6 are left out"
    assert len(notes) == 7
    for words in ("notes.txt", "cloud.png", "again.png", "--verbose names every file",
                  "2 times the same photo stands under different names (“Alone/1.png”",  # mirrored
                  "Alone is left out: 0 of 1"):
        assert sum(words in note for note in notes) == 1, words
    assert "Friends, learner network, seed 1: 100.00% of the test set right" in done.stdout
    before = embeddings(orl)
    assert cli.main(["run", str(folder), "--forget", "class:Person s5", "--method", "certified",
                     "--json", str(tmp_path / "r.json")]) == 0
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["dataset"] == "Friends"
    assert told["metrics"]["unlearned"]["test_forget_accuracy"] == 0
    assert told["metrics"]["unlearned"]["test_retain_accuracy"] >= .9
    gone = {embed.key_of(path.read_bytes()) for path in (folder / "Person s5").glob("*.png")}
    assert before - embeddings(orl) == gone


@pytest.mark.slow
def test_real_people_are_forgotten_by_certified_as_scikit_learn_would_retrain(orl, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(orl))
    dataset = find_dataset("faces").load()
    assert isinstance(learner_for("certified").feature_map(dataset.input_shape), Vectors)
    result = forget(dataset, "certified", "class:s7", references=0)
    expected = cold(dataset, result.start.learner, result.forgotten)
    assert (result.unlearned.secret["weights"] - expected).abs().max() < 1e-6
    stay = dataset.train.y != dataset.classes.index("s7")
    y = dataset.train.y[stay].numpy()
    x = represent(result.start.learner, dataset).train.x[stay].numpy().astype(float) * 16
    for person in (0, 20, 39):
        own = LogisticRegression(C=1 / (1e-4 * len(y)), fit_intercept=False, tol=1e-12,
                                 max_iter=100_000).fit(x, y == person)
        assert expected[:, person].numpy() == pytest.approx(own.coef_[0], abs=1e-5)


def test_a_run_by_hand_needs_no_reference(crowd):
    """The smallest thing that a script may ask for."""
    start = start_from(learner_for("retrain"), crowd, 0)
    result = run(crowd, start, parse_request("class:p3", crowd, 0), Retrain(), 0, references=0)
    assert result.verdict is None
    assert result.rejected["unlearned"] >= .8
