"""One model in the place of another, whole or not at all, and nothing of the former left.

A model's files are written first, under a name that no row names; the records then change in one
transaction; what no row names any more is deleted, and freed pages with it.
"""

import contextlib
import dataclasses
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forget.core.errors import BadInput, Busy, CannotWrite
from forget.io.files import on_disk, sweep, write_atomically
from forget.io.paths import downloads
from forget.records import bases, ledger
from forget.records.bases import Base
from forget.records.contributions import FIRST_ID
from forget.records.database import MODELS, Connection, reading, scrub, working, writing
from forget.records.lineage import FILE, Live, home, lineage_of, loss_of, row_of
from forget.unlearning import store
from forget.unlearning.store import Stored
from forget.unlearning.watch import Watch

SCRUB = "scrub"
"""The chore of whoever deleted something: it stays until nothing of it is on disk."""


@dataclasses.dataclass(frozen=True)
class Files:
    """The bytes of a model's two files: to hand out, and to keep, where it keeps anything."""

    public: bytes
    secret: bytes | None

    @classmethod
    def of(cls, stored: Stored) -> "Files":
        """Its record says nothing that tells of the data."""
        record = {name: value for name, value in stored.record.items()
                  if name not in ("data", "forgotten")}
        public = store.to_bytes(Stored(stored.model, record))
        # What could tell of the forgotten samples, were they guessed, goes with them.
        kept_back = {name: value for name, value in store.secret_of(stored.model).items()
                     if name not in ("ids_key", "forgotten_marks")}
        return cls(public, store.secret_bytes(kept_back, {}, public) if kept_back else None)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    def write(self, path: Path) -> None:
        if self.secret is not None:
            write_atomically(store.secret_path(path), self.secret, mode=0o600)
        write_atomically(path, self.public, mode=0o600)


@contextlib.contextmanager
def becoming(before: Live, after: Live, files: Files) -> Iterator[tuple[Connection, int]]:
    """Put a model in the place of the one before: the block's transaction is all or nothing.

    The weights are written first, under a name that nothing names yet; what the block writes, the
    new model and its lineage are one transaction; what no row names any more then goes with
    :func:`tidy`. Gives the transaction and the new model's row.
    """
    file = f"{after.base.name}-{secrets.token_hex(8)}.safetensors"
    files.write(home(file))
    with writing() as db:
        now = row_of(db, after.base)
        if (now and now["id"]) != before.row:
            raise BadInput("the model was changed by another program meanwhile: try again")
        db.execute("DELETE FROM model WHERE base = ?", (after.base.name,))
        made = db.execute(
            "INSERT INTO model (base, learner, settings, seed, classes, file, made, made_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (after.base.name, after.learner.name, json.dumps(after.learner.settings()), after.seed,
             json.dumps(after.classes), file, after.made, ledger.now())).lastrowid
        db.executemany("INSERT INTO lineage VALUES (?, ?)",
                       [(made, one - FIRST_ID) for one in sorted(after.samples)])
        must_scrub(db)
        yield db, made


@contextlib.contextmanager
def changing(watch: Watch) -> Iterator[None]:
    """Held by whoever changes a model: begins with a tidy folder, and says when it has to wait.

    What ends the waiting is raised.
    """
    def waiting() -> None:
        watch.phase("Waiting for another program that changes the model")
        watch.check()

    with working(waiting):
        tidy()
        yield


LEARN_AGAIN = "learn again: "
"""Begins the chore that a lost model leaves: what it had learnt is to be learnt anew."""


def give_up(base: Base) -> str:
    """Let a base's model be gone where its files are lost or damaged, and say so in the ledger.

    Its lineage goes with it, so that what it had learnt can be deleted; that it has to be trained
    anew is noted with the recipe. Called within :func:`changing`. Returns why it is lost, "" where
    it is not.
    """
    why = loss_of(base)
    if not why:
        return ""
    with writing() as db:
        row = row_of(db, base)
        learnt = sorted(lineage_of(db, row["id"]))
        db.execute("DELETE FROM model WHERE id = ?", (row["id"],))
        db.execute("DELETE FROM chore WHERE what LIKE ?", (f"{LEARN_AGAIN}{base.name} %",))
        again = {name: row[name] for name in ("learner", "settings", "seed")} | {"samples": learnt}
        db.execute("INSERT INTO chore VALUES (?)",
                   (f"{LEARN_AGAIN}{base.name} {json.dumps(again, default=str)}",))
        ledger.append(db, "lost", {"base": base.name, "why": why, "samples": len(learnt)})
        must_scrub(db)
    tidy()
    return why


def to_learn_again(base: Base) -> dict[str, Any] | None:
    """What a lost model had learnt, and its recipe as its row had it; None where none was lost."""
    begins = f"{LEARN_AGAIN}{base.name} "
    with reading() as db:
        row = db.execute("SELECT what FROM chore WHERE what LIKE ?", (begins + "%",)).fetchone()
    if row is None:
        return None
    try:
        again = json.loads(row["what"].removeprefix(begins))
        return again | {"samples": frozenset(again["samples"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {"samples": frozenset()}  # damaged: nobody can tell any more what it was


def learnt_again(db: Connection, base: Base) -> None:
    """Note, within a transaction, that nothing is left to be learnt anew."""
    db.execute("DELETE FROM chore WHERE what LIKE ?", (f"{LEARN_AGAIN}{base.name} %",))


def drop_strays(db: Connection) -> None:
    """Delete, within a transaction, what damage left of models: rows of no base, and lineage of no
    row, which would keep samples from being deleted."""
    known = list(bases.BASES)
    db.execute(f"DELETE FROM model WHERE base NOT IN ({', '.join('?' * len(known))})", known)
    db.execute("DELETE FROM lineage WHERE model NOT IN (SELECT id FROM model)")


def must_scrub(db: Connection) -> None:
    """Note, within a transaction that deletes, that its traces are to be removed afterwards."""
    db.execute("INSERT OR IGNORE INTO chore VALUES (?)", (SCRUB,))


def tidy() -> str:
    """Delete the files that no row names, and finish what a killed process began.

    Called within :func:`changing`. Returns what is still to be done and why, in words; nothing
    where all is clean.
    """
    try:
        _tidy()
    except (Busy, CannotWrite) as error:  # the note stays, and the next call tries again
        return (f"what was deleted is not yet gone from the disk ({error.__cause__ or error}): "
                "free some space, close other programs that use the records, and start this "
                "program again")
    return ""


def is_tidy() -> bool:
    """Whether no killed process left anything of a model, or deleted pages, behind."""
    unnamed, must_be_scrubbed = leftovers()
    return not unnamed and not must_be_scrubbed


def leftovers() -> tuple[list[Path], bool]:
    """The files that no row names, and whether deleted pages may still be on the disk."""
    with reading() as db:
        named = {row[0] for row in db.execute("SELECT file FROM model")}
        chore = db.execute("SELECT 1 FROM chore WHERE what = ?", (SCRUB,)).fetchone()
    named |= {store.secret_path(home(file)).name for file in named}
    folder = downloads() / MODELS
    there = list(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if path.name not in named
            and (path.is_file() or FILE.fullmatch(path.name))], chore is not None


def _tidy() -> None:
    unnamed, must_be_scrubbed = leftovers()
    with on_disk():
        for path in unnamed:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    sweep()
    if must_be_scrubbed:
        scrub()
        with writing() as db:
            db.execute("DELETE FROM chore WHERE what = ?", (SCRUB,))
