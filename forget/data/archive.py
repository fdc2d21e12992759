"""Photos out of a zip or a folder: one folder a person, named as the person.

Nothing of a zip is written to disk, and what it says of itself is not believed: every size is
checked before it is read and again while it is read.
"""

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from forget.core.errors import BadInput
from forget.data.findings import Finding, Kind
from forget.data.people import Photo, natural, printable
from forget.io.images import HEAD, MAX_BYTES, is_picture
from forget.io.zips import MAX_DIRECTORY, directory_size, guessed_path, path_of

MAX_ENTRIES = 10_000
MAX_TOTAL = 1 << 30
MAX_RATIO = 100
"""How many times smaller a file of over 1 MB may be packed; photos shrink by next to nothing."""

SMALL_TOTAL, MAX_TOTAL_RATIO = 16 << 20, 10
"""Over so many bytes all photos together may be so many times larger than their zip."""

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".png", ".webp", ".gif",
            ".bmp", ".pgm", ".ppm", ".heic", ".heif", ".avif", ".tif", ".tiff")
"""What counts as a picture whatever is in it; one that cannot be read gets a sentence of its own
later. Other files count where they begin as pictures do."""

JUNK = ("__macosx", "thumbs.db", "desktop.ini")

NO_PICTURE = "only pictures are read"
NO_FOLDER = "a photo lies in a folder that has its person's name"
TOO_DEEP = "a photo lies in its person's folder, not in one below that"
NOT_PLAIN = "links and other special files are not read"
LEADS_OUT = "no path may lead out of the zip"
TOO_LARGE = f"a photo has at most {MAX_BYTES >> 20} MB"
TOO_TIGHT = f"no photo is packed over {MAX_RATIO} times smaller than it is"
NO_NAME = ("names in an encoding that cannot be told are not read; make the zip again with a "
           "program that writes names in UTF-8, or give the folders plain names")
OTHER_PACKING = "only what is packed as in most zips is read; make the zip again"

NO_PHOTO = (NO_PICTURE, NOT_PLAIN, LEADS_OUT)
"""Reasons of files that nobody would count among the photos."""


def _left_out(name: str, why: str, photos: int = 1) -> Finding:
    """What is said of a file that is not used; ``photos``: how many photos it is, 0 or 1."""
    called, other = f"“{printable(name)}”", why in NO_PHOTO
    return Finding(f"{called} is left out: {why}", called,
                   Kind(f"{'other ' * other}files are left out", why), 0 if other else photos)


def photos_from_zip(data: bytes, most: int = MAX_TOTAL) -> tuple[list[Photo], list[Finding]]:
    """The photos of a zip with a folder a person, in natural order, and what was left out of it.

    All people's folders may lie in one folder.  Nothing is unpacked to disk.  ``most``: bytes that
    all photos together may have, where that is less than :data:`MAX_TOTAL`.  Raises
    :class:`~forget.core.errors.BadInput` for a zip that is damaged, encrypted or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_checked(data))) as archive:
            return _photos(archive, len(data), min(most, MAX_TOTAL))
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError,
            NotImplementedError) as error:
        raise BadInput("this zip is damaged, or is none: make it again from the folders of "
                       "photos") from error


def _checked(data: bytes) -> bytes:
    """The same bytes, unless the list of entries is so long that reading it would take minutes."""
    if directory_size(io.BytesIO(data)) > MAX_DIRECTORY:
        raise _too_many()
    return data


def _too_many() -> BadInput:
    return BadInput(f"this zip holds more than {MAX_ENTRIES} files: put fewer photos into it")


def _photos(archive: zipfile.ZipFile, size: int, most: int) -> tuple[list[Photo], list[Finding]]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MAX_ENTRIES:
        raise _too_many()
    if any(entry.flag_bits & 1 for entry in entries):
        raise BadInput("this zip is encrypted: make it again without a password")
    if sum(entry.compress_size for entry in entries) > size:
        raise zipfile.BadZipFile("entries overlap")
    left_out: list[Finding] = []
    paths = {}
    for entry in entries:
        path = path_of(entry) or guessed_path(entry)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if why := _unsafe(entry, path) or _nameless(entry, parts):
            left_out.append(_left_out(path, why))
        elif not any(is_junk(part) for part in parts):
            paths[entry] = parts
    found = [(natural("/".join(parts)), parts, entry)
             for entry, parts in _without_common_folder(paths).items()
             if _usable(archive, entry, parts, left_out)]
    photos = list(_read(archive, sorted(found, key=lambda one: one[0]), most))
    return photos, [*left_out, *_guesses(found)]


def _unsafe(entry: zipfile.ZipInfo, path: str) -> str:
    """Why an entry is not looked at any further; empty where it is."""
    if path.startswith("/") or re.match("[A-Za-z]:/", path) or ".." in path.split("/"):
        return LEADS_OUT
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return "" if kind in (0, stat.S_IFREG) else NOT_PLAIN


def _nameless(entry: zipfile.ZipInfo, parts: list[str]) -> str:
    """Why nobody can tell whose photo it is; a photo's own name is not needed."""
    return NO_NAME if path_of(entry) is None and "\ufffd" in "".join(parts[:-1]) else ""


