"""A base that is taught in a fraction of a second: people as clouds of 16 numbers."""

import contextlib
import dataclasses
import sqlite3

import numpy as np
import torch

from forget.core.errors import BadImage
from forget.data import Dataset, DatasetSource, Samples
from forget.data.people import person_name
from forget.data.photos import RECIPES
from forget.faces.embed import key_of
from forget.io.files import silent
from forget.io.paths import downloads
from forget.learners import learner_for
from forget.records import database
from forget.records.bases import Base, Given
from forget.records.contributions import add
from forget.unlearning.watch import Watch

PEOPLE = ("Ida", "Jon", "Kim", "Lea", "Max")
SIZE = 16


def rows(seed: int, count: int) -> np.ndarray:
    """(count, 16) float32 of one person, the same for the same seed."""
    rng = np.random.default_rng(seed)
    centre = 2 * np.random.default_rng(1000 + seed).normal(size=SIZE)
    return (centre + 0.5 * rng.normal(size=(count, SIZE))).astype(np.float32)


class SmallSource(DatasetSource):
    """Five people with 12 training, 3 held-out and 6 test rows each."""

    name = "small"
    title = "Small"
    recipes = RECIPES

    def load(self, progress=silent) -> Dataset:
        parts, counts = {}, {"train": 12, "held_out": 3, "test": 6}
        drawn = [rows(person, sum(counts.values())) for person in range(len(PEOPLE))]
        start = 0
        for part, count in counts.items():
            x = np.concatenate([one[start:start + count] for one in drawn])
            parts[part] = Samples.from_arrays(x, np.repeat(np.arange(len(PEOPLE)), count))
            start += count
        return Dataset(name=self.name, classes=PEOPLE, **parts)

    def describe(self) -> dict:
        return {"name": self.name, "title": self.title, "classes": list(PEOPLE), "sizes": {},
                "sources": [], "present": True}


class SmallBase(Base):
    """Files are the numbers of a row, as they lie in memory."""

    name = "small"
    title = "Small people"
    one = "row"
    copies = 2
    reader = "as it is"
    dtype = torch.float32
    shape = (-1,)
    picture_shape = (3, 8, 8)

    @property
    def source(self) -> DatasetSource:
        return SmallSource()

    def read(self, data: bytes, face: int | None = None) -> Given:
        if len(data) != 4 * SIZE:
            raise BadImage("this is no row: give one of 16 numbers")
        x = torch.frombuffer(bytearray(data), dtype=torch.float32)
        picture = torch.from_numpy(np.random.default_rng(list(data)).integers(
            0, 256, self.picture_shape, dtype=np.uint8))
        return Given(x, picture, self.reader, key_of(data))

    def label(self, text: str) -> str:
        return person_name(text)


SMALL = SmallBase()


def given(seed: int, count: int, base: Base = SMALL) -> list[Given]:
    """So many rows of one person, as samples."""
    return [base.read(row.tobytes()) for row in rows(seed, count)]


def learner(name: str = "network", **settings):
    """A learner with what suits the small base."""
    return learner_for(SMALL.source, name, settings)


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who gives: a name, and the seed that their rows come from."""

    name: str
    seed: int


ANA, BEN = Person("Ana Example", 101), Person("Ben Muster", 102)

QUICK = {"network": {"min_steps": 60},
         "sisa": {"shards": 2, "slices": 2, "epochs": 2.0, "min_steps": 10, "lr": 0.05},
         "convex": {}}


def quick(name: str = "network", **settings):
    """A learner that is done in a tenth of a second."""
    return learner(name, **(QUICK.get(name, {}) | settings))


def give(person: Person, count: int = 4, label: str = "", base: Base = SMALL) -> int:
    """Add so many of a person's rows, under their own name where no other label is given."""
    return add(base, person.name,
               [(label or person.name, one) for one in given(person.seed, count, base)])


def stands(data: bytes) -> list[str]:
    """The files of the data folder that hold some bytes."""
    return sorted(str(path.relative_to(downloads())) for path in downloads().rglob("*")
                  if path.is_file() and data in path.read_bytes())


def tamper(*statements: str) -> None:
    """What somebody does who can write the file."""
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"
                                  ).fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert db.execute(statement).rowcount


class Impatient(Watch):
    """Stops the work after so many steps of whatever phase."""

    def __init__(self, steps: int):
        self._left = steps

    def step(self, step, seconds):
        self._left -= 1

    def cancelled(self):
        return self._left <= 0
