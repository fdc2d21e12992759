"""The one runner: cancelling, numbers that are not finite, and a clock that charts do not move."""

import math
from types import SimpleNamespace

import pytest

from forget.core import steps
from forget.core.errors import Cancelled, Diverged
from forget.core.steps import Step, drive


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(steps, "time", SimpleNamespace(
        perf_counter=clock.perf_counter, thread_time=clock.perf_counter))
    return clock


class Work:
    """Steps that say how far the work came."""

    def __init__(self, total=5, clock=None, seconds=1.0, measured=None):
        self.done = 0
        self.total, self.clock, self.seconds = total, clock, seconds
        self.measured = measured or {}

    def __iter__(self):
        for index in range(1, self.total + 1):
            if self.clock:
                self.clock.now += self.seconds
            self.done = index
            measured = {"loss": 1.0 / index} | self.measured.get(index, {})
            yield Step(index, self.total, "working", measured)


def test_every_step_is_told_in_order():
    seen = []
    drive(iter(Work(4)), lambda step, _: seen.append(step.index))
    assert seen == [1, 2, 3, 4]


def test_work_without_steps_takes_no_time(clock):
    assert drive(iter(())) == 0


def test_the_seconds_are_those_of_the_work(clock):
    assert drive(iter(Work(5, clock, seconds=2.0))) == 10.0


def test_the_seconds_told_grow_with_the_steps(clock):
    seen = []
    drive(iter(Work(3, clock, seconds=2.0)), lambda _, seconds: seen.append(seconds))
    assert seen == [2.0, 4.0, 6.0]


def test_time_spent_on_charts_is_not_counted(clock):
    seen = []

    def on_step(_, seconds):
        seen.append(seconds)
        clock.now += 1000

    assert drive(iter(Work(3, clock)), on_step) == 3.0
    assert seen == [1.0, 2.0, 3.0]


def test_time_spent_asking_whether_to_stop_is_not_counted(clock):
    def cancelled():
        clock.now += 1000
        return False

    assert drive(iter(Work(3, clock)), cancelled=cancelled) == 3.0


def test_work_after_the_last_step_is_counted(clock):
    def work():
        yield Step(1, 1, "working", {})
        clock.now += 7

    assert drive(work()) == 7.0


def test_cancelled_before_the_first_step_does_nothing():
    work = Work()
    with pytest.raises(Cancelled):
        drive(iter(work), cancelled=lambda: True)
    assert work.done == 0


@pytest.mark.parametrize("after", [1, 2, 4])
def test_cancelled_after_some_steps_does_no_further_one(after):
    work = Work(5)
    with pytest.raises(Cancelled):
        drive(iter(work), cancelled=lambda: work.done >= after)
    assert work.done == after


def test_it_is_asked_before_each_step_whether_to_stop():
    asked = []
    work = Work(3)
    drive(iter(work), cancelled=lambda: asked.append(work.done))
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_not_finite_diverges(value):
    work = Work(5, measured={3: {"loss": value}})
    with pytest.raises(Diverged, match=r"loss became .* at step 3"):
        drive(iter(work))
    assert work.done == 3


def test_any_of_several_measurements_may_diverge():
    work = Work(5, measured={2: {"fine": 0.0, "forget_loss": math.nan}})
    with pytest.raises(Diverged, match="forget_loss"):
        drive(iter(work))


def test_a_step_that_diverged_is_not_told():
    seen = []
    with pytest.raises(Diverged):
        drive(iter(Work(3, measured={2: {"loss": math.nan}})), lambda step, _: seen.append(step))
    assert [step.index for step in seen] == [1]


def test_the_message_says_what_to_do():
    with pytest.raises(Diverged, match="smaller lr"):
        drive(iter(Work(1, measured={1: {"loss": math.inf}})))


def test_a_step_may_measure_nothing():
    seen = []
    drive(iter([Step(1, 1, "working", {})]), lambda step, _: seen.append(step.measured))
    assert seen == [{}]


def test_an_error_of_the_work_comes_through():
    def work():
        yield Step(1, 2, "working", {})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(work())


def test_an_error_of_the_chart_comes_through_and_stops_the_work():
    work = Work(5)
    with pytest.raises(ZeroDivisionError):
        drive(iter(work), lambda step, _: 1 / (step.index - 2))
    assert work.done == 2
