"""Checking a certificate again: against the files, the data, the secret, or a model solved anew.

A certificate is text that anybody can write. Hashes bind it to a model and to data, and say nothing
of the numbers in it: those are authentic only where the secret's key signed them, or where the
ledger holds the very same certificate.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.special import gammaincinv, ndtr, ndtri
from torch import Tensor

from forget.certified.newton import solve
from forget.certified.noise import on_grid
from forget.certified.objective import Objective
from forget.certified.privacy import (
    budget,
    gaussian_multiplier,
    grid_multiplier,
    residual_allowed,
)
from forget.certified.single_step import BOUNDS
from forget.core.device import generator
from forget.core.errors import BadInput, DamagedFile
from forget.core.steps import Returning, drive, mapped
from forget.data import Dataset, Samples
from forget.io.files import sha256_of
from forget.io.paths import given_file
from forget.io.private import commitment, keyed_hash
from forget.learners import LEARNERS
from forget.learners.convex import SOLVED, Convex
from forget.methods.certified import ASSUMPTIONS, Certified
from forget.metrics.interval import FOUND
from forget.unlearning import store
from forget.unlearning.certificate import (
    FIRST,
    FIXED,
    KIND,
    KINDS,
    assumed,
    coverage,
    text_of,
    weights_sha256,
)
from forget.unlearning.checks import Check
from forget.unlearning.represent import represent
from forget.unlearning.request import Forgotten
from forget.unlearning.retained import in_columns, retained
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

MAX_BYTES = 1 << 20
CONFIDENCE = 0.999
"""Share of honest noise whose norm lies inside the interval that a third party checks."""


def verify(
    certificate: Path, model: Path, dataset: Dataset, secret: Path | None = None,
    forgotten: Forgotten | None = None, reference: bool = False, watch: Watch = UNWATCHED,
    entered: Sequence[dict[str, Any]] | None = None,
) -> list[Check]:
    """Check a certificate against the published model and the data it speaks of.

    ``dataset``: with the forgotten samples, or after they were deleted from it.
    ``secret``: the file with the un-noised weights and the key that signed the certificate.
    ``forgotten``: the requests that are asked about, where ``dataset`` still holds their samples.
    ``reference``: solve on the retained data and test whether the published is that plus noise.
    ``entered``: the certificates in a ledger that was found intact. Without it and without a secret
    nothing vouches for the certificate's own fields (:func:`is_verified`).

    Raises :class:`BadInput` for a file that is not there, and where the retained samples cannot be
    told from the forgotten ones.
    """
    check_files(certificate, model, secret)
    stated, checks = _read(certificate)
    if not stated:
        return checks
    if entered is not None:
        checks.append(Check("the ledger holds this very certificate",
                            text_of(stated) in map(text_of, entered), authenticates=True))
    checks.append(_same("the model file is the one it names", sha256_of(model),
                        stated["model"]["file_sha256"]))
    try:
        stored = store.load(model, with_secret=False)
    except DamagedFile as error:
        return [*checks, Check("the model file can be read", False, str(error))]
    checks.append(_same("its weights are the ones named", weights_sha256(stored.model),
                        stated["model"]["weights_sha256_after"]))
    kept, named = {}, []
    if secret is not None:
        kept, named, secret_checks = _read_secret(secret, stated)
        checks += secret_checks
        if not kept:
            return checks
    learner = LEARNERS[stored.record["learner"]](**stored.record["settings"])
    if not isinstance(learner, Convex):
        return [*checks, Check("the model is one that can be certified", False)]
    if stated["mode"] != learner.mode:
        return [*checks, Check(OF_THE_MODEL, False, "mode")]
    rows, data_checks = retained(dataset, stated, kept, named, forgotten,
                                 stored.model.n_classes)
    checks += data_checks
    if any(check.passed is False for check in data_checks):
        return checks  # nothing can be computed on data that it does not speak of
    checks += _arithmetic(stated, stored, learner, dataset)
    if kept or reference:
        if rows is None:
            raise BadInput("the data still hold forgotten samples; name them with --forget")
        whole = represent(learner, dataset, watch).train
        train = in_columns(whole.take(rows), stated, stored)
        if train.x.shape[1] != stored.model.features.size:
            return [*checks, Check("the data are as wide as the model reads", False)]
        if kept:
            checks += _with_secret(stated, stored, learner, train, kept)
        if reference:
            checks += _against_reference(stated, stored, learner, train,
                                         None if rows.all() else whole, watch)
    return checks


def claim(certificate: Path) -> str:
    """What a certificate says in a line; nothing for a file that is none."""
    stated, _ = _read(certificate)
    return stated and (f"epsilon {stated['epsilon']:g}, delta {stated['delta']:g}, over "
                       f"{stated['n_retained']:,} samples, without "
                       f"{stated.get('n_forgotten', 'an unknown number of')} that were forgotten")


def check_files(*paths: Path | None) -> None:
    """Refuse a file that is not there; None is one that was not given."""
    for path in paths:
        if path is not None and not given_file(path):
            raise BadInput(f"there is no file '{path}'; give the one that a run wrote")


def _read(path: Path) -> tuple[dict[str, Any], list[Check]]:
    """The certificate, empty where it is none, and whether its text has the one form in which
    certificates are written."""
    if path.stat().st_size > MAX_BYTES:
        return {}, [Check("the certificate can be read", False, "too large to be one")]
    try:
        text = path.read_bytes().decode()
        stated = json.loads(text)
        same = text == text_of(stated)
        wrong = _wrong_fields(stated)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return {}, [Check("the certificate can be read", False, type(error).__name__)]
    if wrong:
        return {}, [Check("the certificate has all its fields", False, ", ".join(wrong))]
    return stated, [Check("its text has the form in which certificates are written", same)]


NUMBERS = {
    "sigma": (0, 1e6), "lam": (0, 1e6), "residual": (0, 1e300), "residual_allowed": (0, 1e300),
    **{knob.name: (knob.low, knob.high) for knob in Certified.knobs()
       if knob.name in ("epsilon", "delta")},
}
"""Fields that hold a number above zero, and the least and the most that it can be."""

MOST_SAMPLES = 1 << 40

TEXTS = ("mode", "secret_file_sha256", "forgotten_keyed_hash", "noise_commitment", "mac")
DATA_TEXT = {FIRST: "data_sha256", KIND: "retained_keyed_hash"}
MODEL_TEXTS = ("file_sha256", "weights_sha256_after")


def _wrong_fields(stated: dict[str, Any]) -> list[str]:
    """Names of fields that are missing or hold what they cannot hold."""
    numbers = [name for name, (low, high) in NUMBERS.items()
               if type(stated.get(name)) not in (int, float)
               or not (low <= stated[name] <= high
                       and (stated[name] > 0 or name.startswith("residual")))]
    kind = stated.get("kind") if stated.get("kind") in KINDS else None
    texts = [name for name in (*TEXTS, *([DATA_TEXT[kind]] if kind else []))
             if not isinstance(stated.get(name), str)]
    model = stated.get("model")
    hashes = [name for name in MODEL_TEXTS
              if not isinstance(model, dict) or not isinstance(model.get(name), str)]
    n = stated.get("n_retained")
    count = [] if type(n) is int and 0 < n < MOST_SAMPLES else ["n_retained"]
    return [*([] if kind else ["kind"]), *numbers, *texts, *hashes, *count,
            *(_wrong_in_second(stated) if kind == KIND else [])]


FIELDS = {
    "kind", "mode", "epsilon", "delta", "sigma", "lam", "residual", "residual_allowed",
    "iterations", "n_retained", "n_forgotten", "loss", "features", "radius", "weights",
    "assumptions", "empty_classes", "covers", "covers_because", "model", "secret_file_sha256",
    "forgotten_keyed_hash", "retained_keyed_hash", "noise_commitment", "issuer_says", "mac",
}
"""All that every certificate of today has."""

OTHERS = {"residual": {"noise_multiplier", "distance_allowed"}, "guo": {"bound", "budget"}}
"""What one of either mode has besides; over people, ``embedder`` too."""


def _wrong_in_second(stated: dict[str, Any]) -> list[str]:
    """The same of what only version 2 has, and fields that no certificate has."""
    known = FIELDS | OTHERS.get(stated.get("mode"), set())
    empty, says = stated.get("empty_classes"), stated.get("issuer_says")
    wrong = [] if isinstance(empty, list) and all(
        type(one) is int and 0 <= one < MOST_SAMPLES for one in empty) else ["empty_classes"]
    wrong += [] if isinstance(says, dict) else ["issuer_says"]
    wrong += [] if type(stated.get("n_forgotten")) is int else ["n_forgotten"]
    return [*wrong, *sorted(known - stated.keys()),
            *sorted(stated.keys() - known - {"embedder"})]


def _same(what: str, found: Any, stated: Any) -> Check:
    return Check(what, found == stated)


def _read_secret(
    path: Path, stated: dict[str, Any]
) -> tuple[dict[str, Tensor], list[str], list[Check]]:
    """The secret's tensors, none where they cannot be read, the requests in it, and whether it is
    the right one."""
    try:
        checks = [_same("the secret file is the one it names", sha256_of(path),
                        stated["secret_file_sha256"])]
        kept, about = store.read_sealed(path)
        if wrong := _wrong_secrets(kept, stated["mode"]):
            return {}, [], [Check("the secret file has all its parts", False, ", ".join(wrong))]
        issued = {name: value for name, value in stated.items() if name != "mac"}
        named = [str(spec) for spec, _ in about.get("requests", [])]
        checks += [
            _same("the secret belongs to this model", about["model"],
                  stated["model"]["file_sha256"]),
            dataclasses.replace(
                _same("every field is as it was issued with this secret",
                      keyed_hash(kept["seal_key"], text_of(issued).encode()), stated["mac"]),
                authenticates=True),
            _named(kept, stated),
            _same("the noise is the one committed to",
                  commitment(kept["noise_key"], kept["salt"]), stated["noise_commitment"]),
        ]
    except OSError as error:
        raise BadInput(f"cannot read '{path}' ({error.strerror})") from error
    except (DamagedFile, KeyError, TypeError, ValueError) as error:
        return {}, [], [Check("the secret file can be read", False, str(error))]
    return kept, named, checks


def _named(kept: dict[str, Tensor], stated: dict[str, Any]) -> Check:
    """Whether the forgotten samples are those that the keyed hash stands for."""
    what = "the forgotten samples are the ones named"
    if not NAMING & kept.keys():
        return Check(what, None, "their ids and the hash's key were deleted with them")
    found = keyed_hash(kept["ids_key"], kept["forgotten_ids"].numpy().tobytes())
    return _same(what, found, stated["forgotten_keyed_hash"])


KEYS = ("seal_key", "noise_key", "salt")
NAMING = {"ids_key", "forgotten_ids"}
"""What says which samples were forgotten: there whole, or deleted with them."""


def _wrong_secrets(kept: dict[str, Tensor], mode: str) -> list[str]:
    """Names of tensors that are missing or have another form than the secret's."""
    forms = dict.fromkeys(KEYS, (torch.uint8, 1)) | {"weights": (torch.float64, 2)}
    if mode == "guo":
        forms |= {"spent": (torch.float64, 0)}
    if NAMING & kept.keys():
        forms |= {"ids_key": (torch.uint8, 1), "forgotten_ids": (torch.int64, 1)}
    if "forgotten_marks" in kept:
        forms |= {"forgotten_marks": (torch.uint8, 2), "data_key": (torch.uint8, 1)}
    return [name for name, form in forms.items()
            if name not in kept or (kept[name].dtype, kept[name].ndim) != form]


