"""A comparison: every figure worked out again by hand from the records, and what stays on disk."""

import csv
import dataclasses
import importlib
import io
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from clusters import people
from hypothesis import given
from hypothesis import strategies as st

from forget.core.errors import BadInput, Cancelled, DamagedFile, Diverged
from forget.core.steps import Step
from forget.core.times import PROCESSOR
from forget.data import Dataset
from forget.evaluation.audit import NO_CLASS, NO_FEATURES, NO_WAY_BACK, Audit, audit
from forget.evaluation.compare import Comparison, compare, csv_text, row_of, with_audits
from forget.evaluation.frauds import FRAUDS
from forget.learners import LEARNERS
from forget.learners.network import Network
from forget.methods import METHODS, Method
from forget.metrics.accuracy import Predictions
from forget.metrics.relearn import BACK_WITHIN
from forget.metrics.verdict import DAMAGED, MATCHES, MATCHES_ALL, UNDER, Check
from forget.unlearning.measure import SPLITS
from forget.unlearning.request import parse_request
from forget.unlearning.watch import Watch

compare_module = importlib.import_module("forget.evaluation.compare")

CLASS, SOME = "class:p2", "samples:0,5,9"
SEEDS = (0, 1, 2)
LINEAR = Network(arch="linear", min_steps=30)
MLP = Network(arch="mlp", min_steps=30)
QUICK = ("retrain", "finetune", "gradient_ascent")
STEPS = {"finetune": {"min_steps": 30}}

ROW = {"method", "title", "learner", "params", "accuracy", "tug_of_war", "population_auc",
       "membership", "relearn", "probe", "probe_why", "seconds", "speed_up",
       "speed_up_with_preparation", "speed_up_of", "unchanged", "certificate", "verdict", "reason",
       "matching", "finished", "audit", "records"}
TABLE = {"dataset", "classes", "forget", "seeds", "device", "threads", "versions", "data_sha256",
         "rows", "refused"}
SIDES = {"original": "original", "unlearned": "unlearned", "reference": "retrained"}
"""What a row calls a model, and what its record does."""


def entries(*names: str, learner: Network = LINEAR) -> list:
    """Methods with the learners whose models they edit."""
    made = []
    for name in names:
        cls = (FRAUDS if name in FRAUDS else METHODS)[name]
        made.append((cls(**STEPS.get(name, {})),
                     learner if cls.learner == "network" else LEARNERS[cls.learner]()))
    return made


def asked(dataset: Dataset, spec: str = CLASS):
    return parse_request(spec, dataset, 0)


def quickly(dataset: Dataset, spec: str = CLASS, names=QUICK, seeds=SEEDS, **more) -> Comparison:
    return compare(dataset, asked(dataset, spec), entries(*names), seeds, **more)


@pytest.fixture(scope="module")
def module_home(tmp_path_factory) -> Iterator[Path]:
    """A home for all that a test only reads."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def crowd() -> Dataset:
    return people()


@pytest.fixture(scope="module")
def compared(crowd, module_home) -> Comparison:
    """Four methods, three seeds, a class."""
    return quickly(crowd, names=(*QUICK, "certified"))


@pytest.fixture(scope="module")
def of_samples(crowd, module_home) -> Comparison:
    """Two methods, three seeds, three samples."""
    return quickly(crowd, SOME, ("finetune", "gradient_ascent"))


@pytest.fixture(scope="module")
def deep(crowd, module_home) -> Comparison:
    """One method on a network whose features learn."""
    return compare(crowd, asked(crowd), entries("gradient_ascent", learner=MLP), (0,))


@pytest.fixture(scope="module")
def audits(crowd, module_home) -> dict[str, Audit]:
    return audit(crowd, asked(crowd), entries("retrain", "finetune"), 0, 24)


@pytest.fixture(params=["compared", "of_samples", "deep"])
def any_comparison(request) -> Comparison:
    return request.getfixturevalue(request.param)


def read(home: Path, row: dict) -> list[dict]:
    """The records behind a row, from disk."""
    return [json.loads((home / name).read_text()) for name in row["records"]]


def mean_and_spread(values: list[float | None]) -> dict:
    """By hand: the mean, and the root of the squares' sum over one less."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "spread": None, "each": values}
    mean = sum(known) / len(known)
    squares = sum((value - mean) ** 2 for value in known)
    spread = math.sqrt(squares / (len(known) - 1)) if len(known) > 1 else None
    return {"mean": mean, "spread": spread, "each": values}


def near(shown, expected) -> bool:
    """Equal, floats to a few units in the last place."""
    if isinstance(expected, dict):
        return shown.keys() == expected.keys() and all(
            near(shown[key], value) for key, value in expected.items())
    if isinstance(expected, list):
        return len(shown) == len(expected) and all(map(near, shown, expected))
    if isinstance(expected, float):
        return shown == pytest.approx(expected, rel=1e-9, abs=1e-12)
    return shown == expected


# A row's figures, by hand from its records.


