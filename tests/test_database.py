"""The records' file: schema and migrations, transactions that are whole or not at all, what happens
where it cannot be written or read, and deleting that leaves no byte."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from forget.core.errors import Busy, Cancelled, CannotWrite, DamagedFile, ForgetError
from forget.records import database
from forget.records.database import reading, scrub, working, writing

TELLTALE = b"A piece of a sample that stands nowhere by chance."
LATER = """
ALTER TABLE contributor ADD COLUMN note TEXT NOT NULL DEFAULT 'none; yet';
CREATE TABLE later (id INTEGER PRIMARY KEY);
CREATE TRIGGER kept BEFORE DELETE ON later
    BEGIN SELECT RAISE(ABORT, 'not; this'); END;
"""


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    """An empty folder, and no waiting for others."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)


def put(name: str, key: bytes = b"k") -> None:
    with writing() as db:
        db.execute("INSERT INTO contributor (name, key, since) VALUES (?, ?, '')", (name, key))


def names() -> list[str]:
    with reading() as db:
        return [row["name"] for row in db.execute("SELECT name FROM contributor ORDER BY id")]


def value(db: sqlite3.Connection, pragma: str):
    return db.execute(f"PRAGMA {pragma}").fetchone()[0]


def raw() -> dict[str, bytes]:
    """The bytes of the file and of those that SQLite puts beside it."""
    return {path.name: path.read_bytes()
            for path in database.path().parent.glob(f"{database.NAME}*")}


def version() -> int:
    with contextlib.closing(sqlite3.connect(database.path())) as db:
        return value(db, "user_version")


# Schema and migrations


def test_a_new_file_has_the_newest_schema_and_every_protection_on():
    with writing() as db:
        assert value(db, "user_version") == len(database.MIGRATIONS)
        assert value(db, "journal_mode") == "wal"
        assert value(db, "synchronous") == 2  # FULL: a commit is on disk
        assert value(db, "secure_delete") == 1
        assert value(db, "foreign_keys") == 1
        assert value(db, "temp_store") == 2  # in memory: no temporary file holds what was deleted


def test_reading_what_is_not_there_finds_nothing_and_makes_no_file(home):
    assert names() == []
    assert not database.path().exists()


def test_an_older_file_is_brought_up_to_date_and_keeps_what_is_in_it(monkeypatch):
    put("Ana")
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, LATER))
    with reading() as db:
        assert [tuple(row) for row in db.execute("SELECT name, note FROM contributor")] \
            == [("Ana", "none; yet")]
        assert value(db, "user_version") == len(database.MIGRATIONS)
    with pytest.raises(sqlite3.IntegrityError, match="not; this"), writing() as db:
        db.execute("INSERT INTO later VALUES (1)")
        db.execute("DELETE FROM later")
    put("Ben")
    assert names() == ["Ana", "Ben"]


def test_a_migration_that_fails_in_the_middle_changes_nothing(monkeypatch):
    put("Ana")
    before = version()
    broken = "CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);\n"
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, broken))
        with pytest.raises(DamagedFile) as refused, reading():
            pass
        assert "nowhere" in str(refused.value.__cause__)
    assert version() == before
    assert names() == ["Ana"]
    with reading() as db:
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone()


def test_a_migrations_last_statement_is_never_left_out_in_silence(monkeypatch):
    put("Ana")
    before = version()
    unfinished = "ALTER TABLE contributor ADD COLUMN note TEXT"  # no semicolon
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, unfinished))
    with contextlib.suppress(Exception), reading():
        pass
    with contextlib.closing(sqlite3.connect(database.path())) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(contributor)")}
    assert ("note" in columns) == (version() > before)


def test_programs_that_migrate_at_the_same_time_do_it_once(monkeypatch):
    put("Ana")
    monkeypatch.setattr(database, "WAIT_SECONDS", 20.0)
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, LATER))
    together(lambda number: put(f"Ben {number}"))
    assert sorted(names()) == ["Ana", *(f"Ben {number}" for number in range(6))]