def _arithmetic(
    stated: dict[str, Any], stored: Stored, learner: Convex, dataset: Dataset
) -> list[Check]:
    """Whether the fields that follow from the model, the data and one another do follow.

    Anybody can write fields that belong together: this finds mistakes and clumsy forgeries.
    """
    mode, n = learner.mode, stated["n_retained"]
    epsilon, delta, sigma = stated["epsilon"], stated["delta"], learner.sigma
    model = {"mode": mode, "sigma": sigma, "lam": learner.lam, "radius": learner.radius,
             "loss": stored.model.loss.name, "features": stored.model.features.name}
    if mode == "residual":
        strength, weights = learner.lam * n, stored.model.weight.numel()
        multiplier = grid_multiplier(epsilon, delta, weights)
        allowed = residual_allowed(sigma, strength, epsilon, delta, weights)
        if stated["kind"] == FIRST:  # its noise was a floating-point number
            multiplier = gaussian_multiplier(epsilon, delta)
            allowed = sigma * strength / (2 * multiplier)
        follows = {"residual_allowed": allowed, "distance_allowed": allowed / strength,
                   "noise_multiplier": multiplier}
    else:
        allowed = budget(sigma, epsilon, delta)
        follows = {"residual_allowed": allowed, "budget": allowed}
    covers = {"embedder": None} | coverage(dataset)
    if stated["kind"] == FIRST:
        if not dataset.embedder:
            covers = {"covers": "whole model", "covers_because": FIXED}
    else:
        model |= {"weights": stored.model.weight.numel()}
        follows |= {"residual": SOLVED if mode == "residual" else allowed, "iterations": None,
                    "assumptions": assumed(ASSUMPTIONS[mode], stated["empty_classes"])}
        if mode == "guo":
            follows["bound"] = stated["bound"] if stated["bound"] in tuple(BOUNDS) else ""
    return [
        _stated(OF_THE_MODEL, model, stated),
        _stated("what is allowed follows from epsilon, delta and the noise", follows, stated),
        Check("the residual stated is allowed", 0 <= stated["residual"] <= allowed,
              f"{stated['residual']:.3g} of at most {allowed:.3g}"),
        _stated("what it covers follows from the data", covers, stated),
    ]