def _guesses(found: list) -> list[Finding]:
    """A sentence on names of people whose encoding is not told, where there are any."""
    names = list(dict.fromkeys(parts[0] for _, parts, entry in found
                               if path_of(entry) is None and not parts[0].isascii()))
    if not names:
        return []
    those = "a folder's name is" if len(names) == 1 else f"the names of {len(names)} folders are"
    return [Finding(
        f"{those} in an encoding that this zip does not tell, and read as "
        f"“{printable(names[0])}”{' and so on' if len(names) > 1 else ''}: look whether that "
        "is right, else make the zip again with a program that writes names in UTF-8")]


def is_junk(name: str) -> bool:
    """Whether an operating system put the file or folder there: nobody would miss it."""
    return name.startswith(".") or name.lower() in JUNK


def _without_common_folder(paths: dict[zipfile.ZipInfo, list[str]]) -> dict:
    """The paths without the one folder that all people's folders lie in, where there is one.

    It is one if all folders lie in it, and not just the photos and a sub-folder of one person.
    """
    inside = [parts for parts in paths.values() if len(parts) > 1]
    below = {parts[1] for parts in inside if len(parts) > 2}
    common = len({parts[0] for parts in inside}) == 1 and (
        len(below) > 1 or all(len(parts) > 2 for parts in inside))
    return {entry: parts[1:] if common and len(parts) > 1 else parts
            for entry, parts in paths.items()}


def _usable(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, parts: list[str],
            left_out: list[Finding]) -> bool:
    plainly = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

    def head() -> bytes:
        if not plainly:
            return b""
        with archive.open(entry) as file:
            return file.read(HEAD)

    tight = entry.file_size > max(1 << 20, MAX_RATIO * entry.compress_size)
    why = (_misplaced(parts, head)
           or (TOO_LARGE if entry.file_size > MAX_BYTES else "")
           or (TOO_TIGHT if tight else "")
           or ("" if plainly else OTHER_PACKING))  # the others unpack without a limit
    if why:
        left_out.append(_left_out("/".join(parts), why))
    return not why


def _misplaced(parts: list[str], head: Callable[[], bytes]) -> str:
    if not parts or not (parts[-1].lower().endswith(SUFFIXES) or is_picture(head())):
        return NO_PICTURE
    if len(parts) == 1:
        return NO_FOLDER
    return TOO_DEEP if len(parts) > 2 else ""


