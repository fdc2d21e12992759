"""The ledger attacked in over fifty ways by somebody who can write its files: none is called
verified, before or after further entries, and nothing is added until somebody owns up to it."""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from small_base import ANA, BEN, SMALL, Person, give, quick

from forget.core.errors import BadInput, DamagedFile
from forget.io.paths import downloads
from forget.io.private import machine_key
from forget.methods.retrain import Retrain
from forget.records import bases, database, ledger, requests
from forget.records.check import check
from forget.records.database import reading, writing
from forget.records.ledger import Entry
from forget.records.taught import RETRAIN, teach

CLEO = Person("Cleo", 103)

OLDER = "older"
"""A copy of the data folder at an earlier time, in the folder itself: what an attacker kept."""


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A data folder in use: two people taught, one forgotten; and an older copy of it."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("used")
        patch.setenv("FORGET_HOME", str(home))
        patch.setattr(bases, "BASES", {SMALL.name: SMALL})
        patch.setattr("forget.records.requests.BASES", bases.BASES)
        give(ANA)
        give(BEN)
        teach(SMALL, RETRAIN, quick())
        requests.set_policy(SMALL, 2)
        older = tmp_path_factory.mktemp("older") / OLDER
        shutil.copytree(home, older)
        requests.ask(BEN.name, {"small": Retrain()})
        requests.carry_out(SMALL, references=0, now=True)
        requests.set_policy(SMALL, 3)
        shutil.copytree(older, home / OLDER)
        return home


@pytest.fixture
def attacked(small, used, tmp_path, monkeypatch) -> Path:
    """The folder in use, copied for one attack."""
    home = tmp_path / "attacked"
    shutil.copytree(used, home)
    monkeypatch.setenv("FORGET_HOME", str(home))
    return home


@contextlib.contextmanager
def opened():
    """The database, with nothing that keeps anybody from altering it."""
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as db:
        rules = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in rules:
            db.execute(f"DROP TRIGGER {name}")
        yield db
        for _, sql in rules:  # so that nobody sees it by their absence
            db.execute(sql)


def sql(*statements: str) -> Callable[[Path], None]:
    def attack(home: Path) -> None:
        with opened() as db:
            for statement in statements:
                assert db.execute(statement).rowcount
    return attack


def chained(change: Callable[[list[Entry]], list[Entry]], seal: bool = False,
            file: bool = False) -> Callable[[Path], None]:
    """Entries changed, and numbers, hashes and the end made to fit. ``seal``: with the older copy's
    seal, which an attacker has.  ``file``: the file that names the end is deleted as well."""
    def attack(home: Path) -> None:
        with reading() as db:
            chain = change(ledger.entries(db))
        with opened() as db:
            db.execute("DELETE FROM ledger")
            previous = ledger.START
            for number, entry in enumerate(chain, 1):
                plain = Entry(number, entry.at, entry.what, entry.subject, entry.body, previous, "")
                db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
                           (number, plain.at, plain.what, plain.subject, json.dumps(plain.body),
                            previous, plain.expected))
                previous = plain.expected
            db.execute("UPDATE ledger_end SET count = ?, hash = ?", (len(chain), previous))
            if seal:
                with contextlib.closing(sqlite3.connect(home / OLDER / "records.db")) as old:
                    db.execute("UPDATE ledger_end SET seal = ?",
                               old.execute("SELECT seal FROM ledger_end").fetchone())
        if file:
            ledger.end_path().unlink()
    return attack


def with_body(number: int, **values) -> Callable[[list[Entry]], list[Entry]]:
    def change(chain: list[Entry]) -> list[Entry]:
        chain[number - 1].body.update(values)
        return chain
    return change


def without(*numbers: int) -> Callable[[list[Entry]], list[Entry]]:
    return lambda chain: [entry for entry in chain if entry.number not in numbers]


def put_back(*names: str) -> Callable[[Path], None]:
    """Files as they were in the older copy."""
    def attack(home: Path) -> None:
        for name in names:
            for path in home.glob(name + "*"):
                path.unlink()
            for path in (home / OLDER).glob(name + "*"):
                shutil.copy2(path, home)
    return attack


def deleted(*names: str) -> Callable[[Path], None]:
    def attack(home: Path) -> None:
        for name in names:
            found = list(home.glob(name))
            assert found
            for path in found:
                path.unlink()
    return attack


