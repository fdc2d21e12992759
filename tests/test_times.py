"""Speed-ups: of processor seconds or of one run's wall seconds, and never of two runs' clocks."""

import dataclasses
import itertools
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import tiny_dataset

from forget.core import parallel, steps
from forget.core.device import derive
from forget.core.steps import Step, Stopwatch, drive
from forget.core.times import NOT_RETRAINED, OTHER_RUN, PROCESSOR, WALL, Took, mean, speed_up
from forget.evaluation.compare import compare
from forget.learners.network import Network
from forget.methods.finetune import FineTune
from forget.unlearning import learn as learn_module
from forget.unlearning import store
from forget.unlearning.learn import home_of, learn, start_from
from forget.unlearning.request import NOTHING, parse_request
from forget.unlearning.run import add_references, run
from forget.unlearning.store import Stored

TINY = tiny_dataset()
RECIPE = Network(arch="mlp", min_steps=60, epochs=1)
METHOD = FineTune(min_steps=20)


@pytest.fixture(autouse=True)
def _home(home):
    """A data folder of its own."""


def result_of(references=1):
    start = start_from(RECIPE, TINY, 0)
    return run(TINY, start, parse_request("class:b", TINY, 0), METHOD, 0, references)


def reference_path(result, index=0):
    return home_of(RECIPE, TINY, derive(result.seed, "reference", index), result.forgotten)


def rewritten(path, **record) -> None:
    stored = store.load(path)
    store.save(Stored(stored.model, stored.record | record), path)


def test_a_busy_moment_moves_the_wall_clock_and_not_the_speed_up():
    """The finding: the reference's record was made while the machine was busy."""
    first = result_of()
    rewritten(reference_path(first), seconds=100 * first.seconds["retrain"])
    again = result_of()
    assert again.seconds["retrain"] == pytest.approx(100 * first.seconds["retrain"])
    assert again.processor_seconds["retrain"] == first.processor_seconds["retrain"]
    assert again.speed_up == pytest.approx(
        first.processor_seconds["retrain"] / again.processor_seconds["forget"])
    assert (first.faster.of, again.faster.of) == (PROCESSOR, PROCESSOR)


@pytest.mark.parametrize("spoilt", [
    {"processor_seconds": None}, {"versions": {"torch": "1.0"}}, {"threads": 8},
])  # fmt: skip
def test_without_processor_seconds_of_here_and_today_another_runs_time_gives_no_ratio(spoilt):
    first = result_of()
    rewritten(reference_path(first), **spoilt)
    again = result_of()
    assert (again.speed_up, again.faster.of) == (None, OTHER_RUN)
    told = again.to_json()
    assert (told["speed_up"], told["speed_up_with_preparation"]) == (None, None)
    assert told["seconds"]["retrain"] == first.seconds["retrain"]


def test_a_record_of_an_earlier_version_gives_no_ratio():
    first = result_of()
    stored = store.load(reference_path(first))
    old = {name: value for name, value in stored.record.items() if name != "processor_seconds"}
    store.save(Stored(stored.model, old), reference_path(first))
    assert result_of().speed_up is None


def test_a_shipped_models_times_are_another_machines(home):
    start = start_from(RECIPE, TINY, 0)
    path = home_of(RECIPE, TINY, 0, NOTHING)
    assert start.prepared().processor is not None
    path.rename(home / path.name)
    shipped = start_from(RECIPE, TINY, 0)
    assert shipped.prepared().wall == start.prepared().wall
    assert shipped.prepared().processor is None
    result = run(TINY, shipped, parse_request("class:b", TINY, 0), METHOD, 0)
    assert result.faster.ratio is not None
    assert result.faster.with_preparation is None


def test_wall_seconds_are_compared_within_one_run_only(monkeypatch):
    """As on an accelerator: the thread's own seconds say nothing of the work."""
    monkeypatch.setattr(parallel, "elsewhere", lambda: True)
    monkeypatch.setattr(steps, "elsewhere", lambda: True)
    first = result_of()
    assert first.processor_seconds == dict.fromkeys(first.seconds)
    assert first.faster.of == WALL
    assert first.speed_up == pytest.approx(first.seconds["retrain"] / first.seconds["forget"])
    assert first.faster.with_preparation is None  # the original was made before the run
    assert result_of().faster.of == OTHER_RUN


