"""Certified removal end to end: what a certificate says, what it takes to refute it, and that
nothing but the honest files passes."""

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_dataset, weights_hash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from bench.forgeries import FALSE, over_everything, retold, with_weights
from forget.certified.noise import on_grid
from forget.certified.privacy import (
    budget,
    composed_epsilon,
    gaussian_multiplier,
    residual_allowed,
)
from forget.cli import main as cli
from forget.core.device import generator
from forget.core.errors import BadInput, Cancelled, Diverged, ForgetError, NoMemory
from forget.data import Dataset, Samples, find_dataset
from forget.features.pixels import Pixels
from forget.features.vectors import Vectors
from forget.io.private import KEY_BYTES, MACHINE_KEY
from forget.learners.convex import SOLVED, Convex
from forget.methods import certified as certified_module
from forget.methods.certified import Certified
from forget.records import ledger
from forget.report.export import save_outcome
from forget.unlearning import store
from forget.unlearning.certificate import KIND, retained_rows, text_of
from forget.unlearning.checks import is_verified
from forget.unlearning.learn import learn, resume, start_from
from forget.unlearning.represent import represent
from forget.unlearning.request import Forgotten, parse_request
from forget.unlearning.result import Start
from forget.unlearning.run import run
from forget.unlearning.store import Stored
from forget.unlearning.verify import TOWARDS, verify
from forget.unlearning.watch import Watch

LAM = 1e-3
SPECS = ["samples:0,5,9", "random:20", "class:b"]
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS)


@pytest.fixture(scope="module", autouse=True)
def _one_home(tmp_path_factory):
    """A home for this whole file: originals are trained once, with the same noise every time."""
    home = tmp_path_factory.mktemp("home")
    (home / MACHINE_KEY).write_bytes(bytes(range(KEY_BYTES)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(home))
        yield


def clouds(n=240, d=7, classes=4, seed=0, name="clouds") -> Dataset:
    """Overlapping clouds of feature vectors."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))

    def part(count):
        y = np.arange(count) % classes
        rng.shuffle(y)
        return Samples.from_arrays(
            (centres[y] + rng.normal(size=(count, d))).astype(np.float32), y)

    return Dataset(name, tuple("abcdefgh"[:classes]), part(n), part(60), part(60))


OLD = Path(__file__).parent / "first_certificates"

DATA = {"vectors": clouds(), "glyphs": tiny_dataset(), "two": clouds(classes=2, name="two")}


@functools.cache
def start_of(data="vectors", seed=0, **settings) -> Start:
    return start_from(Convex(**{"lam": LAM} | settings), DATA[data], seed)


def forgotten(spec, start, data="vectors", method=None, seed=0, watch=None):
    request = parse_request(spec, DATA[data], seed, start.forgotten)
    return run(DATA[data], start, request, method or Certified(), seed, references=0,
               **({"watch": watch} if watch else {}))


@functools.cache
def result_of(spec="random:20", data="vectors", **settings):
    method = Certified(**{key: settings.pop(key) for key in ("epsilon", "delta", "bound")
                          if key in settings})
    return forgotten(spec, start_of(data, **settings), data, method)


@dataclasses.dataclass(frozen=True)
class Paths:
    certificate: Path
    model: Path
    secret: Path

    @classmethod
    def of(cls, folder: Path) -> "Paths":
        return cls(folder / "certificate.json", folder / "model.safetensors",
                   folder / "model.secret.safetensors")


def saved(result, folder: Path) -> Paths:
    save_outcome(result, folder)
    return Paths.of(folder)


@pytest.fixture
def honest(tmp_path) -> Paths:
    return saved(result_of(), tmp_path / "out")


def checked(paths: Paths, dataset=None, secret=True, **more):
    return verify(paths.certificate, paths.model, dataset or DATA["vectors"],
                  paths.secret if secret else None, **more)


def holds(checks) -> bool:
    """Verified, and no check was left out."""
    assert all(check.passed is None or isinstance(check.passed, bool) for check in checks)
    return is_verified(checks) and unopposed(checks)


def opposed(checks) -> bool:
    """Whether a check says no."""
    return any(check.passed is False for check in checks)


def unopposed(checks) -> bool:
    """Every check says yes; whether any of them vouches for the fields is another question."""
    return all(check.passed is True for check in checks)


def refused(paths: Paths, dataset=None, **more) -> bool:
    """Not verified: a check says no, or the library's own error says why there is none."""
    try:
        return any(check.passed is False for check in checked(paths, dataset, **more))
    except ForgetError as error:
        assert str(error)
        assert "\n" not in str(error)
        return True


def rewritten(path: Path, change) -> dict:
    """The certificate on disk with one change, written in the one way it is written."""
    certificate = json.loads(path.read_text())
    change(certificate)
    path.write_text(text_of(certificate))
    return certificate


def rows_and_labels(result, data="vectors"):
    """The retained samples as the head reads them, made without the library's objective."""
    dataset, learner = DATA[data], result.start.learner
    keep = np.ones(len(dataset.train), bool)
    keep[result.forgotten.ids.numpy()] = False
    x = dataset.train.x.numpy()[keep]
    if learner.features == "pixels":
        x = x.reshape(len(x), -1).astype(np.float32) / np.float32(255) - np.float32(0.5)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x = x / np.linalg.norm(x, axis=1, keepdims=True) * math.sqrt(0.99)
        x = np.hstack([x, np.full((len(x), 1), 0.1, np.float32)])
    return x.astype(np.float64) * learner.radius, dataset.train.y.numpy()[keep]


def value_and_gradient(x, y, w, lam, ovr=False, linear=None):
    """The objective in numpy, once more."""
    z = x @ w
    hot = np.eye(w.shape[1])[y] if w.shape[1] > 1 else y[:, None].astype(float)
    if ovr:
        p = 1 / (1 + np.exp(-z))
        loss = (np.logaddexp(0, z) - z * hot).sum()
    else:
        top = z.max(1, keepdims=True)
        sums = np.exp(z - top).sum(1, keepdims=True)
        p = np.exp(z - top) / sums
        loss = (np.log(sums) + top).sum() - (z * hot).sum()
    gradient = x.T @ (p - hot) + lam * len(y) * w
    value = loss + lam * len(y) / 2 * (w**2).sum()
    if linear is not None:
        value, gradient = value + (linear * w).sum(), gradient + linear
    return value, gradient


# The certificate.


@EVERY_SPEC
def test_a_certificate_says_what_it_must(spec):
    result = result_of(spec)
    stated = result.files.certificate
    left = len(DATA["vectors"].train) - len(result.request)
    assert stated["mode"] == "residual"
    assert (stated["epsilon"], stated["delta"]) == (1.0, 1e-5)
    assert (stated["sigma"], stated["lam"]) == (1e-3, LAM)
    assert stated["n_retained"] == left
    assert stated["n_forgotten"] == len(result.request)
    weights = result.unlearned.weight.numel()
    assert stated["weights"] == weights
    # The analytic Gaussian's 3.7306316, and little more for the grid; less the rounding's part.
    assert 3.7306316 < stated["noise_multiplier"] < 3.7306316 * (1 + 1e-6)
    hidden = 1 / stated["noise_multiplier"] - 1.25 * math.sqrt(weights) / 2**16
    assert stated["residual_allowed"] == pytest.approx(1e-3 * LAM * left / 2 * hidden, rel=1e-9)
    assert stated["distance_allowed"] == pytest.approx(1e-3 / 2 * hidden, rel=1e-9)
    assert stated["residual"] == SOLVED <= stated["residual_allowed"]
    assert stated["covers"] == "head", "nobody knows what made the vectors"
    assert stated["issuer_says"]["dataset"] == "clouds"
    assert stated["empty_classes"] == ([1] if spec == "class:b" else [])
    assert len(stated["assumptions"]) >= 4


@pytest.mark.parametrize(("spec", "data", "settings"), [
    *itertools.product(SPECS, ["vectors"], [{}, {"loss": "ovr"}]),
    *itertools.product(SPECS[:2], ["two"], [{}, {"loss": "ovr"}]),  # two classes must remain
    *itertools.product(SPECS, ["glyphs"], [{"features": "pixels"}]),
])  # fmt: skip
def test_the_residual_is_the_measured_gradient_and_is_allowed(spec, data, settings):
    result = result_of(spec, data, **settings)
    x, y = rows_and_labels(result, data)
    _, gradient = value_and_gradient(x, y, result.unlearned.secret["weights"].numpy(), LAM,
                                     settings.get("loss") == "ovr")
    stated = result.statement
    assert np.linalg.norm(gradient) <= stated["residual_allowed"]
    if data == "vectors":  # where float32 features are the library's own to the bit or nearly
        assert np.linalg.norm(gradient) <= 1e-4


def test_the_residual_kept_back_is_the_librarys_own_measurement():
    for spec in SPECS:
        result = result_of(spec)
        learner = result.start.learner
        rows = represent(learner, DATA["vectors"]).train
        rows = rows.take(retained_rows(DATA["vectors"], result.forgotten.ids))
        at = learner.objective(result.unlearned, rows).evaluate(result.unlearned.secret["weights"])
        assert at.residual == pytest.approx(result.kept_back["residual"], rel=1e-6, abs=1e-12)


def test_nothing_that_was_measured_is_published():
    """Two requests of as many samples: their certificates state the same but for the hashes, and
    the models' own records say the same."""
    def stated(spec: str, **settings) -> tuple[dict, dict]:
        result = result_of(spec, **settings)
        words = {name: value for name, value in result.files.certificate.items()
                 if not name.endswith(("sha256", "hash", "commitment", "mac", "model"))}
        return words, result.record()

    for mode in ({}, {"mode": "guo", "sigma": 10.0, "lam": 1e-2}):
        one, other = (stated(spec, **mode) for spec in ("samples:0,5,9", "samples:1,2,3"))
        assert one == other
        assert one[0]["iterations"] is None
        assert not {"seconds", "forget_seconds", "bound_of_this_request", "spent",
                    "retrained"} & (one[0] | one[1]).keys()


@pytest.mark.parametrize("spec", SPECS[:2])
@pytest.mark.parametrize(("data", "settings"), [
    ("vectors", {}), ("glyphs", {"features": "pixels"}),
])  # fmt: skip
def test_the_secret_weights_agree_with_scikit_learn(spec, data, settings):
    """A constant column in the rows, no intercept: every weight is regularised."""
    result = result_of(spec, data, **settings)
    x, y = rows_and_labels(result, data)
    fitted = LogisticRegression(C=1 / (LAM * len(y)), fit_intercept=False, tol=1e-12,
                                max_iter=20_000, solver="newton-cg").fit(x, y)
    np.testing.assert_allclose(result.unlearned.secret["weights"].T.numpy(), fitted.coef_,
                               atol=1e-6)


@pytest.mark.parametrize("spec", SPECS[:2])
def test_each_secret_one_vs_rest_column_agrees_with_scikit_learn(spec):
    result = result_of(spec, loss="ovr")
    x, y = rows_and_labels(result)
    for column in range(4):
        fitted = LogisticRegression(C=1 / (LAM * len(y)), fit_intercept=False, tol=1e-12,
                                    max_iter=20_000, solver="newton-cg").fit(x, y == column)
        np.testing.assert_allclose(result.unlearned.secret["weights"][:, column].numpy(),
                                   fitted.coef_[0], atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "ovr"])