def test_accuracies_are_means_and_sample_spreads_of_the_records(any_comparison, module_home):
    for row in any_comparison.rows:
        metrics = [record["result"]["metrics"] for record in read(module_home, row)]
        assert set(row["accuracy"]) == set(SPLITS)
        for split, shown in row["accuracy"].items():
            for side, model in SIDES.items():
                assert near(shown[side], mean_and_spread([one[model][split] for one in metrics]))
            got, want = shown["unlearned"]["mean"], shown["reference"]["mean"]
            assert near(shown["gap"], None if got is None else got - want)


def test_tug_of_war_is_the_product_of_what_the_gaps_leave(any_comparison, module_home):
    for row in any_comparison.rows:
        each = []
        for record in read(module_home, row):
            of, ref = (record["result"]["metrics"][model] for model in ("unlearned", "retrained"))
            each.append(math.prod(1 - abs(of[split] - ref[split]) for split in (
                "forget_accuracy", "retain_accuracy", "test_retain_accuracy")))
        assert near(row["tug_of_war"], mean_and_spread(each))


def test_the_weak_attack_is_told_for_all_three_models(any_comparison, module_home):
    for row in any_comparison.rows:
        records = read(module_home, row)
        for side, model in SIDES.items():
            each = [record["population_auc"][model] for record in records]
            assert all(0 <= value <= 1 for value in each)
            assert near(row["population_auc"][side], mean_and_spread(each))


def test_seconds_and_speed_ups(any_comparison, module_home):
    for row in any_comparison.rows:
        seconds = [record["result"]["seconds"] for record in read(module_home, row)]
        for part, shown in row["seconds"].items():
            assert near(shown, mean_and_spread([one[part] for one in seconds]))
        worked = [record["result"]["processor_seconds"] for record in read(module_home, row)
                  if not record["result"]["unchanged"]]
        if not worked:
            assert row["speed_up"] is row["speed_up_with_preparation"] is None
            continue
        prepare, forget, retrain = (sum(one[part] for one in worked)
                                    for part in ("prepare", "forget", "retrain"))
        assert near(row["speed_up"], retrain / forget)
        assert near(row["speed_up_with_preparation"], retrain / (prepare + forget))
        assert row["speed_up_of"] == PROCESSOR


def test_settings_and_records_are_those_of_the_runs(any_comparison, module_home):
    for row in any_comparison.rows:
        records = read(module_home, row)
        assert row["finished"] == len(records) == len(any_comparison.seeds)
        assert [record["result"]["seed"] for record in records] == list(any_comparison.seeds)
        for record in records:
            assert record["result"]["method"] == row["method"]
            assert record["result"]["params"] == row["params"]
            assert record["result"]["forget"]["spec"] == any_comparison.request.spec


def by_chance(p: float, m: int) -> float:
    p = min(max(p, min(1 / m, 0.5)), 1 - min(1 / m, 0.5))
    return 2 * math.sqrt(2 * p * (1 - p) / m)


def matches_by_hand(results: list[dict], m: int | None) -> list[bool]:
    """Whether each seed lies within the limits around all seeds' retrained models."""
    def reference(split):
        return mean_and_spread([one["metrics"]["retrained"][split] for one in results])

    def good(accuracies):
        for split in ("forget_accuracy", "test_forget_accuracy"):
            want = reference(split)
            if accuracies[split] is None or want["mean"] is None:
                continue
            limit = max(0.02, 3 * (want["spread"] or 0))
            gap = accuracies[split] - want["mean"]
            if m is not None:
                limit = max(limit, by_chance(want["mean"], m))
                gap = abs(gap)
            if gap > limit:
                return False
        want = reference("test_retain_accuracy")
        lost = want["mean"] - accuracies["test_retain_accuracy"]
        return lost <= max(0.01, 3 * (want["spread"] or 0),
                           by_chance(want["mean"], results[0]["unseen_to_keep"]))

    return [good(one["metrics"]["unlearned"]) and not one["unchanged"] for one in results]


def test_the_number_of_matching_seeds(any_comparison, module_home):
    m = None if any_comparison.request.spec == CLASS else len(any_comparison.request)
    for row in any_comparison.rows:
        results = [record["result"] for record in read(module_home, row)]
        assert row["matching"] == sum(matches_by_hand(results, m))


def test_how_the_class_comes_back(compared, deep, module_home):
    pairs = [(one, row) for one in (compared, deep) for row in one.rows]
    for held, row in pairs:
        records = read(module_home, row)
        originals = [held.models(row["method"], index)["Original"] for index in range(len(records))]
        named = [accuracies(model, held.data, CLASS)["forget_accuracy"] for model in originals]
        steps, curves = row["relearn"]["steps"], row["relearn"]["curves"]
        for side, model in (("unlearned", "unlearned"), ("reference", "retrained")):
            assert steps[side] == [one["relearned"][model]["steps"] for one in records]
            assert curves[side] == [one["relearned"][model]["accuracies"] for one in records]
            for record, original, step, curve in zip(records, named, steps[side], curves[side],
                                                     strict=True):
                target = record["relearned"]["target"]
                assert target == pytest.approx(original - BACK_WITHIN)
                assert record["relearned"][model]["back"] == (curve[-1] >= target)
                assert all(accuracy < target for accuracy in curve[:-1])
                assert len(curve) - 2 < step <= len(curve) - 1 or len(curve) == 1
        a, b = steps["unlearned"], steps["reference"]
        assert row["relearn"]["ratio"]["value"] == pytest.approx(sum(a) / sum(b))
        assert row["relearn"]["why"] == ""


