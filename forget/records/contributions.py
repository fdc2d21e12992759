"""What people gave: samples with a label and a contributor, and everything held about one."""

import dataclasses
import re
import secrets
import sqlite3
from collections.abc import Sequence

import torch
from torch import Tensor

from forget.core.errors import BadInput, DamagedRecord
from forget.core.words import counted
from forget.data import Samples
from forget.data.people import person_name
from forget.records import ledger
from forget.records.bases import Base, Given
from forget.records.database import NAME, Connection, reading, writing

FIRST_ID = 1_000_000_000
"""Ids of what people gave start here, far above every place in a dataset; none is given twice."""

GONE = "(forgotten {})"
"""What a class is called of which nothing is left; the model keeps its place."""

MOST = 2000
"""Samples that one contributor can have."""


@dataclasses.dataclass(frozen=True)
class Contributor:
    """Somebody who gave samples: ``counts`` says how many to each base."""

    name: str
    since: str
    counts: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Kept:
    """One sample as it is held: ``id`` among the training samples, ``picture`` to be shown.

    ``damaged``: its fields cannot be read any more. It is empty then: it can be forgotten, and not
    be learnt.
    """

    id: int
    base: str
    contributor: str
    label: str
    x: Tensor
    picture: Tensor
    reader: str
    sha256: str
    added: str
    damaged: bool = False


def add(base: Base, contributor: str, given: Sequence[tuple[str, Given]]) -> int:
    """Keep samples, each with its label; returns how many are new to this contributor.

    A sample that they gave before, under the same label, is not kept twice. Nothing is learnt from
    them yet. Raises :class:`~forget.core.errors.BadInput`.
    """
    name = person_name(contributor)
    labelled = [(base.label(label), one) for label, one in given]
    if any(re.fullmatch(re.escape(GONE).replace(r"\{\}", r"\d+"), label) for label, _ in labelled):
        raise BadInput("labels in this form are for what was forgotten: choose another one")
    if not labelled:
        raise BadInput(f"no {base.one} was given: add one first")
    with writing() as db:
        who = _contributor(db, name)
        if db.execute("SELECT 1 FROM request WHERE contributor = ? AND state = 'waiting'",
                      (who["id"],)).fetchone():
            raise BadInput("this contributor asked to be forgotten and waits for it: add samples "
                           "when that is done")
        before = _count(db, who["id"])
        for label, one in labelled:
            db.execute(
                "INSERT OR IGNORE INTO sample (base, contributor, label, x, picture, reader, "
                "sha256, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (base.name, who["id"], label, _bytes(one.x), _bytes(one.picture), one.reader,
                 one.sha256, ledger.now()))
        new = _count(db, who["id"]) - before
        if before + new > MOST:
            raise BadInput(f"one contributor can give {counted(MOST, 'sample')}, and "
                           f"{counted(before, 'is', 'are')} there already: add fewer")
        if new:
            ledger.append(db, "added", {"base": base.name, "samples": new},
                          ledger.subject_of(who["key"], name))
        return new


def _contributor(db: Connection, name: str) -> sqlite3.Row:
    """The contributor of this name, with a key of their own, made now where there is none."""
    db.execute("INSERT OR IGNORE INTO contributor (name, key, since) VALUES (?, ?, ?)",
               (name, secrets.token_bytes(32), ledger.now()))
    return db.execute("SELECT * FROM contributor WHERE name = ?", (name,)).fetchone()


def _count(db: Connection, contributor: int) -> int:
    return db.execute("SELECT count(*) FROM sample WHERE contributor = ?",
                      (contributor,)).fetchone()[0]


def contributors() -> list[Contributor]:
    """Everybody about whom something is held, by name."""
    with reading() as db:
        return [
            Contributor(str(row["name"]), str(row["since"]), dict(db.execute(
                "SELECT base, count(*) FROM sample WHERE contributor = ? GROUP BY base",
                (row["id"],)).fetchall()))
            for row in db.execute("SELECT * FROM contributor ORDER BY name COLLATE NOCASE")]


def labels(base: Base, contributor: str | None = None) -> list[str]:
    """The labels under which something is held for a base, of one contributor or of all."""
    with reading() as db:
        return [str(row[0]) for row in db.execute(
            "SELECT DISTINCT label FROM sample JOIN contributor ON contributor.id = "
            "sample.contributor WHERE base = ? AND (?2 IS NULL OR name = ?2) ORDER BY label",
            (base.name, contributor))]


def kept(base: Base, contributor: str | None = None) -> list[Kept]:
    """The samples given to a base, of one contributor or of all, in the order of their ids."""
    with reading() as db:
        return kept_in(db, base, contributor)


def held_ids() -> frozenset[int]:
    """The ids of all samples that are held, of everybody and every base."""
    with reading() as db:
        return frozenset(FIRST_ID + row[0] for row in db.execute("SELECT id FROM sample"))


def unasked(base: Base) -> list[Kept]:
    """The samples given to a base of which nobody waits to have them forgotten."""
    with reading() as db:
        leaving = {row[0] for row in db.execute(
            "SELECT contributor.name FROM request JOIN contributor ON contributor.id = "
            "request.contributor WHERE state = 'waiting' AND base = ?", (base.name,))}
        return [one for one in kept_in(db, base) if one.contributor not in leaving]


def kept_in(db: Connection, base: Base, contributor: str | None = None) -> list[Kept]:
    """As :func:`kept`, within a transaction."""
    rows = db.execute(
        "SELECT sample.*, contributor.name FROM sample JOIN contributor "
        "ON contributor.id = sample.contributor WHERE base = ? AND (?2 IS NULL OR name = ?2) "
        "ORDER BY sample.id", (base.name, contributor))
    return [_read(base, row) for row in rows]


def _read(base: Base, row: sqlite3.Row) -> Kept:
    about = FIRST_ID + row["id"], row["base"], str(row["name"])
    added = str(row["added"])
    try:
        if base.label(row["label"]) != row["label"] or len(bytes.fromhex(row["sha256"])) != 32:
            raise ValueError("no label or no hash")
        if not isinstance(row["x"], bytes) or not isinstance(row["picture"], bytes):
            raise TypeError("no bytes")  # a number would become so many
        return Kept(*about, row["label"], base.tensor(row["x"]), _picture(base, row["picture"]),
                    row["reader"], row["sha256"], added)
    except (BadInput, ValueError, TypeError, RuntimeError, AttributeError):
        empty = torch.zeros(base.picture_shape, dtype=torch.uint8)
        return Kept(*about, str(row["label"]), torch.empty(0), empty, "", "", added, damaged=True)


def samples_of(those: Sequence[Kept], classes: Sequence[str], copies: int) -> Samples:
    """Kept samples as training samples: each so often, under one id.

    Raises :class:`DamagedRecord` for one that cannot be read.
    """
    if broken := [one.id - FIRST_ID for one in those
                  if one.damaged or one.x.shape != those[0].x.shape or one.label not in classes]:
        raise DamagedRecord(f"sample {broken[0]} in {NAME} is damaged: have what its contributor "
                            "gave forgotten, or put the file back from a copy")
    x = torch.stack([one.x for one in those])
    y = torch.tensor([classes.index(one.label) for one in those], dtype=torch.int64)
    ids = torch.tensor([one.id for one in those], dtype=torch.int64)
    return Samples(*(part.repeat_interleave(copies, 0) for part in (x, y, ids)))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _picture(base: Base, picture: bytes) -> Tensor:
    return torch.frombuffer(bytearray(picture), dtype=torch.uint8).view(base.picture_shape)