def written(name: str, data: bytes) -> Callable[[Path], None]:
    def attack(home: Path) -> None:
        (home / name).write_bytes(data)
    return attack


def both(*attacks: Callable[[Path], None]) -> Callable[[Path], None]:
    def attack(home: Path) -> None:
        for one in attacks:
            one(home)
    return attack


def emptied(home: Path) -> None:
    database.path().write_bytes(b"")
    for path in home.glob("records.db-*"):
        path.unlink()


def cut_to_older_end(home: Path) -> None:
    """Entries taken off, and the end as the older copy has it, seal and all."""
    with contextlib.closing(sqlite3.connect(home / OLDER / "records.db")) as old:
        end = old.execute("SELECT * FROM ledger_end").fetchone()
    with opened() as db:
        db.execute("DELETE FROM ledger WHERE number > ?", (end[1],))
        db.execute("UPDATE request SET entry = 1")
        db.execute("INSERT OR REPLACE INTO ledger_end VALUES (?, ?, ?, ?)", end)


def model_altered(home: Path) -> None:
    (path,) = (home / database.MODELS).glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def model_put_back(home: Path) -> None:
    """The model that still knows who was forgotten, under the name of the one that does not."""
    (new,) = (home / database.MODELS).glob("*.safetensors")
    (old,) = (home / OLDER / database.MODELS).glob("*.safetensors")
    shutil.copy2(old, new)


ALTERED = [
    *(sql(f"UPDATE ledger SET {column} = {value} WHERE number = {number}")
      for number in (1, 4, 7) for column, value in (
          ("at", "'2000-01-01T00:00:00.000+00:00'"), ("what", "'other'"), ("subject", "'00'"),
          ("previous", "'00'"), ("hash", "'00'"), ("body", "'{\"samples\": 9}'"))),
    sql("UPDATE ledger SET body = 'nothing' WHERE number = 2"),
    sql("UPDATE ledger SET body = x'ff' WHERE number = 2"),
    sql("UPDATE ledger SET what = 'reopened' WHERE number = 3"),
    sql("UPDATE ledger SET number = 77 WHERE number = 7"),
    sql("UPDATE ledger SET number = -1 WHERE number = 1"),
]
TAKEN = [
    *(sql(f"DELETE FROM ledger WHERE number = {number}") for number in (1, 3, 7)),
    sql("DELETE FROM ledger WHERE number > 4"),
    sql("DELETE FROM ledger WHERE number > 4", "UPDATE ledger_end SET count = 4"),
    cut_to_older_end,
    sql("DELETE FROM ledger"), sql("DELETE FROM ledger_end"),
    sql("DELETE FROM ledger", "DELETE FROM ledger_end"),
    sql("DELETE FROM ledger", "DELETE FROM ledger_end", "DELETE FROM request",
        "DELETE FROM lineage", "DELETE FROM model", "DELETE FROM sample"),
    sql("UPDATE ledger_end SET count = 6"), sql("UPDATE ledger_end SET seal = 'ff'"),
    sql("UPDATE ledger_end SET seal = x'ff'"), sql("UPDATE ledger_end SET hash = '00'"),
]
REWRITTEN = [
    chained(with_body(2, samples=1)), chained(with_body(2, samples=1), seal=True),
    chained(with_body(2, samples=1), file=True), chained(with_body(7, batch=9)),
    chained(without(2)), chained(without(2), seal=True), chained(without(7)),
    chained(without(5, 6, 7), seal=True), chained(without(*range(1, 8))),
    chained(lambda chain: chain[::-1]), chained(lambda chain: [*chain, chain[-1]]),
]
FILES = [
    deleted("machine.key"), written("machine.key", b"k" * 32), written("machine.key", b"short"),
    written("machine.key", b""), deleted("ledger.end"), written("ledger.end", b""),
    written("ledger.end", b"[]"), written("ledger.end", b"\xff\xfe"),
    written("ledger.end", b'{"count": 3, "hash": "00", "seal": "00"}'),
    deleted("records.db*"), emptied, put_back("records.db"),
    both(deleted("records.db*"), deleted("ledger.end")),
    both(deleted("records.db*"), deleted("machine.key")),
    both(deleted("machine.key"), deleted("ledger.end")),
    both(put_back("records.db"), deleted("ledger.end")),
]
MODELS = [model_altered, model_put_back, deleted("taught/*.safetensors")]