def test_a_class_agrees_with_an_lbfgs_over_all_columns(loss):
    result = result_of("class:b", loss=loss)
    x, y = rows_and_labels(result)
    assert 1 not in y

    def both(flat):
        value, gradient = value_and_gradient(x, y, flat.reshape(8, 4), LAM, loss == "ovr")
        return value, gradient.ravel()

    options = {"maxiter": 50_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 60}
    found = minimize(both, np.zeros(32), jac=True, method="L-BFGS-B", options=options)
    np.testing.assert_allclose(result.unlearned.secret["weights"].numpy(),
                               found.x.reshape(8, 4), atol=2e-6)


@EVERY_SPEC
def test_what_is_published_is_the_secret_plus_the_keyed_noise_exactly(spec):
    result = result_of(spec)
    model, learner = result.unlearned, result.start.learner
    secret = model.secret["weights"]
    assert torch.equal(model.weight, on_grid(secret, learner.sigma, model.secret["noise_key"]))
    assert 0.5 < (model.weight - secret).std().item() / learner.sigma < 1.6


@EVERY_SPEC
def test_the_residual_is_reached_for_the_published_models_own_request_only(spec):
    """Against a removal that reports the old weights: their gradient on D_r is far from nothing."""
    result = result_of(spec)
    x, y = rows_and_labels(result)
    _, gradient = value_and_gradient(x, y, result.start.model.secret["weights"].numpy(), LAM)
    assert np.linalg.norm(gradient) > 1000 * result.statement["residual_allowed"]


def test_a_class_is_not_reached_by_one_newton_step():
    assert result_of("class:b").kept_back["iterations"] > 3


def test_two_requests_with_one_seed_have_noise_of_their_own():
    """With the same noise on both, the difference of two published models has none, and shows
    exactly what the certificate is to hide."""
    keys = [bytes(forgotten(spec, start_of()).unlearned.secret["noise_key"].tolist())
            for spec in ("samples:1", "samples:2", "samples:1,2", "random:20", "class:b")]
    assert len(set(keys)) == len(keys)


def test_two_learners_with_one_seed_have_noise_of_their_own():
    keys = [bytes(result_of("samples:3", **more).unlearned.secret["noise_key"].tolist())
            for more in ({}, {"sigma": 1e-2}, {"lam": 1e-2})]
    assert len(set(keys)) == 3


def test_original_requests_and_reference_have_noise_of_their_own():
    start = start_of()
    one = forgotten("samples:1", start)
    two = forgotten("samples:2", one.next_start())
    other_seed = forgotten("samples:1", start, seed=1)
    keys = [m.secret["noise_key"] for m in
            (start.model, one.unlearned, two.unlearned, other_seed.unlearned)]
    assert len({bytes(key.tolist()) for key in keys}) == 4


def test_the_public_files_hold_nothing_of_the_secret(honest):
    result = result_of()
    secret = result.unlearned.secret
    model = honest.model.read_bytes()
    certificate = honest.certificate.read_text()
    for name in ("weights", "noise_key", "salt", "ids_key", "seal_key"):
        data = secret[name].numpy().tobytes()
        assert data not in model
        assert data.hex() not in certificate
    assert set(load_file(honest.model)) == {"weight"}
    ids = result.forgotten.ids
    assert hashlib.sha256(ids.numpy().tobytes()).hexdigest() not in certificate
    assert str(ids.tolist()) not in certificate + model.decode("latin-1")
    assert "random:20" not in certificate + model.decode("latin-1")


def test_only_its_owner_can_read_the_secret_file(honest):
    assert honest.secret.stat().st_mode & 0o777 == 0o600


