"""A person's own photos: a folder with one sub-folder of photos a person, named as the person."""

import dataclasses
from pathlib import Path

from forget.core.errors import BadInput
from forget.data import DATASETS
from forget.data.archive import photos_from_folder
from forget.data.findings import Finding
from forget.data.people import Photo, printable
from forget.data.photos import PARTS, PhotoSource
from forget.io.files import silent
from forget.io.paths import given_folder


@DATASETS.register
@dataclasses.dataclass(frozen=True)
class Folder(PhotoSource):
    """Photos on this machine; their embeddings are kept as those of every other dataset."""

    path: str

    name = "folder"
    title = "Your own photos (a folder a person)"
    order = 80
    takes_path = True

    @classmethod
    def accepts(cls, spec: str) -> bool:
        """Any folder; one that happens to be called as a dataset is meant by its path only."""
        return spec not in ("", *DATASETS) and given_folder(spec)

    @property
    def dataset_name(self) -> str:
        return Path(self.path).resolve().name or self.name

    def here(self) -> bool:
        return Path(self.path).is_dir()

    def read(self, progress=silent) -> tuple[list[Photo], list[Finding]]:
        photos, findings = photos_from_folder(Path(self.path))
        if not photos:
            raise BadInput(f"{printable(self.path)} has no sub-folders with photos in them: make "
                           "one for each person, and give it the person's name")
        return photos, findings

    def describe(self) -> dict:
        dataset = self.load()
        return {
            "name": self.path,
            "title": self.title,
            "classes": list(dataset.classes),
            "sizes": {part: len(getattr(dataset, part)) for part in PARTS},
            "sources": [self.path],
            "present": True,
        }
