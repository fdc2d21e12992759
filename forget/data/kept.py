"""Photos that somebody asked to keep on this machine: a folder a person, readable by its owner."""

import dataclasses
import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from forget.core.errors import BadInput
from forget.core.spelling import MAX_NAME
from forget.data.archive import SUFFIXES, is_junk, photos_from_folder
from forget.data.people import Photo, person_name
from forget.io.files import on_disk, write_atomically
from forget.io.paths import downloads

FOLDER = "people"

UNSAFE = re.compile(r'[/\\:*?"<>|%]|^[.~]|[. ]$')
"""Signs of a name that a folder's name cannot have, or not there."""

LONGEST_NAME = 200
"""Bytes of a folder's name that every file system takes."""

NAME = "name.txt"
"""Holds a person's name that no folder can have."""

LONGEST_NAME_FILE = 4 * MAX_NAME
"""Bytes of the longest name."""


def folder() -> Path:
    """Where kept photos lie."""
    return downloads() / FOLDER


def folder_of(person: str) -> Path:
    """Where the photos of one person lie, or would; :class:`BadInput` for no name."""
    person = person_name(person)
    name = UNSAFE.sub(lambda sign: f"%{ord(sign.group()):02X}", person)
    if is_junk(name) or len(name.encode()) > LONGEST_NAME:
        name = f"person {hashlib.sha256(person.encode()).hexdigest()[:12]}"
    return folder() / name


def kept_people() -> set[str]:
    """Whose photos lie there, by the folders alone: no photo is read."""
    places = folder().iterdir() if folder().is_dir() else ()
    return {_kept_name(place) for place in places if files_in(place) and not is_junk(place.name)}


def files_in(place: Path) -> list[Path]:
    """The files in a person's folder; none where it is a link, which may lead anywhere."""
    return [] if place.is_symlink() else sorted(
        path for path in place.rglob("*") if os.path.isfile(path))


def kept_photos() -> list[Photo]:
    """The photos that somebody asked to keep on this machine."""
    if not folder().is_dir():
        return []
    photos, _ = photos_from_folder(folder())
    return [dataclasses.replace(photo, person=_kept_name(folder() / photo.person))
            for photo in photos]


def _kept_name(place: Path) -> str:
    """Whose photos lie in a folder: it is called so, or a file in it says so, if that is a name."""
    said = place / NAME
    if said.is_file() and not said.is_symlink():
        with suppress(OSError, UnicodeDecodeError, BadInput), said.open("rb") as file:
            return person_name(file.read(LONGEST_NAME_FILE + 1).decode())
    return unquote(place.name)


def keep(photos: Iterable[Photo]) -> None:
    """Write photos into the folder, named by their content."""
    for photo in photos:
        place = folder_of(photo.person)
        person = person_name(photo.person)
        if unquote(place.name) != person:
            write_atomically(place / NAME, person.encode(), mode=0o600)
        ending = Path(photo.name).suffix.lower()
        name = photo.key + (ending if ending in SUFFIXES else ".jpg")
        write_atomically(place / name, photo.data, mode=0o600)


def delete(person: str) -> int:
    """Delete one person's kept photos; returns how many files that were."""
    place = folder_of(person)
    if not place.is_dir():
        return 0
    with on_disk():
        count = sum(path.is_file() for path in place.rglob("*"))
        shutil.rmtree(place)
    return count
