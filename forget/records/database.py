"""One SQLite file: its schema and migrations, transactions, and deleting that leaves nothing.

WAL mode, so that a page reads while a job writes; every commit is synced. ``secure_delete``
overwrites what is deleted, and :func:`scrub` empties the log and rewrites the file without its
freed pages: https://www.sqlite.org/pragma.html#pragma_secure_delete.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import filelock

from forget.core.errors import Busy, CannotWrite, DamagedFile
from forget.io.files import locked, on_disk
from forget.io.paths import downloads

NAME = "records.db"
WAIT_SECONDS = 20.0
"""How long a transaction waits for another program's: on a busy disk a commit takes seconds."""

GLANCE_SECONDS = 0.05
"""How long it waits at a time for the log to be begun."""

NO_ROOM = 1 << 20
"""Bytes below which a disk counts as full."""

MODELS = "taught"
"""The folder of the weights of live models, beside the database."""

WORK = "records"
"""The lock of whoever makes models from the records: one at a time, over all processes."""

FIRST = """
CREATE TABLE contributor (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    key BLOB NOT NULL,
    since TEXT NOT NULL
);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    base TEXT NOT NULL,
    contributor INTEGER NOT NULL REFERENCES contributor ON DELETE RESTRICT,
    label TEXT NOT NULL,
    x BLOB NOT NULL,
    picture BLOB NOT NULL,
    reader TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    added TEXT NOT NULL,
    UNIQUE (contributor, base, label, x)
);
CREATE TABLE model (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    base TEXT NOT NULL UNIQUE,
    learner TEXT NOT NULL,
    settings TEXT NOT NULL,
    seed INTEGER NOT NULL,
    classes TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE,
    made TEXT NOT NULL,
    made_at TEXT NOT NULL
);
CREATE TABLE lineage (
    model INTEGER NOT NULL REFERENCES model ON DELETE CASCADE,
    sample INTEGER NOT NULL REFERENCES sample ON DELETE RESTRICT,
    PRIMARY KEY (model, sample)
) WITHOUT ROWID;
CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    base TEXT NOT NULL,
    contributor INTEGER REFERENCES contributor ON DELETE SET NULL,
    method TEXT NOT NULL,
    settings TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
    asked_at TEXT NOT NULL,
    entry INTEGER
);
CREATE UNIQUE INDEX once ON request (base, contributor) WHERE state = 'waiting';
CREATE TABLE policy (base TEXT PRIMARY KEY, batch INTEGER NOT NULL CHECK (batch >= 1));
CREATE TABLE chore (what TEXT PRIMARY KEY);
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE ledger_end (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL,
    hash TEXT NOT NULL,
    seal TEXT NOT NULL
);
CREATE TRIGGER ledger_grows BEFORE INSERT ON ledger
    WHEN NEW.number != (SELECT count(*) + 1 FROM ledger)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_keeps BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_stays BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""

GROWS_OVER_GAPS = """
DROP TRIGGER IF EXISTS ledger_grows;
CREATE TRIGGER ledger_grows BEFORE INSERT ON ledger
    WHEN NEW.number <= (SELECT coalesce(max(number), 0) FROM ledger)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""

COMPOSITION = """
CREATE TABLE IF NOT EXISTS composition (base TEXT PRIMARY KEY, most_epsilon REAL NOT NULL);
"""

MEASURED = """
CREATE TABLE IF NOT EXISTS measured (entry INTEGER PRIMARY KEY, figures TEXT NOT NULL);
"""

MIGRATIONS = (FIRST, GROWS_OVER_GAPS, COMPOSITION, MEASURED)
"""Each brings the schema from its index to the next version; none is ever changed."""


def path() -> Path:
    """Where the records lie, or will lie once there are any."""
    return downloads() / NAME


