"""The audit: shadow worlds, what is found of honest methods, and what of planted frauds."""

import dataclasses
import functools
import json
import math

import pytest
import torch

from forget.core.errors import BadInput, Cancelled
from forget.evaluation import shadows
from forget.evaluation.audit import KINDS, audit, shown
from forget.evaluation.frauds import FRAUDS
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.metrics.interval import LEVEL, Interval
from forget.metrics.verdict import (
    CONVICTED,
    DAMAGED,
    MATCHES,
    MATCHES_ALL,
    PASSED,
    UNDER,
    UNSUITED,
    UNTOLD,
    Check,
    Verdict,
    check_attack,
    check_probe,
    check_relearning,
    with_audit,
)
from forget.unlearning.request import parse_request
from forget.unlearning.watch import Watch
from tests.clusters import people

QUICK = {
    "network": {"arch": "linear", "min_steps": 40, "batch_size": 32},
    "sisa": {"arch": "linear", "shards": 2, "slices": 2, "min_steps": 20},
    "convex": {},
}
STEPS = {"finetune": {"min_steps": 40}}
BRIEF = {"min_steps": 5}
"""Of a network that learns nothing: where only counts, files and equality are looked at."""

N = 24


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORGET_WORKERS", raising=False)
    return tmp_path / "home"


def crowd(**how):
    return people(**({"count": 4, "photos": 24, "held_out": 4, "private": {}} | how))


def entry(name: str, **settings):
    cls = METHODS[name] if name in METHODS else FRAUDS[name]
    return cls(**STEPS.get(name, {})), LEARNERS[cls.learner](**QUICK[cls.learner] | settings)


def brief(name: str):
    method, learner = entry(name, **BRIEF)
    return (type(method)(**BRIEF) if name == "finetune" else method), learner


CROWD = crowd()


def tried(names, spec: str = "class:p1", dataset=CROWD, **settings):
    """Methods on trial together, on the same shadow models where they edit the same learner's."""
    request = parse_request(spec, dataset, 0)
    return audit(dataset, request, [entry(name, **settings) for name in names], 0, N)


@functools.cache
def trials(spec: str):
    return tried([*METHODS, *(FRAUDS if spec == "class:p1" else ())], spec)


def found_of(name: str, spec: str = "class:p1"):
    """One of the trials that many tests look at."""
    return trials(spec)[name]


# What is found of every method.


@pytest.mark.parametrize("spec", ["class:p1", "random:6"])
@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_can_be_put_on_trial(name, spec):
    found = found_of(name, spec)
    assert found.method.name == name
    assert (found.models, found.samples) == (N, len(CROWD.train))
    for kind in KINDS:
        curve = getattr(found, kind)
        assert curve.false_positive[0] == curve.true_positive[0] == 0
        assert curve.false_positive[-1] == curve.true_positive[-1] == 1
        assert curve.auc.low <= curve.auc.value <= curve.auc.high
        assert curve.tpr_at_01 is None
    assert all(0 <= value <= 1 for value in found.population.values())
    assert found.klom.isfinite().all() and (found.klom >= 0).all()
    assert found.klom.shape == found.klom_floor.shape
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["clear"] is found.clear
    assert [check.name for check in found.checks] == [
        "Membership attack", "Relearning", "Linear probe"]


@pytest.mark.parametrize("name", ["retrain", "sisa", "certified"])
@pytest.mark.parametrize("spec", ["class:p1", "random:6"])
def test_exact_methods_are_acquitted(name, spec):
    found = found_of(name, spec)
    assert found.clear, [check.text for check in found.checks]


def test_the_attack_knows_the_original_and_fails_on_retrained_models():
    found = found_of("retrain")
    assert found.original.auc.value > 0.9
    assert found.reference.auc.low < 0.5 < found.reference.auc.high


def test_the_weak_attack_is_one_threshold_for_all():
    found = found_of("masked")
    assert found.population["original"] > 0.9
    assert found.population["unlearned"] < 0.1  # it looks for memory, and a hole is none
    assert found.unlearned.auc.value > 0.9


def test_only_a_class_is_relearnt_and_probed():
    found = found_of("retrain", "random:6")
    assert found.ratio is found.probe is None
    assert not any(found.steps.values()) and not any(found.probed.values())
    assert [check.passed for check in found.checks[1:]] == [None, None]
    assert "class" in found.checks[1].text


