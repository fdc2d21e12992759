"""Where a person wants results: looked at before the work, and written whole or not at all.

A link is followed and stays, a pipe or device gets the bytes, and only a regular file is replaced.
"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from forget.core.errors import BadInput, CannotWrite
from forget.core.spelling import printable_path
from forget.io.files import check_writable, write_atomically


def check_file(path: Path) -> None:
    """Refuse a file that :func:`write` could not write; nothing is left there."""
    with _refusing(path):
        there = _mode(path)
        if there is not None and stat.S_ISDIR(there):
            raise BadInput(f"'{path}' is a folder; give a file")
        if there is not None and not os.access(path, os.W_OK):
            raise BadInput(f"'{path}' may not be written to; choose another place")
        if there is None or stat.S_ISREG(there):
            real = Path(os.path.realpath(path))
            if not real.parent.is_dir():
                raise BadInput(f"the folder of '{path}' does not exist; make it first")
            check_writable(real)


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which files of these names could not be written; it need not be there,
    and is not made."""
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    made: list[Path] = []
    try:
        with _refusing(folder):
            for place in reversed(missing):
                place.mkdir()
                made.append(place)
            if not folder.is_dir():
                raise BadInput(f"'{folder}' is a file; give a folder")
            for name in names:
                check_file(folder / name)
    finally:
        for place in reversed(made):
            place.rmdir()


def check_apart(path: Path, inputs: Sequence[str | Path]) -> None:
    """Refuse a file that is one of those which are read."""
    for given in inputs:
        with _refusing(path):
            if os.path.exists(path) and os.path.exists(given) and os.path.samefile(path, given):
                raise BadInput(f"'{path}' is what is read here, and would be lost; choose another "
                               "place")


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file, a folder for it included; ``mode``: of a new one, at most that of an old one.

    Raises :class:`BadInput`.
    """
    with _refusing(path):
        there = _mode(path)
        if there is not None and _is_standard_output(path):
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        elif there is None or stat.S_ISREG(there):
            allowed = mode if there is None else mode & there
            write_atomically(Path(os.path.realpath(path)), data, allowed)
        else:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:
                stream.write(data)


def _mode(path: Path) -> int | None:
    """The mode of what a path leads to; None where there is nothing yet."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _is_standard_output(path: Path) -> bool:
    """As /dev/stdout is: opened anew, a file there would be written over by what is printed."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # there is none, or it is no file
        return False


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """The operating system's refusals as :class:`BadInput`."""
    try:
        yield
    except (OSError, CannotWrite) as error:
        why = error.__cause__ if isinstance(error, CannotWrite) else error
        raise BadInput(f"cannot write '{printable_path(path)}' ({why.strerror}); choose another "
                       "place") from error
