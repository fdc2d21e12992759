"""Requests to be forgotten: asked, waiting in a queue, carried out on top of each other.

A request is on disk before any work on it begins. The work ends in one transaction: the new model
takes the place of the old one, the samples and what was made from them go, the request is done,
and the ledger says so. A process that is killed before leaves the request waiting; killed
afterwards, it is done.
"""

import copy
import dataclasses
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import torch

from forget.core.device import derive, generator
from forget.core.errors import BadInput, Busy, Cancelled, CannotWrite, Diverged, ForgetError
from forget.core.knobs import make
from forget.core.steps import drive
from forget.data import Dataset
from forget.data import kept as kept_on_disk
from forget.io.files import abandoned, sweep
from forget.learners import Learner
from forget.methods import METHODS, Method, Spending, Task, check_suits
from forget.records import ledger, measured
from forget.records.bases import BASES, Base, base_called
from forget.records.composition import composes, limit, one_more
from forget.records.contributions import GONE, Kept, kept
from forget.records.database import NAME, Connection, reading, writing
from forget.records.database import path as database_path
from forget.records.history import certificates
from forget.records.lineage import (
    Live,
    dataset_with,
    has_budget,
    learner_of,
    live,
    loss_of,
    spent_of,
)
from forget.records.replace import (
    Files,
    becoming,
    changing,
    drop_strays,
    give_up,
    is_tidy,
    must_scrub,
    tidy,
    to_learn_again,
)
from forget.records.taught import learn_again
from forget.unlearning.certificate import issue
from forget.unlearning.request import NOTHING, Forgotten, Request, split
from forget.unlearning.result import Result, Start
from forget.unlearning.run import run
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

WAITING, DONE, FAILED = "waiting", "done", "failed"
AT_ONCE = 1
TIMES = ("seconds", "processor_seconds", "prepare_seconds", "prepare_processor_seconds")
"""What a model's record says of how long it took to make."""

MOST_AT_A_TIME = 1000

SPEC = "what a contributor gave"
"""How a request is called wherever its result stands: it must not tell whose it was."""

