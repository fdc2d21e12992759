"""Tug-of-war: the product of what one minus each gap to retraining leaves (Zhao et al. 2024)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forget.metrics.distance import tug_of_war
from forget.unlearning.measure import SPLITS

SHARES = st.one_of(st.none(), st.floats(0, 1))
MODELS = st.fixed_dictionaries(dict.fromkeys(SPLITS, SHARES))
WHOLE = st.fixed_dictionaries(dict.fromkeys(SPLITS, st.floats(0, 1)))


def accuracies(forget, retain, test_forget, test_retain):
    return dict(zip(SPLITS, (forget, retain, test_forget, test_retain), strict=True))


def test_by_hand_where_one_split_differs():
    reference = accuracies(0.0, 0.9, None, 0.8)
    assert tug_of_war(accuracies(0.3, 0.9, None, 0.8), reference) == pytest.approx(0.7)
    assert tug_of_war(accuracies(0.0, 0.7, None, 0.8), reference) == pytest.approx(0.8)
    assert tug_of_war(accuracies(0.0, 0.9, None, 0.3), reference) == pytest.approx(0.5)


def test_by_hand_where_all_differ():
    """0.8 of the forget set, 0.9 of the rest and 0.5 of the test are left: 0.36."""
    found = tug_of_war(accuracies(0.7, 0.8, None, 0.4), accuracies(0.9, 0.9, None, 0.9))
    assert found == pytest.approx(0.8 * 0.9 * 0.5)


@given(WHOLE)
def test_a_model_against_itself_is_one(one):
    assert tug_of_war(one, one) == pytest.approx(1.0)


def test_opposites_leave_nothing():
    assert tug_of_war(accuracies(1.0, 1.0, 1.0, 1.0), accuracies(0.0, 0.0, 0.0, 0.0)) == 0.0
    assert tug_of_war(accuracies(1.0, 0.5, None, 0.5), accuracies(0.0, 0.5, None, 0.5)) == 0.0


@given(MODELS, MODELS)
def test_lies_between_nothing_and_one_and_does_not_mind_the_order(a, b):
    found = tug_of_war(a, b)
    assert 0 <= found <= 1
    assert tug_of_war(b, a) == pytest.approx(found)


@given(WHOLE, WHOLE, st.sampled_from(SPLITS))
def test_an_empty_split_is_left_out(a, b, split):
    """On either side: it is as if both models did the same there."""
    agreed = tug_of_war(a | {split: None}, b | {split: None})
    assert tug_of_war(a | {split: None}, b) == pytest.approx(agreed)
    assert tug_of_war(a, b | {split: None}) == pytest.approx(agreed)


def test_splits_that_are_all_empty_are_no_contradiction():
    nothing = accuracies(None, None, None, None)
    assert tug_of_war(nothing, nothing) == 1.0


@given(WHOLE, st.sampled_from(("forget_accuracy", "retain_accuracy", "test_retain_accuracy")),
       st.floats(0, 1), st.floats(0, 1))
def test_a_wider_gap_never_pulls_up(reference, split, one, other):
    near, far = sorted((one, other), key=lambda value: abs(value - reference[split]))
    assert (tug_of_war(reference | {split: far}, reference)
            <= tug_of_war(reference | {split: near}, reference) + 1e-12)


def test_every_split_that_the_paper_names_counts():
    reference = accuracies(0.5, 0.5, 0.5, 0.5)
    for split, other in itertools.product(
            ("forget_accuracy", "retain_accuracy", "test_retain_accuracy"), (0.2, 0.8)):
        assert tug_of_war(reference | {split: other}, reference) < 0.9
