"""``python -m forget``: the contract that other people's scripts rest on."""

import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import glyphs, weights_hash

from forget.cli import main as cli
from forget.core.times import Took
from forget.data import DATASETS, find_dataset
from forget.learners import LEARNERS
from forget.methods import METHODS
from forget.metrics.accuracy import Predictions
from forget.metrics.verdict import DAMAGED, MATCHES, OVER, UNCHANGED, UNDER
from forget.report.export import csv_text, json_text
from forget.unlearning import store
from forget.unlearning.measure import SPLITS

ROOT = Path(__file__).parent.parent
QUICK = {
    "network": ["learner.epochs=1", "learner.min_steps=40", "learner.shift=0"],
    "sisa": ["learner.arch=mlp", "learner.epochs=20", "learner.shards=2", "learner.batch_size=16",
             "learner.shift=0"],
    "convex": [],
}
"""Settings of each learner with which it trains in moments."""
STEPS = {"finetune": ["min_steps=40"]}
SHORT = [word for knob in QUICK["network"] for word in ("--set", knob)]
VERDICTS = {MATCHES, UNDER, OVER, DAMAGED, UNCHANGED}


def save_npz(folder: Path) -> str:
    draw = np.random.default_rng(0)
    x_train, y_train = glyphs(draw, 60, 4)
    x_test, y_test = glyphs(draw, 40, 4)
    path = folder / "bars.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return str(path)


@pytest.fixture
def data(tmp_path) -> str:
    """The path of a small dataset: 240 training samples of the classes 0 to 3."""
    return save_npz(tmp_path)


def call(*arguments) -> int:
    """The exit status of one command, whoever ends it."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def run(data, *arguments, spec="class:2", method="gradient_ascent") -> int:
    knobs = [*QUICK[METHODS[method].learner], *STEPS.get(method, ())]
    quick = [word for knob in knobs for word in ("--set", knob)]
    return call("run", data, "--forget", spec, "--method", method, *quick, *arguments)


def read(path: Path) -> dict:
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Results by request, each run once in a home of their own: spec to (JSON, --out folder)."""
    folder = tmp_path_factory.mktemp("ran")
    data = save_npz(folder)
    results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder / "home"))
        for spec in ("class:2", "random:20", "samples:3,17,99"):
            out = folder / spec.replace(":", "-")
            status = run(data, "--json", folder / "r.json", "--out", out, "--seed", 5, spec=spec)
            assert status == 0
            results[spec] = read(folder / "r.json"), out
        yield data, results


ALL_SPECS = pytest.mark.parametrize("spec", ["class:2", "random:20", "samples:3,17,99"])


# Listing.


def printed(capsys, *arguments) -> str:
    assert call(*arguments) == 0
    return capsys.readouterr().out


def test_methods_json_has_the_contracts_fields(capsys):
    shown = json.loads(printed(capsys, "methods", "--json"))
    assert [entry["name"] for entry in shown] == list(METHODS)
    for entry in shown:
        assert entry["learner"] in LEARNERS
        assert isinstance(entry["hyperparameters"], list)
        for knob in [*entry["hyperparameters"], *entry["learner_hyperparameters"]]:
            assert {"name", "type", "default", "help"} <= set(knob)
            assert ("choices" in knob) or {"low", "high"} <= set(knob)


def test_methods_json_tells_every_knob_with_its_default(capsys):
    for entry in json.loads(printed(capsys, "methods", "--json")):
        told = {knob["name"]: knob["default"] for knob in entry["hyperparameters"]}
        assert told == METHODS[entry["name"]]().settings()
        of_learner = {knob["name"]: knob["default"] for knob in entry["learner_hyperparameters"]}
        assert of_learner == LEARNERS[entry["learner"]]().settings()


def test_datasets_json_has_the_contracts_fields_and_fetches_nothing(capsys, home):
    shown = json.loads(printed(capsys, "datasets", "--json"))
    assert [entry["name"] for entry in shown] == [
        name for name, cls in DATASETS.items() if not cls.takes_path]  # fmt: skip
    for entry in shown:
        assert {"name", "classes", "sizes", "sources", "present"} <= set(entry)
        assert entry["present"] is False
    mnist = next(entry for entry in shown if entry["name"] == "mnist")
    assert mnist["classes"] == list("0123456789")
    assert mnist["sizes"] == {"train": 55_000, "held_out": 5_000, "test": 10_000}