EXACT = {"network": "retrain", "sisa": "sisa", "convex": "certified"}
"""Learner to the method that proves most about its models."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request that waits. ``method``: None where the records are damaged there. ``samples``: how
    many it is about; ``taught``: how many of them the model has learnt."""

    id: int
    base: Base
    contributor: str
    method: Method | None
    asked_at: str
    samples: int
    taught: int

    @property
    def how(self) -> str:
        """The method in words."""
        return "a method that cannot be read any more" if self.method is None else self.method.title


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a request.

    ``result``: the run, None where the model had learnt none of the samples.  ``entry``: its
    number in the ledger.  ``failed``: why it could not be carried out, in words; it can be asked
    again, with another method.  ``untidy``: what still has to be cleaned up.
    """

    asked: Asked
    result: Result | None
    entry: int
    failed: str = ""
    untidy: str = ""


def ask(contributor: str, methods: dict[str, Method]) -> list[int]:
    """Ask that everything of a contributor be forgotten: one request a base that they gave to.

    ``methods``: base to method. What is asked for already keeps its place in the queue. Raises
    :class:`BadInput` for a method that does not suit the base's model, and where
    nothing is held.
    """
    for name, method in methods.items():
        base = base_called(name)
        if (learner := learner_of(base)) and not loss_of(base):
            check_suits(method, learner)
    with writing() as db:
        who = db.execute("SELECT * FROM contributor WHERE name = ?", (contributor,)).fetchone()
        if who is None:
            raise BadInput("nothing is held about this contributor: check the name")
        bases = [row[0] for row in db.execute(
            "SELECT DISTINCT base FROM sample WHERE contributor = ?", (who["id"],))]
        if missing := [name for name in bases if name not in methods]:
            raise BadInput(f"there is something of theirs in {', '.join(missing)} too: choose a "
                           "method for it")
        return [_asked(db, base, who, methods[base]) for base in bases]


def erase_kept(contributor: str) -> int:
    """Delete the photos that were only kept under this name; returns how many files that were."""
    return kept_on_disk.delete(contributor)


def _asked(db: Connection, base: str, who: sqlite3.Row, method: Method) -> int:
    waiting = db.execute("SELECT id FROM request WHERE base = ? AND contributor = ? AND state = ?",
                         (base, who["id"], WAITING)).fetchone()
    if waiting is not None:
        return waiting["id"]
    count = db.execute("SELECT count(*) FROM sample WHERE base = ? AND contributor = ?",
                       (base, who["id"])).fetchone()[0]
    entry = ledger.append(db, "asked", {"base": base, "samples": count, "method": method.name},
                          ledger.subject_of(who["key"], who["name"]))
    return db.execute(
        "INSERT INTO request (base, contributor, method, settings, state, asked_at, entry) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (base, who["id"], method.name, json.dumps(method.settings()), WAITING, ledger.now(),
         entry)).lastrowid


def waiting(base: Base | None = None) -> list[Asked]:
    """The requests that wait, of one base or of all, in their order."""
    with reading() as db:
        rows = db.execute(
            "SELECT request.*, contributor.name FROM request JOIN contributor "
            "ON contributor.id = request.contributor WHERE state = ? AND (?2 IS NULL OR base = ?2)"
            " ORDER BY request.id", (WAITING, base and base.name)).fetchall()
        return [_read(db, row) for row in rows if row["base"] in BASES]


def _read(db: Connection, row: sqlite3.Row) -> Asked:
    base = base_called(row["base"])
    ids = "SELECT id FROM sample WHERE base = ? AND contributor = ?"
    who = (base.name, row["contributor"])
    samples = db.execute(f"SELECT count(*) FROM ({ids})", who).fetchone()[0]
    taught = db.execute(f"SELECT count(DISTINCT sample) FROM lineage WHERE sample IN ({ids})",
                        who).fetchone()[0]
    return Asked(row["id"], base, row["name"], _method(row), str(row["asked_at"]), samples, taught)


def _method(row: sqlite3.Row) -> Method | None:
    try:
        return make(METHODS[row["method"]], json.loads(row["settings"]))
    except (BadInput, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def policy(base: Base) -> int:
    """How many requests must wait before they are carried out together; 1: at once."""
    with reading() as db:
        row = db.execute("SELECT batch FROM policy WHERE base = ?", (base.name,)).fetchone()
    # A damaged number is none, and to carry out at once keeps nobody waiting.
    return row["batch"] if row is not None and type(row["batch"]) is int else AT_ONCE


def set_policy(base: Base, batch: int) -> None:
    """Carry requests out at once (1), or when so many wait."""
    if not AT_ONCE <= batch <= MOST_AT_A_TIME:
        raise BadInput(f"take from {AT_ONCE} to {MOST_AT_A_TIME} requests at a time")
    if batch == policy(base):
        return
    with writing() as db:
        db.execute("INSERT OR REPLACE INTO policy VALUES (?, ?)", (base.name, batch))
        ledger.append(db, "policy", {"base": base.name, "batch": batch})


def due(base: Base) -> list[Asked]:
    """The requests to be carried out now, by the base's policy."""
    asked = waiting(base)
    return asked if len(asked) >= policy(base) else []


def carry_out(base: Base, watch: Watch = UNWATCHED, references: int = 1,
              now: bool = False) -> list[Done]:
    """Carry out what is due, or with ``now`` all that waits, one after the other.

    Requests for single samples by the same method that wait together under a batching policy are
    one run. Each run starts from the model that the one before left. A request that cannot be
    carried out is noted as failed and the others go on; a cancelled one goes on waiting.
    """
    with changing(watch):
        done: list[Done] = []
        together = policy(base) > AT_ONCE
        try:
            if waiting(base) if now else due(base):
                give_up(base)
            while asked := (waiting(base) if now or done else due(base)):
                group = _group(asked) if together else asked[:1]
                done += _carried_out(base, group, references, watch)
        except (Cancelled, CannotWrite, Busy) as error:
            if not done:
                raise
            # Those before it are done whatever happens now, and the rest goes on waiting.
            done[-1] = dataclasses.replace(done[-1], untidy="the others go on waiting: "
                                           + str(error).removesuffix("; nothing was changed"))
        else:
            _learn_again(base, done, watch)
        return done


def _learn_again(base: Base, done: list[Done], watch: Watch) -> None:
    """Train anew what a lost model had learnt of others, after what was to go is gone."""
    try:
        learn_again(base, watch)
    except ForgetError as error:
        if not done:
            raise
        done[-1] = dataclasses.replace(done[-1], untidy="the model was lost, and what others gave "
                                       "could not be learnt again: start this program again, and "
                                       f"it is tried again ({error})")