def test_the_files_of_a_result_are_the_same_each_time_they_are_asked_for(tmp_path):
    one, other = saved(result_of(), tmp_path / "one"), saved(result_of(), tmp_path / "other")
    for path, again in zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True):
        assert path.read_bytes() == again.read_bytes()


def test_a_run_without_a_certificate_takes_an_old_one_away(honest):
    result = dataclasses.replace(result_of(), statement=None)
    save_outcome(result, honest.certificate.parent)
    assert not honest.certificate.exists()


# Requests one on top of the other.


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_requests_one_on_top_of_the_other_are_each_certified(mode, tmp_path):
    start, gone = start_of(mode=mode), 0
    for turn, spec in enumerate(["samples:0,5,9", "random:20", "class:c", "samples:1"]):
        if mode == "guo" and spec.startswith("class"):
            spec = "samples:2"
        result = forgotten(spec, start)
        gone += len(result.request)
        stated = result.statement
        assert stated["n_retained"] == 240 - gone
        assert stated["residual"] <= stated["residual_allowed"]
        assert holds(checked(saved(result, tmp_path / str(turn))))
        start = result.next_start()
    assert len(start.forgotten.requests) == 4


def test_a_further_request_can_start_from_the_files(honest, tmp_path):
    start = resume(honest.model, DATA["vectors"])
    assert torch.equal(start.forgotten.ids, result_of().forgotten.ids)
    result = forgotten("class:a", start)
    assert holds(checked(saved(result, tmp_path / "next")))
    direct = forgotten("class:a", result_of().next_start())
    difference = result.unlearned.secret["weights"] - direct.unlearned.secret["weights"]
    assert difference.norm().item() <= 1e-7


def test_a_further_request_goes_on_with_the_budget_of_the_files(tmp_path):
    first = result_of("samples:3", mode="guo", sigma=10.0, lam=1e-2)
    start = resume(saved(first, tmp_path / "first").model, DATA["vectors"])
    second = forgotten("samples:4", start)
    assert second.kept_back["spent_before"] == first.kept_back["spent"] > 0
    direct = forgotten("samples:4", first.next_start())
    assert torch.equal(second.unlearned.weight, direct.unlearned.weight)
    assert holds(checked(saved(second, tmp_path / "second")))


def test_the_second_publication_says_what_both_allow_together():
    """Whoever keeps both models can look at both."""
    first = result_of("samples:3")
    second = forgotten("samples:4", first.next_start()).files.certificate
    one, both = first.files.certificate["issuer_says"], second["issuer_says"]
    assert (one["publications"], both["publications"]) == (1, 2)
    assert one["epsilon_of_all"] == pytest.approx(1.0, abs=1e-6)
    analytic = composed_epsilon([gaussian_multiplier(1, 1e-5)] * 2, 1e-5)
    assert both["epsilon_of_all"] == pytest.approx(analytic, rel=1e-4)


@pytest.mark.parametrize("routes", [
    (["samples:3,17,99,150"], ["samples:3,17", "samples:99,150"]),
    (["samples:3,17,99,150"], ["samples:150", "samples:3", "samples:17", "samples:99"]),
    (["samples:3,17", "class:b"], ["class:b", "samples:3,17"]),
    (["class:a", "class:b"], ["class:b", "class:a"]),
])  # fmt: skip
@pytest.mark.parametrize("loss", ["softmax", "ovr"])
def test_different_routes_end_in_the_same_weights_and_in_the_retrained_ones(routes, loss):
    dataset, ends = DATA["vectors"], []
    if any("class:b" in route for route in routes):  # a sample of a class that goes anyway
        y = dataset.train.y[torch.tensor([3, 17])].tolist()
        assert 1 not in y or loss
    for route in routes:
        start = start_of(loss=loss)
        for spec in route:
            if spec == "samples:3,17":
                free = [i for i in (3, 17) if not torch.isin(torch.tensor(i), start.forgotten.ids)]
                if not free:
                    continue
                spec = "samples:" + ",".join(map(str, free))
            result = forgotten(spec, start)
            start = result.next_start()
        ends.append((result.unlearned.secret["weights"], start.forgotten))
    assert torch.equal(ends[0][1].ids, ends[1][1].ids)
    learner = start.learner
    kept = represent(learner, dataset).train.take(retained_rows(dataset, ends[0][1].ids))
    model = learner.build(dataset.input_shape, 4, generator(5))
    for _ in learner.train(model, kept, generator(5)):
        pass
    for w, _ in ends:
        assert (w - ends[0][0]).norm().item() <= 1e-7
        assert (w - model.secret["weights"]).norm().item() <= 1e-7


@settings(max_examples=12)
@given(ids=st.lists(st.integers(0, 239), min_size=2, max_size=60, unique=True),
       cut=st.integers(1, 59))
def test_any_samples_in_one_request_or_in_two_end_in_the_same_weights(ids, cut):
    cut = min(cut, len(ids) - 1)
    whole = forgotten("samples:" + ",".join(map(str, ids)), start_of())
    half = forgotten("samples:" + ",".join(map(str, ids[:cut])), start_of())
    rest = forgotten("samples:" + ",".join(map(str, ids[cut:])), half.next_start())
    difference = whole.unlearned.secret["weights"] - rest.unlearned.secret["weights"]
    assert difference.norm().item() <= 1e-7


@EVERY_SPEC
def test_the_reference_of_the_library_is_what_the_secret_weights_are(spec):
    """A reference is published with its own noise: two noises lie between them and no more."""
    result = result_of(spec)
    reference = learn(result.start.learner, DATA["vectors"], 77, result.forgotten).model
    away = (reference.weight - result.unlearned.secret["weights"]) / result.start.learner.sigma
    assert abs(away.square().mean().item() - 1) < 1


def test_a_reference_keeps_no_secret():
    result = result_of()
    assert store.secret_of(
        learn(result.start.learner, DATA["vectors"], 78, result.forgotten).model) == {}


# Verification of honest files.


@EVERY_SPEC
@pytest.mark.parametrize("reference", [False, True])
def test_honest_files_are_verified(spec, reference, tmp_path):
    paths = saved(result_of(spec), tmp_path)
    assert holds(checked(paths, reference=reference))


@pytest.mark.parametrize(("data", "settings"), [
    ("vectors", {"loss": "ovr"}), ("two", {}), ("two", {"loss": "ovr"}),
    ("glyphs", {"features": "pixels"}), ("glyphs", {}),
    ("vectors", {"mode": "guo"}), ("two", {"mode": "guo"}),
    ("glyphs", {"mode": "guo", "features": "pixels"}),
])  # fmt: skip
def test_honest_files_of_every_kind_are_verified(data, settings, tmp_path):
    paths = saved(result_of("random:20", data, **settings), tmp_path)
    assert holds(checked(paths, DATA[data]))


def test_data_from_which_the_forgotten_were_deleted_are_verified(honest):
    dataset = DATA["vectors"]
    rows = retained_rows(dataset, result_of().forgotten.ids)
    left = dataset.train.take(rows)
    left = Samples(left.x, left.y, torch.arange(len(left)))
    kept = dataclasses.replace(dataset, train=left)
    checks = checked(honest, kept, reference=True)
    assert is_verified(checks)
    assert [check.what for check in checks if check.passed is None] == [TOWARDS]
    assert not opposed(checked(honest, kept, secret=False, reference=True))


