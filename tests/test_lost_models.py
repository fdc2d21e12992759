"""A model that is lost or damaged, and records that are: whoever asks is forgotten all the same,
what is left of others is learnt anew, and the ledger says why."""

import contextlib
import functools
import json
import os
import shutil
import stat

import pytest
from small_base import ANA, BEN, SMALL, Person, give, quick, tamper

from forget.cli import main as cli
from forget.cli import records as commands
from forget.core.errors import ForgetError
from forget.io.paths import downloads
from forget.io.private import machine_key
from forget.methods.retrain import Retrain
from forget.records import bases, database, ledger, lineage, replace, requests, taught
from forget.records.check import check
from forget.records.contributions import contributors, kept
from forget.records.database import reading
from forget.records.requests import ask, carry_out, resume
from forget.records.taught import FINETUNE, RETRAIN, NothingNew, teach
from forget.records.trace import held
from forget.unlearning import store

CLEO = Person("Cleo", 103)


@pytest.fixture(autouse=True)
def _small(small, monkeypatch):
    """The small base alone, over an empty folder, and nothing to warm up for."""
    monkeypatch.setattr(commands, "warm", lambda: None)


def model_file():
    (path,) = (path for path in (downloads() / database.MODELS).iterdir()
               if not path.name.endswith(store.SECRET))
    return path


def gone():
    model_file().unlink()


def folder_gone():
    shutil.rmtree(downloads() / database.MODELS)


def secret_gone():
    store.secret_path(model_file()).unlink()


def cut():
    model_file().write_bytes(model_file().read_bytes()[:100])


def empty():
    model_file().write_bytes(b"")


def secret_cut():
    path = store.secret_path(model_file())
    path.write_bytes(path.read_bytes()[:-1])


def another():
    """A whole model, sealed in its own way, and not the one that the ledger names."""
    stored = store.load(model_file())
    model_file().write_bytes(store.to_bytes(store.Stored(stored.model, stored.record | {"x": 1})))


def a_folder_instead():
    path = model_file()
    path.unlink()
    path.mkdir()


def row(column: str, value: str):
    def damage():
        tamper(f"UPDATE model SET {column} = {value}")
    damage.__name__ = f"{column} {value}"
    return damage


LOSSES = [(name, loss) for name, losses in {
    "network": (gone, folder_gone, cut, empty, another, a_folder_instead,
                row("settings", "'nothing'"), row("settings", "x'ff'"), row("learner", "'none'"),
                row("learner", "x'00'"), row("classes", "'{'"), row("classes", "'[1, 2]'"),
                row("seed", "'many'"), row("file", "'../records.db'"), row("file", "x'00'"),
                row("file", "''")),
    "sisa": (gone, secret_gone, secret_cut), "convex": (secret_gone, secret_cut)}.items()
    for loss in losses]


FEW = [("network", gone), ("network", a_folder_instead), ("network", row("classes", "'[1, 2]'")),
       ("sisa", secret_cut), ("convex", secret_gone)]
"""A loss of each kind."""


@pytest.fixture(scope="module")
def learnt_by(tmp_path_factory):
    """By learner, a data folder in which Ana and Ben were learnt, and Cleo gave something that was
    not."""
    @functools.cache
    def made(name: str):
        with pytest.MonkeyPatch.context() as patch:
            home = tmp_path_factory.mktemp(name)
            patch.setenv("FORGET_HOME", str(home))
            patch.setattr(bases, "BASES", {SMALL.name: SMALL})
            patch.setattr("forget.records.requests.BASES", bases.BASES)
            give(ANA)
            give(BEN)
            teach(SMALL, RETRAIN, quick(name))
            give(CLEO)
            return home
    return made


@pytest.fixture
def lost(request, learnt_by):
    """A copy of such a folder, in which the model was lost."""
    name, loss = request.param
    shutil.copytree(learnt_by(name), downloads(), dirs_exist_ok=True)
    loss()
    return name


def losses(cases):
    return pytest.mark.parametrize("lost", cases, indirect=True,
                                   ids=lambda one: f"{one[0]}: {one[1].__name__}")


def entries() -> list[ledger.Entry]:
    with reading() as db:
        return ledger.entries(db)


def intact() -> bool:
    with reading() as db:
        return check(db).intact


def names() -> set[str]:
    return {one.name for one in contributors()}


def learnt() -> set[str]:
    return {one.contributor for one in lineage.live(SMALL, quick()).learnt()}


