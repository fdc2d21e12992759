"""``python -m forget compare``: exit status, table, progress, and the files that it writes."""

import csv
import html
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clusters import people

from forget.cli import main as cli
from forget.core.errors import Cancelled
from forget.core.parallel import WORKERS
from forget.data.npz import Npz
from forget.evaluation.frauds import FRAUDS
from forget.methods import METHODS
from forget.metrics.verdict import DAMAGED, MATCHES, MATCHES_ALL, OVER, UNCHANGED, UNDER
from forget.report.export import COLUMNS

ROOT = Path(__file__).parent.parent
QUICK = {"network": {"arch": "linear", "min_steps": 30},
         "sisa": {"arch": "linear", "epochs": 4, "shards": 2, "slices": 2}}
"""Settings of each learner with which it trains in moments."""
WORDS = {MATCHES, MATCHES_ALL, UNDER, OVER, DAMAGED, UNCHANGED}
TWO = ("--methods", "retrain,gradient_ascent", "--seeds", 2)


@pytest.fixture
def data(tmp_path, monkeypatch) -> str:
    """The path of a small dataset: 30 training rows of the classes 0 to 5, quickly learnt."""
    monkeypatch.setattr(Npz, "recipes", QUICK)
    monkeypatch.setenv(WORKERS, "1")
    return save_npz(tmp_path)


def save_npz(folder: Path) -> str:
    made = people(photos=20, held_out=0)
    path = folder / "crowd.npz"
    np.savez(path, x_train=made.train.x.numpy()[::2], y_train=made.train.y.numpy()[::2],
             x_test=made.test.x.numpy(), y_test=made.test.y.numpy())
    return str(path)