def test_methods_for_people_name_every_method_and_knob(capsys):
    text = printed(capsys, "methods")
    for name, cls in METHODS.items():
        assert name in text
        for spec in cls.knobs():
            assert f"--set {spec.name}=" in text


def test_datasets_for_people_name_every_dataset_and_say_what_is_missing(capsys, home):
    text = printed(capsys, "datasets")
    assert "mnist" in text
    assert "not downloaded yet" in text
    assert ".npz" in text


# Running.


@ALL_SPECS
def test_run_writes_all_fields_of_the_contract(ran, spec):
    result = ran[1][spec][0]
    assert {"dataset", "forget", "method", "learner", "params", "seed", "device", "seconds",
            "metrics", "distance_to_retrained", "certificate", "verdict", "versions",
            "threads"} <= set(result)  # fmt: skip
    assert result["dataset"] == "bars"
    assert result["method"] == "gradient_ascent"
    assert result["learner"] == "network"
    assert result["seed"] == 5
    assert result["threads"] == 1
    assert result["certificate"] is None
    assert {"python", "torch", "numpy"} <= set(result["versions"])


@ALL_SPECS
def test_metrics_are_shares_or_null(ran, spec):
    metrics = ran[1][spec][0]["metrics"]
    assert list(metrics) == ["original", "unlearned", "retrained"]
    for accuracies in metrics.values():
        assert set(accuracies) == set(SPLITS)
        for split, value in accuracies.items():
            if split == "test_forget_accuracy" and not spec.startswith("class"):
                assert value is None
            else:
                assert 0 <= value <= 1


def test_a_class_request_is_forgotten_and_told_as_it_is(ran):
    metrics = ran[1]["class:2"][0]["metrics"]
    assert metrics["original"]["forget_accuracy"] > 0.9
    assert metrics["unlearned"]["forget_accuracy"] < 0.1
    assert metrics["retrained"]["forget_accuracy"] == 0
    assert metrics["unlearned"]["test_retain_accuracy"] > 0.9


@pytest.mark.parametrize(("spec", "count"), [
    ("class:2", 60), ("random:20", 20), ("samples:3,17,99", 3),
])  # fmt: skip
def test_the_request_is_told_with_its_size(ran, spec, count):
    assert ran[1][spec][0]["forget"] == {"spec": spec, "train_samples": count}


@ALL_SPECS
def test_the_verdict_is_one_of_the_known_ones(ran, spec):
    result = ran[1][spec][0]
    assert result["verdict"] in VERDICTS
    assert result["verdict_reason"]


@ALL_SPECS
def test_seconds_are_told_for_each_phase(ran, spec):
    seconds = ran[1][spec][0]["seconds"]
    assert set(seconds) == {"prepare", "forget", "retrain"}
    assert all(value > 0 for value in seconds.values())


@ALL_SPECS
def test_distances_lie_in_their_ranges(ran, spec):
    distance = ran[1][spec][0]["distance_to_retrained"]
    assert {"kl_forget", "agreement_forget", "agreement_test"} <= set(distance)
    assert distance["kl_forget"] >= 0
    assert 0 <= distance["agreement_forget"] <= 1
    assert 0 <= distance["agreement_test"] <= 1


def test_params_hold_the_knobs_of_the_method_and_of_its_learner(ran):
    params = ran[1]["class:2"][0]["params"]
    expected = METHODS["gradient_ascent"]().settings() | {
        f"learner.{name}": value
        for name, value in LEARNERS["network"](epochs=1, min_steps=40, shift=0).settings().items()}
    assert params == expected


def test_out_holds_the_same_result_and_the_model(ran):
    result, out = ran[1]["class:2"]
    assert sorted(os.listdir(out)) == ["model.safetensors", "result.json"]
    assert read(out / "result.json") == result


