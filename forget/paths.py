"""Where files lie: ``forget_downloads/`` beside the package, or the folder in ``FORGET_HOME``."""

import os
import stat
from pathlib import Path

from forget.errors import BadInput

OWN = frozenset({"trained", "features", "embeddings", "people", "facenet",
                 "runs", "audits", "taught"})
"""Sub-folders in which the program keeps tensors and photos of its own: nobody else's models."""


def downloads() -> Path:
    """The folder of shipped, downloaded and trained files; made on first use."""
    shipped = Path(__file__).parent.parent / "forget_downloads"
    folder = Path(os.environ.get("FORGET_HOME") or shipped)
    try:
        folder.mkdir(parents=True, exist_ok=True)
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
        raise BadInput(f"'{path}' cannot be looked at ({error.strerror}); give another path"
                       ) from error