@pytest.mark.drawn(9)
@losses(LOSSES)
def test_who_was_learnt_is_forgotten_and_the_others_are_learnt_anew(lost):
    ask(ANA.name, {"small": Retrain()})
    (done,) = carry_out(SMALL, references=0)
    assert not done.failed and not done.untidy
    assert names() == {BEN.name, CLEO.name} and learnt() == {BEN.name}
    assert intact() and replace.is_tidy()
    assert [entry.what for entry in entries()][-3:] == ["lost", "forgotten", "taught"]
    (why,) = (entry.body["why"] for entry in entries() if entry.what == "lost")
    assert why and ANA.name not in why
    here = lineage.live(SMALL, quick())
    assert here.learner.name in (lost, "network") and ANA.name not in here.classes


@losses(FEW)
def test_who_was_never_learnt_is_forgotten_as_well(lost):
    ask(CLEO.name, {"small": Retrain()})
    (done,) = carry_out(SMALL, references=0)
    assert not done.failed
    assert names() == learnt() == {ANA.name, BEN.name}
    assert intact()


@losses(FEW)
def test_a_start_of_the_program_trains_it_anew(lost):
    assert not requests.is_resumed()
    assert resume() == []
    assert learnt() == {ANA.name, BEN.name}, "what Cleo gave was not learnt before either"
    assert requests.is_resumed() and intact()


@pytest.mark.parametrize("how", [RETRAIN, FINETUNE])
def test_teaching_goes_on_without_it(how):
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    gone()
    give(BEN)
    teach(SMALL, how, quick())
    assert learnt() == {ANA.name, BEN.name} and intact()
    assert replace.to_learn_again(SMALL) is None


def test_where_nobody_is_left_nothing_is_trained():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    gone()
    ask(ANA.name, {"small": Retrain()})
    carry_out(SMALL, references=0)
    assert lineage.live_row(SMALL) is None and names() == set()
    assert requests.is_resumed() and intact()


def test_what_cannot_be_learnt_again_now_keeps_nobody_from_being_forgotten(monkeypatch):
    give(ANA)
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    gone()
    ask(ANA.name, {"small": Retrain()})

    def down(*_, **__):
        raise ForgetError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(taught, "learn", down)
        (done,) = carry_out(SMALL, references=0)
    assert "no room" in done.untidy and names() == {BEN.name}
    assert not requests.is_resumed()
    resume()
    assert learnt() == {BEN.name} and requests.is_resumed()


def test_the_page_of_a_server_that_starts_counts_a_lost_model_among_what_is_left():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    assert requests.is_resumed()
    gone()
    assert not requests.is_resumed()


# Damaged fields of the records


VALUES = ("x'ff'", "''", "'[]'", "'{}'", "-1", "1e300", "'\u00e9'", "char(0)", "NULL",
          "9223372036854775807", f"'{'[' * 5000}'", "'../../etc'", "x''")
TRIED = int(os.environ.get("FORGET_DAMAGED_VALUES", "1"))
"""Values a field: each field gets others; 12 tries all of them."""

FIELDS = [(table, column) for table, columns in {
    "contributor": ("name", "key", "since"),
    "sample": ("base", "label", "x", "picture", "reader", "sha256", "added", "contributor"),
    "model": ("base", "learner", "settings", "seed", "classes", "file", "made", "made_at"),
    "request": ("base", "method", "settings", "asked_at", "entry", "contributor"),
    "policy": ("base", "batch"), "chore": ("what",), "ledger_end": ("count", "hash", "seal"),
    "lineage": ("sample", "model")}.items() for column in columns]
COMMANDS = (("trace", ANA.name), ("ledger", "verify"), ("ledger", "export"), ("queue",),
            ("queue", "--run"), ("erase", BEN.name), ("teach", "small"),
            ("trace", ANA.name, "--json"), ("ledger", "reopen"))


