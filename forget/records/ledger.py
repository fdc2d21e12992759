"""The ledger: what was asked and what was done, in a chain that shows any later change.

Each entry holds the hash of the one before. The end is sealed with this machine's key, so that
entries cannot be taken off it unseen, and written a second time into a file of its own. Whose data
an entry is about stands there as a keyed hash: the key goes with the data, and from then on nobody
can tell.

Nothing is added to a ledger that is not intact, or the next seal would hide what was done to it.
Somebody may :func:`reopen` it: that is an entry which names the faults, and no later check calls
the ledger verified again.

Hash chains: Haber and Stornetta 1991, https://doi.org/10.1007/BF00196791.
"""

import dataclasses
import datetime
import functools
import hashlib
import hmac
import itertools
import json
import logging
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from forget.core.errors import BadInput, CannotWrite, DamagedFile
from forget.io.files import write_atomically
from forget.io.paths import downloads
from forget.io.private import machine_key, present_machine_key
from forget.records.database import MODELS, NAME, Connection, reading

log = logging.getLogger(__name__)

KIND = "forget ledger, version 1"
END = "ledger.end"
"""The file that says once more how the ledger ended when it was last written."""

MOST_LOST = 1_000_000
"""How many entries can have been taken off an end; a number beyond it is damaged itself."""

REOPENED = "reopened"
"""What an entry is that goes on over faults."""

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

    @functools.cached_property
    def expected(self) -> str:
        """sha256 over everything else in the entry, the hash of the one before included."""
        plain = {name: getattr(self, name) for name in HASHED}
        return hashlib.sha256(_text(plain).encode()).hexdigest()


HASHED = tuple(field.name for field in dataclasses.fields(Entry) if field.name != "hash")
"""The fields of an entry that its hash is over."""


@dataclasses.dataclass(frozen=True)
class Line:
    """An entry as it lies in the file, and what is wrong with it.

    ``number``: where it stands.  ``entry``: None where it cannot be read.  ``faults``: a sentence
    on each.
    """

    number: int
    entry: Entry | None
    faults: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Verified:
    """What checking a ledger found.

    ``count``: how many entries there are.  ``faults``: a sentence on each that nobody has owned up
    to; while there is one, nothing is added.  ``reopened``: a sentence on each time that the ledger
    went on over faults.  ``notes``: what is odd and no fault, such as a clock that was set back.
    """

    count: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    reopened: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        return not self.faults and not self.reopened


ONE_WAY = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def _text(plain: Any) -> str:
    """The one way in which an entry is hashed, whatever order its parts have in a file."""
    return ONE_WAY.encode(plain)


