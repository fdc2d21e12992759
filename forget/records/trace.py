"""Where anything of a contributor is: in the records, and in every file of the data folder.

The records say what is held. The search believes nothing: it goes through the bytes of all files
and looks for pieces of the samples, their embeddings and pictures, their hashes, and the name.
"""

import dataclasses
import json
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from forget.core.errors import BadImage
from forget.data import DATASETS
from forget.data import kept as kept_on_disk
from forget.data.people import person_name, spelling
from forget.faces.embedders import EMBEDDERS
from forget.io.files import sha256_of
from forget.io.paths import downloads
from forget.records import ledger, replace
from forget.records.bases import BASES, Given
from forget.records.contributions import Kept, kept
from forget.records.database import MODELS, reading
from forget.records.database import path as database_path
from forget.records.ledger import subject_of

WINDOWS = {16: 9, 32: 9, 64: 6, 128: 4, 256: 3}
"""Bytes of a piece that is looked for, and how many different ones it must have: runs of nothing
stand everywhere, and such a piece nowhere by chance. A thin stroke on paper needs long ones."""

PIECES = 24
"""Pieces of one thing: a database cuts what is long into pages, so no single one is enough."""

PLACES = 4000
"""Places of a long file at which a piece may begin, evenly spread."""

ENOUGH = 4
"""Pieces of the shortest length that gives so many are taken."""

CHANCE = 1e-4
"""How often something so short may stand in random bytes before it is looked for in text only."""


UNNAMED = ("a model that no record names, left by a program that was killed: the next start of "
           "this one deletes it")


@dataclasses.dataclass(frozen=True)
class Held:
    """Everything that the records hold about a contributor.

    ``samples``: what they gave.  ``models``: file to how many of the samples it learnt from.
    ``waiting``: bases for which they asked to be forgotten.  ``entries``: numbers of the ledger's
    entries about them.  ``photos``: files of photos kept under their name.
    """

    name: str
    samples: tuple[Kept, ...]
    models: dict[str, int]
    waiting: tuple[str, ...]
    entries: tuple[int, ...]
    photos: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not (self.samples or self.models or self.waiting or self.photos)


@dataclasses.dataclass(frozen=True)
class Hit:
    """A file of the data folder in which something was found: ``what`` says what, in words."""

    file: str
    what: str


def held(name: str) -> Held:
    """What the records say; nothing for a name that they do not know."""
    name = person_name(name)
    folder = kept_on_disk.folder_of(name)
    photos = [str(path.relative_to(downloads())) for path in kept_on_disk.files_in(folder)]
    samples = [one for base in BASES.values() for one in kept(base, name)]
    with reading() as db:
        who = db.execute("SELECT * FROM contributor WHERE name = ?", (name,)).fetchone()
        if who is None:
            return Held(name, (), {}, (), (), tuple(photos))
        models = db.execute(
            "SELECT file, count(*) FROM model JOIN lineage ON lineage.model = model.id "
            "WHERE sample IN (SELECT id FROM sample WHERE contributor = ?) GROUP BY file",
            (who["id"],)).fetchall()
        waiting = db.execute("SELECT base FROM request WHERE contributor = ? AND state = "
                             "'waiting'", (who["id"],)).fetchall()
        subject = subject_of(who["key"], name)
        entries = [entry.number for entry in ledger.entries(db) if entry.subject == subject]
    return Held(name, tuple(samples), dict(map(tuple, models)),
                tuple(str(row[0]) for row in waiting), tuple(entries), tuple(photos))


def like(data: bytes) -> list[Given]:
    """What each base would make of a file, so that traces of it can be looked for."""
    found = []
    for base in [base for base in BASES.values() if base.present()]:
        try:
            found.append(base.read(data))
        except BadImage:
            continue  # no digit, or no face: then nothing was made of it there either
    return found


def search(name: str, given: Iterable[Given | Kept] = (),
           files: Iterable[bytes] = ()) -> list[Hit]:
    """Every file of the data folder that holds the name, or a piece of a sample or of a file.

    ``given``: samples, as they are held or as :func:`like` makes them.  ``files``: the bytes of
    files that may have been kept. Public data that were downloaded are passed over where their
    hash is the declared one.
    """
    pieces: dict[bytes, str] = {}
    for one in given:
        for what, tensor in (("a sample", one.x), ("a picture", one.picture)):
            pieces |= dict.fromkeys(_pieces(tensor.contiguous().numpy().tobytes()), what)
        pieces |= dict.fromkeys(_hashes(one.sha256), "a hash of a file")
    for data in files:
        pieces |= dict.fromkeys(_pieces(data), "a file")
    with reading():  # else the database's log could be folded away unseen, between two files
        return _search(name, pieces)


def _search(name: str, pieces: dict[bytes, str]) -> list[Hit]:
    hits = []
    for path in _own_files():
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue  # it was temporary
        found = {pieces[piece] for piece in _found(raw, list(pieces))}
        if name and _named(path, raw, spelling(name)):
            found.add("the name")
        if path == database_path() and _in_records(spelling(name)):
            found.add("the name")
        hits += [Hit(str(path.relative_to(downloads())), what) for what in sorted(found)]
    return hits


