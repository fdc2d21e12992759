"""The model of a base as it is now: what it learnt of what people gave, and how it learns more.

There is one model a base. Which samples it learnt from is its lineage, in the records; a sample
cannot be deleted there while a model's lineage holds it.
"""

import contextlib
import dataclasses
import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from forget import store
from forget.data import Dataset, Samples
from forget.data.files import on_disk, sweep, write_atomically
from forget.device import derive, generator, use_fixed_threads
from forget.errors import BadInput, Busy, CannotWrite, DamagedFile
from forget.features import CHUNK, rows_of
from forget.knobs import make
from forget.learn import home_of, is_stored, learn, start_from
from forget.learners import LEARNERS, Learner
from forget.methods import Task
from forget.methods.finetune import FineTune
from forget.metrics.accuracy import Predictions
from forget.paths import downloads
from forget.records import ledger
from forget.records.bases import Base, base_called
from forget.records.contributions import FIRST_ID, Kept, kept, samples_of, unasked
from forget.records.database import reading, scrub, working, writing
from forget.represent import represent
from forget.request import NOTHING
from forget.result import model_record
from forget.steps import drive
from forget.store import Stored
from forget.watch import UNWATCHED, Watch

FOLDER = "taught"
SCRUB = "scrub"
"""The chore of whoever deleted something: it stays until nothing of it is on disk."""

RETRAIN, FINETUNE = "retrain", "finetune"
WAYS = {
    RETRAIN: "Train a new model on everything",
    FINETUNE: "Go on training the present model",
}

GIVEN = "+given"
"""Ends the name of a base's data together with what was given."""

TEACHING = FineTune(last_layers=50, reinitialise="no", lr=1e-3)
"""How a model goes on: all layers, gently."""


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


@dataclasses.dataclass(frozen=True)
class Taught:
    """What came of teaching: the models before and after, the seconds that learning took, the
    share of the base's unseen samples that each gets right, and the number of its entry.

    ``untidy``: what still has to be cleaned up, in words."""

    before: Live
    after: Live
    seconds: float
    accuracy_before: float
    accuracy_after: float
    entry: int
    untidy: str = ""


def learner_of(base: Base) -> Learner | None:
    """The recipe of a base's model, None before anything was taught."""
    row = _present(base)
    return None if row is None else _learner(row)


def seed_of(base: Base) -> int:
    """The seed of a base's model, 0 before anything was taught."""
    row = _present(base)
    return 0 if row is None else row["seed"]


def live(base: Base, learner: Learner, seed: int = 0, watch: Watch = UNWATCHED) -> Live:
    """The model as it is now; before anything was taught, the original of ``learner``."""
    with reading() as db:
        row = _row(db, base)
        samples = frozenset() if row is None else _lineage(db, row["id"])
    if row is None:
        dataset = base.dataset()
        return Live(base, learner, seed, start_from(learner, dataset, seed, watch).stored,
                    dataset.classes, frozenset(), "original")
    try:
        stored = store.load(home(row["file"]))
    except DamagedFile:
        if live_row(base) == row["id"]:
            raise
        return live(base, learner, seed, watch)  # another one took its place meanwhile
    return Live(base, _learner(row), row["seed"], stored, tuple(json.loads(row["classes"])),
                samples, row["made"], row["id"])


def live_row(base: Base) -> int | None:
    """Which model is live, so that a page sees that another one has become so."""
    row = _present(base)
    return None if row is None else row["id"]


def _present(base: Base) -> sqlite3.Row | None:
    with reading() as db:
        return _row(db, base)


def _row(db: sqlite3.Connection, base: Base) -> sqlite3.Row | None:
    return db.execute("SELECT * FROM model WHERE base = ?", (base.name,)).fetchone()


def _learner(row: sqlite3.Row) -> Learner:
    return make(LEARNERS[row["learner"]], json.loads(row["settings"]))


def _lineage(db: sqlite3.Connection, model: int) -> frozenset[int]:
    return frozenset(FIRST_ID + row[0] for row in
                     db.execute("SELECT sample FROM lineage WHERE model = ?", (model,)))


def home(file: str) -> Path:
    """Where a model's file lies."""
    return downloads() / FOLDER / file


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


