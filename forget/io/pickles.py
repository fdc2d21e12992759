"""Torch's own checkpoint files, looked through before torch reads them.

``weights_only=True`` runs no code, but it calls what it knows with any argument and hashes any
key: a file of some hundred bytes can ask for gigabytes, or for a hash that takes years.
"""

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from forget.io.zips import MAX_DIRECTORY, directory_size

KNOWN = re.compile(r"collections OrderedDict|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
                   r"|torch(\.storage)? \w*Storage|torch (Size|device|b?float\w+|double|half|u?int"
                   r"\w+|long|bool)|torch\.nn\.parameter Parameter|torch\.serialization "
                   r"_get_layout")
"""What a checkpoint of plain tensors names."""

MAX_PICKLE = 1 << 20
MAX_STEPS = 500_000
MAX_TUPLES = 10_000
"""Tuples of one file: so many within each other can still be hashed."""

MAX_RECALLED = 40
"""How often a tuple may be used again: the time to hash grows threefold with every third."""

PARTS = 5
"""Pickles that a file of the old form begins with."""


def load_tensors(path: Path) -> Any:
    """What ``torch.load`` gives for a file of tensors, lists and dictionaries on the CPU.

    Raises whatever the file's bytes lead to, :class:`ValueError` for what no checkpoint needs.
    """
    with path.open("rb") as file:
        packed = file.read(4) == b"PK\3\4"
        file.seek(0)
        if packed:
            file = _copied(file)
        else:
            for _ in range(PARTS):
                _look_through(file)
            file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def _copied(file: BinaryIO) -> io.BytesIO:
    """The archive anew, of entries that were looked at: torch may find others in the same bytes."""
    if directory_size(file) > MAX_DIRECTORY:
        raise ValueError("too many entries")
    out = io.BytesIO()
    with zipfile.ZipFile(file) as given, zipfile.ZipFile(out, "w") as copy:
        entries = given.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("packed entries")
        if sum(entry.file_size for entry in entries) > file.seek(0, 2):
            raise ValueError("entries overlap")
        for entry in entries:
            data = given.read(entry)
            if entry.filename.endswith(".pkl"):
                if len(data) > MAX_PICKLE:
                    raise ValueError("the pickle is too long")
                _look_through(io.BytesIO(data))
            copy.writestr(zipfile.ZipInfo(entry.filename), data)
    out.seek(0)
    return out


def _look_through(file: BinaryIO) -> None:
    """Read one pickle's steps without carrying them out."""
    tuples, made, recalled, on_top = set(), 0, 0, False
    for step, (code, argument, _) in enumerate(pickletools.genops(file)):
        name = code.name
        if name == "GLOBAL" and not KNOWN.fullmatch(argument):
            raise ValueError(f"it asks for {argument[:80]}")
        if name.endswith("PUT"):
            if on_top:
                tuples.add(argument)
            continue
        again = name.endswith("GET") and argument in tuples
        recalled += again
        on_top = again or name.startswith("TUPLE")
        made += on_top
        if step > MAX_STEPS or made > MAX_TUPLES or recalled > MAX_RECALLED:
            raise ValueError("it holds too much for a checkpoint")
