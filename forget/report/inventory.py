"""Everything that lies in the data folder, by kind: nothing is left out."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from forget.data import DATASETS, kept
from forget.evaluation import compare, shadows
from forget.faces import embed
from forget.faces.embedders import EMBEDDERS
from forget.io.paths import downloads
from forget.io.private import MACHINE_KEY
from forget.records import database, ledger
from forget.unlearning import represent, store

OTHER = "Other files"

FOLDERS = {
    **{name: f"Data: {cls.title}" for name, cls in DATASETS.items() if not cls.takes_path},
    **{name: f"Network that reads faces: {cls.title}" for name, cls in EMBEDDERS.items()},
    store.TRAINED: "Models trained here, originals and retrained ones",
    represent.FOLDER: "Features of data, computed once",
    embed.FOLDER: "What networks make of photos of faces",
    compare.FOLDER: "Finished runs of comparisons, with their models",
    shadows.FOLDER: "Small models of audits, and what was measured of them",
    database.MODELS: "Models that learnt what people gave",
    kept.FOLDER: "Photos of people that were kept when asked to",
}
"""The folders of the program, and what lies in each."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Files of one kind: how many there are, and their bytes together."""

    what: str
    files: int
    size: int


def inventory() -> list[Part]:
    """Every file in the data folder counted in one part, the largest part first and the rest last.

    A file that goes while it is looked at is not counted.
    """
    sizes: dict[str, list[int]] = {}
    shipped, brought = store.manifest(), set(store.foreign_files())
    for path in _files(downloads()):
        try:
            size = path.stat().st_size
        except OSError:
            continue
        sizes.setdefault(_kind(path, shipped, brought), []).append(size)
    parts = [Part(what, len(each), sum(each)) for what, each in sizes.items()]
    return sorted(parts, key=lambda part: (part.what == OTHER, -part.size))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; folders that are linked into it count as its own."""
    for entry in sorted(folder.iterdir()):
        if os.path.isdir(entry):
            yield from (path for path in entry.rglob("*") if os.path.isfile(path))
        elif os.path.isfile(entry):
            yield entry


def _kind(path: Path, shipped: dict, brought: set[Path]) -> str:
    first, *below = path.relative_to(downloads()).parts
    if path in brought:
        return "Your own checkpoints"
    if below:
        return FOLDERS.get(first, OTHER)
    if first in shipped or first == store.MANIFEST:
        return "Models that come with the program, and their list"
    if first.startswith(database.NAME) or first in (MACHINE_KEY, ledger.END):
        return "Records of what people gave and asked, their ledger's end, and this machine's key"
    return OTHER