def teach(base: Base, how: str, learner: Learner, seed: int = 0,
          watch: Watch = UNWATCHED) -> Taught:
    """Let the base's model learn all that was given to it, and make that one the model.

    What somebody asked to be forgotten is not learnt, and a new model is made without it.
    ``how``: "retrain" makes a new one, of this learner and seed; "finetune" goes on with the
    present one, whose learner and seed stay. Raises :class:`~forget.errors.BadInput` where nothing
    is new, and for a model that cannot go on.
    """
    with working(lambda: say_waiting(watch)):
        tidy()
        check_way(base, how)
        those = unasked(base)
        if not those and live_row(base) is None:
            raise BadInput("nothing was given yet: add something first")
        before = live(base, learner, seed, watch)
        same = how == FINETUNE or (learner, seed) == (before.learner, before.seed)
        if same and {one.id for one in those} <= before.samples:
            raise BadInput("there is nothing new to learn: add something first")
        use_fixed_threads()
        watch.phase(f"Learning: {WAYS[how].lower()}")
        made = _retrained if how == RETRAIN else _gone_on
        stored, seconds, classes, dataset = made(before, those, learner, seed, watch)
        seen_before = represent(before.learner, base.dataset(), watch)
        accuracies = [Predictions.of(one.model, test, watch.check).accuracy for one, test in
                      ((before, seen_before.test), (stored, dataset.test))]
        recipe = (learner, seed) if how == RETRAIN else (before.learner, before.seed)
        learnt = frozenset(one.id for one in those)
        learnt |= before.samples if how == FINETUNE else frozenset()
        after = Live(base, *recipe, stored, classes, learnt, how)
        body = {"base": base.name, "how": how, "learner": after.learner.name,
                "samples": len(learnt), "new": len(learnt - before.samples),
                "seconds": seconds, "test_accuracy": accuracies[1],
                "spent": spent_of(after.learner, stored.model)}
        files = Files.of(stored)
        with becoming(before, after, files) as (db, row):
            entry = ledger.append(db, "taught", body | {"model_sha256": files.sha256})
        return Taught(before, dataclasses.replace(after, row=row), seconds,
                      *accuracies, entry, tidy())


def check_way(base: Base, how: str) -> None:
    """Refuse to go on with a model of a kind that cannot."""
    present = learner_of(base)
    if how == FINETUNE and present is not None and present.name != FineTune.learner:
        raise BadInput(f"a model of the kind “{present.title}” cannot go on training: choose to "
                       "retrain it")


def expected_seconds(base: Base, how: str, learner: Learner, seed: int = 0) -> float | None:
    """What learning will take about, None where nothing is known yet.

    As long as it last took; before, as the base's own original took, in proportion to the passes.
    """
    with reading() as db:
        taken = [entry.body["seconds"] for entry in ledger.entries(db)
                 if entry.what == "taught" and entry.body["base"] == base.name
                 and (entry.body["how"], entry.body["learner"]) == (how, learner.name)
                 and (entry.body["spent"] is not None) == has_budget(learner)]
    if taken:
        return taken[-1]
    dataset = base.dataset()
    path = home_of(learner, dataset, seed, NOTHING)
    if not is_stored(learner, dataset, path, NOTHING):
        return None
    seconds = store.load(path).record["seconds"]
    return seconds if how == RETRAIN else seconds * TEACHING.epochs / learner.epochs


def say_waiting(watch: Watch) -> None:
    """Tell what is waited for; raises what ends the waiting."""
    watch.phase("Waiting for another program that changes the model")
    watch.check()


def _retrained(before: Live, those: Sequence[Kept], learner: Learner, seed: int, watch: Watch):
    classes = classes_with(before.base.dataset().classes, [one.label for one in those])
    dataset = dataset_with(before.base, learner, those, classes, watch)
    stored = learn(learner, dataset, seed, watch=watch)
    return stored, stored.record["seconds"], classes, dataset


def _gone_on(before: Live, those: Sequence[Kept], _learner, _seed, watch: Watch):
    classes = classes_with(before.classes, [one.label for one in those])
    dataset = dataset_with(before.base, before.learner, those, classes, watch)
    draw = generator(derive(before.seed, "teach", len(those)))
    model = widened(before, dataset, draw).requires_grad_(True)
    nothing = dataset.train.take(slice(0, 0))
    task = Task(before.learner, nothing, dataset.train, dataset.held_out, False, (), draw)
    seconds = drive(TEACHING.steps(model, task), watch.step, watch.cancelled)
    record = model_record(dataset.name, before.learner, before.seed, model, dataset.input_shape)
    return Stored(store.frozen(model), record), seconds, classes, dataset