def test_programs_that_make_the_file_at_the_same_time_lose_nothing(monkeypatch, tmp_path):
    """Ten times: two that began the log at the same time waited for each other."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 20.0)
    for turn in range(10):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / str(turn)))
        together(lambda number: put(str(number)))
        assert sorted(names()) == [str(number) for number in range(6)]


def together(work, count: int = 6) -> None:
    """Do some work in several threads that begin at once; raises what any of them raised."""
    gate, faults = threading.Barrier(count), []

    def one(number):
        gate.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shall say it
            faults.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults


@pytest.mark.parametrize("opened", [reading, writing])
def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(opened):
    put("Ana")
    with contextlib.closing(sqlite3.connect(database.path())) as db:
        db.execute(f"PRAGMA user_version = {len(database.MIGRATIONS) + 1}")
    before = database.path().read_bytes()
    with pytest.raises(DamagedFile, match="newer version"), opened():
        pass
    assert database.path().read_bytes() == before


# Who may read the file


def test_the_files_are_for_their_owner_alone_whatever_the_umask():
    old = os.umask(0)
    try:
        put("Ana")
        with reading() as db:
            assert db.execute("SELECT count(*) FROM contributor").fetchone()[0] == 1
            put("Ben")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode)
                     for path in database.path().parent.glob(f"{database.NAME}*")}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(
        (database.NAME, f"{database.NAME}-wal", f"{database.NAME}-shm"), 0o600)


# Transactions


@pytest.mark.parametrize("how", [ValueError, KeyboardInterrupt, Cancelled])
def test_a_transaction_that_breaks_off_leaves_nothing(how):
    put("Ana")
    with pytest.raises(how), writing() as db:
        db.execute("INSERT INTO contributor (name, key, since) VALUES ('Ben', x'00', '')")
        db.execute("DELETE FROM contributor WHERE name = 'Ana'")
        raise how("broken off")
    assert names() == ["Ana"]


def test_who_reads_while_another_writes_sees_one_state():
    put("Ana")
    with reading() as db:
        before = db.execute("SELECT count(*) FROM contributor").fetchone()[0]
        with writing() as other:
            other.execute("INSERT INTO contributor (name, key, since) VALUES ('Ben', x'00', '')")
            assert names() == ["Ana"]  # not committed yet
        assert db.execute("SELECT count(*) FROM contributor").fetchone()[0] == before == 1
    assert names() == ["Ana", "Ben"]


def test_a_database_locked_by_another_program_is_said_and_nothing_is_lost():
    put("Ana")
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy, match="another program") as said:
            put("Ben")
        assert names() == ["Ana"]
        other.execute("ROLLBACK")
    assert "sqlite" not in str(said.value).lower()
    put("Ben")
    assert names() == ["Ana", "Ben"]


def test_a_database_that_another_program_holds_without_its_log_is_said_too():
    put("Ana")
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as other:
        assert value(other, "journal_mode = DELETE") == "delete"
        other.execute("BEGIN EXCLUSIVE")
        for opened in (reading, writing):
            with pytest.raises(Busy), opened():
                pass
        other.execute("ROLLBACK")
    assert names() == ["Ana"]


def test_one_works_at_a_time_and_who_waits_can_stop_waiting():
    def stop():
        raise Cancelled("enough")

    with working(lambda: None), pytest.raises(Cancelled), working(stop):
        raise AssertionError("two at a time")
    with working(stop):
        pass


# No room, no right, no such file


def small_pages(monkeypatch, more: int) -> None:
    """From now on the file may grow by so many pages only."""
    real = database._connect

    def connect(where: Path) -> sqlite3.Connection:
        db = real(where)
        db.execute(f"PRAGMA max_page_count = {value(db, 'page_count') + more}")
        return db

    monkeypatch.setattr(database, "_connect", connect)


def test_a_full_disk_is_said_and_nothing_is_lost(monkeypatch):
    put("Ana")
    with monkeypatch.context() as patch:
        small_pages(patch, more=2)
        with pytest.raises(CannotWrite, match="full"), writing() as db:
            db.execute("DELETE FROM contributor")
            db.execute("INSERT INTO contributor (name, key, since) VALUES ('Ben', ?, '')",
                       (bytes(100_000),))
        assert names() == ["Ana"]
    put("Ben", bytes(100_000))
    assert names() == ["Ana", "Ben"]


@pytest.fixture
def small_disk(monkeypatch):
    """A disk of its own of 600 KB, and a function that mounts it anew; needs to be root."""
    with tempfile.TemporaryDirectory() as folder:
        def mount(how: str) -> bool:
            return subprocess.run(["mount", "-t", "tmpfs", "-o", how, "none", folder],
                                  capture_output=True).returncode == 0

        if os.geteuid() or not mount("size=600k"):
            pytest.skip("mounting needs to be root")
        monkeypatch.setenv("FORGET_HOME", folder)
        yield mount
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_is_said_and_nothing_is_lost(small_disk):
    put("Ana")
    filler = database.path().with_name("filler")
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    with pytest.raises(CannotWrite):
        put("Ben", bytes(100_000))
    filler.unlink()
    assert names() == ["Ana"]
    put("Ben")
    assert names() == ["Ana", "Ben"]


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_mounted_read_only_is_said(small_disk, there):
    if there:
        put("Ana")
    small_disk("remount,ro")
    with pytest.raises(CannotWrite), writing():
        pass
    with pytest.raises(ForgetError), working(lambda: None):
        pass
    small_disk("remount,rw")
    assert names() == ["Ana"] * there


@pytest.fixture
def nobody(monkeypatch):
    """A folder that its user cannot write into; root would, so it becomes somebody else."""
    root = not os.geteuid()
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "home"
        folder.mkdir()
        monkeypatch.setenv("FORGET_HOME", str(folder))

        @contextlib.contextmanager
        def as_nobody():
            folder.chmod(0o555)
            if root:
                os.seteuid(65534)
            try:
                yield
            finally:
                if root:
                    os.seteuid(0)
                folder.chmod(0o755)

        yield as_nobody


@pytest.mark.skipif(sys.platform == "win32", reason="modes are Unix's")
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_may_not_be_written_to_is_said(nobody, there):
    if there:
        put("Ana")
    with nobody():
        with pytest.raises(CannotWrite, match=r"(cannot|could not) be written"):
            put("Ben")
        with pytest.raises(ForgetError), working(lambda: None):
            pass
    assert names() == ["Ana"] * there


def test_a_file_that_is_none_is_damaged():
    database.path().write_bytes(b"This is a text and no database. " * 200)
    before = database.path().read_bytes()
    for opened in (reading, writing):
        with pytest.raises(DamagedFile, match="restore"), opened():
            pass
    assert database.path().read_bytes() == before


def test_a_file_of_a_version_below_none_is_damaged(home):
    put("Ana")
    with contextlib.closing(sqlite3.connect(database.path())) as db:
        db.execute("PRAGMA user_version = -5")
    with pytest.raises(DamagedFile, match="restore"):
        names()


def test_a_file_that_was_cut_off_is_damaged():
    with writing() as db:
        db.executemany("INSERT INTO contributor (name, key, since) VALUES (?, ?, '')",
                       [(str(number), bytes(1000)) for number in range(200)])
    whole = database.path().read_bytes()
    database.path().write_bytes(whole[:len(whole) // 2])
    with pytest.raises(DamagedFile):
        names()


def test_damaged_letters_are_read_as_such():
    put("Ana Example")
    whole = database.path().read_bytes()
    assert b"Ana Example" in whole
    database.path().write_bytes(whole.replace(b"Ana Example", b"An\xff Example"))
    assert names() == ["An\ufffd Example"]


def test_an_empty_file_is_a_new_one():
    database.path().touch()
    assert names() == []
    put("Ana")
    assert names() == ["Ana"]


# Deleting is deleting


@pytest.mark.parametrize("size", [len(TELLTALE), 50_000])
def test_what_is_deleted_stands_in_no_file_any_more(size):
    secret = (TELLTALE * (size // len(TELLTALE) + 1))[:size]
    put("Ana", secret)
    with reading() as held:  # a page that looks: the log stays, and holds what was deleted
        held.execute("SELECT 1 FROM contributor").fetchone()
        put("Ben")
        with writing() as db:
            db.execute("DELETE FROM contributor WHERE name = 'Ana'")
        assert any(TELLTALE in data for data in raw().values())
    with contextlib.closing(database._connect(database.path())):
        scrub()
        files = raw()
        assert f"{database.NAME}-wal" in files  # somebody has it open still
        assert not any(TELLTALE[:16] in data for data in files.values())
    assert names() == ["Ben"]


def test_a_scrubbed_file_has_no_free_pages():
    put("Ana", bytes(500_000))
    large = database.path().stat().st_size
    with writing() as db:
        db.execute("DELETE FROM contributor")
    scrub()
    with reading() as db:
        assert value(db, "freelist_count") == 0
    assert database.path().stat().st_size < large - 400_000


def test_scrubbing_while_another_reads_is_put_off_with_a_sentence():
    put("Ana", TELLTALE)
    with reading() as other:
        other.execute("SELECT * FROM contributor").fetchall()
        with writing() as db:
            db.execute("DELETE FROM contributor")
        with pytest.raises(Busy):
            scrub()
    scrub()
    assert not any(TELLTALE in data for data in raw().values())


def test_foreign_keys_hold_for_whoever_writes():
    with pytest.raises(sqlite3.IntegrityError), writing() as db:
        db.execute("INSERT INTO lineage VALUES (7, 7)")
