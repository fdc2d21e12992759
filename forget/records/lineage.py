"""The model of a base as it is now, which samples it learnt from, and the data it stands for.

There is one model a base, the live one. Which samples it learnt from is its lineage, in the
records; a sample cannot be deleted there while a model's lineage holds it.
"""

import dataclasses
import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from forget.core.errors import BadInput, DamagedFile, DamagedRecord
from forget.core.knobs import make
from forget.data import Dataset, Samples
from forget.features import CHUNK, rows_of
from forget.io.files import sha256_of
from forget.io.paths import downloads
from forget.learners import LEARNERS, Learner
from forget.records.bases import Base, base_called
from forget.records.contributions import FIRST_ID, Kept, kept, samples_of
from forget.records.database import MODELS, NAME, Connection, reading
from forget.unlearning import store
from forget.unlearning.learn import start_from
from forget.unlearning.represent import represent
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

FILE = re.compile(r"[A-Za-z0-9_.-]+\.safetensors")

GIVEN = "+given"
"""Ends the name of a base's data together with what was given."""


@dataclasses.dataclass(frozen=True)
class Live:
    """The model of a base as it is now.

    ``row``: its row in the records, None before anything was taught.  ``classes``: its names for
    outputs, in order.  ``samples``: ids of the given samples that it learnt from.  ``made``: how.
    """

    base: Base
    learner: Learner
    seed: int
    stored: Stored
    classes: tuple[str, ...]
    samples: frozenset[int]
    made: str
    row: int | None = None

    @property
    def model(self) -> nn.Module:
        return self.stored.model

    def learnt(self) -> list[Kept]:
        """The given samples that it learnt from, as they are held."""
        return [one for one in kept(self.base) if one.id in self.samples]


def learner_of(base: Base) -> Learner | None:
    """The recipe of a base's model, None before anything was taught and where it is lost."""
    row = present(base)
    try:
        return None if row is None else _learner(row)
    except DamagedRecord:
        return None


def seed_of(base: Base) -> int:
    """The seed of a base's model, 0 before anything was taught and where it is lost."""
    row = present(base)
    return row["seed"] if row is not None and is_seed(row["seed"]) else 0


def is_seed(value: object) -> bool:
    """Whether a field can be a seed."""
    return type(value) is int and 0 <= value < 1 << 63


def live(base: Base, learner: Learner, seed: int = 0, watch: Watch = UNWATCHED) -> Live:
    """The model as it is now; before anything was taught, the original of ``learner``.

    Raises :class:`DamagedRecord` where it was lost.
    """
    with reading() as db:
        row = row_of(db, base)
        samples = frozenset() if row is None else lineage_of(db, row["id"])
        named = None if row is None else named_sha256(db, base)
    if row is None:
        dataset = base.dataset()
        return Live(base, learner, seed, start_from(learner, dataset, seed, watch).stored,
                    dataset.classes, frozenset(), "original")
    try:
        return _read(base, row, samples, named)
    except DamagedRecord:
        if live_row(base) == row["id"]:
            raise
        return live(base, learner, seed, watch)  # another one took its place meanwhile


def _read(base: Base, row: sqlite3.Row, samples: frozenset[int], named: str | None) -> Live:
    """The model of a row. ``named``: the hash of its file in the ledger."""
    learner = _learner(row)
    path = home(row["file"])
    if not path.is_file() or (learner.keeps and not store.secret_path(path).is_file()):
        raise _lost(base, "a file of it is gone")
    try:
        if sha256_of(path) != named:
            raise _lost(base, "its file is not the one that the ledger names")
        stored = store.load(path)
    except DamagedRecord:
        raise
    except (DamagedFile, OSError) as error:
        raise _lost(base, "a file of it is damaged") from error
    classes, record = tuple(json.loads(row["classes"])), stored.record
    if learner != make(LEARNERS[record["learner"]], record["settings"]) or (
            len(classes) != record["n_classes"]):
        raise _lost(base, f"{NAME} describes another one")
    return Live(base, learner, row["seed"], stored, classes, samples, row["made"], row["id"])


def _lost(base: Base, why: str) -> DamagedRecord:
    return DamagedRecord(f"the model of {base.title} that learnt what was given is lost ({why}): "
                         "teach it again, or start the program again, and it is trained anew")


def loss_of(base: Base) -> str:
    """Why the model cannot be used, nor what it learnt be learnt again as it was: "" where it can,
    and where there is none."""
    row = present(base)
    if row is None:
        return ""
    try:
        here = live(base, _learner(row))
        learnt = here.learnt()
        if any(one.damaged or one.label not in here.classes for one in learnt) or len(
                {one.x.shape for one in learnt}) > 1:
            return f"a sample that it learnt is damaged in {NAME}"
    except DamagedRecord as error:
        return str(error)
    return ""