def _read(archive: zipfile.ZipFile, found: list, most: int) -> Iterator[Photo]:
    left = most
    total, packed = (sum(sizes) for sizes in zip(
        (0, 0), *((entry.file_size, entry.compress_size) for _, _, entry in found), strict=True))
    if total > left:
        raise _too_much(most)
    if total > max(SMALL_TOTAL, MAX_TOTAL_RATIO * packed):
        raise BadInput(f"this zip holds photos packed over {MAX_TOTAL_RATIO} times smaller than "
                       "they are: make it again from JPEG files")
    for _, parts, entry in found:
        with archive.open(entry) as file:
            data = file.read(min(entry.file_size, left) + 1)
        left -= len(data)
        if left < 0:
            raise _too_much(most)
        if len(data) != entry.file_size:
            raise zipfile.BadZipFile("an entry is longer or shorter than it says")
        yield Photo(parts[0], "/".join(parts), data)


def _too_much(most: int) -> BadInput:
    return BadInput(f"these photos have over {most >> 20:,} MB together: take fewer, or smaller "
                    "ones")


def photos_from_folder(path: Path, at_least: int = 1) -> tuple[list[Photo], list[Finding]]:
    """The photos of a folder with a sub-folder a person, in natural order, and what was left out.

    ``at_least``: people with fewer pictures are passed over without a word.  Links that lead out
    of the folder are not followed.  Raises :class:`~forget.core.errors.BadInput` where the folder
    cannot be read, or holds more than fits into memory.
    """
    try:
        entries = _entries(path)
    except OSError as error:
        raise BadInput(f"the folder {printable(str(path))} cannot be read ({error.strerror}): "
                       "make it readable, or give another") from error
    left_out: list[Finding] = []
    photos: list[Photo] = []
    left = MAX_TOTAL
    for entry in entries:
        files = list(_pictures(entry, path.resolve(), left_out))
        for photo in _read_files(files if len(files) >= at_least else [], left_out):
            photos.append(photo)
            left -= len(photo.data)
            if left < 0:
                raise _too_much(MAX_TOTAL)
    return photos, left_out


def _entries(folder: Path) -> list[Path]:
    return sorted((entry for entry in folder.iterdir() if not is_junk(entry.name)),
                  key=lambda entry: natural(entry.name))


def _pictures(person: Path, root: Path, left_out: list[Finding]) -> Iterator[Path]:
    """The pictures in one person's folder, by their names; ``root`` is where they really lie."""
    try:
        if why := _why_no_folder(person, root):
            left_out.append(_left_out(person.name, why))
            return
        entries = _entries(person)
    except OSError as error:
        left_out.append(_left_out(person.name, _unreadable(error), 0))
        return
    for file in entries:
        if why := _why_no_picture(file, root):
            left_out.append(_left_out(_name(file), why, int(not os.path.isdir(file))))
        else:
            yield file


def _why_no_folder(person: Path, root: Path) -> str:
    if not _within(person, root):
        return NOT_PLAIN
    return "" if person.is_dir() else _misplaced([person.name], lambda: _beginning(person, HEAD))


def _why_no_picture(file: Path, root: Path) -> str:
    try:
        if not _within(file, root):
            return NOT_PLAIN
        return TOO_DEEP if file.is_dir() else _misplaced(
            [file.parent.name, file.name], lambda: _beginning(file, HEAD))
    except OSError as error:  # a folder whose names may be read, and nothing else
        return _unreadable(error)


def _beginning(file: Path, count: int) -> bytes:
    """At most so many bytes, of what a file has at once: some under /proc would wait for more."""
    def at_once(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    with open(file, "rb", opener=at_once) as opened:
        return opened.read(count) or b""


def _within(entry: Path, root: Path) -> bool:
    """Whether it is a file or folder that really lies below the root."""
    real = Path(os.path.realpath(entry))
    return real.is_relative_to(root) and (real.is_file() or real.is_dir())


def _read_files(files: list[Path], left_out: list[Finding]) -> Iterator[Photo]:
    for file in files:
        try:
            data = _beginning(file, MAX_BYTES + 1)
        except OSError as error:
            left_out.append(_left_out(_name(file), _unreadable(error)))
            continue
        if len(data) > MAX_BYTES:
            left_out.append(_left_out(_name(file), TOO_LARGE))
        else:
            yield Photo(file.parent.name, _name(file), data)


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _unreadable(error: OSError) -> str:
    return f"it cannot be read ({error.strerror})"
