"""What all datasets of people's photos share: photos are read, then embedded, then checked."""

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable

from forget.data import Dataset, DatasetSource
from forget.data.findings import Finding
from forget.data.people import Photo, shares, to_dataset
from forget.faces import embed
from forget.faces.embedders import find_embedder
from forget.io.files import OnProgress, silent

PARTS = ("train", "held_out", "test")


RECIPES = {
    "network": {"arch": "linear", "min_steps": 300},
    "sisa": {"arch": "linear", "min_steps": 50, "lr": 2e-3},
    "convex": {"loss": "ovr"},
}
"""A linear head for every learner: rows of one person lie together already. One class against the
rest needs no matrix of all classes at once, and knows a stranger best: ``bench/faces.py``."""


class PhotoSource(DatasetSource):
    """Photos of people, read by :meth:`read`; rows come from :func:`find_embedder`'s network."""

    recipes = RECIPES
    credit = ""
    """Who took the photos, where that is to be said."""

    @property
    def dataset_name(self) -> str:
        return self.name

    @abstractmethod
    def here(self) -> bool:
        """Whether the photos are on this machine."""

    @abstractmethod
    def read(self, progress: OnProgress = silent) -> tuple[list[Photo], list[Finding]]:
        """The photos, and what there is to say of files that are not used."""

    def photos(self) -> list[Photo]:
        """The photos as they came, to be shown; :attr:`Photo.key` is a sample's key."""
        return self.read()[0]

    def load(self, progress: OnProgress = silent) -> Dataset:
        photos, findings = self.read(progress)
        dataset = to_dataset(self.dataset_name, photos, find_embedder(), progress=progress)
        return dataclasses.replace(dataset, findings=(*findings, *dataset.findings))

    def ready(self) -> bool:
        return self.here() and embed.all_kept(
            (photo.data for photo in self.photos()), find_embedder())

    def erase(self, keys: Iterable[str]) -> int:
        return embed.erase(keys)


def sizes_of(counts: Iterable[int]) -> dict[str, int]:
    """How large the parts are where all photos of people with so many each are usable.

    >>> sizes_of([10, 10])
    {'train': 8, 'held_out': 2, 'test': 10}
    """
    each = [shares(count) for count in counts]
    return {part: sum(one[part] for one in each) for part in PARTS}
