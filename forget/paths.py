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
    """Whether there is a file at a path that a person named; not where there is a folder or
    nothing. :class:`BadInput` where the system does not even say so."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise BadInput(f"'{path}' cannot be looked at ({error.strerror}); give another path"
                       ) from error
