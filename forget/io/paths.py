"""Where files lie: ``forget_downloads/`` beside the package, or the folder in ``FORGET_HOME``."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from forget.core.errors import BadInput
from forget.core.spelling import printable_path

OWN = frozenset({"trained", "features", "embeddings", "people", "facenet",
                 "runs", "audits", "taught"})
"""Sub-folders in which the program keeps tensors and photos of its own: nobody else's models."""


PRIVATE = 0o700
"""The rights to the data folder and its sub-folders: its owner's alone."""


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; within the data folder they are private."""
    if not folder.is_dir():
        make_folder(folder.parent)
        inside = downloads() in folder.parents
        folder.mkdir(mode=PRIVATE if inside else 0o777, exist_ok=True)


def _keep_private(folder: Path) -> None:
    """Take the others' rights to a data folder that was made without care, and to its sub-folders.

    One of another owner, or on a disk that is only read, stays as it is.
    """
    if stat.S_IMODE(folder.stat().st_mode) & ~PRIVATE:
        with suppress(OSError):
            for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
                each.chmod(PRIVATE)


def downloads() -> Path:
    """The folder of shipped, downloaded and trained files, for its owner alone; made on first use.
    """
    shipped = Path(__file__).parent.parent.parent / "forget_downloads"
    folder = Path(os.environ.get("FORGET_HOME") or shipped)
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        _keep_private(folder)
    except OSError as error:
        raise BadInput(f"the folder {folder} cannot be made ({error.strerror}); set FORGET_HOME to "
                       "one that can, or unset it") from error
    return folder


def given_file(path: str | Path) -> bool:
    """Whether a path that a person named is a file's; :class:`BadInput` where that cannot be
    said."""
    return stat.S_ISREG(_mode(path))


def given_folder(path: str | Path) -> bool:
    """The same for a folder."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: str | Path) -> int:
    """Of what a path leads to, 0 where there is nothing."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0
    except OSError as error:
        raise BadInput(f"'{printable_path(path)}' cannot be looked at ({error.strerror}); give "
                       "another path") from error