def call(*arguments) -> int:
    """The exit status of one command, whoever ends it."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def compare(data, *arguments, spec="class:2") -> int:
    return call("compare", data, "--forget", spec, *arguments)


def read(path: Path) -> dict:
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


# What it prints.


def test_standard_output_is_the_table_and_progress_goes_to_standard_error(home, data, capsys):
    assert compare(data, *TWO) == 0
    said = capsys.readouterr()
    title, columns, *rows = said.out.splitlines()
    assert title.startswith("crowd: forget class:2 (5 samples), 2 seeds")
    assert [name.strip() for name in columns.split("  ") if name.strip()] == list(COLUMNS)
    assert [row.split()[0] for row in rows] == ["retrain", "gradient_ascent"]
    for row in rows:
        assert any(f"{word} (" in row for word in WORDS)
        assert "of 2 seeds)" in row
        assert "not finished" not in row
    assert "%|" not in said.out
    assert "Run 4 of 4" not in said.out
    assert "step" in said.err


def test_the_table_says_what_the_json_says(home, data, tmp_path, capsys):
    assert compare(data, *TWO, "--out", tmp_path / "out") == 0
    shown = read(tmp_path / "out" / "comparison.json")
    lines = capsys.readouterr().out.splitlines()[2:]
    for line, row in zip(lines, shown["rows"], strict=True):
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        assert cells[0] == row["method"]
        for cell, split in zip(cells[1:5], ("forget_accuracy", "retain_accuracy",
                                            "test_forget_accuracy", "test_retain_accuracy"),
                               strict=True):  # fmt: skip
            for part, side in zip(cell.split("/"), ("unlearned", "reference"), strict=True):
                value = row["accuracy"][split][side]
                assert part == f"{100 * value['mean']:.1f}±{100 * value['spread']:.1f}"
        assert float(cells[5]) == pytest.approx(row["tug_of_war"]["mean"], abs=6e-4)
        assert cells[6] == "-"  # no audit, no attack
        assert float(cells[7]) == pytest.approx(row["relearn"]["ratio"]["value"], abs=6e-3)
        assert cells[8] == "-"  # a linear head has no features to probe
        assert float(cells[9]) == pytest.approx(row["seconds"]["forget"]["mean"], abs=6e-3)
        assert cells[10] == f"{row['speed_up']:.1f}x"
        assert cells[11] == f"{row['verdict']} ({row['matching']} of 2 seeds)"


def test_one_seed_has_no_spread(home, data, capsys):
    assert compare(data, "--methods", "retrain", "--seeds", 1) == 0
    out = capsys.readouterr().out
    assert "±" not in out
    assert "of 1 seed)" in out


def test_by_default_all_methods_run_over_three_seeds(home, data, capsys):
    assert compare(data) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert "3 seeds" in title
    assert [row.split()[0] for row in rows] == list(METHODS)
    assert all("of 3 seeds)" in row for row in rows)
    assert len(list((home / "runs").glob("*.json"))) == 3 * len(METHODS)


@pytest.mark.parametrize("spec", ["random:4", "samples:0,7,12"])
def test_requests_for_samples(home, data, tmp_path, capsys, spec):
    assert compare(data, *TWO, "--out", tmp_path / "out", spec=spec) == 0
    shown = read(tmp_path / "out" / "comparison.json")
    assert shown["forget"] == {"spec": spec, "train_samples": 4 if spec == "random:4" else 3,
                               "class": None}
    for row in shown["rows"]:
        assert row["relearn"]["ratio"] is None
        assert row["probe"] is None
    assert " -  " in capsys.readouterr().out


# What it writes.


def test_out_holds_the_table_the_report_and_every_record(home, data, tmp_path):
    out = tmp_path / "deep" / "er"
    assert compare(data, *TWO, "--out", out) == 0
    assert sorted(os.listdir(out)) == ["comparison.csv", "comparison.json", "report.html", "runs"]
    shown = read(out / "comparison.json")
    assert [row["method"] for row in shown["rows"]] == ["retrain", "gradient_ascent"]
    assert shown["seeds"] == [0, 1]
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["retrain", "gradient_ascent"]
    assert [float(row["speed_up"]) for row in rows] == [row["speed_up"] for row in shown["rows"]]
    named = sorted(name for row in shown["rows"] for name in row["records"])
    assert sorted(f"runs/{name}" for name in os.listdir(out / "runs")) == named
    assert len(named) == 4
    for name in named:
        kept = read(home / name)
        del kept["sha256"]  # the seal, for the program alone
        assert read(out / name) == kept
    page = (out / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert all(row["title"] in page for row in shown["rows"])


def test_what_cannot_work_is_said_before_the_work(home, data, tmp_path, capsys):
    assert compare(data, *TWO, "--audit", "--shadows", "9") == 2
    assert "multiple of 8" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert compare(data, *TWO, "--out", tmp_path / "file" / "out") == 2
    assert "another place" in capsys.readouterr().err
    assert not (home / "runs").exists()


def test_each_record_is_the_result_of_its_run(home, data, tmp_path):
    assert compare(data, *TWO, "--out", tmp_path / "out") == 0
    for path in (tmp_path / "out" / "runs").iterdir():
        result = read(path)["result"]
        assert result["method"] in ("retrain", "gradient_ascent")
        assert result["seed"] in (0, 1)
        assert result["forget"]["spec"] == "class:2"
        assert set(result["metrics"]) == {"original", "unlearned", "retrained"}


def test_a_second_time_nothing_is_trained_and_the_table_is_the_same(
    home, data, capsys, monkeypatch
):
    assert compare(data, *TWO) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(cli.LEARNERS["network"], "train", lambda *_: pytest.fail("trained again"))
    assert compare(data, *TWO) == 0
    said = capsys.readouterr()
    assert said.out == first
    assert "Run" not in said.err


def test_runs_are_shared_with_a_comparison_of_more(home, data, capsys):
    assert compare(data, "--methods", "retrain", "--seeds", 1) == 0
    (first,) = (home / "runs").glob("*.json")
    before = first.stat().st_mtime_ns
    assert compare(data, *TWO) == 0
    assert len(list((home / "runs").glob("*.json"))) == 4
    assert first.stat().st_mtime_ns == before


# Frauds, refusals and audits.


def test_a_planted_fraud_can_be_named_and_is_not_among_all(home, data, capsys):
    assert compare(data, "--methods", "masked,retrain", "--seeds", 1) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["masked", "retrain"]
    assert not set(METHODS) & set(FRAUDS)


def test_a_method_that_refuses_is_named_below_the_table(home, data, tmp_path, capsys):
    assert compare(data, "--methods", "masked,gradient_ascent", "--seeds", 1,
                   "--out", tmp_path / "out", spec="samples:1,2") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].startswith("gradient_ascent")
    assert out[-1].startswith("masked: not run: ")
    assert "ask for a class" in out[-1]
    assert set(read(tmp_path / "out" / "comparison.json")["refused"]) == {"masked"}


def test_where_all_refuse_it_is_bad_input(home, data, capsys):
    assert compare(data, "--methods", "masked", "--seeds", 1, spec="samples:1,2") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("forget: a masked output")


def test_membership_figures_are_null_without_an_audit_and_there_with_one(
    home, data, tmp_path, capsys
):
    out = tmp_path / "out"
    quick = ("--methods", "gradient_ascent", "--seeds", 1, "--out", out)
    assert compare(data, *quick) == 0
    (row,) = read(out / "comparison.json")["rows"]
    assert (row["membership"], row["audit"]) == (None, None)
    assert not (out / "audit.json").exists()
    assert not (home / "audits").exists()
    capsys.readouterr()

    assert compare(data, *quick, "--audit", "--shadows", 24) == 0
    (row,) = read(out / "comparison.json")["rows"]
    membership = row["membership"]
    assert membership["shadows"] == 24
    for side in ("original", "unlearned", "reference"):
        interval = membership[side]["auc"]
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1
    assert read(out / "audit.json")["gradient_ascent"]["shadows"] == 24
    said = capsys.readouterr()
    assert f"{membership['unlearned']['auc']['value']:.3f}" in said.out
    for check in row["audit"]["checks"]:
        assert f"gradient_ascent: {check['text']}" in said.out
        assert html.escape(check["text"]) in (out / "report.html").read_text()
    assert "shadow" in said.err

    assert compare(data, *quick) == 0  # what the audit found does not stay without it
    (row,) = read(out / "comparison.json")["rows"]
    assert (row["membership"], row["audit"]) == (None, None)
    assert not (out / "audit.json").exists()


def test_an_audit_leaves_out_what_was_refused(home, data, tmp_path):
    assert compare(data, "--methods", "masked,gradient_ascent", "--seeds", 1, "--audit",
                   "--shadows", 24, "--out", tmp_path / "out", spec="samples:1,2,8,14") == 0
    assert set(read(tmp_path / "out" / "audit.json")) == {"gradient_ascent"}


# Bad input: status 2 and one line.


def refused(capsys, says, *arguments) -> None:
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("forget: ")
    assert said.err.count("\n") == 1
    assert says in said.err


@pytest.mark.parametrize("methods", ["nope", "retrain,nope", "", "retrain,", "Retrain",
                                     "all,retrain"])  # fmt: skip
def test_an_unknown_method(home, data, capsys, methods):
    refused(capsys, ", ".join(METHODS), "compare", data, "--forget", "class:2",
            "--methods", methods)  # fmt: skip
    assert not (home / "runs").exists()


def test_a_method_named_twice(home, data, capsys):
    refused(capsys, "each method once", "compare", data, "--forget", "class:2",
            "--methods", "retrain,retrain")  # fmt: skip
    assert not (home / "runs").exists()


@pytest.mark.parametrize(("spec", "says"), [
    ("class:9", "it has 0, 1, 2"), ("random:0", "from 1 to 29"), ("samples:30", "from 0 to 29"),
    ("nonsense", "write class:NAME"),
])  # fmt: skip
def test_a_wrong_request(home, data, capsys, spec, says):
    refused(capsys, says, "compare", data, "--forget", spec, "--methods", "retrain")
    assert not (home / "trained").exists()


@pytest.mark.parametrize("dataset", ["nope", "none.npz", ""])
def test_an_unknown_dataset(home, capsys, dataset):
    refused(capsys, "mnist", "compare", dataset, "--forget", "class:2")


@pytest.mark.parametrize("count", ["0", "101", "-1", "1.5", "x", ""])
def test_seeds_out_of_range(home, data, capsys, count):
    assert compare(data, f"--seeds={count}") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--seeds" in said.err.splitlines()[-1]
    assert not home.exists()


@pytest.mark.parametrize("arguments", [
    [], ["--forget", "class:1"], ["x.npz"], ["x.npz", "--forget", "class:1", "--shadows", "x"],
], ids=" ".join)  # fmt: skip
def test_a_command_line_of_a_wrong_form(home, capsys, arguments):
    assert call("compare", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: " in said.err.splitlines()[-1]


@pytest.mark.parametrize("count", [0, 8, 16, 25, 1032])
def test_a_number_of_shadow_models_that_is_not_possible(home, data, capsys, count):
    assert compare(data, *TWO, "--audit", "--shadows", count) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "multiple of 8" in said.err.splitlines()[-1]


def test_a_place_that_cannot_be_written(home, data, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    place = tmp_path / "file" / "out"
    assert compare(data, "--methods", "retrain", "--seeds", 1, "--out", place) == 2
    assert "choose another place" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "kept"


# Interrupted, and failed.


@pytest.mark.parametrize("error", [KeyboardInterrupt, Cancelled("stopped")])
def test_interrupted_it_ends_with_130_and_keeps_what_was_finished(
    home, data, capsys, monkeypatch, error
):
    real = METHODS["gradient_ascent"].steps

    def steps(*arguments):
        yield next(real(*arguments))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(METHODS["gradient_ascent"], "steps", steps)
        assert compare(data, *TWO) == 130
    assert capsys.readouterr().out == ""
    assert len(list((home / "runs").glob("*.json"))) == 1
    assert compare(data, *TWO) == 0


def test_a_damaged_record_fails_and_is_named(home, data, capsys):
    assert compare(data, "--methods", "retrain", "--seeds", 1) == 0
    (record,) = (home / "runs").glob("*.json")
    record.write_text("{")
    capsys.readouterr()
    assert compare(data, "--methods", "retrain", "--seeds", 1) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(record) in said.err.splitlines()[-1]
    assert "delete it" in said.err


def test_as_a_program_it_ends_with_the_same_status_and_says_one_line(home, data):
    process = subprocess.run(
        [sys.executable, "-m", "forget", "compare", data, "--forget", "class:9"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == "forget: 'crowd' has no class '9'; it has 0, 1, 2, 3, 4, 5\n"