def resume(watch: Watch = UNWATCHED) -> list[Done]:
    """Finish what a killed process left, and carry out what is due, in every base."""
    if not database_path().is_file():
        sweep()  # a comparison or a fetch may have been killed that needs no records
        return []
    with changing(watch):
        for base in BASES.values():
            give_up(base)
    return [one for base in BASES.values() if due(base) or to_learn_again(base)
            for one in carry_out(base, watch)]


def is_resumed() -> bool:
    """Whether :func:`resume` has nothing to do."""
    return is_tidy() and not any(abandoned()) and not any(
        due(base) or to_learn_again(base) or loss_of(base) for base in BASES.values())


def _group(asked: Sequence[Asked]) -> list[Asked]:
    """The first request, and those that go with it in one run."""
    first = asked[0]
    here = {one.label for one in kept(first.base)}
    open_labels = here - set(first.base.dataset().classes)  # their own: a class, not samples
    if open_labels & {one.label for one in kept(first.base, first.contributor)}:
        return [first]
    return [one for one in asked if one.method == first.method
            and not open_labels & {own.label for own in kept(one.base, one.contributor)}]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run that is to be made.

    ``here``: the model as it is.  ``learnt``: what it learnt of what was given, and ``gone``: the
    ids of those that go.  ``classes``: its names for outputs when they are gone.
    """

    here: Live
    learnt: list[Kept]
    gone: frozenset[int]
    request: Request
    classes: tuple[str, ...]

    @property
    def start(self) -> Start:
        return Start(self.here.stored, self.here.learner)

    def dataset(self, watch: Watch = UNWATCHED) -> Dataset:
        """All that the model learnt from. A name that goes is not in it: what is hashed and
        measured must not hold it."""
        dataset = dataset_with(self.here.base, self.here.learner, self.learnt, self.here.classes,
                               watch)
        return dataclasses.replace(dataset, classes=self.classes)


def plan(base: Base, contributors: Sequence[str]) -> Plan | None:
    """What forgetting these contributors means for the base's model; None where it learnt nothing
    of theirs."""
    learner = learner_of(base)
    if learner is None:
        return None
    here = live(base, learner)
    learnt = here.learnt()
    theirs = [one for one in learnt if one.contributor in contributors]
    if not theirs:
        return None
    public = base.dataset().classes
    rest = {one.label for one in learnt if one.contributor not in contributors}
    labels = {one.label for one in theirs}
    whole = len(labels) == 1 and not labels & {*rest, *public}
    classes = tuple(name if name in rest or index < len(public) else GONE.format(index)
                    for index, name in enumerate(here.classes))
    ids = torch.tensor(sorted(one.id for one in theirs))
    return Plan(here, learnt, frozenset(ids.tolist()),
                Request(SPEC, ids, here.classes.index(*labels) if whole else None), classes)


def spends(base: Base, learner: Learner | None) -> bool:
    """Whether requests to a base's model spend of a budget, or of the limit for publications."""
    return has_budget(learner) or (composes(learner) and limit(base) is not None)


def forecast(base: Base, contributors: Sequence[str], method: Method,
             watch: Watch = UNWATCHED) -> Spending | None:
    """What a request would spend of a budget, before it is asked for; None where there is none."""
    planned = plan(base, contributors)
    return None if planned is None else _forecast(planned, method, watch)


def _forecast(planned: Plan, method: Method, watch: Watch) -> Spending | None:
    if not has_budget(planned.here.learner):
        return one_more(planned.here, method)
    check_suits(method, planned.here.learner)
    dataset, seed = planned.dataset(watch), planned.here.seed
    forget, retain = split(dataset.train, planned.request, NOTHING)
    model = copy.deepcopy(planned.here.model)
    drive(planned.here.learner.prepare(model, dataset.train, generator(derive(seed, "prepare", 0))),
          watch.step, watch.cancelled)
    return method.spends(model, Task(planned.here.learner, forget, retain, dataset.held_out,
                                     False, (), generator(seed)))


