"""Numbers that stand side by side agree: differences with what is shown, counts with nouns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from forget.core.words import in_percent, percent, points_between, signed
from forget.report.html import _accuracy
from forget.unlearning.measure import SPLITS
from ui.compare.table import COLUMNS, SHORT
from ui.erase.forecast import Spending, spending_in_words

SHARES = st.floats(0, 1, allow_subnormal=False)


def number(shown: str) -> float:
    """The first number in a text."""
    return float(re.search(r"[+−-]?[0-9.]+", shown).group().replace("−", "-"))


@given(SHARES, SHARES)
def test_a_difference_is_that_of_the_numbers_shown(a, b):
    between = points_between(a, b)
    assert round(number(percent(a)) - number(percent(b)), 1) == between
    assert number(signed(between)) == between


@given(st.floats(-1, 1))
def test_nothing_is_minus_zero(value):
    for shown in (percent(value), signed(value), signed(value, 0), str(in_percent(value))):
        assert not re.search(r"[-−]0(\.0*)?( |$)", shown)


def row(unlearned: float, reference: float) -> dict:
    values = {"unlearned": {"mean": unlearned, "spread": None},
              "reference": {"mean": reference, "spread": None},
              "original": {"mean": 1.0, "spread": None}, "gap": unlearned - reference}
    return {"accuracy": dict.fromkeys(SPLITS, values)}


@given(SHARES, SHARES)
def test_the_gaps_of_table_and_report_match_what_stands_beside_them(a, b):
    of = {column.name: column.value for column in COLUMNS}
    shown, name = row(a, b), SHORT[SPLITS[0]]
    cells = [float(f"{of[one](shown):.1f}") for one in (name, f"{name}, retrained")]
    assert of["Largest gap"](shown) == round(cells[0] - cells[1], 1)
    written = _accuracy(shown["accuracy"][SPLITS[0]], "", [])
    unlearned, retrained, gap = (number(re.search(pattern, written).group(1)) for pattern in (
        "<b>(.*?)</b>", "retrained (.*?)<", "gap (.*?)<"))
    assert gap == round(unlearned - retrained, 1)


def _one_table(after, retrained) -> None:
    from forget.unlearning.measure import SPLITS
    from ui.run.outcome import accuracy_table

    accuracy_table({"original": dict.fromkeys(SPLITS, 1.0),
                    "unlearned": dict.fromkeys(SPLITS, after),
                    "retrained": dict.fromkeys(SPLITS, retrained)}, 1, True)


@pytest.mark.parametrize(("after", "retrained", "gap"), [
    (0.9876, 0.9824, "+0.6"), (0.98764, 0.98765, "0.0"), (0.98749, 0.98751, "−0.1"),
    (0.98761, 0.98759, "0.0"), (0.5, 0.50001, "0.0")])
def test_the_gap_on_a_page_is_that_of_the_numbers_beside_it(after, retrained, gap):
    at = AppTest.from_function(_one_table, args=(after, retrained)).run()
    assert set(at.table[0].value["Gap"]) == {gap}


@given(st.floats(0.001, 0.5), st.floats(0, 0.5))
def test_what_a_budget_spends_and_has_left_is_all_of_it(more, spent):
    said = spending_in_words(Spending(spent=spent, more=more, budget=1.0))
    assert round(sum(map(float, re.findall(r"([0-9.]+) %", said))), 1) == 100