@ALL_SPECS
def test_the_model_that_was_written_has_the_accuracies_that_were_told(ran, spec):
    data, results = ran
    result, out = results[spec]
    stored = store.load(out / "model.safetensors")
    dataset = find_dataset(data).load()
    test = Predictions.of(stored.model, dataset.test)
    assert test.per_class == result["per_class"]["unlearned"]
    retained = dataset.test.y != 2 if spec == "class:2" else dataset.test.y >= 0
    assert test.take(retained).accuracy == result["metrics"]["unlearned"]["test_retain_accuracy"]
    if spec == "class:2":
        accuracy = test.take(~retained).accuracy
        assert accuracy == result["metrics"]["unlearned"]["test_forget_accuracy"]
    assert stored.record["method"] == "gradient_ascent"
    assert stored.record["forgotten"] == [spec]
    assert stored.record["seed"] == 5


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_runs(home, data, tmp_path, capsys, method):
    assert run(data, "--json", tmp_path / "r.json", method=method) == 0
    result = read(tmp_path / "r.json")
    assert result["method"] == method
    assert result["verdict"] in VERDICTS
    text = capsys.readouterr().out
    assert "original" in text
    assert "verdict: " + result["verdict"] in text


def without_times(result: dict) -> dict:
    return {name: value for name, value in result.items()
            if name not in ("seconds", "processor_seconds", "versions", "certificate")
            and not name.startswith("speed_up")}


@pytest.mark.drawn(2)
@pytest.mark.parametrize("method", list(METHODS))
def test_the_same_seed_gives_the_same_result_stored_or_trained_anew(
    data, tmp_path, monkeypatch, method
):
    results = []
    # The noise of a certificate comes from the machine's key, which lies in the home folder.
    homes = ("one", "one") if method == "certified" else ("one", "one", "two")
    for number, folder in enumerate(homes):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / folder))
        path = tmp_path / f"{number}.json"
        assert run(data, "--json", path, spec="random:30", method=method) == 0
        results.append(without_times(read(path)))
    assert all(result == results[0] for result in results[1:])


def test_another_seed_gives_another_result(home, data, tmp_path):
    distances = []
    for seed in (1, 2):
        assert run(data, "--seed", seed, "--json", tmp_path / "r.json", spec="random:30") == 0
        distances.append(read(tmp_path / "r.json")["distance_to_retrained"]["kl_forget"])
    assert distances[0] != distances[1]


def test_every_seed_has_an_original_and_a_reference_of_its_own(home, data, tmp_path):
    hashes = set()
    for seed in (1, 2):
        assert run(data, "--seed", seed, "--references", 2, "--out", tmp_path / str(seed),
                   method="retrain") == 0  # fmt: skip
        hashes.add(weights_hash(store.load(tmp_path / str(seed) / "model.safetensors").model))
    stored = list((home / "trained").iterdir())
    assert len(stored) == 6
    hashes |= {weights_hash(store.load(path).model) for path in stored}
    assert len(hashes) == 8


def test_a_second_run_takes_the_stored_original_with_its_time(home, data, tmp_path, monkeypatch):
    assert run(data, "--json", tmp_path / "1.json") == 0
    before = sorted(path.name for path in (home / "trained").iterdir())
    assert len(before) == 2
    monkeypatch.setattr(LEARNERS["network"], "train", lambda *_: pytest.fail("trained again"))
    assert run(data, "--json", tmp_path / "2.json") == 0
    assert sorted(path.name for path in (home / "trained").iterdir()) == before
    first, second = (read(tmp_path / f"{n}.json")["seconds"] for n in (1, 2))
    assert first["prepare"] == second["prepare"]
    assert first["retrain"] == second["retrain"]


def test_several_references_give_their_spread(home, data, tmp_path):
    assert run(data, "--references", 2, "--json", tmp_path / "r.json") == 0
    result = read(tmp_path / "r.json")
    assert result["references"] == 2
    assert len(result["per_class"]["retrained"]) == 2
    assert result["retrained_spread"]["test_retain_accuracy"] is not None
    assert "unknown" not in result["verdict_reason"]


