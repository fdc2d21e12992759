"""Checkpoints from a Google Drive folder or file, through gdown; only known shapes are taken."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import gdown
import requests
from gdown.exceptions import DownloadError
from gdown.parse_url import parse_url

from forget.core.errors import BadInput, DamagedFile, SourceDown
from forget.core.spelling import printable
from forget.io.files import (
    CONNECT_SECONDS,
    STALL_SECONDS,
    OnProgress,
    Progress,
    locked,
    on_disk,
    scratch,
    silent,
)
from forget.io.paths import downloads
from forget.unlearning import store

FIRST_WEIGHTS = "https://drive.google.com/drive/folders/1Z2mHXy4C7AiCNd9W6qNsq1Spin5n-zDC"
"""Public weights of the project's first version: an optional source, asked for by name."""

HOSTS = ("drive.google.com", "docs.google.com")
FOLDER = "fetched"
"""The folder below the data folder that what is fetched lies in, and nothing else."""

QUOTA = 512 << 20
"""Bytes that it may hold."""

MOST_FILES = 100
"""Files that it may hold."""

LONGEST = 100
PATIENCE = (CONNECT_SECONDS, STALL_SECONDS)
UNREACHED = (DownloadError, requests.RequestException, OSError)


@dataclasses.dataclass(frozen=True)
class Fetched:
    """Every file of a link, once.

    ``taken``: where those lie that were taken.  ``refused``: the others' names, each with why.
    """

    taken: list[Path]
    refused: dict[str, str]


def fetch_drive(url: str, progress: OnProgress = silent) -> Fetched:
    """Download what a Drive link names and keep the checkpoints of known architectures.

    Each file is read in a scratch folder (never unpickled freely) before it is moved into
    :data:`FOLDER`; what is wrong with one doesn't stop the others. Raises :class:`BadInput` for a
    link that is none of Drive's and :class:`SourceDown` where Drive gives none of the files.
    """
    link = _link(url)
    taken, refused, unreached = [], {}, []
    with locked("drive"), scratch("drive") as folder:
        for name, file_id in _listed(link).items():
            try:
                taken.append(_take(name, file_id, folder, progress))
            except DamagedFile as error:
                refused[name] = str(error)
            except UNREACHED as error:
                unreached.append(error)
                refused[name] = (f"Google Drive did not give it ({type(error).__name__}): check "
                                 "that it is shared with everyone and try again")
    if unreached and len(unreached) == len(taken) + len(refused):
        raise _down(unreached[0]) from unreached[0]
    return Fetched(taken, refused)


def _link(text: str) -> str:
    """A link as Drive has it, however it was copied."""
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        is_drive = parts.scheme in ("http", "https") and parts.netloc.lower() in HOSTS
    except ValueError:
        is_drive = False
    if not is_drive:
        raise BadInput(f"'{printable(text)}' is not a Google Drive link; it starts with "
                       "https://drive.google.com/")
    link = urlunsplit(("https", parts.netloc.lower(), parts.path, parts.query, ""))
    if not _is_folder(link) and parse_url(link)[0] is None:
        raise BadInput(f"'{printable(text)}' is no Google Drive link to a folder or a file: copy "
                       "the one that Drive gives under Share")
    return link


def _is_folder(link: str) -> bool:
    return "/folders/" in link


def _listed(link: str) -> dict[str, str]:
    """The files that a link names: a name of its own for each, and its id."""
    how = {"skip_download": True, "quiet": True, "use_cookies": False, "timeout": PATIENCE}
    try:
        files = (gdown.download_folder(url=link, **how) if _is_folder(link)
                 else [gdown.download(url=link, **how)])
    except UNREACHED as error:
        raise _down(error) from error
    return _named(files)


def _down(error: Exception) -> SourceDown:
    return SourceDown(f"Google Drive did not give the files ({type(error).__name__}): check that "
                      "the link is shared with everyone and try again, or put the files into "
                      f"{downloads()} by hand")


def _named(files: Iterable[Any]) -> dict[str, str]:
    """Names that no two files share, in small letters either: with their folders where needed."""
    files = [(PurePath(file.path), file.id) for file in files]
    several = Counter(path.name.lower() for path, _ in files)
    named: dict[str, str] = {}
    used: set[str] = set()
    numbers: Counter[str] = Counter()
    for path, file_id in files:
        parts = [part for part in path.parts if part not in ("..", path.anchor)]
        name = _safe(path.name if several[path.name.lower()] == 1 else "-".join(parts))
        unique, lower = name, name.lower()
        while unique.lower() in used:
            numbers[lower] += 1
            unique = f"{PurePath(name).stem} ({numbers[lower] + 1}){PurePath(name).suffix}"
        used.add(unique.lower())
        named[unique] = file_id
    return named


def _safe(name: str) -> str:
    """A name that is one on every disk, and never hidden."""
    return re.sub(r"[^\w .()+-]", "_", name)[-LONGEST:].strip(" .") or "_"


def _take(name: str, file_id: str, folder: Path, progress: OnProgress) -> Path:
    """Download one file and move it to its place; :class:`DamagedFile` where it's not taken."""
    home = downloads() / FOLDER
    if PurePath(name).suffix.lower() not in store.SUFFIXES:
        raise DamagedFile(f"it does not end in {', '.join(store.SUFFIXES)}")
    if (home / name).exists():
        raise DamagedFile(f"a file called {name} is there already")
    room = _room(home)
    here = folder / name
    try:
        _download(file_id, here, min(room, store.MAX_BYTES), progress)
        store.read_foreign(here)
        with on_disk():
            os.replace(here, home / name)
    finally:
        for left in folder.iterdir():  # also gdown's own half of a file
            left.unlink()
    return home / name


def _room(home: Path) -> int:
    """Bytes that may still be put there; :class:`DamagedFile` where it is full."""
    with on_disk():
        home.mkdir(exist_ok=True)
        sizes = [path.stat().st_size for path in home.iterdir()]
    room = QUOTA - sum(sizes)
    if room <= 0 or len(sizes) >= MOST_FILES:
        raise DamagedFile(f"{FOLDER}/ is full, with {len(sizes)} files and {sum(sizes) >> 20} MB: "
                          "delete some of them first")
    return room


def _download(file_id: str, path: Path, limit: int, progress: OnProgress) -> None:
    def watch(done: int, total: int | None) -> None:
        if max(done, total or 0) > limit:
            raise DamagedFile(
                f"it has over {store.MAX_BYTES >> 20} MB; no known architecture needs that"
                if limit == store.MAX_BYTES else
                f"{FOLDER}/ may hold {QUOTA >> 20} MB: delete some of its files first")
        progress(Progress("Downloading from Google Drive", done, total or done))

    gdown.download(id=file_id, output=str(path), quiet=True, use_cookies=False, timeout=PATIENCE,
                   progress=watch)