@pytest.mark.drawn(4)
@pytest.mark.parametrize("spec", ["random:20", "random:40", "class:b"])
@pytest.mark.parametrize(("lam", "sigma"), [(1e-4, 1e-3), (1e-4, 1e-4), (1e-2, 1e-6)])
def test_images_from_which_the_forgotten_were_deleted_are_verified(spec, lam, sigma, tmp_path):
    """Features of the rest are then computed in other company: a last chunk of few rows must not
    round otherwise, where little is allowed."""
    result = result_of(spec, "glyphs", lam=lam, sigma=sigma)
    left = DATA["glyphs"].train.take(retained_rows(DATA["glyphs"], result.forgotten.ids))
    kept = dataclasses.replace(DATA["glyphs"], train=left)
    assert holds(checked(saved(result, tmp_path), kept))


def test_without_the_secret_the_published_is_compared_where_the_request_is_named(honest):
    named = Forgotten((parse_request("random:20", DATA["vectors"], 0),))
    assert not opposed(checked(honest, secret=False, forgotten=named))
    checks = checked(honest, secret=False, forgotten=named, reference=True)
    assert not opposed(checks)
    assert [check.passed for check in checks if check.what == TOWARDS] == [True]


def test_without_the_secret_the_data_are_not_said_to_be_checked(honest):
    """Their hash has a key: whoever has all the data could else try out who was forgotten."""
    checks = checked(honest, secret=False)
    assert [check.what for check in checks if check.passed is None] == [
        "the retained data are the ones named"]
    named = Forgotten((parse_request("random:20", DATA["vectors"], 0),))
    checks = checked(honest, secret=False, forgotten=named)
    assert "the retained data are the ones named" in [
        check.what for check in checks if check.passed is None]
    with pytest.raises(BadInput, match="--forget"):
        checked(honest, secret=False, reference=True)


def test_another_request_than_the_one_made_is_refused(honest):
    for asked in (Forgotten((parse_request("random:20", DATA["vectors"], 1),)),
                  Forgotten((parse_request("samples:5,6,7", DATA["vectors"], 0),))):
        assert refused(honest, forgotten=asked)
        assert not holds(checked(honest, secret=False, forgotten=asked))
    assert refused(honest, secret=False, reference=True,
                   forgotten=Forgotten((parse_request("class:b", DATA["vectors"], 0),)))


def test_a_certificate_over_all_the_data_forgot_nothing(tmp_path):
    """Written with the library's own functions: all was called retained, and nothing left out."""
    dataset = DATA["vectors"]
    paths = saved(over_everything(result_of("class:b"), dataset), tmp_path)
    checks = checked(paths)
    assert "the forgotten samples are not among the retained" in [
        check.what for check in checks if check.passed is False]
    named = Forgotten((parse_request("class:b", dataset, 0),))
    assert refused(paths, forgotten=named)
    assert refused(paths, secret=False, forgotten=named)


def test_copies_of_what_was_forgotten_are_told(honest):
    """A copy under another number is no refusal: it was not asked for. All of them are."""
    dataset, result = DATA["vectors"], result_of()
    rows = retained_rows(dataset, result.forgotten.ids).nonzero().flatten()
    rows = torch.cat([rows[1:], result.forgotten.ids[:1]])
    changed = dataset.train.take(rows)
    changed = dataclasses.replace(dataset, train=Samples(changed.x, changed.y,
                                                         torch.arange(len(changed))))
    (copies,) = [check for check in checked(honest, changed) if "not among" in check.what]
    assert copies.passed is None and "1 of 20" in copies.detail


def test_every_check_of_honest_files_is_a_plain_yes(honest):
    for check in checked(honest, reference=True):
        assert type(check.passed) is bool
        assert check.what


def test_an_untouched_model_that_cannot_be_told_is_said(tmp_path):
    """The original instead of a model without one sample: closer than the noise shows."""
    result = result_of("samples:3", lam=1.0, sigma=0.1)
    paths = saved(result, tmp_path)
    named = Forgotten((parse_request("samples:3", DATA["vectors"], 0),))
    (towards,) = [check for check in checked(paths, secret=False, forgotten=named, reference=True)
                  if check.what == TOWARDS]
    assert towards.passed is None
    assert "could not tell an untouched model for a request of this size" in towards.detail


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_a_certificate_of_before_the_grid_is_still_read_for_what_it_was(mode, tmp_path):
    """Files that the program wrote on 2026-11-27."""
    shutil.copytree(OLD / mode, tmp_path / mode)
    paths, dataset = Paths.of(tmp_path / mode), find_dataset(str(OLD / "rows.npz")).load()
    assert holds(checked(paths, dataset, reference=mode == "residual"))
    rewritten(paths.certificate, lambda stated: stated.update(epsilon=0.5))
    assert refused(paths, dataset)
    rewritten(paths.certificate, lambda stated: stated.update(epsilon=1.0, kind=KIND))
    assert refused(paths, dataset)


# Damage and forgery.