def test_one_reference_has_no_spread(ran):
    result = ran[1]["class:2"][0]
    assert set(result["retrained_spread"].values()) == {None}
    assert "unknown" in result["verdict_reason"]


def test_knobs_reach_the_method_and_the_learner(home, data, tmp_path):
    assert run(data, "--set", "max_steps=2", "--set", "lr=1e-5", "--set", "learner.lr=0.02",
               "--json", tmp_path / "r.json") == 0  # fmt: skip
    result = read(tmp_path / "r.json")
    assert result["params"]["max_steps"] == 2
    assert result["params"]["lr"] == 1e-5
    assert result["params"]["learner.lr"] == 0.02
    assert result["metrics"]["unlearned"] == result["metrics"]["original"]
    assert result["verdict"] == UNDER


def test_the_last_of_several_settings_of_a_knob_counts(home, data, tmp_path):
    assert run(data, "--set", "max_steps=2", "--set", "max_steps=3",
               "--json", tmp_path / "r.json") == 0  # fmt: skip
    assert read(tmp_path / "r.json")["params"]["max_steps"] == 3


def test_standard_output_is_the_result_and_progress_goes_to_standard_error(home, data, capsys):
    assert run(data) == 0
    said = capsys.readouterr()
    assert "verdict: " in said.out
    assert "%|" not in said.out
    assert "step" in said.err


def test_out_is_made_with_its_parents_and_written_over(home, data, tmp_path):
    out = tmp_path / "deep" / "er"
    assert run(data, "--out", out) == 0
    assert run(data, "--out", out, spec="class:1") == 0
    assert read(out / "result.json")["forget"]["spec"] == "class:1"
    assert sorted(os.listdir(out)) == ["model.safetensors", "result.json"]


def test_train_trains_stores_and_tells_the_accuracy(home, data, capsys):
    assert call("train", data, *SHORT) == 0
    first = capsys.readouterr().out
    assert "of the test set right" in first
    assert len(list((home / "trained").iterdir())) == 1
    assert call("train", data, *SHORT) == 0
    assert capsys.readouterr().out == first


def test_train_takes_the_learners_knobs_without_their_prefix_too(home, data):
    assert call("train", data, *SHORT) == 0
    assert call("train", data, *[word.replace("learner.", "") for word in SHORT]) == 0
    assert len(list((home / "trained").iterdir())) == 1


def test_fetch_of_a_file_that_is_there_says_so(home, data, capsys):
    assert call("fetch", data) == 0
    assert "present and checked" in capsys.readouterr().out