def test_fixed_features_are_not_probed():
    found = found_of("certified")
    assert found.probe is None
    assert "fixed" in found.checks[2].text


# Planted frauds.


@pytest.mark.parametrize("name", list(FRAUDS))
def test_a_planted_fraud_is_convicted(name):
    found = found_of(name)
    assert not found.clear
    assert found.checks[0].passed is False


@pytest.fixture(scope="module")
def learnt():
    """Trials of features that are learnt: a fully connected network on enough samples."""
    return tried(["masked", "scar", "retrain"], dataset=crowd(photos=48, spread=0.9),
                 arch="mlp", min_steps=60)


@pytest.mark.slow
def test_a_masked_class_is_still_in_the_features(learnt):
    found = learnt["masked"]
    assert found.checks[2].passed is False
    original, masked = (torch.tensor(found.probed[kind]).mean().item()
                        for kind in ("original", "unlearned"))
    assert masked == pytest.approx(original, abs=0.01)


@pytest.mark.slow
def test_a_scar_comes_back_too_slowly(learnt):
    found = learnt["scar"]
    assert found.checks[1].passed is False
    assert found.ratio.low > 1


@pytest.mark.slow
def test_a_retrained_network_is_convicted_by_none_and_acquitted_where_that_can_be_told(learnt):
    attack, *others = learnt["retrain"].checks
    assert attack.outcome in ("passed", "cannot be told here")  # with so few models, by its power
    assert [check.passed for check in others] == [True, True]


