"""Entries of the ledger that somebody altered, and that were gone on over: they hinder nobody."""

import pytest
from small_base import ANA, BEN, SMALL, give
from small_base import learner as quick
from small_data import opened
from test_ledger_page import PAGE as LEDGER
from test_teach_page import opened as teach_page

from forget.methods import METHODS
from forget.records import ledger
from forget.records.contributions import contributors
from forget.records.database import writing
from forget.records.requests import EXACT, ask, carry_out
from forget.records.taught import RETRAIN, teach

FORGET_ME = LEDGER.replace("ledger.py", "forget_me.py")


def forget(person, kind: str) -> None:
    ask(person.name, {"small": METHODS[EXACT[kind]]()})
    (done,) = carry_out(SMALL, references=1)
    assert not done.failed


@pytest.mark.drawn(6)
@pytest.mark.parametrize("name", [
    "base", "how", "seconds", "spent", "samples", "method", "anew", "test_accuracy", "metrics",
    "verdict", "certificate", "new", "model_sha256", "key_destroyed", "references", "whole_class",
    "learner", "request"])
@pytest.mark.parametrize("instead", ["'\"z\": '", "'\"z\": 1, \"{name}\": [], \"y\": '",
                                     "'\"{name}\": [], \"{name}\": '"])
@pytest.mark.parametrize("kind", ["convex", "network"])
def test_pages_open_and_people_are_forgotten(base, kind, name, instead):
    """A field that is gone, of another kind, or there twice: in the ledger, or beside it."""
    for person in (ANA, BEN):
        give(person, 3)
    teach(base, RETRAIN, quick(kind))
    forget(ANA, kind)
    with writing() as db:
        db.execute("DROP TRIGGER ledger_stays")
        for table, column in (("ledger", "body"), ("measured", "figures")):
            db.execute(f"UPDATE {table} SET {column} = replace({column}, '\"{name}\": ', "
                       f"{instead.format(name=name)})")
        if ledger.verify(db).faults:
            ledger.reopen(db)
    for open_page in (lambda: opened(LEDGER), lambda: opened(FORGET_ME), teach_page):
        at = open_page()
        assert not at.exception
        assert not any("went wrong" in error.value for error in at.error)
    forget(BEN, kind)
    assert contributors() == []