def widened(before: Live, dataset: Dataset, draw: torch.Generator) -> nn.Module:
    """A copy of the model with an output for every class; weights of new outputs are drawn."""
    model = before.learner.build(dataset.input_shape, len(dataset.classes), draw)
    fresh, known = model.state_dict(), before.model.state_dict()
    for name, value in known.items():
        fresh[name][tuple(slice(0, size) for size in value.shape)] = value
    model.load_state_dict(fresh)
    return model


@dataclasses.dataclass(frozen=True)
class Files:
    """The bytes of a model's two files: to hand out, and to keep, where it keeps anything."""

    public: bytes
    secret: bytes | None

    @classmethod
    def of(cls, stored: Stored) -> "Files":
        """Its record says nothing that tells of the data."""
        record = {name: value for name, value in stored.record.items()
                  if name not in ("data", "forgotten")}
        public = store.to_bytes(Stored(stored.model, record))
        # The key of a certificate's hash of what was forgotten goes with what was forgotten.
        kept_back = {name: value for name, value in store.secret_of(stored.model).items()
                     if name != "ids_key"}
        return cls(public, store.secret_bytes(kept_back, {}, public) if kept_back else None)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    def write(self, path: Path) -> None:
        if self.secret is not None:
            write_atomically(store.secret_path(path), self.secret, mode=0o600)
        write_atomically(path, self.public, mode=0o600)


@contextlib.contextmanager
def becoming(before: Live, after: Live, files: Files) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Put a model in the place of the one before: the block's transaction is all or nothing.

    The weights are written first, under a name that nothing names yet; what the block writes, the
    new model and its lineage are one transaction; what no row names any more then goes with
    :func:`tidy`. Gives the transaction and the new model's row.
    """
    file = f"{after.base.name}-{secrets.token_hex(8)}.safetensors"
    files.write(home(file))
    with writing() as db:
        now = _row(db, after.base)
        if (now and now["id"]) != before.row:
            raise BadInput("the model was changed by another program meanwhile: try again")
        db.execute("DELETE FROM model WHERE base = ?", (after.base.name,))
        made = db.execute(
            "INSERT INTO model (base, learner, settings, seed, classes, file, made, made_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (after.base.name, after.learner.name, json.dumps(after.learner.settings()), after.seed,
             json.dumps(after.classes), file, after.made, ledger.now())).lastrowid
        db.executemany("INSERT INTO lineage VALUES (?, ?)",
                       [(made, one - FIRST_ID) for one in sorted(after.samples)])
        must_scrub(db)
        yield db, made


def must_scrub(db: sqlite3.Connection) -> None:
    """Note, within a transaction that deletes, that its traces are to be removed afterwards."""
    db.execute("INSERT OR IGNORE INTO chore VALUES (?)", (SCRUB,))


def spent_of(learner: Learner, model: nn.Module) -> float | None:
    """What a model has spent of a budget so far, None where its learner has none."""
    if not has_budget(learner):
        return None
    return store.secret_of(model)["spent"].item()


def tidy() -> str:
    """Delete the files that no row names, and finish what a killed process began.

    Called by whoever holds the lock of :func:`~forget.records.database.working`. Returns what is
    still to be done and why, in words; nothing where all is clean.
    """
    try:
        _tidy()
    except (Busy, CannotWrite) as error:  # the note stays, and the next call tries again
        return (f"what was deleted is not yet gone from the disk ({error.__cause__ or error}): "
                "free some space, close other programs that use the records, and start this "
                "program again")
    return ""


def is_tidy() -> bool:
    """Whether no killed process left anything of a model, or deleted pages, behind."""
    unnamed, must_be_scrubbed = leftovers()
    return not unnamed and not must_be_scrubbed


def leftovers() -> tuple[list[Path], bool]:
    """The files that no row names, and whether deleted pages may still be on the disk."""
    with reading() as db:
        named = {row[0] for row in db.execute("SELECT file FROM model")}
        chore = db.execute("SELECT 1 FROM chore WHERE what = ?", (SCRUB,)).fetchone()
    named |= {store.secret_path(home(file)).name for file in named}
    folder = downloads() / FOLDER
    there = list(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if path.name not in named], chore is not None


def _tidy() -> None:
    unnamed, must_be_scrubbed = leftovers()
    with on_disk():
        for path in unnamed:
            path.unlink()
    sweep()
    if must_be_scrubbed:
        scrub()
        with writing() as db:
            db.execute("DELETE FROM chore WHERE what = ?", (SCRUB,))