def test_the_interval_of_the_relearning_ratio(compared):
    from scipy import stats

    for row in compared.rows:
        a, b = row["relearn"]["steps"]["unlearned"], row["relearn"]["steps"]["reference"]
        if not statistics.fmean(a):
            continue
        errors = [statistics.variance(side) / len(side) / statistics.fmean(side) ** 2
                  for side in (a, b)]
        ratio = row["relearn"]["ratio"]
        if not sum(errors):
            assert ratio["low"] == ratio["value"] == ratio["high"]
            continue
        freedom = sum(errors) ** 2 / sum(error**2 / (len(a) - 1) for error in errors)
        half = stats.t.ppf(0.995, freedom) * math.sqrt(sum(errors))
        assert ratio["low"] == pytest.approx(ratio["value"] * math.exp(-half))
        assert ratio["high"] == pytest.approx(ratio["value"] * math.exp(half))


def test_the_probe_is_there_where_features_learn(deep, module_home):
    (row,) = deep.rows
    assert row["probe_why"] == ""
    records = read(module_home, row)
    for side, model in SIDES.items():
        each = [record["probe"][model] for record in records]
        assert all(0 <= value <= 1 for value in each)
        assert near(row["probe"][side], mean_and_spread(each))


def test_without_learnt_features_there_is_no_probe_and_it_says_why(compared):
    for row in compared.rows:
        assert row["probe"] is None
        assert row["probe_why"] == NO_FEATURES


def test_of_samples_nothing_is_relearnt_or_probed_and_it_says_why(of_samples):
    for row in of_samples.rows:
        assert row["relearn"] == {"ratio": None, "why": NO_CLASS, "steps": {}, "curves": {}}
        assert row["probe"] is None
        assert row["probe_why"] == NO_CLASS
        assert row["accuracy"]["test_forget_accuracy"]["gap"] is None


def test_a_certificate_is_told_where_there_is_one(compared):
    told = {row["method"]: row["certificate"] for row in compared.rows}
    assert {"mode", "epsilon", "delta", "covers"} <= set(told.pop("certified"))
    assert set(told.values()) == {None}


# Made-up figures: a row over any number of seeds.


SHARE = st.integers(0, 20).map(lambda twentieths: twentieths / 20)
ACCURACIES = st.fixed_dictionaries(dict.fromkeys(SPLITS, SHARE))


REST = 100
"""Unseen samples of the rest."""


def made_record(metrics: dict, steps: tuple[float, float], probed: float | None, seconds) -> dict:
    unlearned, retrained = steps
    return {
        "result": {
            "metrics": metrics, "params": {}, "unseen_to_keep": REST,
            "certificate": None, "forget": {"spec": CLASS},
            "seconds": dict(zip(("prepare", "forget", "retrain"), seconds, strict=True)),
            "processor_seconds": dict(zip(("prepare", "forget", "retrain"), seconds, strict=True)),
            "speed_up_of": PROCESSOR, "unchanged": False,
            "original_learnt": {"right": 99, "samples": 100, "frequent": 30}},
        "population_auc": dict.fromkeys(SIDES.values(), 0.5),
        "relearned": {"target": 0.9, **{model: {"steps": step, "accuracies": [0.0], "back": True}
                                        for model, step in (("unlearned", unlearned),
                                                            ("retrained", retrained))}},
        "probe": dict.fromkeys(SIDES.values(), probed),
    }


def made_row(records: list[dict], spec: str = CLASS, audit: Audit | None = None) -> dict:
    crowd = people()
    runs = {f"runs/{number}.json": record for number, record in enumerate(records)}
    return row_of(METHODS["finetune"](), LINEAR, runs, asked(crowd, spec), audit)


def flat(unlearned: float = 0.0, kept: float = 1.0) -> dict:
    """Accuracies of three models, of which only the unlearned one varies."""
    def of(forget, retain):
        return dict(zip(SPLITS, (forget, retain, forget, retain), strict=True))

    return {"original": of(1.0, 1.0), "unlearned": of(unlearned, kept), "retrained": of(0.0, 1.0)}


METRICS = st.fixed_dictionaries(dict.fromkeys(("original", "unlearned", "retrained"), ACCURACIES))


