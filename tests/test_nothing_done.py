"""A method that left every weight as it was earns no tick and no speed-up, anywhere."""

import copy
import dataclasses
import json

import pytest
import torch
from conftest import tiny_dataset
from streamlit.testing.v1 import AppTest

from forget.core.steps import Step
from forget.core.times import NOTHING_DONE, PROCESSOR
from forget.evaluation.compare import compare
from forget.learners.network import Network
from forget.methods import Method
from forget.methods.gradient_ascent import GradientAscent
from forget.metrics.verdict import MATCHES, UNCHANGED, UNDER
from forget.metrics.weights import same_weights
from forget.models import build
from forget.report.export import comparison_summary, csv_text, save_outcome, summary
from forget.report.html import html_text
from forget.unlearning.learn import start_from
from forget.unlearning.request import parse_request
from forget.unlearning.run import run

TINY = tiny_dataset()
RECIPE = Network(arch="mlp", min_steps=60, epochs=1)
IDLE_SEED = 0
"""With it, ten random samples are no better known than unseen ones: gradient ascent does nothing.
"""


@dataclasses.dataclass(frozen=True)
class Idle(Method):
    """Takes its steps and moves nothing."""

    name, title, summary, learner = "idle", "Idle", "Does nothing.", "network"

    def steps(self, model, task):
        yield Step(1, 1, "looking on", {})


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def result_of(method, spec, seed=IDLE_SEED, **more):
    start = start_from(RECIPE, TINY, 0)
    return run(TINY, start, parse_request(spec, TINY, seed), method, seed, **more)


def test_weights_are_the_same_only_bit_for_bit():
    one = build("mlp", (1, 12, 12), 4, torch.Generator().manual_seed(0))
    assert same_weights(one, copy.deepcopy(one))
    for change in (lambda m: m.fc1.weight[0, 0].copy_(torch.nextafter(
                       m.fc1.weight[0, 0], torch.tensor(9.0))),
                   lambda m: m.scale.shift.add_(1)):
        other = copy.deepcopy(one)
        with torch.no_grad():
            change(other)
        assert not same_weights(one, other)
    with torch.no_grad():
        one.fc3.bias[0] = 0.0
        other = copy.deepcopy(one)
        other.fc3.bias[0] = -0.0
    assert not same_weights(one, other)
    with torch.no_grad():
        one.fc3.bias[0] = torch.nan
    assert same_weights(one, copy.deepcopy(one))


def test_gradient_ascent_with_nothing_to_do_matches_nothing_and_is_no_faster(tmp_path):
    result = result_of(GradientAscent(), "random:10")
    assert result.verdict.words == UNCHANGED
    assert UNCHANGED == ("nothing was changed: these samples are no better known than unseen ones")
    assert not result.verdict.good
    assert result.speed_up is None
    save_outcome(result, tmp_path)
    told = json.loads((tmp_path / "result.json").read_text())
    assert (told["verdict"], told["unchanged"], told["speed_up"]) == (UNCHANGED, True, None)
    assert told["speed_up_with_preparation"] is None
    said = summary(result)
    assert f"verdict: {UNCHANGED}. " in said
    assert "x)" not in said
    assert "matches" not in said + csv_text(result)


def test_a_method_that_changes_something_is_judged_as_before():
    result = result_of(GradientAscent(), "class:b")
    assert (result.unchanged, result.verdict.words) == (False, MATCHES)
    assert result.speed_up > 0


def test_doing_nothing_about_what_is_well_known_is_under_forgetting():
    result = result_of(Idle(), "class:b")
    assert result.verdict.words == UNDER
    assert result.verdict.reason.startswith("Nothing was changed")
    assert result.speed_up is None


def test_a_step_that_was_taken_back_is_no_step():
    """The floor is broken by the first step, and the last good one is the original."""
    result = result_of(GradientAscent(lr=10.0, floor=0.0, last_layers=50), "class:b")
    assert result.unchanged
    assert result.verdict.words == UNDER


