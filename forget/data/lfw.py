"""Labeled Faces in the Wild: photos of famous people from the news, 250 x 250 in colour.

Huang, Ramesh, Berg and Learned-Miller 2007, http://vis-www.cs.umass.edu/lfw/. Only people with at
least 20 photos are used.
"""

import dataclasses
import os
import re
import tarfile
from pathlib import Path

from forget.core.errors import SourceDown
from forget.data import DATASETS
from forget.data.archive import photos_from_folder
from forget.data.findings import Finding
from forget.data.people import Photo
from forget.data.photos import PhotoSource, sizes_of
from forget.faces.embedders import find_embedder
from forget.io.files import (
    Bundle,
    DeclaredFile,
    OnProgress,
    Progress,
    Source,
    download,
    locked,
    scratch,
    silent,
)
from forget.io.images import MAX_BYTES
from forget.io.paths import make_folder

AT_LEAST = 20
N_ALL = 13_233
"""Photos of all people."""

EVERY = 100
"""Photos between two reports of progress."""

ARCHIVE = DeclaredFile(
    "lfw.tgz",
    "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0", 180_566_744)

MEMBER = re.compile(r"lfw/((?!\.)[^/\\]+)/\1_\d{4}\.jpg")


class ScikitLearn(Source):
    """The mirror that scikit-learn's own loader reads from."""

    title = "scikit-learn's mirror"

    def fetch(self, files, folder, progress):
        try:
            from sklearn.datasets._lfw import ARCHIVE as listed  # takes a second: only when needed
        except ImportError as error:
            raise SourceDown("this release of scikit-learn does not say where it is") from error
        _download_one(listed.url, files, folder, progress)


@dataclasses.dataclass(frozen=True)
class Site(Source):
    """A web address of the archive itself."""

    url: str

    @property
    def title(self) -> str:
        return self.url

    def fetch(self, files, folder, progress):
        _download_one(self.url, files, folder, progress)


def _download_one(url: str, files: tuple[DeclaredFile, ...], folder: Path,
                  progress: OnProgress) -> None:
    (file,) = files
    download(url, folder / file.name, limit=file.size, progress=progress)


LFW_FILES = Bundle(
    name="lfw",
    files=(ARCHIVE,),
    sources=(ScikitLearn(), Site("http://vis-www.cs.umass.edu/lfw/lfw.tgz")),
    by_hand="put the folder lfw from lfw.tgz into forget_downloads/lfw/",
)


def unpack(archive: Path, folder: Path, progress: OnProgress = silent) -> None:
    """Write the archive's photos as folder/NAME/NAME_0001.jpg, and nothing else of it."""
    done = 0
    with tarfile.open(archive, "r:gz") as packed:
        for member in packed:
            if not (member.isfile() and MEMBER.fullmatch(member.name) and member.size <= MAX_BYTES):
                continue
            person, photo = member.name.split("/")[1:]
            make_folder(folder / person)
            (folder / person / photo).write_bytes(packed.extractfile(member).read())
            done += 1
            if done % EVERY == 0:
                progress(Progress("Unpacking photos", done, max(done, N_ALL), "photo"))


@DATASETS.register
@dataclasses.dataclass(frozen=True)
class Lfw(PhotoSource):
    """People with at least 20 photos; the names are those of the folders, with spaces."""

    name = "lfw"
    optional = True
    title = "Famous faces (LFW)"
    order = 3
    files = LFW_FILES

    @property
    def folder(self) -> Path:
        """One sub-folder a person, as in the archive."""
        return LFW_FILES.folder / "lfw"

    def here(self) -> bool:
        return self.folder.is_dir()

    def read(self, progress=silent) -> tuple[list[Photo], list[Finding]]:
        if not self.here():
            self._fetch(progress)
        photos, findings = photos_from_folder(self.folder, AT_LEAST)
        return [dataclasses.replace(photo, person=photo.person.replace("_", " "))
                for photo in photos], findings

    def _fetch(self, progress: OnProgress) -> None:
        with locked("lfw-photos"):
            if self.here():
                return
            archive = LFW_FILES.ensure(progress)[ARCHIVE.name]
            with scratch("lfw-photos") as partial:
                unpack(archive, partial / "lfw", progress)
                os.replace(partial / "lfw", self.folder)
            archive.unlink()

    def describe(self) -> dict:
        counts = self._counts() if self.here() else {}
        return {
            "name": self.name,
            "title": self.title,
            "classes": list(counts),
            "sizes": sizes_of(counts.values()),
            "sources": [source.title for source in LFW_FILES.sources],
            "present": self.here() and find_embedder().present(),
        }

    def _counts(self) -> dict[str, int]:
        """Photos of each person who has enough."""
        counts = {person.name.replace("_", " "): len(list(person.glob("*.jpg")))
                  for person in sorted(self.folder.iterdir())}
        return {person: count for person, count in counts.items() if count >= AT_LEAST}