@given(st.lists(METRICS, min_size=1, max_size=5), st.sampled_from([CLASS, SOME]))
def test_any_accuracies(metrics, spec):
    row = made_row([made_record(one, (1, 1), None, (1, 1, 1)) for one in metrics], spec)
    for split, shown in row["accuracy"].items():
        for side, model in SIDES.items():
            assert near(shown[side], mean_and_spread([one[model][split] for one in metrics]))
        assert near(shown["gap"], shown["unlearned"]["mean"] - shown["reference"]["mean"])
    assert all(0 <= value <= 1 for value in row["tug_of_war"]["each"])
    expected = matches_by_hand([{"metrics": one, "unchanged": False, "unseen_to_keep": REST}
                                for one in metrics], None if spec == CLASS else 3)
    assert row["matching"] == sum(expected)
    if len(metrics) == 1:
        assert (row["verdict"] == MATCHES) == expected[0]
        assert row["accuracy"]["retain_accuracy"]["unlearned"]["spread"] is None


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=4))
def test_any_steps_back(steps):
    row = made_row([made_record(flat(), one, None, (1, 1, 1)) for one in steps])
    unlearned, retrained = (statistics.fmean(side) for side in zip(*steps, strict=True))
    shown = row["relearn"]
    if not retrained:
        assert shown["ratio"] is None
        assert shown["why"] == NO_WAY_BACK
        return
    assert shown["why"] == ""
    assert shown["ratio"]["value"] == pytest.approx(unlearned / retrained)
    sure = len(steps) > 1 and unlearned > 0
    assert (shown["ratio"]["low"] is not None) == (shown["ratio"]["high"] is not None) == sure
    if sure:
        assert shown["ratio"]["low"] <= shown["ratio"]["value"] <= shown["ratio"]["high"]


def test_one_seed_gives_a_ratio_and_a_probe_without_spread():
    row = made_row([made_record(flat(), (5.0, 20.0), 0.75, (3.0, 0.5, 2.0))])
    assert row["relearn"]["ratio"] == {"value": 0.25, "low": None, "high": None}
    assert row["probe"]["unlearned"] == {"mean": 0.75, "spread": None, "each": [0.75]}
    assert row["speed_up"] == 4.0
    assert row["speed_up_with_preparation"] == pytest.approx(2 / 3.5)
    assert "unknown" in row["reason"]


def test_where_preparation_is_unknown_so_is_the_speed_up_with_it():
    row = made_row([made_record(flat(), (1, 1), None, (None, 0.5, 2.0))] * 2)
    assert row["seconds"]["prepare"]["mean"] is None
    assert row["speed_up_with_preparation"] is None
    assert row["speed_up"] == 4.0


# Rows as they come, and what stays.


class Counting(Watch):
    """Keeps the rows that it was told, and stops after so many steps."""

    def __init__(self, most: int = 10**9):
        self.most, self.steps, self.told, self.phases = most, 0, [], []

    def phase(self, name):
        self.phases.append(name)

    def step(self, step, seconds):
        self.steps += 1

    def compared(self, comparison):
        self.told.append([(row["method"], row["finished"]) for row in comparison.rows])

    def cancelled(self):
        return self.steps >= self.most


def count_runs(monkeypatch) -> list[tuple[str, int]]:
    """The runs made from now on, as (method, seed)."""
    made, real = [], compare_module.run

    def run(dataset, start, request, method, seed, *more):
        made.append((method.name, seed))
        return real(dataset, start, request, method, seed, *more)

    monkeypatch.setattr(compare_module, "run", run)
    return made


def test_rows_appear_as_their_runs_are_finished(home, crowd):
    watch = Counting()
    quickly(crowd, names=("gradient_ascent", "finetune"), seeds=(3, 4), watch=watch)
    assert watch.told == [
        [("gradient_ascent", 1)],
        [("gradient_ascent", 1), ("finetune", 1)],
        [("gradient_ascent", 2), ("finetune", 1)],
        [("gradient_ascent", 2), ("finetune", 2)],
    ]
    assert [name for name in watch.phases if name.startswith("Run ")] == [
        f"Run {number} of 4: {METHODS[name].title}, seed {seed}" for number, (seed, name) in
        enumerate([(seed, name) for seed in (3, 4) for name in ("gradient_ascent", "finetune")], 1)]


def test_before_any_run_there_is_no_row(home, crowd):
    comparison = Comparison(crowd, asked(crowd), tuple(entries(*QUICK)), SEEDS)
    assert comparison.rows == []
    assert comparison.left == 9
    assert comparison.record("retrain", 0) is None
    assert comparison.records() == {}
    json.dumps(comparison.to_json(), allow_nan=False)


def test_a_second_comparison_runs_nothing_again(home, crowd, monkeypatch):
    made = count_runs(monkeypatch)
    first = quickly(crowd, seeds=(0, 1))
    assert sorted(made) == sorted((name, seed) for name in QUICK for seed in (0, 1))
    assert first.left == 0
    made.clear()
    watch = Counting()
    again = quickly(people(), seeds=(0, 1), watch=watch)
    assert made == []
    assert watch.steps == 0
    assert again.to_json() == first.to_json()
    assert again.key == first.key