def trace(name: str, files: Sequence[bytes] = ()) -> tuple[Held, list[Hit]]:
    """What the records hold about a contributor, and where in the data folder anything is found.

    ``files``: what they gave, where somebody has it; once it is forgotten nobody here knows what
    to look for but the name.
    """
    there = held(name)
    given = [*there.samples, *(one for data in files for one in like(data))]
    hits = search(name, given, files)
    named = {f"{MODELS}/{file}": "a model that learnt from the samples"
             for file in there.models}
    named |= {f"{MODELS}/{path.name}": UNNAMED for path in replace.leftovers()[0]}
    return there, sorted({*hits, *(Hit(file, what) for file, what in named.items())},
                         key=lambda hit: (hit.file, hit.what))


def _pieces(data: bytes) -> list[bytes]:
    """Pieces of something that stand nowhere by chance, spread over it; none where it is plain.

    Each begins with a byte that is not zero, so that few places have to be looked at.
    """
    starts = np.flatnonzero(np.frombuffer(data, dtype=np.uint8))
    starts = starts[::max(1, len(starts) // PLACES)].tolist()
    best: list[bytes] = []
    for size, distinct in WINDOWS.items():
        telling, free = [], 0
        for at in starts:
            piece = data[at:at + size]
            if at >= free and len(piece) == size and len(set(piece)) >= distinct:
                telling.append(piece)
                free = at + size
        best = max(best, telling, key=len)
        if len(best) >= ENOUGH:
            break
    return best[::max(1, len(best) // PIECES)]


def _hashes(sha256: str) -> list[bytes]:
    """A hash as text and as bytes, a piece of each."""
    return [sha256[:32].encode(), bytes.fromhex(sha256)[:16]] if sha256 else []


def _found(raw: bytes, pieces: Sequence[bytes]) -> set[bytes]:
    """Which pieces stand in the bytes, wherever they begin."""
    if not pieces or len(raw) < min(WINDOWS):
        return set()
    starts = np.zeros(1 << 16, dtype=bool)
    starts[[struct.unpack("<H", piece[:2])[0] for piece in pieces]] = True
    by_start: dict[bytes, list[bytes]] = {}
    for piece in pieces:
        by_start.setdefault(piece[:8], []).append(piece)
    wanted = np.array(sorted(struct.unpack("<Q", start)[0] for start in by_start), dtype=np.uint64)
    array = np.frombuffer(raw, dtype=np.uint8)
    found: set[bytes] = set()
    for shift in range(8):
        whole = (len(array) - shift) // 8 * 8
        numbers = array[shift:shift + whole].view("<u8")
        near = np.flatnonzero(starts[(numbers & 0xFFFF).astype(np.uint16)])
        places = np.searchsorted(wanted, numbers[near]).clip(max=len(wanted) - 1)
        for row in near[wanted[places] == numbers[near]].tolist():
            at = shift + 8 * row
            found.update(piece for piece in by_start[raw[at:at + 8]]
                         if raw.startswith(piece, at))
    return found


def _named(path: Path, raw: bytes, name: str) -> bool:
    """Whether a name stands in a file's name, as a word in its text, or anywhere in its bytes where
    it is too long to stand there by chance."""
    parts = path.relative_to(downloads()).parts
    if any(_as_word(spelling(unquote(part)).encode(), name.encode()) for part in parts):
        return True
    ways = {name.encode(), json.dumps(name)[1:-1].encode()}
    text = _header(raw) if path.suffix == ".safetensors" else raw
    if _is_text(text):
        return any(_as_word(text, way) for way in ways)
    return any(way in text for way in ways if len(text) * 256.0 ** -len(way) < CHANCE)


def _in_records(name: str) -> bool:
    """Whether the records name somebody so: in a database's bytes a short name may stand by
    chance, so its fields are asked."""
    with reading() as db:
        given = db.execute("SELECT 1 FROM contributor WHERE name = ?1 UNION "
                           "SELECT 1 FROM sample WHERE label = ?1", (name,)).fetchone()
        classes = [row[0] for row in db.execute("SELECT classes FROM model")]
    return given is not None or any(name in json.loads(one) for one in classes)


def _as_word(text: bytes, name: bytes) -> bool:
    """Whether a name stands there as a word of its own, not within another."""
    at = text.find(name)
    while at >= 0:
        around = text[max(at - 1, 0):at] + text[at + len(name):at + len(name) + 1]
        if not any(chr(sign).isalnum() for sign in around if sign < 128):
            return True
        at = text.find(name, at + 1)
    return False


def _header(raw: bytes) -> bytes:
    """The text in a safetensors file; all else in it are numbers."""
    size = int.from_bytes(raw[:8], "little") if len(raw) >= 8 else 0
    return raw[8:8 + size]


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _own_files() -> list[Path]:
    """Every file of the data folder, but for those that are as they were downloaded."""
    bundles = {cls.files for cls in (*DATASETS.values(), *EMBEDDERS.values()) if cls.files}
    declared = {bundle.folder / file.name: file.sha256
                for bundle in bundles for file in bundle.files}
    return [path for path in sorted(_files())
            if path.is_file() and (path not in declared or sha256_of(path) != declared[path])]


def _files() -> Iterator[Path]:
    """Every file below the data folder, also through links to other disks, each folder once."""
    seen = set()
    for base, folders, names in os.walk(downloads(), followlinks=True):
        if (real := os.path.realpath(base)) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(base) / name for name in names)