@pytest.fixture(scope="module")
def in_use(tmp_path_factory):
    """A data folder in which somebody was learnt, somebody waits, and a policy is set."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("in use")
        patch.setenv("FORGET_HOME", str(home))
        patch.setattr(bases, "BASES", {SMALL.name: SMALL})
        patch.setattr("forget.records.requests.BASES", bases.BASES)
        give(ANA)
        give(BEN)
        teach(SMALL, RETRAIN, quick())
        requests.set_policy(SMALL, 2)
        ask(ANA.name, {"small": Retrain()})
        return home


@pytest.mark.drawn(8)
@pytest.mark.parametrize(("table", "column"), FIELDS, ids=map(".".join, FIELDS))
def test_a_damaged_field_gives_a_sentence_and_never_a_traceback(
        in_use, tmp_path, monkeypatch, capsys, table, column):
    place = FIELDS.index((table, column))
    tried = 0
    turned = [*VALUES[place % len(VALUES):], *VALUES[:place % len(VALUES)]]
    for number, value in enumerate(turned):
        if tried == TRIED:
            break
        home = tmp_path / str(number)
        shutil.copytree(in_use, home)
        monkeypatch.setenv("FORGET_HOME", str(home))
        try:
            tamper("PRAGMA ignore_check_constraints = ON",
                   "INSERT OR REPLACE INTO chore VALUES ('learn again: small nothing')",
                   f"UPDATE {table} SET {column} = {value} "
                   f"WHERE {column} = (SELECT max({column}) FROM {table})")
        except database.sqlite3.IntegrityError:
            continue  # the database itself refuses it
        tried += 1
        for command in COMMANDS:
            capsys.readouterr()
            assert cli.main(list(command)) in (0, 1, 2), (value, command)
            assert "Traceback" not in capsys.readouterr().err, (value, command)
        shutil.rmtree(home)
    assert tried


def test_whose_sample_is_damaged_can_be_forgotten_and_so_can_the_others():
    give(ANA)
    give(BEN)
    teach(SMALL, RETRAIN, quick())
    tamper("UPDATE sample SET x = x'00' WHERE id = 1")
    there = held(ANA.name)
    assert [one.damaged for one in there.samples] == [True, False, False, False]
    ask(BEN.name, {"small": Retrain()})
    (done,) = carry_out(SMALL, references=0)
    assert not done.failed and not done.untidy and names() == {ANA.name}
    ask(ANA.name, {"small": Retrain()})
    (done,) = carry_out(SMALL, references=0)
    assert not done.failed and names() == set() and not kept(SMALL)
    assert intact()


@pytest.mark.parametrize("statement", ["DROP TABLE sample", "DROP TABLE ledger_end",
                                       "ALTER TABLE model RENAME COLUMN seed TO sand"])
def test_a_table_that_is_not_there_is_damage(statement, capsys):
    give(ANA)
    with contextlib.closing(database.sqlite3.connect(database.path())) as db:
        db.execute(statement)
    for command in COMMANDS:
        assert cli.main(list(command)) in (0, 1, 2), command
        assert "Traceback" not in capsys.readouterr().err


# What several programs, and copies, do


def test_what_another_program_learnt_meanwhile_is_no_error(monkeypatch, tmp_path, capsys):
    from small_base import rows

    path = tmp_path / "a.row"
    path.write_bytes(rows(ANA.seed, 1)[0].tobytes())

    def first(*_, **__):
        raise NothingNew("there is nothing new to learn")

    monkeypatch.setattr(taught, "teach", first)
    assert cli.main(["teach", "small", str(path), "--by", "Ana", "--label", "Ana"]) == 0
    assert "has learnt them already" in capsys.readouterr().out
    assert cli.main(["teach", "small"]) == 2


@pytest.fixture
def read_only(monkeypatch):
    """A data folder that takes no writing: refused as a disk that is mounted so refuses it."""
    real = database._connect

    def refused(where):
        if where == database.path():
            raise database.CannotWrite("a file could not be written (Read-only file system)")
        return real(where)

    def arm():
        monkeypatch.setattr(database, "_connect", refused)
    return arm


@pytest.mark.parametrize("log_left", [False, True])
def test_a_read_only_copy_is_searched_and_verified(read_only, capsys, log_left):
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    with contextlib.ExitStack() as stack:
        if log_left:  # somebody still reads, so the log is not folded into the file
            stack.enter_context(reading())
            requests.set_policy(SMALL, 2)
            assert database.path().with_name("records.db-wal").stat().st_size
        read_only()
        before = sorted((path, path.stat().st_mtime_ns) for path in downloads().iterdir()
                        if not path.name.endswith("-shm"))
        assert cli.main(["ledger", "verify"]) == 0
        assert f"verified: {3 if log_left else 2} entries" in capsys.readouterr().out
        assert cli.main(["trace", ANA.name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["samples"] == 4
        assert sorted((path, path.stat().st_mtime_ns) for path in downloads().iterdir()
                      if not path.name.endswith("-shm")) == before


def test_verifying_makes_no_key(small):
    assert cli.main(["ledger", "verify"]) == 0
    assert not (downloads() / "machine.key").exists()
    machine_key()
    assert cli.main(["ledger", "verify"]) == 0, "a key alone was made for noise, and is no fault"


def test_the_data_folder_and_its_folders_are_private():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    os.chmod(downloads(), 0o755)
    folders = [downloads(), *(path for path in downloads().rglob("*") if path.is_dir())]
    assert len(folders) > 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