def named_sha256(db: Connection, base: Base) -> str | None:
    """The hash of the live model's file that the ledger names, None where it names none."""
    found = db.execute(
        "SELECT json_extract(body, '$.model_sha256') FROM ledger WHERE CASE WHEN json_valid(body) "
        "THEN json_extract(body, '$.base') = ?1 AND json_extract(body, '$.model_sha256') IS NOT "
        "NULL END ORDER BY number DESC LIMIT 1", (base.name,)).fetchone()
    return None if found is None else found[0]


def live_row(base: Base) -> int | None:
    """Which model is live, so that a page sees that another one has become so."""
    row = present(base)
    return None if row is None else row["id"]


def present(base: Base) -> sqlite3.Row | None:
    """The row of the live model, None before anything was taught."""
    with reading() as db:
        return row_of(db, base)


def row_of(db: Connection, base: Base) -> sqlite3.Row | None:
    return db.execute("SELECT * FROM model WHERE base = ?", (base.name,)).fetchone()


def _learner(row: sqlite3.Row) -> Learner:
    """The recipe of a model's row; :class:`DamagedRecord` where the row cannot be read."""
    try:
        classes = json.loads(row["classes"])
        if not is_seed(row["seed"]) or not all(isinstance(one, str) for one in classes):
            raise ValueError("no seed or no classes")
        return make(LEARNERS[row["learner"]], json.loads(row["settings"]))
    except (BadInput, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedRecord(f"the row of a model in {NAME} is damaged: start the program again, "
                            "and the model is trained anew") from error


def lineage_of(db: Connection, model: int) -> frozenset[int]:
    rows = db.execute("SELECT id FROM sample JOIN lineage ON sample = id WHERE model = ?", (model,))
    return frozenset(FIRST_ID + row[0] for row in rows)


def home(file: str) -> Path:
    """Where a model's file lies; nowhere for a name that this program does not give."""
    given = isinstance(file, str) and FILE.fullmatch(file)
    return downloads() / MODELS / (file if given else "no file")


def dataset_with(base: Base, learner: Learner, those: Sequence[Kept], classes: Sequence[str],
                 watch: Watch = UNWATCHED) -> Dataset:
    """The base's data and these samples, as the learner's models read them; nothing made from it
    is written. ``classes``: names for outputs, in order, those of the base first."""
    whole = represent(learner, base.dataset(), watch)
    if any(one.reader != base.reader for one in those):
        raise BadInput("some photos here were read by another network than the one that runs now: "
                       "start the program with the FORGET_EMBEDDER that it had then")
    parts = {part: dataclasses.replace(getattr(whole, part), pictures=None, keys=())
             for part in ("train", "held_out", "test")}
    if those:
        own = samples_of(those, classes, copies_for(base, learner))
        features = learner.feature_map(tuple(own.x.shape[1:]))
        if features is not None:
            own = dataclasses.replace(own, x=torch.cat(
                [rows_of(features, part) for part in own.x.split(CHUNK)]))
        parts["train"] = Samples(*(torch.cat([getattr(parts["train"], part), getattr(own, part)])
                                   for part in ("x", "y", "ids")))
    return dataclasses.replace(whole, name=base.name + GIVEN, classes=tuple(classes),
                               findings=(), private={}, **parts)


def has_budget(learner: Learner | None) -> bool:
    """Whether requests spend of a budget that the learner's models have."""
    return getattr(learner, "mode", "") == "guo"


def copies_for(base: Base, learner: Learner) -> int:
    """How often a learner sees each given sample: once where a removal spends of a budget, which
    goes with the square of the copies, else as the base has it."""
    return 1 if has_budget(learner) else base.copies


def dataset_now(name: str, watch: Watch = UNWATCHED) -> Dataset:
    """What the live model stands for, by the name that its certificate has: ``mnist+given``."""
    base = base_called(name.removesuffix(GIVEN))
    learner = learner_of(base)
    if learner is None:
        raise BadInput(f"nothing was taught to {base.title} yet: there is no model to check")
    here = live(base, learner, watch=watch)
    return dataset_with(base, here.learner, here.learnt(), here.classes, watch)


def classes_with(known: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The classes that there are, and the labels not among them, in the order they came."""
    return (*known, *dict.fromkeys(label for label in labels if label not in known))


def spent_of(learner: Learner, model: nn.Module) -> float | None:
    """What a model has spent of a budget so far, None where its learner has none."""
    if not has_budget(learner):
        return None
    return store.secret_of(model)["spent"].item()
