"""Declared hyperparameters: bounds, types, choices, and what a wrong value is told."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget.core.errors import BadInput
from forget.core.knobs import Knob, Knobs, knob


@dataclasses.dataclass(frozen=True)
class Sample(Knobs):
    """Knobs of every kind, and a field that is none."""

    label: str = "not a knob"
    count: int = knob(3, "How many", low=1, high=10)
    rate: float = knob(0.1, "How fast", low=1e-3, high=2.0, log=True)
    mode: str = knob("a", "Which way", choices=("a", "b"))


COUNT, RATE, MODE = Sample.knobs()


def test_knobs_are_listed_in_order_and_plain_fields_are_left_out():
    assert [spec.name for spec in Sample.knobs()] == ["count", "rate", "mode"]


def test_types_come_from_the_defaults():
    assert [spec.type for spec in Sample.knobs()] == [int, float, str]


def test_settings_hold_every_knob_and_survive_json():
    settings = Sample(count=4).settings()
    assert settings == {"count": 4, "rate": 0.1, "mode": "a"}
    assert Sample(**json.loads(json.dumps(settings))) == Sample(count=4)


def test_an_instance_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().count = 5


@pytest.mark.parametrize("value", [1, 10, 5])
def test_int_bounds_are_inclusive(value):
    assert Sample(count=value).count == value


@pytest.mark.parametrize("value", [0, -1, 11, 10**9, "0", "11"])
def test_int_outside_its_bounds_is_refused_with_the_range(value):
    with pytest.raises(BadInput, match=r"count.*between 1 and 10"):
        Sample(count=value)


@pytest.mark.parametrize("value", [1e-3, 2.0, 1, "0.5", "1e-2"])
def test_float_bounds_are_inclusive_and_strings_are_read(value):
    rate = Sample(rate=value).rate
    assert rate == float(value)
    assert type(rate) is float


@pytest.mark.parametrize("value", [9.99e-4, 2.0000001, -0.1, 0, "3"])
def test_float_outside_its_bounds_is_refused_with_the_range(value):
    with pytest.raises(BadInput, match=r"rate.*between 0.001 and 2"):
        Sample(rate=value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf", "-inf", "NaN"])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(BadInput, match=r"rate is .* must be a number"):
        Sample(rate=value)
    with pytest.raises(BadInput, match=r"count is .* must be a whole number"):
        Sample(count=value)


@pytest.mark.parametrize("value", ["", "three", "1.5", 1.5, None, [], {}, "0x3", "1,5", 3 + 0j])
def test_what_is_no_whole_number_is_refused_as_one(value):
    with pytest.raises(BadInput, match=r"count.*a whole number between 1 and 10"):
        Sample(count=value)


@pytest.mark.parametrize("value", ["", "fast", None, [], "0.1.2", object()])
def test_what_is_no_number_is_refused_as_one(value):
    with pytest.raises(BadInput, match=r"rate.*a number between 0.001 and 2"):
        Sample(rate=value)


def test_a_float_that_is_whole_serves_as_an_int():
    count = Sample(count=4.0).count
    assert count == 4
    assert type(count) is int


@pytest.mark.parametrize("value", [10**400, "9" * 400, 1e308])
def test_huge_numbers_are_refused_not_overflowed(value):
    with pytest.raises(BadInput):
        Sample(count=value)


@pytest.mark.parametrize("value", ["a", "b"])
def test_each_choice_is_taken(value):
    assert Sample(mode=value).mode == value


@pytest.mark.parametrize("value", ["c", "A", "", " a", None, 1, []])
def test_another_choice_is_refused_with_the_list(value):
    with pytest.raises(BadInput, match=r"mode.*one of: a, b"):
        Sample(mode=value)


@pytest.mark.parametrize(
    "declared",
    [{}, {"low": 1}, {"high": 2}, {"low": 1, "high": 2, "choices": ("a",)}],
)
def test_a_knob_without_either_choices_or_both_bounds_is_a_programming_error(declared):
    with pytest.raises(TypeError):
        knob(1, "help", **declared)


def test_describe_of_a_number_has_bounds_and_of_a_choice_its_choices():
    assert COUNT.describe() == {
        "name": "count", "type": "int", "default": 3, "help": "How many",
        "low": 1, "high": 10, "log": False,
    }  # fmt: skip
    assert MODE.describe() == {
        "name": "mode", "type": "str", "default": "a", "help": "Which way", "choices": ["a", "b"],
    }  # fmt: skip
    assert RATE.describe()["log"] is True


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.complex_numbers(), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(), st.none(), max_size=1),
)  # fmt: skip


@given(anything)
def test_any_value_is_either_in_range_and_typed_or_refused(value):
    for spec in (COUNT, RATE):
        try:
            got = spec.check(value)
        except BadInput:
            continue
        assert type(got) is spec.type
        assert spec.low <= got <= spec.high
        assert float(value) == got


@given(anything)
def test_any_value_is_either_one_of_the_choices_or_refused(value):
    try:
        assert MODE.check(value) in ("a", "b")
    except BadInput as error:
        assert "choose one of: a, b" in str(error)


@given(st.integers(-20, 30))
def test_int_bounds_hold_exactly(value):
    spec = Knob("n", int, 0, "help", low=-5, high=7)
    if -5 <= value <= 7:
        assert spec.check(value) == spec.check(str(value)) == value
    else:
        with pytest.raises(BadInput):
            spec.check(value)