BLOCKING = [*ALTERED, *TAKEN, *REWRITTEN, *FILES]


def intact() -> bool:
    with reading() as db:
        return check(db).intact


def test_the_ledger_that_is_attacked_verifies(attacked):
    assert intact()
    assert len(BLOCKING) + len(MODELS) >= 50


@pytest.mark.parametrize("attack", BLOCKING, ids=range(len(BLOCKING)))
def test_no_attack_is_called_verified_before_or_after_further_entries(attacked, attack):
    attack(attacked)
    assert not intact()
    kept_before = os.listdir(attacked / database.MODELS)
    for ordinary in (lambda: requests.set_policy(SMALL, 5), lambda: give(CLEO)):
        with pytest.raises((DamagedFile, BadInput)):
            ordinary()
        assert not intact()
    assert os.listdir(attacked / database.MODELS) == kept_before
    with contextlib.suppress(FileNotFoundError):
        if len((attacked / "machine.key").read_bytes()) != 32:
            (attacked / "machine.key").unlink()  # as the fault says
    with writing() as db:
        ledger.reopen(db)
    with reading() as db:
        verified = ledger.verify(db)
    assert not verified.faults and verified.reopened and not verified.intact
    requests.set_policy(SMALL, 6)
    requests.set_policy(SMALL, 7)
    assert not intact()
    with reading() as db:
        chain, end = ledger.read_export(ledger.export_text(db))
    assert not ledger.verify_chain(chain, end).intact


@pytest.mark.parametrize("attack", MODELS, ids=range(len(MODELS)))
def test_a_model_that_is_not_the_ledgers_is_a_fault_and_is_trained_anew(attacked, attack):
    attack(attacked)
    assert not intact()
    requests.resume()
    assert intact()
    with reading() as db:
        assert [entry.what for entry in ledger.entries(db)][-2:] == ["lost", "taught"]


def test_what_was_done_before_a_ledger_was_reopened_cannot_be_altered_afterwards(attacked):
    sql("DELETE FROM ledger WHERE number = 3")(attacked)
    with writing() as db:
        ledger.reopen(db)
    for statement in ("UPDATE ledger SET body = '{}' WHERE number = 2",
                      "DELETE FROM ledger WHERE number = 1",
                      "UPDATE ledger SET body = '{\"faults\": []}' WHERE what = 'reopened'",
                      "DELETE FROM ledger WHERE what = 'reopened'"):
        with pytest.MonkeyPatch.context() as patch:
            copied = attacked.parent / "again"
            shutil.copytree(attacked, copied)
            patch.setenv("FORGET_HOME", str(copied))
            sql(statement)(copied)
            with reading() as db:
                assert ledger.verify(db).faults, statement
            shutil.rmtree(copied)


def test_a_ledger_without_faults_is_not_reopened(attacked):
    with pytest.raises(BadInput, match="no reason to reopen"), writing() as db:
        ledger.reopen(db)
    assert intact()


def test_an_earlier_export_convicts_a_ledger_that_was_thrown_away(attacked):
    with reading() as db:
        earlier, _ = ledger.read_export(ledger.export_text(db))
    deleted("records.db*", "ledger.end", "machine.key", "taught/*")(attacked)
    give(BEN)
    with reading() as db:
        assert ledger.verify(db).intact, "nothing here tells that there was another one"
        assert ledger.extends(ledger.entries(db), earlier)


def test_a_ledger_of_an_earlier_version_verifies_and_goes_on(attacked):
    ledger.end_path().unlink()
    with opened() as db:
        end = db.execute("SELECT count, hash FROM ledger_end").fetchone()
        seal = ledger._earlier_seal_of(machine_key(), *end)
        db.execute("UPDATE ledger_end SET seal = ?", (seal,))
        db.execute("PRAGMA user_version = 1")
    assert intact()
    requests.set_policy(SMALL, 5)
    assert intact()
    assert json.loads((downloads() / ledger.END).read_text())["count"] == end[0] + 1


def test_a_process_that_ends_before_the_end_is_named_leaves_a_note_and_no_fault(attacked):
    before = ledger.end_path().read_bytes()
    requests.set_policy(SMALL, 5)
    ledger.end_path().write_bytes(before)
    with reading() as db:
        verified = ledger.verify(db)
    assert verified.intact
    assert any("does not name the last entry" in note for note in verified.notes)