def test_the_next_request_is_compared_with_what_it_was_given():
    first = result_of(GradientAscent(), "class:b")
    start = first.next_start()
    request = parse_request("class:c", TINY, 0, start.forgotten)
    second = run(TINY, start, request, Idle(), 0, references=0)
    assert second.unchanged
    assert not first.unchanged


@pytest.fixture(scope="module")
def compared():
    """Two seeds: in one of them gradient ascent has something to do."""
    entry = (GradientAscent(), RECIPE)
    request = parse_request("random:10", TINY, IDLE_SEED)
    return [compare(TINY, request, [entry], seeds) for seeds in ((0,), (0, 1), (0, 1, 2))]


def test_a_comparison_says_so_in_table_report_and_terminal(compared):
    for one in compared:
        shown = one.to_json()
        (row,) = shown["rows"]
        if row["unchanged"] == len(row["records"]):
            assert (row["verdict"], row["speed_up"], row["matching"]) == (UNCHANGED, None, 0)
            assert row["speed_up_with_preparation"] is None
            assert UNCHANGED in comparison_summary(shown)
            assert "matches" not in comparison_summary(shown)
            report = html_text(shown, {})
            assert f"{UNCHANGED}." in report
            assert f"No speed-up: {NOTHING_DONE}." in report
    assert compared[0].rows[0]["unchanged"] == 1


def test_a_mean_over_seeds_counts_only_those_in_which_something_was_done(compared):
    rows = [one.rows[0] for one in compared]
    assert any(0 < row["unchanged"] < row["finished"] for row in rows), "choose other seeds"
    for row in rows:
        if 0 < row["unchanged"] < row["finished"]:
            assert f"With {row['unchanged']} of {row['finished']} seeds nothing was changed" in \
                row["reason"]
            assert row["matching"] <= row["finished"] - row["unchanged"]
            assert row["speed_up"] > 0


def shown(verdict: str, speed_up: float | None, of: str) -> AppTest:
    def page(verdict, speed_up, of):
        from ui.run.outcome import seconds_row, verdict_box
        seconds = {"forget": 0.01, "retrain": 3.0}
        verdict_box(verdict, "Because.")
        seconds_row({"seconds": seconds, "processor_seconds": seconds, "speed_up": speed_up,
                     "speed_up_with_preparation": None, "speed_up_of": of})

    return AppTest.from_function(page, args=(verdict, speed_up, of)).run()


def test_the_page_shows_no_tick_and_no_speed_up():
    at = shown(UNCHANGED, None, NOTHING_DONE)
    assert not at.exception
    assert not at.success
    assert at.info[0].value.startswith("**Nothing was changed: these samples are no better known")
    assert "check" not in at.info[0].icon
    assert [metric.label for metric in at.metric] == ["Forgetting took", "Retraining took"]
    assert at.caption[0].value == f"No speed-up: {NOTHING_DONE}."
    at = shown(MATCHES, 9.0, PROCESSOR)
    assert at.success
    assert [metric.value for metric in at.metric][2:] == ["9.0x"]
    assert at.caption[0].value.startswith("Speed-up by processor seconds: 3.00 s of retraining")


def test_the_ledger_and_the_table_have_a_word_and_a_sign_for_it():
    from forget.records.ledger import Entry, Line
    from ui.compare.table import SIGNS
    from ui.ledger.words import row_of

    body = {"method": "gradient_ascent", "verdict": UNCHANGED, "test_accuracy": 0.9,
            "certificate": None, "samples": 3}
    entry = Entry(1, "2026-01-01T00:00:00.000+00:00", "forgotten", "", body, "", "")
    assert "Nothing was changed" in row_of(Line(1, entry, ()), True)["Result"]
    assert SIGNS[UNCHANGED] not in (SIGNS[MATCHES], "✔", "✔✔")
