"""What was measured of certified requests: beside the ledger, and nowhere else."""

import json

import pytest
from small_base import ANA, BEN, SMALL, give
from small_base import learner as quick
from small_data import opened
from test_ledger_page import PAGE

from forget.methods import METHODS
from forget.records import ledger
from forget.records.database import reading, writing
from forget.records.measured import TELLING, keep, measured, outcome
from forget.records.requests import EXACT, ask, carry_out
from forget.records.taught import RETRAIN, teach
from ui.erase.came import NOT_HERE, NOT_SHOWN
from ui.shell.access import Access

GUO = {"mode": "guo", "loss": "ovr"}


def forgotten(base, kind="convex", **settings):
    """The entry of a request that was carried out, with what was measured."""
    for person in (ANA, BEN):
        give(person, 3)
    teach(base, RETRAIN, quick(kind, **settings))
    ask(ANA.name, {"small": METHODS[EXACT[kind]]()})
    (done,) = carry_out(SMALL, references=1)
    assert not done.failed
    with reading() as db:
        entry = ledger.entries(db)[-1]
        return entry, measured(db)


def numbers(plain) -> set[float]:
    """Every number with a fraction that stands anywhere in plain data."""
    match plain:
        case dict():
            return set().union(*map(numbers, plain.values()))
        case list():
            return set().union(*map(numbers, plain))
    return {plain} if isinstance(plain, float) and plain % 1 else set()


@pytest.mark.parametrize("settings", [{}, GUO])
def test_an_entry_with_a_certificate_holds_nothing_that_was_measured(base, settings):
    entry, figures = forgotten(base, **settings)
    assert set(figures) == {entry.number} and figures[entry.number].keys() == set(TELLING)
    assert not entry.body.keys() & set(TELLING)
    with reading() as db:
        exported = json.loads(ledger.export_text(db))
    told = numbers(exported["entries"][-1]["body"])
    own = numbers(figures[entry.number]) - {entry.body["test_accuracy"]}
    retained = numbers(figures[entry.number]["metrics"])  # on the test set, or by round shares
    assert len(own) > 5 and not told & (own - retained)


def test_what_is_not_certified_stands_in_the_ledger(base):
    entry, figures = forgotten(base, "network")
    assert not figures and set(TELLING) <= entry.body.keys()
    assert outcome(entry, figures) == entry.body


def test_nothing_is_kept_of_what_holds_nothing(small):
    with writing() as db:
        keep(db, 1, {"certificate": None, "seconds": 1.0})
        assert measured(db) == {}


@pytest.mark.parametrize("damaged", ["", "{", "[]", "7", "null", '{"base": "x"}', "NaN",
                                     '{"certificate": {}}', "[" * 5000])
def test_what_is_damaged_is_not_there(small, damaged):
    with writing() as db:
        db.execute("INSERT INTO measured VALUES (1, ?)", (damaged,))
        assert measured(db) == {}


def page_of(entry):
    at = opened(PAGE)
    at.selectbox(key="ledger.entry").set_value(entry.number).run()
    assert not at.exception
    return at


def captions(at) -> list[str]:
    return [caption.value for caption in at.caption]


def test_the_page_shows_it_to_whoever_sits_here(base):
    entry, _ = forgotten(base)
    assert "Forgetting took" in [one.label for one in page_of(entry).metric]


def test_the_page_shows_it_to_nobody_else(base, monkeypatch):
    entry, _ = forgotten(base)
    monkeypatch.setattr("ui.erase.came.who", lambda: Access(False, True, "a@example.org"))
    at = page_of(entry)
    assert NOT_SHOWN in captions(at) and not at.metric


def test_the_page_says_where_it_is_gone(base):
    entry, _ = forgotten(base)
    with writing() as db:
        db.execute("DELETE FROM measured")
    assert NOT_HERE in captions(page_of(entry))


@pytest.mark.parametrize("local", [True, False])
def test_what_is_spent_is_drawn_for_whoever_sits_here(base, monkeypatch, local):
    forgotten(base, **GUO)
    monkeypatch.setattr("ui.ledger.charts.who", lambda: Access(local, not local, None))
    at = opened(PAGE)
    assert any("shown only to whoever sits" in said for said in captions(at)) != local
    assert any("Share of the budget" in said for said in captions(at)) == local


def test_an_entry_of_an_earlier_version_holds_it_itself(base):
    entry, figures = forgotten(base)
    with writing() as db:
        number = ledger.append(db, "forgotten", outcome(entry, figures))
        db.execute("DELETE FROM measured")
    with reading() as db:
        earlier = ledger.entries(db)[number - 1]
    assert "Forgetting took" in [one.label for one in page_of(earlier).metric]