def test_another_seed_and_another_method_run_what_is_new_only(home, crowd, monkeypatch):
    quickly(crowd, names=("finetune",), seeds=(0,))
    made = count_runs(monkeypatch)
    comparison = quickly(crowd, names=("retrain", "finetune"), seeds=(1, 0))
    assert made == [("retrain", 1), ("finetune", 1), ("retrain", 0)]
    assert [row["records"] for row in comparison.rows] == [
        [f"runs/crowd-run-{comparison.key_of(*entry, seed)}.json" for seed in (1, 0)]
        for entry in comparison.entries]


def test_every_run_has_a_record_and_a_model_on_disk_and_nothing_else(home, crowd):
    comparison = quickly(crowd, seeds=(0,))
    names = {f"crowd-run-{comparison.key_of(*entry, 0)}" for entry in comparison.entries}
    assert {path.name for path in (home / "runs").iterdir()} == {
        name + ending for name in names for ending in (".json", ".safetensors")}
    assert set(comparison.records()) == {f"runs/{name}.json" for name in names}


def test_a_run_whose_model_is_gone_is_made_again(home, crowd, monkeypatch):
    comparison = quickly(crowd, names=("finetune",), seeds=(0,))
    (model,) = (home / "runs").glob("*.safetensors")
    model.unlink()
    assert comparison.left == 1
    assert comparison.rows == []
    made = count_runs(monkeypatch)
    quickly(crowd, names=("finetune",), seeds=(0,))
    assert made == [("finetune", 0)]
    assert model.is_file()



def compared_with(data, spec=CLASS, name="finetune", seed=0, learner=LINEAR, **settings):
    """The key of one run."""
    comparison = Comparison(data, asked(data, spec), (), (seed,))
    return comparison.key_of(METHODS[name](**settings), learner, seed)


def with_part(data: Dataset, part: str) -> Dataset:
    """The dataset with one number of one part changed."""
    samples = getattr(data, part)
    x = samples.x.clone()
    x[0, 0] += 1e-3
    return dataclasses.replace(data, **{part: dataclasses.replace(samples, x=x)})


@pytest.mark.parametrize("change", [
    lambda data: compared_with(data, seed=1),
    lambda data: compared_with(data, lr=0.005),
    lambda data: compared_with(data, name="retrain"),
    lambda data: compared_with(data, learner=dataclasses.replace(LINEAR, lr=0.01)),
    lambda data: compared_with(data, learner=dataclasses.replace(LINEAR, arch="mlp")),
    lambda data: compared_with(data, "class:p3"),
    lambda data: compared_with(data, "samples:8,9,10,11"),  # the same ids, not a class
    lambda data: compared_with(data, "random:4"),
    lambda data: compared_with(with_part(data, "train")),
    lambda data: compared_with(with_part(data, "held_out")),
    lambda data: compared_with(with_part(data, "test")),
    lambda data: compared_with(dataclasses.replace(data, classes=("q0", "q1", *data.classes[2:]))),
    lambda data: compared_with(dataclasses.replace(data, test=data.test.take(slice(0, 29)))),
], ids=["seed", "knob", "method", "learner", "architecture", "class", "ids", "draw", "training",
        "held-out", "test", "names", "fewer tests"])  # fmt: skip
def test_whatever_determines_a_run_changes_its_key(home, change):
    same = [compared_with(people()) for _ in range(2)]
    assert same[0] == same[1] != change(people())


@given(st.tuples(st.integers(0, 3), st.sampled_from([1e-3, 2e-3, 4e-3]), st.integers(1, 3),
                 st.sampled_from([20, 30]), st.sampled_from(["class:p1", "class:p2", "random:3"])),
       st.tuples(st.integers(0, 3), st.sampled_from([1e-3, 2e-3, 4e-3]), st.integers(1, 3),
                 st.sampled_from([20, 30]), st.sampled_from(["class:p1", "class:p2", "random:3"])))
def test_keys_are_equal_exactly_where_everything_is(one, other):
    def key(seed, lr, epochs, min_steps, spec):
        learner = dataclasses.replace(LINEAR, min_steps=min_steps)
        return compared_with(people(), spec, "finetune", seed, learner, lr=lr, epochs=epochs)

    assert (key(*one) == key(*other)) == (one == other)


# Damaged, refused, cancelled, private.


def test_a_damaged_record_is_named(home, crowd):
    quickly(crowd, names=("finetune",), seeds=(0,))
    (record,) = (home / "runs").glob("*.json")
    for content in (b"", b"{", b"null", b"[]", b"{}", b'{"result": 3}', b'{"result": {}}',
                    b"\xff\xfe\x00"):
        record.write_bytes(content)
        with pytest.raises(DamagedFile) as error:
            quickly(crowd, names=("finetune",), seeds=(0,))
        assert str(record) in str(error.value), content
        assert "delete it" in str(error.value), content
    record.unlink()
    assert quickly(crowd, names=("finetune",), seeds=(0,)).left == 0