class Connection(sqlite3.Connection):
    """A connection to the records. ``after_commit``: called once with it when the transaction is on
    disk, where somebody set it."""

    after_commit: Callable[["Connection"], None] | None = None


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection that sees one state of the records; empty ones while there is no file.

    Of a data folder that may not be written to, a copy in memory is read.
    """
    with _plainly(), closing(_opened()) as db:
        db.execute("BEGIN")
        yield db


@contextmanager
def writing() -> Iterator[Connection]:
    """One transaction: all of it is on disk when the block ends, or nothing where it raises."""
    with _plainly(), closing(_connect(path())) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.commit()
        if db.after_commit is not None:
            db.after_commit(db)


def _opened() -> Connection:
    if not path().is_file():
        return _empty()
    try:
        return _connect(path())
    except CannotWrite:
        return _copied()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in UNWRITTEN:
            raise
        return _copied()


def _copied() -> Connection:
    """The records in memory, brought up to date there; their files are only read."""
    log_there = path().with_name(NAME + "-wal")
    if log_there.is_file() and log_there.stat().st_size:
        # SQLite reads a log only where it may write beside it.
        with tempfile.TemporaryDirectory() as folder:
            for file in (path(), log_there):
                shutil.copyfile(file, Path(folder) / file.name)
            with closing(_connect(Path(folder) / NAME)) as db:
                return _in_memory(db)
    with closing(sqlite3.connect(f"{path().absolute().as_uri()}?mode=ro&immutable=1", uri=True)
                 ) as db:
        return _in_memory(db)


def _in_memory(source: sqlite3.Connection) -> Connection:
    db = _plain(":memory:")
    source.backup(db)
    _migrate(db)
    return db


@contextmanager
def working(waiting: Callable[[], None]) -> Iterator[None]:
    """Held by whoever makes models from the records; ``waiting`` is called while another does.

    What ``waiting`` raises ends the waiting.
    """
    lock = locked(WORK)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except filelock.Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def scrub() -> None:
    """Rewrite the file without its freed pages and empty its log, so that deleted is gone.

    Raises :class:`Busy` where another program is reading all the while.
    """
    with _plainly(), closing(_connect(path())) as db:
        _empty_log(db)
        db.execute("VACUUM")
        _empty_log(db)


def _empty_log(db: sqlite3.Connection) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise Busy(f"another program is reading {NAME}, so what was deleted still stands in "
                       "its log: close it, and the next start of this program finishes the work")
        time.sleep(0.05)


def _connect(where: Path) -> Connection:
    with on_disk():
        where.touch(mode=0o600)  # SQLite's own files beside it take its mode
    db = _plain(where)
    try:
        _begin_log(db)
        for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON",
                       "temp_store = MEMORY", "trusted_schema = OFF",
                       "recursive_triggers = ON"):
            db.execute(f"PRAGMA {pragma}")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _begin_log(db: sqlite3.Connection) -> None:
    """Write by a log. Of several programs that begin one at the same time each holds what the
    others wait for, so none of them waits long, and they try again."""
    deadline = time.monotonic() + WAIT_SECONDS
    db.execute(f"PRAGMA busy_timeout = {1000 * min(GLANCE_SECONDS, WAIT_SECONDS):.0f}")
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
                    or time.monotonic() > deadline):
                raise
        time.sleep(GLANCE_SECONDS / 5)
    db.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS:.0f}")


def _text(raw: bytes) -> str:
    """Damaged letters are shown as such: the ledger's check then says where."""
    return raw.decode(errors="replace")


def _plain(where: Path | str) -> Connection:
    db = sqlite3.connect(where, timeout=WAIT_SECONDS, isolation_level=None, factory=Connection)
    db.row_factory = sqlite3.Row
    db.text_factory = _text
    return db


def _empty() -> Connection:
    db = _plain(":memory:")
    _migrate(db)
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Bring the schema up to date, one version a transaction."""
    version = _version(db)
    if version > len(MIGRATIONS):
        raise DamagedFile(f"{NAME} was written by a newer version of this program (schema "
                          f"{version}, known up to {len(MIGRATIONS)}): update the program")
    if version < 0:
        raise DamagedFile(DAMAGED)
    while version < len(MIGRATIONS):
        db.execute("BEGIN IMMEDIATE")
        try:
            version = _version(db)  # another process may have been first
            if version < len(MIGRATIONS):
                for statement in _statements(MIGRATIONS[version]):
                    db.execute(statement)
                version += 1
                db.execute(f"PRAGMA user_version = {version}")
        except BaseException:
            db.rollback()
            raise
        db.commit()


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _statements(script: str) -> Iterator[str]:
    """The script's statements: ``executescript`` would commit each alone."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError("the last statement of a migration has no semicolon")


@contextmanager
def _plainly() -> Iterator[None]:
    """SQLite's errors as sentences for a person."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _said(error) from error


DAMAGED = f"{NAME} is damaged: restore it, with the files beside it of the same name, from a copy"

UNWRITTEN = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
"""What SQLite says where it may only read."""

UNWRITABLE = (f"{NAME} cannot be written: let this program write into the folder {{}}, or name "
              "another one in FORGET_HOME; nothing was changed")


def _is_full() -> bool:
    return shutil.disk_usage(downloads()).free < NO_ROOM


def _said(error: sqlite3.DatabaseError) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full():
        code = sqlite3.SQLITE_FULL  # its own files beside the database could not grow
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Busy(f"another program holds {NAME} in {downloads().name}: close it or wait for "
                        "it, and try again; nothing was changed")
        case sqlite3.SQLITE_FULL:
            return CannotWrite(f"the disk with {NAME} is full: free some space and try again; "
                               "nothing was changed")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR | \
             sqlite3.SQLITE_PERM:
            return CannotWrite(UNWRITABLE.format(downloads()))
        case (sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR |
              sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_TOOBIG):
            return DamagedFile(DAMAGED)
    return error