def damaged(paths: Paths, name: str, position: int, mask: int, folder: Path) -> Paths:
    """The files with one byte of one of them changed."""
    for path in dataclasses.astuple(paths):
        shutil.copy(path, folder)
    path = folder / getattr(paths, name).name
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= mask
    path.write_bytes(data)
    return Paths.of(folder)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Paths:
    return saved(result_of(), tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def working(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("name", ["certificate", "model", "secret"])
@given(position=st.integers(0, 5000), mask=st.integers(1, 255))
def test_one_changed_byte_is_never_verified(name, position, mask, originals, working):
    assert refused(damaged(originals, name, position, mask, working))


@pytest.mark.drawn(1)
@pytest.mark.parametrize("share", range(4))
def test_one_flipped_bit_of_the_certificate_is_never_verified(share, originals, working):
    """Every fourth byte, each with one bit, and a sentence for each; all four shares are all."""
    size = originals.certificate.stat().st_size
    wrong = []
    for position in range(share, size, 4):
        paths = damaged(originals, "certificate", position, 1 << position % 7, working)
        try:
            if not refused(paths):
                wrong.append((position, "verified"))
        except Exception as error:  # noqa: BLE001 - the point of the test
            wrong.append((position, type(error).__name__))
    assert wrong == []


@given(position=st.integers(0, 5000), bit=st.integers(0, 7))
def test_a_flipped_bit_of_the_certificate_without_the_secret_is_a_check_or_a_sentence(
    position, bit, originals, working
):
    paths = damaged(originals, "certificate", position, 1 << bit, working)
    refused(paths, secret=False)  # whatever it says, in the library's own words
    assert refused(paths)


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_other_line_ends_are_another_certificate(honest, ending):
    honest.certificate.write_bytes(honest.certificate.read_bytes().replace(b"\n", ending))
    assert refused(honest)


@pytest.mark.parametrize("name", ["certificate", "model", "secret"])
@pytest.mark.parametrize("change", [
    lambda data: b"", lambda data: data[:-1], lambda data: data + b"\n", lambda data: data[1:],
    lambda data: bytes(len(data)), lambda data: data * 2, lambda data: b"{}", lambda data: b"[]",
    lambda data: b"null", lambda data: b"[" * 100_000, lambda data: b"\xff" * 100,
    lambda data: b"9" * 20_000, lambda data: b" " * (2 << 20),
], ids=["empty", "cut", "longer", "beheaded", "zeros", "twice", "braces", "brackets", "null",
        "deep", "no text", "digits", "large"])  # fmt: skip
def test_a_file_with_other_content_is_never_verified(honest, name, change):
    path = getattr(honest, name)
    path.write_bytes(change(path.read_bytes()))
    assert refused(honest)
    refused(honest, secret=False)


FIELDS = sorted(json.loads(text_of(
    {"kind": 0, "mode": 0, "epsilon": 0, "delta": 0, "sigma": 0, "lam": 0, "residual": 0,
     "residual_allowed": 0, "n_retained": 0, "n_forgotten": 0, "retained_keyed_hash": 0, "model": 0,
     "secret_file_sha256": 0, "forgotten_keyed_hash": 0, "noise_commitment": 0, "mac": 0,
     "issuer_says": 0, "empty_classes": 0, "iterations": 0, "weights": 0, "assumptions": 0,
     "covers": 0})))  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_a_certificate_without_a_field_is_never_verified(honest, field):
    assert field in json.loads(honest.certificate.read_text())
    rewritten(honest.certificate, lambda stated: stated.pop(field))
    assert refused(honest)
    refused(honest, secret=False)


@pytest.mark.parametrize("inner", ["file_sha256", "weights_sha256_after"])
def test_a_certificate_without_a_hash_of_the_model_is_never_verified(honest, inner):
    rewritten(honest.certificate, lambda stated: stated["model"].pop(inner))
    assert refused(honest)
    refused(honest, secret=False)


@pytest.mark.parametrize("value", [
    None, True, "1.0", "", [], {}, -1, 0, 0.0, 2.0, 1e308, 10**400, -(10**400), 1e-320,
], ids=lambda value: repr(value)[:8])  # fmt: skip
@pytest.mark.parametrize("field", ["epsilon", "delta", "sigma", "lam", "residual",
                                   "residual_allowed", "n_retained", "mode", "model", "mac"])
def test_a_certificate_with_another_value_is_never_verified(honest, field, value):
    rewritten(honest.certificate, lambda stated: stated.update({field: value}))
    assert refused(honest)
    refused(honest, secret=False)
    refused(honest, secret=False, reference=True)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["epsilon", "residual", "residual_allowed"])
def test_a_certificate_with_a_number_that_is_none_is_never_verified(honest, field, text):
    lines = honest.certificate.read_text().splitlines(keepends=True)
    lines = [f'  "{field}": {text},\n' if line.startswith(f'  "{field}":') else line
             for line in lines]
    honest.certificate.write_text("".join(lines))
    assert refused(honest)
    refused(honest, secret=False)


@pytest.mark.parametrize(("field", "value"), [
    ("sigma", 1e-4), ("sigma", 1e-2), ("epsilon", 0.1), ("delta", 1e-9), ("lam", 1e-4),
    ("residual", 1e-30), ("residual", 1e-3), ("residual_allowed", 1.0), ("n_retained", 219),
    ("n_forgotten", 0), ("covers", "everything"), ("mode", "guo"), ("dataset", "mnist"),
])  # fmt: skip
def test_a_certificate_that_claims_something_else_is_refused(honest, field, value):
    rewritten(honest.certificate, lambda stated: stated.update({field: value}))
    assert refused(honest)


def test_a_forged_residual_is_refused_even_with_the_right_mac(tmp_path):
    """Whoever has the secret can sign anything: the arithmetic must still hold."""
    for field, value in [("residual", 1.0), ("residual_allowed", 1.0), ("sigma", 1.0),
                         ("lam", 1.0), ("epsilon", 0.01), ("delta", 1e-9)]:
        result = result_of()
        result = dataclasses.replace(result, statement=result.statement | {field: value})
        assert refused(saved(result, tmp_path / field))


def test_in_guo_mode_more_is_left_than_was_spent_is_refused(tmp_path):
    """The certificate states the whole budget, and the secret what of it is spent."""
    result = result_of("samples:3", mode="guo", sigma=10.0, lam=1e-2)
    model = copy.deepcopy(result.unlearned)
    model.secret["weights"] += 1e-3
    with torch.no_grad():
        model.weight.copy_(model.secret["weights"])
    paths = saved(dataclasses.replace(result, unlearned=model), tmp_path)
    failed = [check.what for check in checked(paths) if check.passed is False]
    assert failed == ["the residual on the retained data is within it"]
    assert result.kept_back["spent"] < result.statement["budget"]


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_the_model_of_the_other_mode_is_refused(honest, mode, tmp_path):
    """Whatever it is given, the answer is a no and no traceback."""
    of_guo = saved(result_of(mode="guo", sigma=10.0, lam=1e-2), tmp_path / "guo")
    one, other = (honest, of_guo) if mode == "residual" else (of_guo, honest)
    for secret in (one.secret, other.secret, None):
        checks = verify(one.certificate, other.model, DATA["vectors"], secret)
        assert opposed(checks)


@pytest.mark.parametrize("spec", ["class:b", "random:20"])
@pytest.mark.parametrize(("field", "value"), FALSE)
def test_a_false_field_is_refused_when_whoever_has_the_secret_seals_it(
    tmp_path, spec, field, value
):
    """Every field is worked out again, or stands where it is called the issuer's word."""
    result = result_of(spec)
    if result.files.certificate.get(field) == value:
        return
    statement = result.statement | {field: value}
    paths = saved(dataclasses.replace(result, statement=statement), tmp_path)
    assert refused(paths)
    named = Forgotten((parse_request(spec, DATA["vectors"], 0),))
    assert refused(paths, forgotten=named)


@pytest.mark.parametrize("name", ["certificate", "model", "secret"])
@pytest.mark.parametrize("folder", [False, True], ids=["missing", "a folder"])
def test_a_file_that_is_not_there_is_refused(honest, name, folder):
    path = getattr(honest, name)
    path.unlink()
    if folder:
        path.mkdir()
    assert refused(honest)


@pytest.mark.parametrize("other", [
    clouds(seed=1), clouds(n=200), clouds(n=220), clouds(n=1000), clouds(d=6), clouds(d=8),
    clouds(classes=3), clouds(classes=5), clouds(n=220, d=8), clouds(n=220, classes=5),
    tiny_dataset(),
], ids=["seed", "fewer", "as many", "more", "narrower", "wider", "3 classes", "5 classes",
        "wider, as many", "5 classes, as many", "images"])  # fmt: skip
def test_other_data_are_refused(honest, other):
    assert refused(honest, other)
    assert refused(honest, other, reference=True)
    if len(other.train) == 220:
        assert not holds(checked(honest, other, secret=False))
        assert refused(honest, other, secret=False, reference=True)


@pytest.mark.parametrize("change", ["one input", "one label", "order", "class names"])
def test_data_that_differ_a_little_are_refused(honest, change):
    dataset = DATA["vectors"]
    kept = torch.nonzero(retained_rows(dataset, result_of().forgotten.ids)).flatten()
    x, y = dataset.train.x.clone(), dataset.train.y.clone()
    if change == "one input":
        x[kept[7], 0] = torch.nextafter(x[kept[7], 0], torch.tensor(9.0))
    elif change == "one label":
        y[kept[7]] = (y[kept[7]] + 1) % 4
    elif change == "order":
        x[kept[[3, 4]]] = x[kept[[4, 3]]]
        y[kept[[3, 4]]] = y[kept[[4, 3]]]
    names = ("a", "b", "c", "e") if change == "class names" else dataset.classes
    other = dataclasses.replace(dataset, classes=names,
                                train=Samples(x, y, dataset.train.ids))
    assert refused(honest, other)


@pytest.mark.parametrize("spec", ["samples:3", "class:b"])
def test_files_of_another_request_are_refused(honest, spec, tmp_path):
    other = saved(result_of(spec), tmp_path / "other")
    for name in ("certificate", "model", "secret"):
        assert refused(dataclasses.replace(honest, **{name: getattr(other, name)}))


def test_the_secret_of_the_original_is_refused(honest):
    (trained,) = [path for path in (store.downloads() / store.TRAINED).glob("clouds-convex-*")
                  if store.SECRET in path.name
                  and hashlib.sha256(path.with_name(path.name.replace(store.SECRET, ".safetensors"))
                                     .read_bytes()).hexdigest()
                  == hashlib.sha256(store.to_bytes(start_of().stored)).hexdigest()]
    assert refused(dataclasses.replace(honest, secret=trained))


def test_a_model_of_another_learner_is_refused(honest, tmp_path):
    from forget.learners.network import Network

    learner = Network(arch="mlp", epochs=1, min_steps=1)
    stored = learn(learner, DATA["vectors"], 0)
    path = tmp_path / "network.safetensors"
    store.save(stored, path)
    assert refused(dataclasses.replace(honest, model=path))


# A third party's check.


def forged(result, weight, folder) -> Paths:
    """Files of a model with other weights, every hash and the mac made to fit."""
    return saved(with_weights(result, weight), folder)


def third_party(paths: Paths, result) -> list:
    """The checks of whoever has the retained data and the public files only."""
    rows = retained_rows(DATA["vectors"], result.forgotten.ids)
    left = dataclasses.replace(DATA["vectors"], train=DATA["vectors"].train.take(rows))
    return checked(paths, left, secret=False, reference=True)


def noise_checks(checks) -> list:
    return [check for check in checks if "retrained solution" in check.what]


@EVERY_SPEC
@pytest.mark.parametrize("size", [0.0, 0.2, 3.0])
def test_a_third_party_refuses_other_noise(spec, size, tmp_path):
    result = result_of(spec)
    w = result.unlearned.secret["weights"]
    paths = forged(result, w + size * (result.unlearned.weight - w), tmp_path)
    checks = third_party(paths, result)
    (noise,) = noise_checks(checks)
    assert noise.passed is False
    spread = "that noise is spread as it should be"
    assert not opposed(check for check in checks if check is not noise and check.what != spread)
    assert not holds(checks)


@EVERY_SPEC
def test_a_third_party_refuses_the_original(spec, tmp_path):
    result = result_of(spec)
    checks = third_party(forged(result, result.start.model.weight, tmp_path), result)
    (noise,) = noise_checks(checks)
    assert noise.passed is False


def test_a_third_party_accepts_honest_noise_of_any_seed(tmp_path):
    """At 99.9 % none of 20 is turned away, or this seed is the one in fifty."""
    result = result_of()
    w, learner = result.unlearned.secret["weights"], result.start.learner
    turned_away = 0
    for seed in range(20):
        key = torch.randint(0, 256, (32,), generator=generator(seed), dtype=torch.uint8)
        paths = forged(result, on_grid(w, learner.sigma, key), tmp_path / str(seed))
        turned_away += opposed(third_party(paths, result))
    assert turned_away == 0


def test_with_the_secret_weights_that_were_not_published_are_refused(tmp_path):
    result = result_of()
    w = result.unlearned.secret["weights"]
    for index, weight in enumerate([w, result.unlearned.weight + 1e-12, result.start.model.weight]):
        assert refused(forged(result, weight, tmp_path / str(index)))


def test_with_the_secret_weights_with_a_residual_are_refused(tmp_path):
    """Published consistently, hashes and all, but not solved to what is allowed."""
    result = result_of()
    model, learner = copy.deepcopy(result.unlearned), result.start.learner
    learner.publish(model, result.start.model.secret["weights"].clone(),
                    model.secret["noise_key"])
    paths = saved(dataclasses.replace(result, unlearned=model), tmp_path)
    failed = [check.what for check in checked(paths) if check.passed is False]
    assert failed == ["the residual on the retained data is within it"]


def test_in_guo_mode_a_third_party_is_told_that_noise_cannot_be_checked(tmp_path):
    result = result_of("samples:3", mode="guo", sigma=1.0)
    (check,) = noise_checks(third_party(saved(result, tmp_path), result))
    assert check.passed is None


@pytest.fixture
def command_line(monkeypatch):
    """The exit status of ``forget verify`` over the public files and the retained data."""

    def call(paths: Paths, result, *more: str) -> int:
        rows = retained_rows(DATA["vectors"], result.forgotten.ids)
        left = dataclasses.replace(DATA["vectors"], train=DATA["vectors"].train.take(rows))
        source = type("Source", (), {"load": lambda self, progress=None: left})
        monkeypatch.setattr(cli, "find_dataset", lambda spec: source())
        return cli.main(["verify", str(paths.certificate), "--model", str(paths.model),
                         "--data", "clouds", *more])

    return call


def test_the_command_line_ends_well_for_honest_files(honest, command_line, capsys):
    assert command_line(honest, result_of(), "--reference", "--secret", str(honest.secret)) == 0
    assert capsys.readouterr().out.endswith("verified\n")


def test_the_command_line_fails_where_the_noise_is_not_there(tmp_path, command_line, capsys):
    result = result_of()
    paths = forged(result, result.unlearned.secret["weights"], tmp_path)
    assert command_line(paths, result, "--reference") == 1
    said = capsys.readouterr()
    assert "plus noise of that scale: NO" in said.out
    assert "not verified" in said.err


def test_the_command_line_fails_for_a_flipped_bit(originals, working, command_line):
    paths = damaged(originals, "model", 1000, 1, working)
    assert command_line(paths, result_of(), "--secret", str(paths.secret)) == 1


@pytest.mark.parametrize("more", [(), ("--reference",)])
def test_without_anything_that_vouches_for_its_fields_nothing_is_verified(
    honest, command_line, capsys, more
):
    """Whoever has only public files and the data cannot tell who wrote the certificate."""
    assert command_line(honest, result_of(), *more) == 1
    said = capsys.readouterr()
    assert "verified" not in said.out
    assert ("Only hashes" in said.out) == (not more)
    assert "not verified: nothing given here shows" in said.err
    assert "--secret" in said.err


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize(("field", "value"), [
    ("epsilon", 0.5), ("epsilon", 0.999), ("delta", 1e-9), ("covers", "every copy"),
    ("covers", "whole model"), ("residual", 0.0), ("n_forgotten", 1), ("iterations", 0),
    ("assumptions", []), ("dataset", "mnist"), ("kind", "another"), ("issuer_says", {}),
    ("loss", "ovr"), ("radius", 1.0), ("features", "pixels"),
    ("covers_because", "it was asked for"), ("a new field", "passed"),
])  # fmt: skip
def test_a_forged_field_is_not_verified_on_any_way(
    honest, command_line, field, value, careful, capsys
):
    stated = rewritten(honest.certificate, lambda stated: stated.update({field: value}))
    if careful:
        retold(stated)
        honest.certificate.write_text(text_of(stated))
    for more in ((), ("--reference",), ("--secret", str(honest.secret)), ("--ledger",)):
        assert command_line(honest, result_of(), *more) == 1
        assert "verified\n" not in capsys.readouterr().out.splitlines(keepends=True)
        assert "as it was issued: yes" not in capsys.readouterr().out


@pytest.mark.parametrize(("field", "value", "line"), [
    ("epsilon", 0.5, "what is allowed"), ("noise_multiplier", 1.0, "what is allowed"),
    ("distance_allowed", 9.0, "what is allowed"), ("sigma", 1e-4, "mode, noise"),
    ("loss", "ovr", "mode, noise"), ("covers", "whole model", "what it covers"),
    ("residual", 0.9, "residual stated"),
])  # fmt: skip
def test_fields_that_do_not_belong_together_are_named_without_the_secret(
    honest, field, value, line
):
    rewritten(honest.certificate, lambda stated: stated.update({field: value}))
    wrong = [check for check in checked(honest, secret=False) if check.passed is False]
    assert any(line in check.what for check in wrong)


def entered_in(chain_of: list[dict], path: Path) -> Path:
    """An exported ledger with an entry a body."""
    previous, entries = ledger.START, []
    for number, body in enumerate(chain_of, 1):
        entry = ledger.Entry(number, ledger.now(), "forgotten", "", body, previous, "")
        entries.append(dataclasses.replace(entry, hash=entry.expected))
        previous = entries[-1].hash
    path.write_text(json.dumps({"kind": ledger.KIND,
                                "entries": [dataclasses.asdict(entry) for entry in entries],
                                "end": {"count": len(entries), "hash": previous}}))
    return path


def test_the_ledgers_entry_of_the_same_certificate_vouches_for_it(
    honest, command_line, tmp_path, capsys
):
    stated = json.loads(honest.certificate.read_text())
    export = entered_in([{"certificate": None}, {"certificate": stated}], tmp_path / "ledger")
    assert command_line(honest, result_of(), "--ledger", str(export)) == 0
    assert capsys.readouterr().out.endswith("verified\n")
    honest.certificate.write_text(text_of(stated | {"epsilon": 0.5}))
    assert command_line(honest, result_of(), "--ledger", str(export)) == 1
    assert "the ledger holds this very certificate: NO" in capsys.readouterr().out


def test_a_ledger_that_was_edited_vouches_for_nothing(honest, command_line, tmp_path, capsys):
    export = entered_in([{"certificate": json.loads(honest.certificate.read_text())}],
                        tmp_path / "ledger")
    export.write_text(export.read_text().replace('"epsilon": 1.0', '"epsilon": 0.5'))
    rewritten(honest.certificate, lambda stated: stated.update(epsilon=0.5))
    assert command_line(honest, result_of(), "--ledger", str(export)) == 1
    assert "the ledger is not intact" in capsys.readouterr().err


# Guo mode.


def guo_gradient(result, data="vectors") -> float:
    """The gradient left on the retained samples, in numpy."""
    x, y = rows_and_labels(result, data)
    model = result.unlearned
    noise = result.start.learner.noise(model.secret["noise_key"], model).numpy()
    _, gradient = value_and_gradient(x, y, model.secret["weights"].numpy(),
                                     result.start.learner.lam, True, noise)
    return float(np.linalg.norm(gradient))


@pytest.mark.drawn(2)
@pytest.mark.parametrize("bound", ["tight", "paper"])
@pytest.mark.parametrize(("data", "lam"), [("vectors", 1e-2), ("vectors", 1e-3), ("two", 1e-3)])
def test_the_bound_holds_after_each_of_twenty_requests(bound, data, lam):
    start, spent = start_of(data, mode="guo", sigma=10.0, lam=lam), 0.0
    for turn in range(20):
        result = forgotten(f"random:{1 + turn % 3}", start, data, Certified(bound=bound))
        stated, kept = result.statement, result.kept_back
        # Feature rows are float32 here and there, which moves a gradient by 1e-6.
        assert guo_gradient(result, data) <= kept["residual"] + 1e-5
        assert kept["residual"] == kept["spent"] <= stated["residual_allowed"]
        assert (stated["budget"] == stated["residual_allowed"] == stated["residual"]
                == pytest.approx(budget(10.0, 1.0, 1e-5)))
        if turn:
            assert kept["spent_before"] == spent
        if not kept["retrained"]:
            assert kept["spent"] == pytest.approx(
                kept["spent_before"] + kept["bound_of_this_request"])
        spent, start = kept["spent"], result.next_start()


@pytest.mark.parametrize("bound", ["tight", "paper"])
def test_the_budget_adds_up_until_it_is_spent_and_then_the_model_is_retrained(bound):
    start = start_of(mode="guo", sigma=1.0)
    before, retrained = start.model.secret["spent"].item(), []
    for _ in range(12):
        result = forgotten("random:2", start, method=Certified(bound=bound))
        kept = result.kept_back
        total = before + kept["bound_of_this_request"]
        assert kept["retrained"] == (total > result.statement["budget"])
        assert kept["spent"] == (pytest.approx(total) if not kept["retrained"]
                                 else pytest.approx(0, abs=SOLVED))
        retrained.append(kept["retrained"])
        before, start = kept["spent"], result.next_start()
    assert True in retrained
    assert False in retrained


def test_a_retrained_model_is_the_solution_with_noise_of_its_own(tmp_path):
    start = start_of(mode="guo", sigma=1e-3)
    result = forgotten("random:20", start)
    assert result.kept_back["retrained"] is True
    assert not torch.equal(result.unlearned.secret["noise_key"], start.model.secret["noise_key"])
    assert guo_gradient(result) <= 1e-5
    assert holds(checked(saved(result, tmp_path)))


def test_a_step_within_the_budget_keeps_its_noise_and_publishes_its_own_weights(tmp_path):
    start = start_of(mode="guo", sigma=10.0, lam=1e-2)
    result = forgotten("samples:3", start)
    assert result.kept_back["retrained"] is False
    assert torch.equal(result.unlearned.secret["noise_key"], start.model.secret["noise_key"])
    assert torch.equal(result.unlearned.weight, result.unlearned.secret["weights"])
    assert not torch.equal(result.unlearned.weight, start.model.weight)
    assert holds(checked(saved(result, tmp_path)))


def test_the_watch_is_told_that_the_model_is_retrained():
    class Kept(Watch):
        said: list = []  # noqa: RUF012 - one use

        def step(self, step, seconds):
            self.said.append(step.doing)

    forgotten("random:20", start_of(mode="guo", sigma=1e-3), watch=Kept())
    assert "retrained from scratch" in Kept.said[-1]
    assert any("budget spent" in words for words in Kept.said)


def test_the_papers_bound_spends_five_times_as_much():
    start = start_of(mode="guo", sigma=10.0, lam=1e-2)
    paper, tight = (forgotten("samples:3", start, method=Certified(bound=bound)).kept_back
                    for bound in ("paper", "tight"))
    assert paper["bound_of_this_request"] / tight["bound_of_this_request"] == pytest.approx(
        3 * math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize("sigma", [1e-9, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("lam", [1e-4, 1e-2, 1.0])
def test_no_certificate_in_guo_mode_states_more_than_is_allowed(sigma, lam, tmp_path):
    """A noise below what models are solved to is refused, or the statement keeps to it."""
    for spec in ("samples:3", "random:20"):
        try:
            result = forgotten(spec, start_of(mode="guo", sigma=sigma, lam=lam))
        except BadInput:
            continue
        assert result.statement["residual"] <= result.statement["residual_allowed"]
        assert holds(checked(saved(result, tmp_path / spec[:3])))


@pytest.mark.parametrize("seed", range(6))
def test_a_noise_below_what_models_are_solved_to_is_refused_in_guo_mode_too(seed):
    try:
        result = forgotten("samples:3", start_of(mode="guo", sigma=1e-9, lam=10.0, seed=seed))
    except BadInput as error:
        assert "sigma" in str(error)
    else:
        assert result.statement["residual"] <= result.statement["residual_allowed"]


@pytest.mark.parametrize("sigma", [0.1, 10.0, 1000.0])
def test_the_stated_worst_case_is_above_the_stated_bound(sigma):
    """It needs no data, so it must hold for whatever the data and b are."""
    for spec in ("samples:3", "random:20"):
        kept = forgotten(spec, start_of(mode="guo", sigma=sigma, lam=1e-2)).kept_back
        assert kept["bound_of_this_request"] <= kept["bound_worst_case"]


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 20.0, 100.0])
def test_the_budget_in_guo_mode_is_enough_noise_by_the_analytic_mechanism(epsilon):
    """b of two data sets within the budget of each other are Gaussians that far apart."""
    result = forgotten("samples:3", start_of(mode="guo", sigma=1.0),
                       method=Certified(epsilon=epsilon))
    allowed = result.statement["residual_allowed"]
    assert 1.0 / allowed >= gaussian_multiplier(epsilon, 1e-5) * (1 - 1e-6)


# What is refused.


@pytest.mark.parametrize(("cls", "name"), [
    (Certified, "epsilon"), (Certified, "delta"), (Convex, "lam"), (Convex, "sigma"),
])  # fmt: skip
@pytest.mark.parametrize("value", [0, 0.0, -0.0, -1.0, -1e-30, math.nan, math.inf, -math.inf,
                                   "zero", None, 1e-300, 1e300])
def test_a_number_of_zero_or_below_is_refused(cls, name, value):
    with pytest.raises(BadInput, match=name):
        cls(**{name: value})


def test_guo_mode_refuses_softmax():
    with pytest.raises(BadInput, match="one-vs-rest"):
        Convex(mode="guo", loss="softmax")


def test_a_sigma_below_what_models_are_solved_to_is_refused():
    with pytest.raises(BadInput, match="larger sigma"):
        forgotten("samples:3", start_of(sigma=1e-9))


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_features_that_learnt_from_the_data_are_refused(monkeypatch, mode):
    start = start_of(mode=mode)
    monkeypatch.setattr(Vectors, "learnt_from", "the same people")
    with pytest.raises(BadInput, match="learnt from the same people"):
        forgotten("samples:3", start)


def test_no_feature_map_that_saw_data_says_that_it_saw_none():
    assert Pixels.learnt_from == Vectors.learnt_from == ""


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_a_model_without_its_secret_is_refused(mode):
    start = start_of(mode=mode)
    model = copy.deepcopy(start.model)
    model.secret = {}
    with pytest.raises(BadInput, match="without the secret file"):
        forgotten("samples:3", Start(Stored(model, start.stored.record), start.learner))


def test_an_unlearned_model_without_its_secret_file_is_refused(honest):
    honest.secret.unlink()
    with pytest.raises(BadInput, match="secret"):
        forgotten("samples:3", resume(honest.model, DATA["vectors"]))


@pytest.mark.parametrize("position", [3, 40, 500, -3])
def test_a_model_with_a_damaged_secret_file_is_refused(honest, position):
    data = bytearray(honest.secret.read_bytes())
    data[position] ^= 4
    honest.secret.write_bytes(data)
    with pytest.raises(ForgetError, match="damaged"):
        resume(honest.model, DATA["vectors"])


def test_a_model_with_the_secret_of_another_is_refused(honest, tmp_path):
    other = saved(result_of("samples:3"), tmp_path / "other")
    shutil.copy(other.secret, honest.secret)
    with pytest.raises(ForgetError):
        resume(honest.model, DATA["vectors"])


class Refused(RuntimeError):
    """Something that the library does not expect."""


@pytest.mark.parametrize(("error", "said"), [
    (Diverged("no solution"), Diverged), (Refused("a bug"), Refused), (MemoryError(), NoMemory),
])
@pytest.mark.parametrize(("mode", "spec", "what"), [
    ("residual", "samples:3", "newton_from"), ("residual", "class:b", "solve"),
    ("residual", "random:20", "residual_allowed"), ("guo", "samples:3", "single_step"),
    ("guo", "random:20", "budget"),
])  # fmt: skip
def test_a_solver_that_fails_is_an_error_and_nothing_else(
    monkeypatch, mode, spec, what, error, said
):
    """No other method steps in, and no result comes back."""
    start = start_of(mode=mode, sigma=1e-3 if mode == "residual" else 10.0)
    before = weights_hash(start.model)

    def fail(*_args, **_more):
        raise error

    monkeypatch.setattr(certified_module, what, fail)
    told = []

    class Told(Watch):
        def unlearned(self, result):
            told.append(result)

    with pytest.raises(said):
        forgotten(spec, start, watch=Told())
    assert told == []
    assert weights_hash(start.model) == before


def test_a_gradient_that_is_not_finite_is_diverged(monkeypatch):
    start = start_of()
    model = copy.deepcopy(start.model)
    model.secret = dict(model.secret) | {"weights": model.secret["weights"] * math.nan}
    with pytest.raises(Diverged):
        forgotten("samples:3", Start(Stored(model, start.stored.record), start.learner))


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_run_that_is_stopped_leaves_the_original_as_it_was(after):
    class Stopped(Watch):
        steps = 0

        def step(self, step, seconds):
            self.steps += 1

        def cancelled(self):
            return self.steps >= after

    start = start_of()
    before = weights_hash(start.model), dict(start.model.secret)
    with pytest.raises(Cancelled):
        forgotten("class:b", start, watch=Stopped())
    assert weights_hash(start.model) == before[0]
    assert start.model.secret == before[1]


@EVERY_SPEC
@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_steps_are_counted_and_finite(spec, mode):
    class Kept(Watch):
        def __init__(self):
            self.steps = []

        def step(self, step, seconds):
            self.steps.append(step)

    watch = Kept()
    forgotten(spec, start_of(mode=mode), watch=watch)
    steps = [step for step in watch.steps if "gradient_norm" in step.measured
             or "gradient_norm_bound" in step.measured]
    assert [step.index for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.index <= step.total for step in steps)
    assert all(math.isfinite(v) for step in steps for v in step.measured.values())


def test_the_original_is_left_as_it_was():
    start = start_of()
    before = weights_hash(start.model), {k: v.clone() for k, v in start.model.secret.items()}
    for spec in SPECS:
        forgotten(spec, start)
    assert weights_hash(start.model) == before[0]
    assert start.model.secret.keys() == before[1].keys()
    assert all(torch.equal(value, before[1][name]) for name, value in start.model.secret.items())


@pytest.mark.parametrize("loss", ["softmax", "ovr"])
@pytest.mark.parametrize("lam", [1e-6, 1e-5, 1e-1, 10.0])
@EVERY_SPEC
def test_every_lambda_is_forgotten_with_or_says_what_to_do(spec, loss, lam):
    """Small lambdas, at which a solver in double precision has no trouble, included."""
    start = start_of(loss=loss, lam=lam, sigma=1e-1)
    result = forgotten(spec, start)
    assert result.kept_back["residual"] <= min(SOLVED, result.statement["residual_allowed"])


@example(ids=[0])
@settings(max_examples=10)
@given(ids=st.lists(st.integers(0, 239), min_size=1, max_size=236, unique=True))
def test_any_samples_are_forgotten_to_what_is_allowed(ids):
    dataset = DATA["vectors"]
    try:
        result = forgotten("samples:" + ",".join(map(str, ids)), start_of())
    except BadInput as error:
        assert "fewer than two classes" in str(error)
        return
    rows = represent(result.start.learner, dataset).train.take(retained_rows(dataset,
                                                                            torch.tensor(ids)))
    at = result.start.learner.objective(result.unlearned, rows).evaluate(
        result.unlearned.secret["weights"])
    weights = result.unlearned.weight.numel()
    assert at.residual <= residual_allowed(1e-3, LAM * (240 - len(ids)), 1.0, 1e-5, weights)


def test_almost_everything_can_be_forgotten():
    ids = [i for i in range(240) if i not in (0, 1, 2, 3, 4, 5)]
    result = forgotten("samples:" + ",".join(map(str, ids)), start_of())
    assert result.statement["n_retained"] == 6
    assert result.kept_back["residual"] <= result.statement["residual_allowed"]