def test_an_altered_figure_breaks_the_seal(home, crowd):
    quickly(crowd, names=("finetune",), seeds=(0,))
    (path,) = (home / "runs").glob("*.json")
    record = json.loads(path.read_text())
    record["result"]["metrics"]["unlearned"]["retain_accuracy"] = 0.1
    path.write_text(json.dumps(record))
    with pytest.raises(DamagedFile, match="delete it"):
        quickly(crowd, names=("finetune",), seeds=(0,))


def test_a_damaged_model_is_named(home, crowd):
    comparison = quickly(crowd, names=("finetune",), seeds=(0,))
    (model,) = (home / "runs").glob("*.safetensors")
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DamagedFile, match="delete it") as error:
        comparison.models("finetune")
    assert str(model) in str(error.value)


@dataclasses.dataclass(frozen=True)
class Diverging(Method):
    """Its loss is no number."""

    name, title, summary, learner = "diverging", "Diverging", "Breaks.", "network"

    def steps(self, model, task):
        yield Step(1, 1, "breaking", {"loss": math.nan})


def test_a_method_that_refuses_is_named_and_the_others_go_on(home, crowd, monkeypatch):
    made = count_runs(monkeypatch)
    comparison = quickly(crowd, SOME, ("masked", "finetune"), (0, 1))
    assert [row["method"] for row in comparison.rows] == ["finetune"]
    assert set(comparison.refused) == set(comparison.to_json()["refused"]) == {"masked"}
    assert "whole class" in comparison.refused["masked"]
    assert made == [("masked", 0), ("finetune", 0), ("finetune", 1)]
    assert comparison.left == 2
    assert csv_text(comparison).count("\n") == 2


def test_a_method_whose_numbers_break_is_named_and_the_others_go_on(home, crowd):
    comparison = compare(crowd, asked(crowd),
                         [(Diverging(), LINEAR), *entries("finetune")], (0, 1))
    assert [row["method"] for row in comparison.rows] == ["finetune"]
    assert "loss" in comparison.refused["diverging"]


def test_a_method_with_a_learner_that_it_cannot_edit_is_refused(home, crowd):
    comparison = compare(crowd, asked(crowd),
                         [(METHODS["certified"](), LINEAR), *entries("finetune")], (0,))
    assert "needs the learner 'convex'" in comparison.refused["certified"]
    assert [row["method"] for row in comparison.rows] == ["finetune"]


def test_where_all_refuse_it_raises(home, crowd):
    with pytest.raises(BadInput, match="whole class"):
        quickly(crowd, SOME, ("masked",), (0, 1))
    with pytest.raises(Diverged):
        compare(crowd, asked(crowd, SOME), [*entries("masked"), (Diverging(), LINEAR)], (0,))
    assert not list(home.glob("runs/*"))