def test_the_csv_says_what_the_json_says(home, data, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(cli, "summary", lambda result: kept.append(result) or "")
    assert run(data, "--json", tmp_path / "r.json") == 0
    shown = read(tmp_path / "r.json")
    rows = list(csv.DictReader(io.StringIO(csv_text(kept[0]))))
    told = {(row["model"], row["measure"], row["class"]): row["value"] for row in rows}
    assert len(told) == len(rows)
    for model, accuracies in shown["metrics"].items():
        for split, value in accuracies.items():
            assert float(told[model, split, ""]) == value
    for name, value in zip(shown["per_class"]["classes"], shown["per_class"]["unlearned"],
                           strict=True):  # fmt: skip
        assert float(told["unlearned", "test_accuracy", name]) == value
    assert float(told["run", "seconds_forget", ""]) == shown["seconds"]["forget"]


def test_a_result_that_is_not_finite_is_never_written_as_json(home, data, monkeypatch):
    kept = []
    monkeypatch.setattr(cli, "summary", lambda result: kept.append(result) or "")
    assert run(data, "--set", "max_steps=1") == 0
    assert json.loads(json_text(kept[0]))["seconds"] == kept[0].seconds
    took = kept[0].took | {"forget": Took(float("nan"))}
    with pytest.raises(ValueError, match="JSON"):
        json_text(dataclasses.replace(kept[0], took=took))


# Bad input: status 2 and one line.


def refused(capsys, says, *arguments) -> None:
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("forget: ")
    assert says in said.err


@pytest.mark.parametrize(("spec", "says"), [
    ("class:9", "it has 0, 1, 2, 3"), ("class:", "it has 0, 1, 2, 3"),
    ("class:two", "it has 0, 1, 2, 3"),
    ("samples:240", "ids go from 0 to 239"), ("samples:-1", "is not a sample id"),
    ("samples:", "is not a sample id"), ("samples:1,a", "is not a sample id"),
    ("random:0", "from 1 to 239"), ("random:240", "from 1 to 239"),
    ("random:99999", "from 1 to 239"), ("random:", "is not a count"),
    ("random:1.5", "is not a count"),
    ("", "write class:NAME"), ("2", "write class:NAME"), ("all", "write class:NAME"),
    ("samples:" + ",".join(map(str, range(240))), "ask for less"),
    ("random:239", "ask for less"),
])  # fmt: skip
def test_a_wrong_request(home, data, capsys, spec, says):
    refused(capsys, says, "run", data, f"--forget={spec}", "--method", "retrain")
    assert not list(home.glob("trained/*"))


@pytest.mark.parametrize("method", ["", "nope", "Retrain", "retrain "])
def test_an_unknown_method(home, data, capsys, method):
    refused(capsys, ", ".join(METHODS), "run", data, "--forget", "class:1", "--method", method)


@pytest.mark.parametrize("dataset", ["nope", "npz", "none.npz", ""])
@pytest.mark.parametrize("command", ["run", "train", "fetch"])
def test_an_unknown_dataset(home, capsys, dataset, command):
    more = ["--forget", "class:1", "--method", "retrain"] if command == "run" else []
    refused(capsys, "mnist", command, dataset, *more)


@pytest.mark.parametrize("dataset", [".", "/"])
@pytest.mark.parametrize("command", ["run", "train", "fetch"])
def test_a_folder_without_people(home, capsys, dataset, command):
    more = ["--forget", "class:1", "--method", "retrain"] if command == "run" else []
    refused(capsys, "photos", command, dataset, *more)
    assert not (home / "dlib_resnet").exists()


def test_a_file_that_is_no_dataset(home, capsys, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"text")
    refused(capsys, "numpy.savez", "run", tmp_path / "bad.npz", "--forget", "class:1",
            "--method", "retrain")  # fmt: skip


def test_an_unknown_learner(home, data, capsys):
    refused(capsys, "network", "train", data, "--learner", "nope")


@pytest.mark.parametrize(("setting", "says"), [
    ("nope=1", "it has: "), ("learner.nope=1", "it has: "), ("learner.=1", "it has: "),
    ("epochs", "is not KNOB=VALUE"), ("epochs=", "is not KNOB=VALUE"),
    ("=2", "is not KNOB=VALUE"), ("", "is not KNOB=VALUE"), ("=", "is not KNOB=VALUE"),
    ("epochs=0", "between 1 and 50"), ("epochs=51", "between 1 and 50"),
    ("epochs=-1", "between 1 and 50"), ("epochs=1.5", "a whole number"),
    ("epochs=two", "a whole number"), ("epochs=nan", "a whole number"),
    ("lr=nan", "a number"), ("lr=inf", "a number"), ("lr=1", "between 1e-06 and 0.5"),
    ("lr=0", "between 1e-06 and 0.5"), ("lr==1", "a number"),
    ("reinitialise=maybe", "yes, no"), ("learner.arch=resnet", "auto, cnn, mlp"),
    ("learner.epochs=0", "between 1 and 100"),
])  # fmt: skip
def test_a_wrong_knob(home, data, capsys, setting, says):
    refused(capsys, says, "run", data, "--forget", "class:1", "--method", "finetune",
            "--set", setting)  # fmt: skip
    assert not list(home.glob("trained/*"))


def test_an_architecture_that_does_not_suit_the_data(home, tmp_path, capsys):
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "v.npz", x_train=draw.normal(size=(30, 5)), y_train=np.arange(30) % 3,
             x_test=draw.normal(size=(30, 5)), y_test=np.arange(30) % 3)  # fmt: skip
    refused(capsys, "choose 'mlp'", "run", tmp_path / "v.npz", "--forget", "class:1",
            "--method", "retrain", "--set", "learner.arch=cnn")  # fmt: skip


