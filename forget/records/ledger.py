"""The ledger: what was asked and what was done, in a chain that shows any later change.

Each entry holds the hash of the one before. The end is sealed with this machine's key, so that
entries cannot be taken off it unseen. Whose data an entry is about stands there as a keyed hash:
the key goes with the data, and from then on nobody can tell.

Hash chains: Haber and Stornetta 1991, https://doi.org/10.1007/BF00196791.
"""

import dataclasses
import datetime
import hashlib
import hmac
import json
import sqlite3
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from forget.errors import BadInput, DamagedFile
from forget.private import machine_key

KIND = "forget ledger, version 1"
NOBODY = ""
"""The subject of an entry that is about nobody's data."""

START = "0" * 64
"""What the first entry has in the place of the hash of the one before."""

UNPROVEN = (
    "It shows that entries were not changed afterwards, not that they were true when they were "
    "written: whoever runs the server writes them.",
    "Whoever holds this machine's key can write a whole new ledger. An export that somebody else "
    "keeps shows it: every later ledger must begin with the same entries.",
    "A data folder that was put back whole from an older copy verifies; only a later export shows "
    "what is missing.",
    "It does not show that no copy was made before: backups, other machines and what people saw "
    "or downloaded are outside of it.",
    "That a model no longer knows something is shown by what was measured, by a certificate where "
    "there is one, and by retraining; not by the entry.",
    "The times are this machine's clock.",
)
"""What the ledger does not prove, in words."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    ``number``: from 1.  ``at``: UTC, ISO 8601.  ``what``: what was done.  ``subject``: whose data,
    as a keyed hash, or "".  ``body``: the rest, plain JSON data.  ``previous``, ``hash``: hex.
    """

    number: int
    at: str
    what: str
    subject: str
    body: dict[str, Any]
    previous: str
    hash: str

    @property
    def expected(self) -> str:
        """sha256 over everything else in the entry, the hash of the one before included."""
        plain = dataclasses.asdict(self)
        del plain["hash"]
        return hashlib.sha256(_text(plain).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Verified:
    """What checking a ledger found: how many entries, and a sentence on each fault.

    ``notes``: what is odd and no fault, such as a clock that was set back.
    """

    count: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def _text(plain: Any) -> str:
    """The one way in which an entry is hashed, whatever order its parts have in a file."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def now() -> str:
    """The time as this machine's clock has it: UTC, ISO 8601, in milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def subject_of(key: bytes, name: str) -> str:
    """By what entries know a contributor while the key exists: HMAC-SHA256 of the name."""
    return hmac.digest(key, name.encode(), "sha256").hex()


def append(db: sqlite3.Connection, what: str, body: dict[str, Any], subject: str = NOBODY) -> int:
    """Add an entry within a transaction and return its number."""
    end = db.execute("SELECT count, hash FROM ledger_end").fetchone()
    count, previous = (0, START) if end is None else end
    text = json.dumps(body, allow_nan=False)  # in its own order: a certificate's bytes are sealed
    entry = Entry(count + 1, now(), what, subject, json.loads(text), previous, "")
    entry = dataclasses.replace(entry, hash=entry.expected)
    db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
               (entry.number, entry.at, what, subject, text, previous, entry.hash))
    db.execute("INSERT OR REPLACE INTO ledger_end VALUES (1, ?, ?, ?)",
               (entry.number, entry.hash, seal_of(entry.number, entry.hash)))
    return entry.number


def seal_of(count: int, last: str) -> str:
    """HMAC-SHA256 over the number of entries and the last one's hash, by this machine's key."""
    return hmac.digest(machine_key(), f"{count} {last}".encode(), "sha256").hex()


def entries(db: sqlite3.Connection) -> list[Entry]:
    """All entries, in their order; :class:`DamagedFile` for one that nobody here can have written.
    """
    found = []
    for row in db.execute("SELECT * FROM ledger ORDER BY number"):
        try:
            body = _read(row["body"])
            if json.dumps(body) != row["body"]:
                raise ValueError("written otherwise")
            found.append(_entry(dict(row) | {"body": body}))
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedFile(f"entry {row['number']} of the ledger was altered after it was "
                              "written: it can no longer be read") from error
    return found