def test_stopped_in_the_middle_it_keeps_what_was_finished(home, crowd, monkeypatch):
    whole = Counting()
    quickly(crowd, names=("retrain", "finetune"), seeds=(0, 1), watch=whole)
    for most in (whole.steps // 2, whole.steps - 1):
        folder = home / str(most)
        monkeypatch.setenv("FORGET_HOME", str(folder))
        watch = Counting(most)
        with pytest.raises(Cancelled):
            quickly(crowd, names=("retrain", "finetune"), seeds=(0, 1), watch=watch)
        kept = Comparison(crowd, asked(crowd), tuple(entries("retrain", "finetune")), (0, 1))
        finished = sum(row["finished"] for row in kept.rows)
        assert finished == len(watch.told) == 4 - kept.left
        assert 0 < finished < 4
        with monkeypatch.context() as patch:
            made = count_runs(patch)
            after = quickly(crowd, names=("retrain", "finetune"), seeds=(0, 1))
        assert len(made) == 4 - finished
        assert after.left == 0


def test_stopped_before_the_first_step_it_keeps_nothing(home, crowd):
    with pytest.raises(Cancelled):
        quickly(crowd, watch=Counting(0))
    assert not list(home.glob("runs/*"))


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_of_private_data_nothing_is_written(home, monkeypatch):
    lent = people(private={})
    made = count_runs(monkeypatch)
    comparison = quickly(lent, names=("retrain", "finetune"), seeds=(0, 1))
    again = quickly(lent, names=("retrain", "finetune"), seeds=(0, 1))
    assert len(made) == 4
    assert again.to_json() == comparison.to_json()
    assert [row["finished"] for row in comparison.rows] == [2, 2]
    assert set(comparison.models("finetune")) == {"Original", "Unlearned", "Retrained"}
    assert not home.exists() or files_below(home) == set()


def test_private_data_give_the_figures_that_others_give(home, crowd):
    def shown(data):
        (row,) = quickly(data, names=("finetune",), seeds=(0,)).rows
        return {name: value for name, value in row.items()
                if name not in ("seconds", "processor_seconds")
                and not name.startswith("speed_up")}

    assert shown(people(private={})) == shown(crowd)


# What does not fit.


@pytest.mark.parametrize(("names", "seeds", "says"), [
    ((), (0,), "at least one"), (("retrain", "retrain"), (0,), "each method once"),
    (("retrain",), (), "from 1 to 100"), (("retrain",), (1, 1), "different seeds"),
    (("retrain",), range(101), "from 1 to 100"),
])  # fmt: skip
def test_methods_or_seeds_that_do_not_fit(home, crowd, names, seeds, says):
    with pytest.raises(BadInput, match=says):
        quickly(crowd, names=names, seeds=seeds)
    assert not home.exists() or files_below(home) == set()


def test_one_method_with_two_settings_is_refused(home, crowd):
    two = [(METHODS["finetune"](lr=lr), LINEAR) for lr in (1e-3, 2e-3)]
    with pytest.raises(BadInput, match="once"):
        compare(crowd, asked(crowd), two, (0,))


# The plain data, the CSV and the models.


def test_the_plain_data_have_exactly_these_fields(any_comparison, crowd):
    shown = any_comparison.to_json()
    json.dumps(shown, allow_nan=False)
    assert json.loads(json.dumps(shown)) == shown
    assert set(shown) == TABLE
    assert shown["dataset"] == "crowd"
    assert shown["classes"] == [f"p{one}" for one in range(6)]
    assert shown["seeds"] == list(any_comparison.seeds)
    assert (shown["device"], shown["threads"], shown["refused"]) == ("cpu", 1, {})
    assert set(shown["versions"]) >= {"python", "torch"}
    whole = any_comparison.request.class_index is not None
    assert shown["forget"] == {"spec": any_comparison.request.spec,
                               "train_samples": 4 if whole else 3, "class": "p2" if whole else None}
    for row in shown["rows"]:
        assert set(row) == ROW
        assert set(row["relearn"]) == {"ratio", "why", "steps", "curves"}
        assert set(row["accuracy"]["forget_accuracy"]) == {*SIDES, "gap"}
        for value in (row["tug_of_war"], *row["seconds"].values(), *row["population_auc"].values()):
            assert set(value) == {"mean", "spread", "each"}
        assert set(row["seconds"]) == {"prepare", "forget", "retrain"}
        assert set(row["population_auc"]) == set(SIDES)
        assert (row["membership"], row["audit"]) == (None, None)
        assert row["verdict"] != MATCHES_ALL


def test_rows_stand_in_the_order_that_was_asked_for(crowd, compared):
    assert [row["method"] for row in compared.rows] == [*QUICK, "certified"]
    names = ("gradient_ascent", "retrain")
    turned = Comparison(crowd, asked(crowd), tuple(entries(*names)), (2, 0))
    assert [row["method"] for row in turned.rows] == list(names)
    assert [record["result"]["seed"] for record in turned.records().values()] == [2, 0, 2, 0]


def at(row: dict, path: str):
    """What stands at a dotted path; None where it ends early, as where there is no certificate."""
    if path in row or not path:
        return row[path]
    head, _, rest = path.partition(".")
    while head not in row:  # a learner's knob has a dot in its name
        more, _, rest = rest.partition(".")
        head += f".{more}"
    return None if row[head] is None else at(row[head], rest)


def test_the_csv_has_a_row_a_method_and_parses_back(any_comparison):
    rows = list(csv.DictReader(io.StringIO(csv_text(any_comparison))))
    shown = any_comparison.to_json()["rows"]
    assert [row["method"] for row in rows] == [row["method"] for row in shown]
    columns = set(rows[0])
    for split in SPLITS:
        assert f"accuracy.{split}.unlearned.mean" in columns
    assert {"tug_of_war.mean", "speed_up", "verdict", "reason", "relearn.why",
            "seconds.forget.spread"} <= columns
    for cells, row in zip(rows, shown, strict=True):
        for path, cell in cells.items():
            if path.startswith("params.") and path.removeprefix("params.") not in row["params"]:
                assert cell == ""  # another method's knob
                continue
            value = at(row, path)
            if value is None or isinstance(value, dict):
                assert cell == ""
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                assert float(cell) == value
            else:
                assert cell == str(value)


def accuracies(model, data: Dataset, spec: str, line: float = 0.0) -> dict[str, float | None]:
    """By hand: the share that a model gets right of each split of the raw data.

    ``line``: below this probability it knows nobody.
    """
    def right(samples, rows) -> float | None:
        if not rows.any():
            return None
        said = Predictions.of(model, samples.take(rows))
        p, guess = said.log_p.exp().max(1)
        return ((guess == samples.y[rows]) & (p >= line)).double().mean().item()

    gone = torch.zeros(len(data.train), dtype=torch.bool)
    gone[asked(data, spec).ids] = True
    unseen = data.test.y == 2 if spec == CLASS else torch.zeros(len(data.test), dtype=torch.bool)
    return {"forget_accuracy": right(data.train, gone), "retain_accuracy": right(data.train, ~gone),
            "test_forget_accuracy": right(data.test, unseen),
            "test_retain_accuracy": right(data.test, ~unseen)}


def test_the_models_have_the_accuracies_that_were_told(any_comparison, module_home, monkeypatch):
    monkeypatch.setattr(LEARNERS["network"], "train", lambda *_: pytest.fail("trained again"))
    data, spec = any_comparison.data, any_comparison.request.spec
    for row in any_comparison.rows:
        for index in range(len(any_comparison.seeds)):
            models = any_comparison.models(row["method"], index)
            assert list(models) == ["Original", "Unlearned", "Retrained"]
            line = any_comparison.threshold(row["method"], index).value
            assert 0 < line < 1
            for side, model in zip(SIDES, models.values(), strict=True):
                assert not model.training
                got = accuracies(model, data, spec, line)
                for split in SPLITS:
                    assert got[split] == pytest.approx(row["accuracy"][split][side]["each"][index])


def test_the_weak_attack_is_what_the_models_say(compared):
    data, request = compared.data, compared.request
    for row in compared.rows:
        for side, model in zip(SIDES, compared.models(row["method"], 1).values(), strict=True):
            def margins(samples, rows, model=model):
                log_p = Predictions.of(model, samples.take(rows)).log_p.double()
                own = log_p[:, 2]
                return (own - (1 - own.exp()).clamp_min(1e-300).log()).tolist()

            seen = margins(data.train, request.ids)
            others = margins(data.test, data.test.y == 2)
            pairs = [(a > b) + (a == b) / 2 for a in seen for b in others]
            assert row["population_auc"][side]["each"][1] == pytest.approx(statistics.fmean(pairs))


# With audits.


PASSED = Check("Membership attack", True, "It cannot tell them apart.")
UNPROBED = Check("Linear probe", None, "There is nothing to probe.")
TOO_FAST = Check("Relearning", False, "It comes back too fast.")
HOLDS = Check("Linear probe", False, "The features hold the class.")


def with_checks(audits: dict[str, Audit], *checks: Check) -> Audit:
    return dataclasses.replace(audits["finetune"], checks=checks)


@pytest.mark.parametrize(("kept", "checks", "verdict"), [
    (1.0, (PASSED, UNPROBED), MATCHES_ALL),
    (1.0, (PASSED,), MATCHES_ALL),
    (1.0, (PASSED, TOO_FAST), MATCHES),
    (1.0, (PASSED, TOO_FAST, HOLDS), MATCHES),
    (0.5, (PASSED, UNPROBED), DAMAGED),
    (0.5, (TOO_FAST,), DAMAGED),
])  # fmt: skip
def test_the_verdict_matches_without_reserve_only_after_a_clear_audit(
    audits, kept, checks, verdict
):
    records = [made_record(flat(kept=kept), (10, 10), None, (1, 1, 1))] * 2
    row = made_row(records, audit=with_checks(audits, *checks))
    assert row["verdict"] == verdict
    found = [check for check in checks if check.passed is False]
    for check in checks:
        assert (check.text in row["reason"]) == (check in found)
    assert row["audit"] == {"clear": not found, "told": True, "checks": [
        dataclasses.asdict(check) | {"outcome": check.outcome} for check in checks]}


def test_an_audit_does_not_clear_what_still_knows_the_class(audits):
    records = [made_record(flat(0.5), (10, 10), None, (1, 1, 1))] * 2
    assert made_row(records, audit=with_checks(audits, PASSED))["verdict"] == UNDER


def test_audits_go_to_the_rows_of_their_methods_only(compared, audits):
    before = compared.to_json()
    shown = with_audits(compared, {"finetune": audits["finetune"]}).to_json()
    assert compared.to_json() == before
    json.dumps(shown, allow_nan=False)
    for row, old in zip(shown["rows"], before["rows"], strict=True):
        if row["method"] != "finetune":
            assert row == old
            continue
        found = audits["finetune"].to_json()
        membership = row["membership"]
        assert set(membership) == {*SIDES, "klom", "shadows", "samples"}
        assert (membership["shadows"], membership["samples"]) == (24, 24)
        for side in SIDES:
            assert set(membership[side]) == {"auc", "balanced_accuracy", "tpr_at_1", "tpr_at_01"}
            assert membership[side] == found[side]
            for interval in (membership[side]["auc"], membership[side]["balanced_accuracy"]):
                assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1
        assert [check["name"] for check in row["audit"]["checks"]] == [
            "Membership attack", "Relearning", "Linear probe"]
        assert {name for name in row if row[name] != old[name]} <= {
            "membership", "audit", "verdict", "reason"}


def test_audits_are_added_to_those_that_were_there(compared, audits):
    one = with_audits(compared, {"finetune": audits["finetune"]})
    both = with_audits(one, {"retrain": audits["retrain"]})
    assert [row["method"] for row in both.rows if row["audit"]] == ["retrain", "finetune"]
    assert both.key == compared.key
