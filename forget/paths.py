"""Where files lie: ``forget_downloads/`` beside the package, or the folder in ``FORGET_HOME``."""

import os
from pathlib import Path


def downloads() -> Path:
    """The folder of shipped, downloaded and trained files; made on first use."""
    shipped = Path(__file__).parent.parent / "forget_downloads"
    folder = Path(os.environ.get("FORGET_HOME") or shipped)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