def test_a_mask_keeps_every_other_weight():
    dataset = crowd()
    method, learner = entry("masked")
    model = learner.build(dataset.input_shape, 4, torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = dataclasses.make_dataclass("Task", ["whole_class", "forget"])(
        True, dataset.train.take(dataset.train.y == 2))
    list(method.steps(model, task))
    changed = {name for name, value in model.state_dict().items()
               if not torch.equal(value, before[name])}
    assert changed == {"fc.bias"}
    assert (before["fc.bias"] - model.fc.bias).nonzero().flatten().tolist() == [2]


def test_a_mask_refuses_single_samples():
    with pytest.raises(BadInput, match="class"):
        tried(["masked"], "random:6")


# The small world.


def world(spec="class:p1", samples=shadows.SAMPLES, seed=0, dataset=None):
    dataset = dataset or crowd()
    return shadows.small_world(dataset, parse_request(spec, dataset, 0), entry("retrain")[1],
                               seed, samples)


@pytest.mark.parametrize("spec", ["class:p1", "random:7"])
def test_each_sample_is_in_exactly_one_model_of_a_pair(spec):
    member = world(spec).member(N)
    assert (member[::2] == ~member[1::2]).all()
    if spec == "class:p1":
        assert member[::2].all()
    else:
        assert member[::2].any() and not member[::2].all()


def test_a_small_world_holds_the_request_and_no_more_than_asked():
    dataset = crowd()
    request = parse_request("random:6", dataset, 0)
    small = shadows.small_world(dataset, request, entry("retrain")[1], 0, 20)
    assert len(small.dataset.train) == 20
    assert torch.equal(small.rows[small.request.ids], request.ids)
    assert torch.equal(small.dataset.train.x, dataset.train.x[small.rows])
    assert torch.equal(small.dataset.train.ids, torch.arange(20))


def test_a_class_keeps_its_share_of_a_small_world():
    small = world(samples=32)
    assert (small.dataset.train.y[small.request.ids] == 1).all()
    assert len(small.request) == int((small.dataset.train.y == 1).sum())


def test_a_world_without_the_request_is_refused():
    dataset = crowd()
    with pytest.raises(BadInput, match="more samples"):
        shadows.small_world(dataset, parse_request("class:p1", dataset, 0), entry("retrain")[1],
                            4, 1)


def test_a_large_request_is_judged_on_a_thousand_samples():
    dataset = crowd(count=2, photos=3000, size=4)
    dataset = dataclasses.replace(dataset, classes=("a", "b"))
    small = world("random:1400", dataset=dataset)
    assert len(small.judged) == shadows.JUDGED
    assert small.member(2).shape == (2, shadows.JUDGED)


@pytest.mark.parametrize("change", [
    {"seed": 1}, {"spec": "class:p2"}, {"samples": 30}, {"dataset": crowd(seed=1)}])
def test_other_worlds_have_other_keys(change):
    assert world(**change).key != world().key == world().key


# Work that is kept.


def counted(monkeypatch) -> list:
    calls, real = [], shadows.measured

    def counting(*job):
        calls.append(job[2:4])
        return real(*job)

    monkeypatch.setattr(shadows, "measured", counting)
    return calls


def test_nothing_is_measured_twice(monkeypatch):
    dataset = crowd(private=None, embedder="")
    request, calls = parse_request("random:4", dataset, 0), counted(monkeypatch)
    first = audit(dataset, request, [brief("retrain")], 0, N)["retrain"]
    assert len(calls) == N + N // 2
    again = audit(dataset, request, [brief("retrain")], 0, N)["retrain"]
    assert len(calls) == N + N // 2
    assert again.to_json() == first.to_json()
    audit(dataset, request, [brief("retrain")], 0, N + 8)
    assert len(calls) == (N + 8) * 3 // 2
    audit(dataset, request, [brief("finetune")], 0, N)  # only the shadows, for the new method
    assert len(calls) == (N + 8) * 3 // 2 + N


def test_an_audit_that_was_stopped_goes_on(monkeypatch):
    dataset = crowd(private=None, embedder="")
    request, calls = parse_request("random:4", dataset, 0), counted(monkeypatch)

    class Impatient(Watch):
        def cancelled(self):
            return len(calls) > 5

    with pytest.raises(Cancelled):
        audit(dataset, request, [brief("retrain")], 0, N, watch=Impatient())
    done = len(calls) - 1  # the last one was stopped half-way
    stopped = audit(dataset, request, [brief("retrain")], 0, N)["retrain"]
    assert len(calls) - 1 - done == N + N // 2 - done
    monkeypatch.setenv("FORGET_HOME", str(shadows.downloads()) + "-other")
    assert audit(dataset, request, [brief("retrain")], 0, N)["retrain"].to_json() \
        == stopped.to_json()


def test_nothing_of_private_data_is_written(home):
    tried(["retrain"], "random:4", crowd(), **BRIEF)
    assert not list(home.rglob("*.safetensors"))


def test_more_processes_give_the_same_figures(monkeypatch):
    dataset = crowd()
    request = parse_request("class:p1", dataset, 0)
    alone = audit(dataset, request, [brief("retrain")], 0, N)["retrain"]

    def each(function, jobs, processes):
        """Other processes may end in any order."""
        assert processes == 2
        return ((index, function(*jobs[index])) for index in reversed(range(len(jobs))))

    monkeypatch.setattr(shadows.parallel, "each", each)
    fresh = crowd()
    request = parse_request("class:p1", fresh, 0)
    several = audit(fresh, request, [brief("retrain")], 0, N, processes=2)["retrain"]
    assert several.to_json() == alone.to_json()


@pytest.mark.parametrize("count", [0, 16, 25, 28, 2048])
def test_a_number_of_models_that_does_not_work_out_is_refused(count):
    dataset = crowd()
    with pytest.raises(BadInput, match="multiple of 8"):
        audit(dataset, parse_request("class:p1", dataset, 0), [entry("retrain")], 0, count)


def test_a_method_and_another_learner_are_refused():
    dataset = crowd()
    with pytest.raises(BadInput, match="needs the learner"):
        audit(dataset, parse_request("class:p1", dataset, 0),
              [(METHODS["certified"](), entry("retrain")[1])], 0, N)


def test_what_is_shown_of_an_exposure_are_its_samples():
    found = found_of("retrain")
    chosen = torch.zeros(len(found.exposure.ids), dtype=torch.bool)
    chosen[2] = True
    assert shown(CROWD, found.exposure, chosen).ids.tolist() == [found.exposure.ids[2].item()]
    assert (found.exposure.member[0] != found.exposure.member[1]).all()


# The rules.


@pytest.mark.parametrize(("auc", "original", "outcome"), [
    (Interval(0.515, 0.51, 0.52), 1.0, PASSED), (Interval(0.515, 0.51, 0.52), None, PASSED),
    (Interval(0.5, 0.45, 0.55), 0.95, PASSED), (Interval(0.5, 0.45, 0.55), 0.55, UNTOLD),
    (Interval(0.5, 0.45, 0.55), None, UNTOLD), (Interval(0.5, 0.4, 0.6), None, UNTOLD),
    (Interval(0.6, 0.49, 0.71), 0.7, UNTOLD), (Interval(0.6, 0.51, 0.69), 0.7, CONVICTED),
    (Interval(0.407, 0.0, 0.911), 0.6, UNTOLD), (Interval(0.407, 0.0, 0.911), 1.0, UNTOLD),
    (Interval(0.526, 0.499, 0.554), 0.526, UNTOLD)])
def test_the_attack_convicts_beyond_doubt_and_acquits_only_with_power(auc, original, outcome):
    check = check_attack(auc, original)
    assert check.outcome == outcome
    assert ("4 times in 5" in check.text) == (outcome != CONVICTED)


@pytest.mark.parametrize(("ratio", "original", "outcome"), [
    (None, None, UNSUITED), (Interval(0.3), None, UNSUITED),
    (Interval(0.5, 0.4, 0.6), 0.1, CONVICTED), (Interval(0.5, 0.2, 1.2), None, UNTOLD),
    (Interval(0.5, 0.2, 1.2), 0.0, PASSED), (Interval(0.9, 0.8, 1.01), 0.9, PASSED),
    (Interval(1.2, 1.1, 1.3), None, PASSED), (Interval(2.0, 1.5, 2.5), None, CONVICTED),
    (Interval(1.0, 0.5, 2.0), 0.5, UNTOLD), (Interval(1.0, 0.5, 2.0), 1.5, UNTOLD)])
def test_relearning_convicts_the_fast_and_the_slow(ratio, original, outcome):
    check = check_relearning(ratio, "nothing to relearn", original)
    assert check.outcome == outcome
    if outcome == UNSUITED:
        assert check.text == "nothing to relearn"


@pytest.mark.parametrize(("gap", "original", "outcome"), [
    (None, None, UNSUITED), (Interval(0.01, 0.005, 0.015), None, PASSED),
    (Interval(0.05, -0.01, 0.11), 0.1, UNTOLD), (Interval(0.05, -0.01, 0.11), 0.5, PASSED),
    (Interval(0.05, 0.01, 0.09), 0.5, CONVICTED), (Interval(-0.2, -0.3, -0.1), None, UNTOLD)])
def test_the_probe_convicts_where_the_class_is_still_found(gap, original, outcome):
    assert check_probe(gap, "no probe", original).outcome == outcome


def test_an_audit_without_power_makes_no_match_complete():
    blind = Check("Membership attack", None, "Text.", untold=True)
    passed = Check("Relearning", True, "Text.")
    for checks in ([blind], [blind, passed]):
        verdict = with_audit(Verdict(MATCHES, "Reason.", False), checks)
        assert verdict.words == MATCHES
        assert "could not have seen those that matter (membership attack)" in verdict.reason
    nothing = [Check("Linear probe", None, "Does not apply.")]
    assert with_audit(Verdict(MATCHES, "Reason.", False), nothing).words == MATCHES


def test_every_interval_has_one_level():
    """What a table shows is what convicts."""
    found = found_of("finetune")
    assert f"{found.unlearned.auc.low:.3f} to {found.unlearned.auc.high:.3f}" in \
        found.checks[0].text
    assert f"{found.ratio.low:.2f} to {found.ratio.high:.2f}" in found.checks[1].text
    assert LEVEL == 0.99


@pytest.mark.parametrize(("words", "passed", "wanted"), [
    (MATCHES, (True, True, None), MATCHES_ALL), (MATCHES, (True, False, None), MATCHES),
    (UNDER, (True, True, True), UNDER), (DAMAGED, (False, True, True), DAMAGED)])
def test_only_a_clear_audit_makes_a_match_complete(words, passed, wanted):
    checks = [Check(f"check {i}", one, f"Text {i}.") for i, one in enumerate(passed)]
    verdict = with_audit(Verdict(words, "Reason.", words == DAMAGED), checks)
    assert verdict.words == wanted
    assert ("traces" in verdict.reason) is (False in passed)
    assert math.isclose(verdict.damaged, words == DAMAGED)