def test_a_reference_that_is_added_later_is_of_another_run(monkeypatch):
    monkeypatch.setattr(steps, "elsewhere", lambda: True)
    alone = result_of(references=0)
    assert alone.faster.of == NOT_RETRAINED
    assert add_references(alone, TINY, 1).faster.of == OTHER_RUN
    together = result_of(references=1)
    assert together.faster.of == OTHER_RUN  # it was there already


def test_the_mean_of_several_references_is_compared():
    result = result_of(references=3)
    each = result.took_retraining
    assert len(each) == 3
    assert result.seconds["retrain"] == pytest.approx(sum(one.wall for one in each) / 3)
    assert result.processor_seconds["retrain"] == pytest.approx(
        sum(one.processor for one in each) / 3)


def test_processor_seconds_are_those_of_the_thread_that_works():
    """Another thread that is busy all the time adds nothing, and neither does waiting."""
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            sum(range(1000))

    other = threading.Thread(target=busy)
    other.start()
    clock = Stopwatch()
    try:
        drive((Step(1, 1, "waiting", {}) for _ in range(3) if time.sleep(0.05) is None),
              clock=clock)
    finally:
        stop.set()
        other.join()
    assert clock.seconds >= 0.15
    assert clock.processor < 0.1


def test_charts_count_on_neither_clock(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(steps, "time", SimpleNamespace(
        perf_counter=lambda: next(now), thread_time=lambda: 10 * next(now)))
    clock = Stopwatch()
    drive(iter([Step(1, 1, "working", {})]), lambda *_: [next(now) for _ in range(1000)],
          clock=clock)
    assert clock.seconds < 100
    assert clock.processor < 1000


@pytest.mark.parametrize(("prepare", "forget", "retrain", "expected"), [
    (Took(9, 3.0), Took(2, 1.0), Took(40, 8.0), (8.0, 2.0, PROCESSOR)),
    (Took(9, 3.0, now=False), Took(2, 1.0), Took(40, 8.0, now=False), (8.0, 2.0, PROCESSOR)),
    (Took(9), Took(2, 1.0), Took(40, 8.0), (8.0, None, PROCESSOR)),
    (None, Took(2, 1.0), Took(40), (20.0, None, WALL)),
    (Took(8), Took(2), Took(40), (20.0, 4.0, WALL)),
    (Took(8, now=False), Took(2), Took(40), (20.0, None, WALL)),
    (None, Took(2), Took(40, 8.0, now=False), (None, None, OTHER_RUN)),
    (None, Took(0.0, 0.0), Took(40, 8.0), (None, None, OTHER_RUN)),
])  # fmt: skip
def test_which_seconds_may_be_compared(prepare, forget, retrain, expected):
    told = speed_up(prepare, forget, retrain)
    assert (told.ratio, told.with_preparation, told.of) == expected


def test_a_mean_is_known_where_all_of_it_is():
    assert mean([Took(1, 2.0), Took(3, 4.0, now=False)]) == Took(2, 3.0, now=False)
    assert mean([Took(1, 2.0), Took(3)]).processor is None


def test_a_comparison_does_not_mix_runs_either(monkeypatch):
    request = parse_request("class:b", TINY, 0)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "elsewhere", lambda: True)
        learn(RECIPE, TINY, derive(0, "reference", 0), NOTHING + request)
    (row,) = compare(TINY, request, [(METHOD, RECIPE)], [0]).rows
    assert (row["speed_up"], row["speed_up_of"]) == (None, OTHER_RUN)
    (row,) = compare(TINY, request, [(METHOD, RECIPE)], [0, 1]).rows
    assert row["speed_up"] is None  # one seed of two has no time to compare
    (row,) = compare(TINY, request, [(METHOD, RECIPE)], [1]).rows
    assert row["speed_up_of"] == PROCESSOR


def test_the_records_processor_seconds_are_dropped_only_where_they_mislead(home):
    record = {"threads": 1, "versions": learn_module.versions(), "seconds": 1.0,
              "processor_seconds": 1.0, "prepare_processor_seconds": 2.0}
    here = home / store.TRAINED / "model.safetensors"
    assert learn_module.timed_here(record, here) == record
    assert set(learn_module.timed_here(record, home / "model.safetensors")) == {
        "threads", "versions", "seconds"}


def test_the_file_of_a_model_says_nothing_new_of_the_machine():
    result = result_of(references=0)
    assert dataclasses.asdict(result.took["forget"])["now"]
    assert "processor_seconds" not in result.record()