def now() -> str:
    """The time as this machine's clock has it: UTC, ISO 8601, in milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def subject_of(key: bytes, name: str) -> str:
    """By what entries know a contributor while the key exists: HMAC-SHA256 of the name.

    A key that was damaged is another one: it knows no earlier entry, and hinders nobody from being
    forgotten.
    """
    key = key if isinstance(key, bytes) else str(key).encode()
    return hmac.digest(key, str(name).encode(), "sha256").hex()


def append(db: Connection, what: str, body: dict[str, Any], subject: str = NOBODY) -> int:
    """Add an entry within a transaction and return its number.

    Raises :class:`DamagedFile` where the ledger is not intact.
    """
    with reading() as committed:  # what this transaction did so far has no entry yet
        faults = verify(committed).faults
    if faults:
        raise _refusal(faults)
    return _written(db, _last(db), what, body, subject)


def _refusal(faults: Sequence[str]) -> DamagedFile:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return DamagedFile(f"the ledger is not intact, so nothing is added to it and nothing was "
                       f"changed: {faults[0]}{more}; keep a copy of the data folder, then "
                       "'python -m forget ledger reopen' or the page Ledger goes on, and says so "
                       "for good")


def reopen(db: Connection) -> int:
    """Go on over whatever is wrong with the ledger, by an entry that says what; returns its number.

    The entry follows the hash of all rows before it, as they are now, and :func:`verify` never
    calls the ledger intact again. Raises :class:`BadInput` for a ledger without new faults.
    """
    verified = verify(db)
    if not verified.faults:
        raise BadInput("nothing is wrong with the ledger that it does not say itself: there is no "
                       "reason to reopen it")
    end = _end_file()
    last = _last(db)[0]
    ahead = [count for count in (_named_last(db), end.count if isinstance(end, End) else 0)
             if count <= last + MOST_LOST]
    number = max(last, *ahead)
    db.execute("UPDATE request SET entry = NULL WHERE CAST(entry AS INTEGER) > ?", (number,))
    return _written(db, (number, _rows_sha256(db, number + 1)), REOPENED,
                    {"faults": list(verified.faults)}, NOBODY)


def _written(db: Connection, before: tuple[int, str], what: str, body: dict[str, Any],
             subject: str) -> int:
    """Write the entry after ``before`` (number and hash) and seal it as the end."""
    key = machine_key()
    if _end_file() is None:  # it is there before the first entry that is sealed with it
        _write_end(End(0, START, seal_of(key, 0, START)))
    text = json.dumps(body, allow_nan=False)  # in its own order: a certificate's bytes are sealed
    entry = Entry(before[0] + 1, now(), what, subject, json.loads(text), before[1], "")
    entry = dataclasses.replace(entry, hash=entry.expected)
    db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
               (entry.number, entry.at, what, subject, text, before[1], entry.hash))
    db.execute("INSERT OR REPLACE INTO ledger_end VALUES (1, ?, ?, ?)",
               (entry.number, entry.hash, seal_of(key, entry.number, entry.hash)))
    db.after_commit = _name_end
    return entry.number


def _last(db: Connection) -> tuple[int, str]:
    """Number and hash of the last entry."""
    row = db.execute("SELECT number, hash FROM ledger ORDER BY number DESC LIMIT 1").fetchone()
    return (0, START) if row is None else (row["number"], str(row["hash"]))


def _named_last(db: Connection) -> int:
    """The last entry that a request names."""
    return db.execute("SELECT max(CAST(entry AS INTEGER)) FROM request").fetchone()[0] or 0


def _rows_sha256(db: Connection, number: int) -> str:
    """sha256 over the rows before a number, byte for byte, whatever they hold."""
    columns = ("at", "what", "subject", "body", "previous", "hash")
    exact = ", ".join(f"typeof({one}) || hex(CAST({one} AS BLOB))" for one in columns)
    rows = db.execute(f"SELECT number, {exact} FROM ledger WHERE number < ? ORDER BY number",
                      (number,))
    return hashlib.sha256(_text([list(row) for row in rows]).encode()).hexdigest()


def seal_of(key: bytes, number: int, last: str) -> str:
    """HMAC-SHA256 over the last entry's number and its hash, by this machine's key."""
    return _hmac(key, f"end {number} {last}")


def _earlier_seal_of(key: bytes, number: int, last: str) -> str:
    """As versions sealed that had no file beside the records to name the end."""
    return _hmac(key, f"{number} {last}")


def _hmac(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(errors="replace"), "sha256").hex()


def lines(db: Connection) -> list[Line]:
    """Every row of the ledger in its order, read where it can be, with what is wrong with it."""
    found: list[Line] = []
    before = (0, START)
    for row in db.execute("SELECT * FROM ledger ORDER BY number"):
        entry, faults = None, ["cannot be read: it was altered after it was written"]
        try:
            body = _read(row["body"])
            if json.dumps(body) != row["body"]:
                raise ValueError("written otherwise")
            entry = _entry(dict(row) | {"body": body})
            faults = _faults_of(entry, before)
        except (ValueError, TypeError, RecursionError):
            pass  # its fault says so
        found.append(Line(row["number"], entry,
                          tuple(f"entry {row['number']} {fault}" for fault in faults)))
        before = (row["number"], str(row["hash"]))
    return found


def _faults_of(entry: Entry, before: tuple[int, str]) -> list[str]:
    """What is wrong with an entry that follows one of this number and hash."""
    faults = []
    if entry.hash != entry.expected:
        faults.append("was altered after it was written")
    if entry.what == REOPENED:
        return faults  # what is before it is not as it was written, as it says itself
    if entry.number != before[0] + 1:
        faults.append(f"stands where entry {before[0] + 1} should be: entries were removed, added "
                      "or reordered")
    if entry.previous != before[1]:
        faults.append("does not follow the one before it")
    return faults


def entries(db: Connection) -> list[Entry]:
    """All entries that can be read, in their order; :func:`verify` tells of the others."""
    return [line.entry for line in lines(db) if line.entry is not None]


def _read(text: str) -> Any:
    """JSON in which every name stands once and every number is one."""
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


def verify(db: Connection) -> Verified:
    """Check the chain of the records' own ledger, the seal over its end, the file that names its
    end, and that the records know of nothing that the ledger does not."""
    chain = lines(db)
    start = _start(chain)
    row = db.execute("SELECT count, hash, seal FROM ledger_end").fetchone()
    end = None if row is None else dict(row)
    faults = [fault for line in chain[start:] for fault in line.faults]
    faults += _faults_at_end(_last(db) if chain else None, end)
    faults += _faults_of_seals(end)
    faults += _faults_of_end_file(db, chain[start].number if start else 0)
    faults += _faults_beside(db)
    reopened = [line.entry for line in chain
                if line.entry is not None and line.entry.what == REOPENED]
    if reopened and reopened[-1].previous != _rows_sha256(db, reopened[-1].number):
        faults.append(f"what is before entry {reopened[-1].number} was altered after it was "
                      "written")
    return Verified(len(chain), tuple(faults), tuple(_notes(chain)),
                    tuple(map(_reopening, reopened)))


def _start(chain: Sequence[Line]) -> int:
    """The place from which on a ledger must be as it was written: where it was last reopened."""
    return max((place for place, line in enumerate(chain)
                if line.entry is not None and line.entry.what == REOPENED), default=0)


def _reopening(entry: Entry) -> str:
    faults = entry.body.get("faults")
    said = "; ".join(map(str, faults)) if isinstance(faults, list) else "it does not say what"
    return (f"entry {entry.number} went on over faults, so what is before it is not proven "
            f"({said})")


def verify_chain(chain: Sequence[Entry], end: dict[str, Any] | None) -> Verified:
    """Check that each entry is as it was written and follows the one before, up to the end.

    ``end``: count and hash of the whole ledger, None for an empty one; its seal by this machine is
    checked where it is there. An empty ledger verifies.
    """
    faults, before = [], (0, START)
    for entry in chain:
        faults += [f"entry {entry.number} {fault}" for fault in _faults_of(entry, before)]
        before = (entry.number, entry.hash)
    faults += _faults_at_end(before if chain else None, end)
    if end is not None and "seal" in end:
        faults += _faults_of_seals(end)
    return Verified(len(chain), tuple(faults), tuple(_clock(chain)),
                    tuple(_reopening(entry) for entry in chain if entry.what == REOPENED))


def _notes(chain: Sequence[Line]) -> list[str]:
    notes = _clock([line.entry for line in chain if line.entry is not None])
    if chain and not isinstance(end := _end_file(), str) and (
            end is None or end.count < chain[-1].number):
        notes.append(f"{END} does not name the last entry yet: the next entry writes it anew")
    return notes


def _clock(chain: Sequence[Entry]) -> list[str]:
    return [f"entry {entry.number} is dated before the one before it ({entry.at} after "
            f"{before.at}): this machine's clock was set back; the order is the chain's, set the "
            "clock right"
            for before, entry in itertools.pairwise(chain) if entry.at < before.at]


def _faults_at_end(last: tuple[int, str] | None, end: dict[str, Any] | None) -> list[str]:
    if end is None:
        return ["the end of the ledger was taken away"] if last else []
    if (end["count"], end["hash"]) != (last or (0, START)):
        return [f"the ledger ended with entry {end['count']} when it was last written, and ends "
                f"with entry {last[0] if last else 0} of another hash: entries were removed, added "
                "or replaced"]
    return []


def _faults_of_seals(end: dict[str, Any] | None) -> list[str]:
    """Whether this machine's key, which is not made here, sealed the end and the file that names
    it."""
    named = _end_file()
    if isinstance(named, str):
        return [named]
    if end is None and named is None:
        return []
    try:
        key = present_machine_key()
    except DamagedFile as error:
        return [str(error)]
    if key is None:
        return ["machine.key is gone, so the seal over the end of the ledger cannot be checked: "
                "put it back from a copy"]
    faults = []
    if named is not None and named.seal != seal_of(key, named.count, named.hash):
        faults.append(f"the seal in {END} is not this machine's: the file was altered, or "
                      "machine.key was replaced")
    if end is not None:
        number, last, seal = end["count"], str(end["hash"]), end["seal"]
        if named is None and seal == seal_of(key, number, last):
            faults.append(f"{END} is gone, which names the ledger's end: put it back from a copy")
        if seal not in (seal_of(key, number, last), _earlier_seal_of(key, number, last)):
            faults.append("the seal over the end of the ledger is not this machine's: the ledger "
                          "was rewritten, or machine.key was replaced")
    return faults


def _faults_beside(db: Connection) -> list[str]:
    """Whether the rest of the records fits to the ledger."""
    last, named = _last(db)[0], _named_last(db)
    if named > last:
        return [f"the records name entry {named}, and the ledger ends with {last}: entries were "
                "taken off its end"]
    if not last and db.execute("SELECT 1 FROM sample UNION SELECT 1 FROM model "
                               "UNION SELECT 1 FROM request").fetchone():
        return ["the records hold samples, models or requests, and the ledger is empty: it was "
                "taken away"]
    if not last and any((downloads() / MODELS).glob("*.safetensors")):
        return [f"there are taught models in {MODELS}, and no records of them: {NAME} was deleted "
                "or emptied"]
    return []


@dataclasses.dataclass(frozen=True)
class End:
    """What the file beside the records says: ``count`` and ``hash`` of the last entry, sealed."""

    count: int
    hash: str
    seal: str


def end_path() -> Path:
    """Where the end of the ledger is named a second time."""
    return downloads() / END


def _name_end(db: Connection) -> None:
    """Name the ledger's end in its file, after the transaction that moved it.

    What is on disk is done whatever becomes of this file: where it cannot be written, the next
    entry does it, and until then :func:`verify` notes it.
    """
    try:
        _write_end(End(*db.execute("SELECT count, hash, seal FROM ledger_end").fetchone()))
    except CannotWrite as error:
        log.warning("%s could not be written: %s", END, error)


def _write_end(end: End) -> None:
    write_atomically(end_path(), (json.dumps(dataclasses.asdict(end)) + "\n").encode(), mode=0o600)


def _end_file() -> End | str | None:
    """What the file says, None where there is none, and a fault where it cannot be read."""
    try:
        shown = _read(end_path().read_text())
        end = End(**shown)
        if (type(end.count), type(end.hash), type(end.seal)) != (int, str, str):
            raise TypeError("its fields are not what they must be")
        return end
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError):
        return f"{END} is damaged: put it back from a copy"


def _faults_of_end_file(db: Connection, since: int) -> list[str]:
    """Whether the ledger still has the end that the file names. ``since``: the entry that reopened
    the ledger last; what the file says of earlier ones is among its faults."""
    end = _end_file()
    if not isinstance(end, End) or end.count < since or (end.count, end.hash) == (0, START):
        return []
    last = _last(db)[0]
    if end.count > last:
        return [f"{END} names entry {end.count}, and the ledger ends with {last}: records.db was "
                "deleted or put back from an older copy, or entries were taken off its end"]
    row = db.execute("SELECT hash FROM ledger WHERE number = ?", (end.count,)).fetchone()
    if row is None or row["hash"] != end.hash:
        return [f"entry {end.count} is not the one that {END} names: the ledger was rewritten"]
    return []


def export_text(db: Connection) -> str:
    """The whole ledger as JSON, to be kept by somebody else.

    Raises :class:`DamagedFile` where an entry since it was last reopened cannot be read.
    """
    chain = lines(db)
    if unread := [line for line in chain[_start(chain):] if line.entry is None]:
        raise DamagedFile(f"{unread[0].faults[0]}, so the ledger cannot be exported: 'python -m "
                          "forget ledger verify' says what is wrong with it")
    end = db.execute("SELECT count, hash FROM ledger_end").fetchone()
    if end is not None and (type(end["count"]), type(end["hash"])) != (int, str):
        raise DamagedFile("the end of the ledger is damaged, so it cannot be exported: 'python -m "
                          "forget ledger verify' says what is wrong with it")
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
        return ([_entry(one) for one in shown["entries"]],
                None if end is None else {"count": end["count"], "hash": end["hash"]})
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
