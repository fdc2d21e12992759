"""Processes that work on the records and are killed: nothing is lost, done twice or comes back."""

import copy
import dataclasses
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from forget.data import kept
from forget.data.people import Photo
from forget.records import bases, ledger, requests
from forget.records.database import NAME, writing
from tests.judged_records import Judge
from tests.killed_records import Journal, Moments, Worker, bundle_at, killed
from tests.small_base import SMALL


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6, pytest.param(40, marks=pytest.mark.exhaustive)])
def test_killed_at_any_moment_nothing_is_lost_or_done_twice_and_nothing_comes_back(
        tmp_path, kills):
    found = list(killed(tmp_path / "homes", kills, 2, 7))
    assert [one for one in found if one.faults] == []
    assert len(found) == kills
    assert 0 < sum(one.how == "at random" for one in found) < kills
    assert sum(sum(one.did.values()) for one in found) > kills


@pytest.fixture(scope="module")
def small_only():
    """The small base is the only one that there is."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(bases.BASES):
            patch.delitem(bases.BASES, name)
        patch.setitem(bases.BASES, SMALL.name, SMALL)
        yield


@pytest.fixture(scope="module")
def lived_in(small_only, tmp_path_factory) -> Judge:
    """A data folder in which one person was forgotten and another waits, seen by its judge."""
    home = tmp_path_factory.mktemp("lived_in") / "home"
    journal, draw = Journal(home.with_suffix(".journal")), random.Random(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(home))
        worker = Worker(draw, journal, Moments(draw, print), bundle_at(0))
        for name in ("add", "keep", "teach", "ask", "carry_out", "add", "add", "teach", "ask"):
            worker.do(name)
        journal.write(begin="policy", batch=2)
        requests.set_policy(SMALL, 2)
        journal.write(end="policy")
        judge = Judge(home, home.with_suffix(".journal"), bundle_at(0))
        seen = judge.look()
    assert seen["faults"] == []
    assert (seen["did"]["carry_out"], len(judge.state.waiting)) == (1, 1)
    assert len(judge.ever - judge.state.held) > 0
    return judge


@pytest.fixture
def judge(lived_in, tmp_path, monkeypatch) -> Judge:
    """The judge over a copy of the folder."""
    home = tmp_path / "home"
    shutil.copytree(lived_in.folder, home)
    journal = shutil.copy(lived_in.journal, home.with_suffix(".journal"))
    monkeypatch.setenv("FORGET_HOME", str(home))
    return dataclasses.replace(copy.deepcopy(lived_in), folder=home, journal=journal)


def tampered(judge: Judge, *statements: str) -> list[str]:
    """The faults that a judge finds once the database was edited behind the program's back."""
    with closing(sqlite3.connect(judge.folder / NAME)) as db:
        for name in ("ledger_keeps", "ledger_stays"):
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
        db.commit()
    return judge.look()["faults"]


@pytest.mark.parametrize(("statement", "fault"), [
    ("DELETE FROM sample WHERE id = (SELECT max(id) FROM sample)", "are lost"),
    ("INSERT INTO sample SELECT 99, base, contributor, label, zeroblob(64), picture, reader, "
     "sha256, added FROM sample LIMIT 1", "should not be"),
    ("UPDATE request SET state = 'waiting' WHERE state = 'done'", "is waiting, and should be done"),
    ("DELETE FROM request WHERE state = 'waiting'", "is unknown, and should be waiting"),
    ("UPDATE request SET state = 'done' WHERE state = 'waiting'", "0 times in the ledger"),
    ("UPDATE ledger SET body = '{}' WHERE number = 1", "was altered"),
    ("DELETE FROM ledger WHERE what = 'taught'", "should have 2"),
    ("DELETE FROM model", "0 models"),
    ("INSERT INTO lineage SELECT id, 98 FROM model", "a row names another one"),
    ("UPDATE policy SET batch = 3", "the policy is 3"),
])  # fmt: skip
def test_the_judge_finds_records_that_are_not_what_was_promised(judge, statement, fault):
    assert any(fault in one for one in tampered(judge, statement))


def test_the_judge_finds_a_request_that_was_done_twice(judge):
    (done,) = [one for one, (state, _) in judge.state.requests.items() if state == "done"]
    with writing() as db:
        ledger.append(db, "forgotten", {"base": SMALL.name, "request": done, "samples": 1})
    assert any(f"request {done} is forgotten 2 times" in one for one in judge.look()["faults"])


def test_the_judge_finds_what_a_forgotten_person_gave_wherever_it_is(judge):
    row = next(iter(judge.ever - judge.state.held))
    (name,) = judge.names - set(judge.state.samples)
    (judge.folder / "notes.bin").write_bytes(b"..." + row)
    (judge.folder / "notes.txt").write_text(f"from {name}")
    (judge.folder / "photo.bin").write_bytes(next(iter(judge.gone)))
    faults = judge.look()["faults"]
    assert {one.split()[-1] for one in faults} == {"notes.bin", "notes.txt", "photo.bin"}


def test_the_judge_misses_a_kept_photo(judge):
    (by,) = set(judge.state.samples) - set(judge.state.waiting.values())
    photo = Photo(by, "photo.jpg", b"a photo")
    Journal(judge.journal).write(begin="keep", by=by, photo=photo.data.hex())
    Journal(judge.journal).write(end="keep")
    assert judge.look()["faults"] == ["1 kept photos that were acknowledged are lost"]
    kept.keep([photo])
    assert judge.look()["faults"] == []


def test_the_judge_finds_a_model_that_is_not_the_ledgers_and_what_cannot_be_read(judge):
    (model,) = [path for path in (judge.folder / "taught").glob("*.safetensors")
                if ".secret" not in path.name]
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    faults = judge.look()["faults"]
    assert "the live model is not the one that the ledger names last" in faults
    assert any("entries “lost”" in one for one in faults), faults


def test_the_judge_hears_of_an_operation_that_crashed(judge):
    Journal(judge.journal).write(begin="teach")
    Journal(judge.journal).write(end="teach", crashed="ValueError: no")
    assert judge.look()["faults"] == ["teach crashed: ValueError: no"]