def _carried_out(base: Base, group: list[Asked], references: int, watch: Watch) -> list[Done]:
    names = [one.contributor for one in group]
    if group[0].method is None:
        return [_failed(one, f"its method cannot be read any more in {NAME}") for one in group]
    planned = plan(base, names)
    result = None
    if planned is not None:
        try:
            method = group[0].method
            spending = _forecast(planned, method, watch)
            if spending is not None:
                watch.announce(spending)
                method = dataclasses.replace(method, anew=spending.retrains)
            result = run(planned.dataset(watch), planned.start, planned.request, method,
                         planned.here.seed, references, watch)
        except (BadInput, Diverged) as error:
            return [_failed(one, str(error)) for one in group]
    watch.phase("Deleting what was held")
    for name in names:
        erase_kept(name)
    hashes = {one.sha256 for name in names for one in kept(base, name) if not one.damaged}
    base.source.erase(hashes)
    if planned is None:
        with writing() as db:
            entries = [_delete(db, one, {}) for one in group]
    else:
        after = _after(planned, result, group[0].method)
        files = Files.of(after.stored)
        outcome = _outcome(base, planned, result, files)
        with becoming(planned.here, after, files) as (db, _):
            entries = [_delete(db, one, outcome) for one in group]
    untidy = tidy()
    return [Done(one, result, entry, untidy=untidy)
            for one, entry in zip(group, entries, strict=True)]


def _after(planned: Plan, result: Result, method: Method) -> Live:
    """The model with what was forgotten taken out, and out of its lineage."""
    here = planned.here
    record = result.record() | {name: here.stored.record[name] for name in
                                TIMES if name in here.stored.record}
    return dataclasses.replace(
        here, stored=Stored(result.unlearned, record), classes=planned.classes,
        samples=here.samples - planned.gone, made=method.name, row=None)


def _outcome(base: Base, planned: Plan, result: Result, files: Files) -> dict[str, Any]:
    """What is kept of a run: figures and hashes, nothing of the data and no name."""
    shown = result.to_json()
    was_anew = bool(result.kept_back.get("retrained"))
    with reading() as db:
        earlier = [] if was_anew else certificates(base, ledger.entries(db))
    certificate = None
    if result.statement is not None:
        certificate = issue(result.statement, planned.here.model, result.unlearned,
                            Forgotten((planned.request,)), files.public, files.secret,
                            earlier)
    return {
        **{name: shown[name] for name in (
            "method", "learner", "params", "seed", "device", "threads", "seconds", "metrics",
            "references", "distance_to_retrained", "processor_seconds", "speed_up",
            "speed_up_of", "unchanged", "verdict", "verdict_reason", "versions")},
        "whole_class": planned.request.class_index is not None,
        "test_accuracy": result.measured_unlearned.accuracies["test_retain_accuracy"],
        "spent": spent_of(planned.here.learner, result.unlearned),
        "anew": was_anew,
        "model_sha256_before": Files.of(planned.here.stored).sha256,
        "model_sha256": files.sha256,
        "certificate": certificate,
    }


def _delete(db: Connection, asked: Asked, outcome: dict[str, Any]) -> int:
    """Delete everything held for one request, within its transaction; returns the entry."""
    who = db.execute("SELECT contributor.* FROM request JOIN contributor "
                     "ON contributor.id = request.contributor WHERE request.id = ? AND state = ?",
                     (asked.id, WAITING)).fetchone()
    if who is None:
        raise BadInput("the request was carried out by another program meanwhile")
    drop_strays(db)
    gone = db.execute("DELETE FROM sample WHERE base = ? AND contributor = ?",
                      (asked.base.name, who["id"])).rowcount
    rest = db.execute("SELECT count(*) FROM sample WHERE contributor = ?",
                      (who["id"],)).fetchone()[0]
    entry = ledger.append(
        db, "forgotten", {"base": asked.base.name, "request": asked.id, "samples": gone,
                          "key_destroyed": not rest, **measured.sealed(outcome)},
        ledger.subject_of(who["key"], who["name"]))
    measured.keep(db, entry, outcome)
    db.execute("UPDATE request SET state = ?, contributor = NULL, entry = ? WHERE id = ?",
               (DONE, entry, asked.id))
    if not rest:
        db.execute("DELETE FROM contributor WHERE id = ?", (who["id"],))
    must_scrub(db)
    return entry


def _failed(asked: Asked, why: str) -> Done:
    with writing() as db:
        who = db.execute("SELECT contributor.* FROM request JOIN contributor ON contributor.id = "
                         "request.contributor WHERE request.id = ?", (asked.id,)).fetchone()
        entry = ledger.append(db, "failed", {"base": asked.base.name, "request": asked.id,
                                             "method": asked.method and asked.method.name},
                              ledger.subject_of(who["key"], who["name"]))
        db.execute("UPDATE request SET state = ?, entry = ? WHERE id = ?",
                   (FAILED, entry, asked.id))
    return Done(asked, None, entry, failed=why)
