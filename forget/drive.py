"""Checkpoints from a Google Drive folder or file, through gdown; only known shapes are taken."""

import dataclasses
import os
import re
from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError

from forget import store
from forget.data.files import (
    CONNECT_SECONDS,
    STALL_SECONDS,
    OnProgress,
    Progress,
    locked,
    scratch,
    silent,
)
from forget.errors import BadInput, DamagedFile, SourceDown
from forget.paths import downloads

FIRST_WEIGHTS = "https://drive.google.com/drive/folders/1Z2mHXy4C7AiCNd9W6qNsq1Spin5n-zDC"
"""Public weights of the project's first version: an optional source, asked for by name."""

PATIENCE = (CONNECT_SECONDS, STALL_SECONDS)


@dataclasses.dataclass(frozen=True)
class Fetched:
    """Checkpoints taken into ``forget_downloads/``, and what was left out with the reason."""

    taken: list[Path]
    refused: dict[str, str]


def fetch_drive(url: str, progress: OnProgress = silent) -> Fetched:
    """Download what a Drive link names and keep the checkpoints of known architectures.

    Each file is read in a scratch folder (never unpickled freely) before it is moved beside the
    others. Raises :class:`BadInput` for a link that is none of Drive's and :class:`SourceDown`.
    """
    if not re.match(r"https://(drive|docs)\.google\.com/", url):
        raise BadInput(f"'{url}' is not a Google Drive link; it starts with "
                       "https://drive.google.com/")
    taken, refused = [], {}
    with locked("drive"), scratch("drive") as folder:
        for path in _download(url, folder, progress):
            home = downloads() / path.name
            try:
                if home.exists():
                    raise DamagedFile(f"a file called {path.name} is there already")
                store.read_foreign(path)
            except DamagedFile as error:
                refused[path.name] = str(error)
                continue
            os.replace(path, home)
            taken.append(home)
    return Fetched(taken, refused)


def _download(url: str, folder: Path, progress: OnProgress) -> list[Path]:
    try:
        if "/folders/" not in url:
            return [_one(folder, progress, url=url, output=f"{folder}{os.sep}")]
        listed = gdown.download_folder(url=url, skip_download=True, quiet=True, use_cookies=False,
                                       timeout=PATIENCE)
        return [_one(folder, progress, id=file.id, output=str(folder / Path(file.path).name))
                for file in listed if Path(file.path).suffix in store.SUFFIXES]
    except (DownloadError, requests.RequestException, OSError) as error:
        raise SourceDown(f"Google Drive did not give the files ({type(error).__name__}): check "
                         "that the link is shared with everyone and try again, or put the files "
                         f"into {downloads()} by hand") from error


def _one(folder: Path, progress: OnProgress, output: str, **which: str) -> Path:
    def watch(done: int, total: int | None) -> None:
        if done > store.MAX_BYTES:
            raise DamagedFile(f"a file of this link has over {store.MAX_BYTES >> 20} MB; no known "
                              "architecture needs that")
        progress(Progress("Downloading from Google Drive", done, total or done))

    got = gdown.download(output=output, quiet=True, use_cookies=False, timeout=PATIENCE,
                         progress=watch, **which)
    return folder / Path(got).name