OF_THE_MODEL = "mode, noise, features and regularisation are the model's"


def _stated(what: str, expected: dict[str, Any], stated: dict[str, Any]) -> Check:
    """Whether a certificate states these values, numbers to nine digits."""
    wrong = [name for name, value in expected.items() if not _alike(stated.get(name), value)]
    return Check(what, not wrong, ", ".join(wrong))


def _alike(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return type(found) in (int, float) and math.isclose(found, expected, rel_tol=1e-9)
    return found == expected


def _with_secret(
    stated: dict[str, Any], stored: Stored, learner: Convex, rows: Samples, kept: dict[str, Tensor]
) -> list[Check]:
    """The residual on the retained data, and the published weights from the secret ones."""
    model, w = stored.model, kept["weights"]
    noise = learner.noise(kept["noise_key"], model)
    residual_mode = learner.mode == "residual"
    objective = learner.objective(model, rows, None if residual_mode else noise)
    if w.shape != model.weight.shape:
        return [Check("the secret weights have the model's shape", False)]
    residual = objective.evaluate(w).residual
    public = w
    if residual_mode:
        public = (w + noise if stated["kind"] == FIRST
                  else on_grid(w, learner.sigma, kept["noise_key"]))
    limit = stated["residual_allowed"]
    if not residual_mode:  # what was spent is a bound, and the measured norm must keep to it
        limit = min(stated["residual"], kept["spent"].item()) + SOLVED
    return [
        Check("the residual on the retained data is within it", residual <= limit,
              f"{residual:.3g} of at most {limit:.3g}"),
        Check("the published weights are the secret ones plus the committed noise"
              if residual_mode else "the published weights are the secret ones",
              torch.equal(public, model.weight)),
    ]


def _against_reference(
    stated: dict[str, Any], stored: Stored, learner: Convex, rows: Samples, whole: Samples | None,
    watch: Watch,
) -> list[Check]:
    """Whether published minus solved-anew looks like noise of the stated scale: its size, its
    spread, and how far it points towards the solution that still had the forgotten samples.

    ``whole``: the retained samples and the forgotten ones, where they are at hand.
    """
    what = "what was published is the retrained solution plus noise of that scale"
    if learner.mode != "residual":
        return [Check(what, None, "in guo mode the noise is inside the objective")]
    from scipy.stats import kstest  # half a second to import: only when needed

    solution = solved(learner.objective(stored.model, rows), watch)
    noise = (stored.model.weight - solution) / stated["sigma"]
    square, half = noise.square().sum().item(), noise.numel() / 2  # of chi-squared's freedom
    low, high = (2 * gammaincinv(half, (1 + side * CONFIDENCE) / 2) for side in (-1, 1))
    likely = kstest(noise.flatten().cpu().numpy(), ndtr).pvalue
    checks = [
        Check(what, bool(low <= square <= high),
              f"{square**0.5:.1f} noise scales away, honest is {low**0.5:.1f} to {high**0.5:.1f}"),
        Check("that noise is spread as it should be", bool(likely >= 1 - CONFIDENCE),
              f"so much or more apart from it by chance: {likely:.2g}"),
    ]
    if whole is None:
        return [*checks, Check(TOWARDS, None, "only over data that still hold them")]
    other = solved(learner.objective(stored.model, whole), watch)
    return [*checks, _towards(noise, (other - solution) / stated["sigma"])]


TOWARDS = "it does not point towards the model that still had the forgotten samples"


def _towards(noise: Tensor, away: Tensor) -> Check:
    """Whether noise has no more of a direction than chance gives it; both in noise scales.

    Honest noise has N(0, 1) along it, and an untouched model N(size, 1).
    """
    size, limit = away.norm().item(), float(ndtri((1 + CONFIDENCE) / 2))
    along = (noise * away).sum().item() / size
    power = float(ndtr(size - limit))
    said = f"{along:+.1f} noise scales, an untouched model {size:.1f} +- 1"
    if abs(along) > limit:
        return Check(TOWARDS, False, said)
    if power < FOUND:
        return Check(TOWARDS, None, f"{said}: this test could not tell an untouched model for a "
                                    f"request of this size (it would find {power:.0%})")
    return Check(TOWARDS, True, f"{said}, of which {power:.1%} would be found")


def solved(objective: Objective, watch: Watch = UNWATCHED) -> Tensor:
    """The optimum of an objective, from nothing."""
    work = Returning(mapped(solve(objective, objective.zeros(), SOLVED, generator(0)),
                            lambda item: item[0]))
    watch.phase("Solving on the retained data")
    drive(iter(work), watch.step, watch.cancelled)
    return work.returned.w