def test_a_missing_folder_for_the_json_is_found_before_any_work(home, data, capsys, tmp_path):
    refused(capsys, "make it first", "run", data, "--forget", "class:1", "--method", "retrain",
            "--json", tmp_path / "none" / "r.json")  # fmt: skip
    assert not list(home.glob("trained/*"))


def test_a_place_for_the_outcome_that_cannot_be_written(home, data, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert run(data, "--out", tmp_path / "file" / "out") == 2
    assert "choose another place" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("link", [
    "https://example.com/x", "drive.google.com/x", "file:///x", "http://drive.google.com/x",
    "https://drive.google.com.example.com/x",
])  # fmt: skip
def test_a_link_that_is_none_of_drives(home, capsys, link):
    refused(capsys, "Google Drive link", "fetch", "--folder", link)


@pytest.mark.parametrize("arguments", [
    [], ["nope"], ["run"], ["run", "x.npz"], ["run", "x.npz", "--forget", "class:1"],
    ["run", "x.npz", "--method", "retrain"], ["methods", "extra"], ["train"],
    ["train", "x.npz", "--seed", "-1"], ["train", "x.npz", "--seed=-1"],
    ["train", "x.npz", "--seed", "1.5"], ["train", "x.npz", "--seed", "x"],
    ["train", "x.npz", "--seed", str(2**63)], ["train", "x.npz", "--seed", "1", "2"],
    ["run", "x.npz", "--forget", "class:1", "--method", "retrain", "--references", "0"],
    ["run", "x.npz", "--forget", "class:1", "--method", "retrain", "--references", "101"],
    ["run", "x.npz", "--forget", "class:1", "--method", "retrain", "--seed", "-3"],
], ids=" ".join)  # fmt: skip
def test_a_command_line_of_a_wrong_form(home, capsys, arguments):
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: " in said.err.splitlines()[-1]


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_seeds_from_end_to_end_of_their_range_work(home, data, seed):
    assert call("train", data, "--seed", seed, *SHORT) == 0


# Interrupted, and failed.


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["run", "start_from", "parse_request"])
def test_an_interrupted_run_ends_with_130(home, data, capsys, monkeypatch, where):
    monkeypatch.setattr(cli, where, interrupt)
    assert run(data) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1] == "forget: interrupted"


def test_an_interrupted_training_stores_nothing(home, data, monkeypatch):
    real = LEARNERS["network"].train

    def train(*arguments):
        for step in real(*arguments):
            if step.index == 30:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(LEARNERS["network"], "train", train)
    assert call("train", data, *SHORT) == 130
    assert not list(home.glob("trained/*"))
    monkeypatch.undo()
    monkeypatch.setenv("FORGET_HOME", str(home))
    assert call("train", data, *SHORT) == 0


def test_a_damaged_checkpoint_fails_is_named_and_can_be_made_again(home, data, capsys):
    assert call("train", data, *SHORT) == 0
    (path,) = (home / "trained").iterdir()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    capsys.readouterr()
    assert run(data) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(path) in said.err.splitlines()[-1]
    assert "delete it" in said.err
    path.unlink()
    assert run(data) == 0


def test_training_that_diverges_fails_with_what_to_do(home, data, capsys, monkeypatch):
    real = LEARNERS["network"].train

    def train(*arguments):
        for step in real(*arguments):
            step.measured["loss"] = float("nan")
            yield step

    monkeypatch.setattr(LEARNERS["network"], "train", train)
    assert call("train", data, *SHORT) == 1
    assert "smaller lr" in capsys.readouterr().err.splitlines()[-1]
    assert not list(home.glob("trained/*"))


def test_as_a_program_it_ends_with_the_same_status_and_says_one_line(home, data):
    process = subprocess.run(
        [sys.executable, "-m", "forget", "run", data, "--forget", "class:9", "--method", "retrain"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == "forget: 'bars' has no class '9'; it has 0, 1, 2, 3\n"