def _read(text: str) -> Any:
    """JSON in which every name stands once and every number is one."""
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def verify(db: sqlite3.Connection) -> Verified:
    """Check the chain of the records' own ledger, the seal over its end, and that the records know
    of nothing that the ledger does not."""
    count = db.execute("SELECT count(*) FROM ledger").fetchone()[0]
    try:
        chain = entries(db)
    except DamagedFile as error:
        return Verified(count, (str(error),), ())
    end = db.execute("SELECT count, hash, seal FROM ledger_end").fetchone()
    checked = verify_chain(chain, None if end is None else dict(end))
    return dataclasses.replace(checked, faults=(*checked.faults, *_faults_beside(db, count)))


def _faults_beside(db: sqlite3.Connection, count: int) -> list[str]:
    last = db.execute("SELECT max(entry) FROM request").fetchone()[0] or 0
    if last > count:
        return [f"the records name entry {last}, and the ledger has {count}: entries were taken "
                "off its end"]
    if not count and db.execute("SELECT 1 FROM sample UNION SELECT 1 FROM model "
                                "UNION SELECT 1 FROM request").fetchone():
        return ["the records hold samples, models or requests, and the ledger is empty: it was "
                "taken away"]
    return []


def verify_chain(chain: Sequence[Entry], end: dict[str, Any] | None,
                 sealed_here: bool = True) -> Verified:
    """Check that each entry is as it was written and follows the one before, up to the end.

    ``end``: count, hash and seal of the whole ledger, None for an empty one.  ``sealed_here``:
    whether the seal was made with this machine's key and can be checked. An empty ledger verifies.
    """
    faults, notes, previous, at = [], [], START, ""
    for place, entry in enumerate(chain, 1):
        if entry.number != place:
            faults.append(f"where entry {place} should be, there is entry {entry.number}: entries "
                          "were removed, added or reordered")
        if entry.previous != previous:
            faults.append(f"entry {entry.number} does not follow the one before it")
        if entry.hash != entry.expected:
            faults.append(f"entry {entry.number} was altered after it was written")
        if entry.at < at:
            notes.append(f"entry {entry.number} is dated before the one before it ({entry.at} "
                         f"after {at}): this machine's clock was set back; the order is the "
                         "chain's, set the clock right")
        previous, at = entry.hash, entry.at
    faults += _faults_at_end(chain, previous, end, sealed_here)
    return Verified(len(chain), tuple(faults), tuple(notes))


def _faults_at_end(chain: Sequence[Entry], last: str, end: dict[str, Any] | None,
                   sealed_here: bool) -> list[str]:
    if end is None:
        return ["the end of the ledger was taken away"] if chain else []
    if (end["count"], end["hash"]) != (len(chain), last):
        return [f"the ledger ended with entry {end['count']} when it was last written, and holds "
                f"{len(chain)} entries: some were removed or added, or its last one was replaced"]
    if sealed_here and end["seal"] != seal_of(len(chain), last):
        return ["the seal over the end of the ledger is not this machine's: the ledger was "
                "rewritten, or machine.key was replaced"]
    return []


def export_text(db: sqlite3.Connection) -> str:
    """The whole ledger as JSON, to be kept by somebody else."""
    end = db.execute("SELECT count, hash FROM ledger_end").fetchone()
    shown = {"kind": KIND, "entries": [dataclasses.asdict(entry) for entry in entries(db)],
             "end": None if end is None else dict(end), "does_not_prove": list(UNPROVEN)}
    return json.dumps(shown, indent=1, allow_nan=False) + "\n"


def read_export(text: str) -> tuple[list[Entry], dict[str, Any] | None]:
    """The entries and the end of an exported ledger; :class:`BadInput` for anything else."""
    try:
        shown = _read(text)
        end = shown["end"]
        if shown["kind"] != KIND or (end is not None and (
            (type(end["count"]), type(end["hash"])) != (int, str)
        )):
            raise ValueError("another kind of file")
        return [_entry(one) for one in shown["entries"]], end
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput("this is no exported ledger: give the file that 'ledger export' wrote"
                       ) from error


def _entry(plain: dict[str, Any]) -> Entry:
    entry = Entry(**plain)
    texts = (entry.at, entry.what, entry.subject, entry.previous, entry.hash)
    if type(entry.number) is not int or not isinstance(entry.body, dict) or not all(
        isinstance(value, str) and value.isprintable() for value in texts
    ):
        raise TypeError("an entry's fields are not what they must be")
    entry.expected.encode()  # a body that cannot be hashed was never written
    return entry


def extends(chain: Sequence[Entry], earlier: Sequence[Entry]) -> list[str]:
    """Faults of a ledger that must begin with the entries of an earlier export."""
    return [f"entry {entry.number} of the earlier export is not in this ledger, or another one"
            for entry, place in zip_longest(earlier, chain[:len(earlier)]) if entry != place]
