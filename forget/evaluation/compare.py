"""Any methods on one request over several seeds, side by side; what was finished stays on disk.

One run is one method under one seed: the original of that seed, the method, a model retrained
without the data, and everything that is measured of them. Its record and its model lie in
``forget_downloads/runs/`` under a name made of all that determines them, so nothing is done twice
and a comparison that was killed goes on where it was.
"""

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from forget.core import memory
from forget.core.device import THREADS, derive, generator, versions
from forget.core.errors import BadInput, DamagedFile, Diverged
from forget.core.times import NOTHING_DONE, WALL, SpeedUp, Took, mean, speed_up
from forget.data import Dataset
from forget.evaluation.audit import NO_CLASS, NO_FEATURES, NO_WAY_BACK, Audit
from forget.io import sheets
from forget.io.files import check_writable, write_atomically
from forget.io.paths import downloads
from forget.learners import Learner
from forget.methods import Method
from forget.metrics.distance import tug_of_war
from forget.metrics.guessing import Learnt
from forget.metrics.interval import Interval, ratio_of_means
from forget.metrics.membership import population_attack
from forget.metrics.probe import probe
from forget.metrics.relearn import BACK_WITHIN, relearn
from forget.metrics.unknown import Threshold
from forget.metrics.verdict import MATCHES, Verdict, judge, with_audit
from forget.unlearning import store
from forget.unlearning.learn import learn, start_from
from forget.unlearning.measure import ORIGINAL, RETRAINED, SPLITS, UNLEARNED, Splits
from forget.unlearning.represent import content_hash, recipe_of, represent
from forget.unlearning.request import NOTHING, Forgotten, Request
from forget.unlearning.result import Result
from forget.unlearning.run import run
from forget.unlearning.store import Stored
from forget.unlearning.watch import UNWATCHED, Watch

FOLDER = "runs"
VERSION = 3
"""Of what a record holds: another one makes all runs anew."""

SEAL = "sha256"
"""The entry of a record that holds the hash of all others."""

NAMES = {"original": "original", "unlearned": "unlearned", "reference": "retrained"}
"""A table's name for each model, and a record's."""

MOST_SEEDS = 100

NO_UNSEEN = "No unseen sample of the class is there to probe with."

Entry = tuple[Method, Learner]
Record = dict[str, Any]


def compare(
    dataset: Dataset,
    request: Request,
    entries: Sequence[Entry],
    seeds: Sequence[int],
    watch: Watch = UNWATCHED,
) -> "Comparison":
    """Run every method under every seed, but for what was finished before.

    ``entries``: each method with the learner whose models it edits; no method twice. The request
    is the same under all seeds. A method that refuses the request, or whose numbers do not stay
    finite, is named in :attr:`Comparison.refused`, and the others go on; where all of them do,
    the last one's error is raised. Raises :class:`BadInput` for entries that do not fit.
    """
    comparison = Comparison(dataset, request, tuple(entries), tuple(seeds))
    names = [method.name for method, _ in entries]
    if not names or len(set(names)) < len(names):
        raise BadInput("name each method once, and at least one")
    if not 1 <= len(set(seeds)) == len(seeds) <= MOST_SEEDS:
        raise BadInput(f"take from 1 to {MOST_SEEDS} different seeds")
    shelf, total = Shelf(dataset), len(entries) * len(seeds)
    for done, (seed, (method, learner)) in enumerate(
        ((seed, entry) for seed in seeds for entry in entries), 1
    ):
        key = comparison.key_of(method, learner, seed)
        if method.name in comparison.refused or shelf.record(key) is not None:
            continue
        watch.phase(f"Run {done} of {total}: {method.title}, seed {seed}")
        shelf.check_room(key)
        try:
            shelf.put(key, *_one(dataset, request, method, learner, seed, watch))
        except (BadInput, Diverged) as error:
            comparison.refused[method.name] = str(error)
            if len(comparison.refused) == len(entries):
                raise
        watch.compared(comparison)
    return comparison


@memory.told()
def _one(
    dataset: Dataset, request: Request, method: Method, learner: Learner, seed: int, watch: Watch
) -> tuple[Record, nn.Module]:
    """One run, measured: its record, and the unlearned model."""
    start = start_from(learner, dataset, seed, watch)
    result = run(dataset, start, request, method, seed, 1, watch)
    watch.phase(f"Looking for what is left: {method.title}, seed {seed}")
    seen = represent(learner, dataset, watch)
    record = {
        "version": VERSION,
        "result": result.to_json(),
        "tested": len(seen.test),
        "population_auc": _population(result, seen),
        **_traces(result, seen, watch),
        "model": result.record(),
    }
    return record, result.unlearned


def _population(result: Result, dataset: Dataset) -> dict[str, float | None]:
    """The weak attack: margins on D_f against those on unseen samples of the same kind."""
    index, y = result.request.class_index, dataset.test.y.cpu()
    others = torch.ones_like(y, dtype=torch.bool) if index is None else y == index
    measured = zip(NAMES.values(), (result.measured_original, result.measured_unlearned,
                            result.measured_references[0]), strict=True)
    return {name: population_attack(m.forget, m.test.take(others)) for name, m in measured}


def _traces(result: Result, dataset: Dataset, watch: Watch) -> dict[str, Any]:
    """How the class comes back, and whether the features still hold it; None for samples."""
    index, seed = result.request.class_index, result.seed
    if index is None:
        return {"relearned": None, "probe": None}
    splits = Splits(dataset, result.request, NOTHING)  # relearning and the probe name a class
    target = result.measured_original.forget.named.accuracy - BACK_WITHIN
    models = dict(zip(NAMES.values(), (
        result.start.original, result.unlearned, result.references[0]), strict=True))
    back = {}
    for name in ("unlearned", "retrained"):
        watch.check()
        way = relearn(models[name], splits.forget, splits.retain, target,
                      generator(derive(seed, "relearn")))
        back[name] = {"accuracies": list(way.accuracies), "steps": way.steps, "back": way.back}
    found = {name: probe(model, dataset.train, dataset.test, index,
                         generator(derive(seed, "probe"))) for name, model in models.items()}
    return {"relearned": back | {"target": target}, "probe": found}


def _seal(record: Record) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


class Shelf:
    """Finished runs: on disk, or with the data in memory where those are private."""

    def __init__(self, dataset: Dataset):
        self._private = dataset.private
        self._name = dataset.name

    def path(self, key: str) -> Path:
        """Where a run's record lies; its model has the same name and another ending."""
        name = store.path_of(self._name, "run", key).stem
        return downloads() / FOLDER / f"{name}.json"

    def record(self, key: str) -> Record | None:
        """The record of a finished run."""
        if self._private is not None:
            return self._private.get(f"run/{key}", (None,))[0]
        path = self.path(key)
        if not (path.is_file() and path.with_suffix(".safetensors").is_file()):
            return None
        damaged = DamagedFile(f"{path} is damaged: delete it and the run is made again")
        try:
            record = json.loads(path.read_text())
            sealed = record.pop(SEAL)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged from error
        if sealed != _seal(record):
            raise damaged
        return record

    def check_room(self, key: str) -> None:
        """Raise :class:`~forget.core.errors.CannotWrite` where a run could not be kept."""
        if self._private is None:
            check_writable(self.path(key))

    def put(self, key: str, record: Record, model: nn.Module) -> None:
        """Keep a run; the record comes last, so that a run is finished or not there."""
        if self._private is not None:
            self._private[f"run/{key}"] = (record, model)
            return
        path = self.path(key)
        write_atomically(path.with_suffix(".safetensors"),
                         store.to_bytes(Stored(model, record["model"])))
        sealed = record | {SEAL: _seal(record)}
        write_atomically(path, (json.dumps(sealed, indent=1) + "\n").encode())

    def model(self, key: str) -> nn.Module:
        """The unlearned model of a finished run."""
        if self._private is not None:
            return self._private[f"run/{key}"][1]
        return store.load(self.path(key).with_suffix(".safetensors")).model


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods beside each other on one request; rows appear as their runs are finished.

    ``data``: the dataset as it was given.  ``audits``: what audits found, by the method's name.
    ``refused``: methods that could not be run, with the reason.
    """

    data: Dataset
    request: Request
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    audits: Mapping[str, Audit] = dataclasses.field(default_factory=dict)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)

    def key_of(self, method: Method, learner: Learner, seed: int) -> str:
        """A name for everything that determines one run."""
        return store.key_of(
            version=VERSION, data=self._data_sha256, forget=Forgotten((self.request,)).key,
            spec=self.request.spec, recipe=recipe_of(learner, self.data), method=method.name,
            params=method.settings(), seed=seed, threads=THREADS,
            device=self.data.train.y.device.type, versions=versions())

    @cached_property
    def key(self) -> str:
        """A name for everything that determines the whole comparison."""
        return store.key_of(runs=[self.key_of(*entry, seed) for entry in self.entries
                                  for seed in self.seeds])

    @cached_property
    def _data_sha256(self) -> str:
        return content_hash(self.data)

    @property
    def left(self) -> int:
        """Runs that are not finished."""
        shelf = Shelf(self.data)
        return sum(shelf.record(self.key_of(*entry, seed)) is None
                   for entry in self.entries for seed in self.seeds)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a method, over the seeds that are finished; methods without any are left out."""
        return [row_of(method, learner, runs, self.request, self.audits.get(method.name))
                for method, learner, runs in self._finished() if runs]

    def _finished(self) -> Iterator[tuple[Method, Learner, dict[str, Record]]]:
        """Each method with its finished runs: file name to record, in the order of the seeds."""
        shelf = Shelf(self.data)
        for method, learner in self.entries:
            keys = [self.key_of(method, learner, seed) for seed in self.seeds]
            yield method, learner, {f"{FOLDER}/{shelf.path(key).name}": record for key in keys
                                    if (record := shelf.record(key)) is not None}

    def records(self) -> dict[str, Record]:
        """The record behind every finished run, by its file's name in the data folder."""
        return {name: record for *_, runs in self._finished() for name, record in runs.items()}

    def record(self, method: str, seed: int) -> Record | None:
        """The record of one run, None while it is not finished."""
        return Shelf(self.data).record(self.key_of(*self._entry(method), seed))

    def threshold(self, method: str, seed_index: int = 0) -> Threshold | None:
        """The line between somebody and nobody in a finished run, None where there is none."""
        told = self.record(method, self.seeds[seed_index])["result"]["unknown"]
        return told and Threshold(**{field.name: told[field.name]
                                     for field in dataclasses.fields(Threshold)})

    def _entry(self, method: str) -> Entry:
        return next(entry for entry in self.entries if entry[0].name == method)

    def models(self, method: str, seed_index: int = 0) -> dict[str, nn.Module]:
        """The three models of a finished run; they take the inputs of ``data``."""
        entry, seed = self._entry(method), self.seeds[seed_index]
        learner, device = entry[1], self.data.train.y.device
        reference = learn(learner, self.data, derive(seed, "reference", 0),
                          NOTHING + self.request)
        unlearned = Shelf(self.data).model(self.key_of(*entry, seed))
        return {ORIGINAL: start_from(learner, self.data, seed).model,
                UNLEARNED: unlearned.to(device), RETRAINED: reference.model}

    def to_json(self) -> dict[str, Any]:
        """Plain data: what tables, reports and pages are drawn from."""
        index = self.request.class_index
        return {
            "dataset": self.data.name,
            "classes": list(self.data.classes),
            "forget": {"spec": self.request.spec, "train_samples": len(self.request),
                       "class": None if index is None else self.data.classes[index]},
            "seeds": list(self.seeds),
            "device": self.data.train.y.device.type,
            "threads": THREADS,
            "versions": versions(),
            "data_sha256": self._data_sha256,
            "rows": self.rows,
            "refused": self.refused,
        }


def with_audits(comparison: Comparison, audits: Mapping[str, Audit]) -> Comparison:
    """The comparison with what audits found, and with the verdicts that follow from it."""
    return dataclasses.replace(comparison, audits=dict(comparison.audits) | dict(audits))


def row_of(
    method: Method, learner: Learner, runs: Mapping[str, Record], request: Request,
    audit: Audit | None,
) -> dict[str, Any]:
    """One method's figures over its finished runs, ``runs``: record file to record."""
    records = list(runs.values())
    results = [record["result"] for record in records]
    seconds = {part: _spread([one["seconds"][part] for one in results])
               for part in ("prepare", "forget", "retrain")}
    accuracy = {split: _accuracy(results, split) for split in SPLITS}
    verdict, matching = _verdicts(results, accuracy, request)
    if audit is not None:
        verdict = with_audit(verdict, audit.checks)
    return {
        "method": method.name, "title": method.title, "learner": learner.name,
        "params": results[0]["params"],
        "accuracy": accuracy,
        "tug_of_war": _spread([tug_of_war(*(one["metrics"][model]
                                            for model in ("unlearned", "retrained")))
                               for one in results]),
        "population_auc": _by_model(records, "population_auc"),
        "membership": audit and _membership(audit),
        **_relearning(records, request), **_probing(records, request),
        "seconds": seconds,
        **_faster(results).to_json(),
        "unchanged": sum(one["unchanged"] for one in results),
        "certificate": _certificate(results[0]["certificate"]),
        "verdict": verdict.words, "reason": verdict.reason, "matching": matching,
        "finished": len(records),
        "audit": None if audit is None else {
            "clear": audit.clear, "told": audit.told,
            "checks": [check.to_json() for check in audit.checks]},
        "records": list(runs),
    }


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and sample standard deviation over the seeds, and the values themselves."""
    known = [value for value in values if value is not None]
    return {"mean": statistics.fmean(known) if known else None,
            "spread": statistics.stdev(known) if len(known) > 1 else None, "each": list(values)}


def _by_model(records: list[Record], what: str) -> dict[str, Any]:
    return {name: _spread([record[what][model] for record in records])
            for name, model in NAMES.items()}


def _accuracy(results: list[dict], split: str) -> dict[str, Any]:
    of = {name: _spread([one["metrics"][model][split] for one in results])
          for name, model in NAMES.items()}
    got, want = of["unlearned"]["mean"], of["reference"]["mean"]
    return of | {"gap": None if got is None or want is None else got - want}


def _verdicts(
    results: list[dict], accuracy: dict[str, Any], request: Request
) -> tuple[Verdict, int]:
    """The verdict on the means, and how many seeds match on their own; all against the mean and
    the spread of the retrained models of all seeds."""
    def of(model: str, what: str) -> dict[str, float | None]:
        return {split: value[model][what] for split, value in accuracy.items()}

    size = None if request.class_index is not None else len(request)
    beside = (of("reference", "mean"), of("reference", "spread"), size,
              results[0]["unseen_to_keep"])
    unchanged = [one["unchanged"] for one in results]
    learnt = [Learnt.of(one["original_learnt"]) for one in results]
    verdict = judge(of("unlearned", "mean"), *beside, all(unchanged), Learnt.together(learnt))
    if any(unchanged) and not all(unchanged):
        verdict = dataclasses.replace(verdict, reason=f"{verdict.reason} With {sum(unchanged)} of "
                                      f"{len(unchanged)} seeds nothing was changed.")
    return verdict, sum(
        judge(one["metrics"]["unlearned"], *beside, one["unchanged"], knew).words == MATCHES
        for one, knew in zip(results, learnt, strict=True))


def _faster(results: list[dict]) -> SpeedUp:
    """Retraining over forgetting, by the means over the seeds in which anything was changed."""
    changed = [one for one in results if not one["unchanged"]]
    if not changed:
        return SpeedUp(None, None, NOTHING_DONE)

    def of(part: str) -> Took | None:
        each = [Took(one["seconds"][part], one["processor_seconds"][part],
                     part != "prepare" and one["speed_up_of"] == WALL) for one in changed]
        return None if any(took.wall is None for took in each) else mean(each)

    return speed_up(of("prepare"), of("forget"), of("retrain"))


def _relearning(records: list[Record], request: Request) -> dict[str, Any]:
    """Steps until the class is back, unlearned over retrained."""
    if request.class_index is None:
        return {"relearn": {"ratio": None, "why": NO_CLASS, "steps": {}, "curves": {}}}
    def each(what: str) -> dict[str, list]:
        return {side: [record["relearned"][NAMES[side]][what] for record in records]
                for side in ("unlearned", "reference")}

    steps = each("steps")
    below = statistics.fmean(steps["reference"])
    ratio = ratio_of_means(steps["unlearned"], steps["reference"])
    if ratio is None and below > 0:
        ratio = Interval(statistics.fmean(steps["unlearned"]) / below)
    return {"relearn": {"ratio": ratio and ratio.to_json(), "why": "" if ratio else NO_WAY_BACK,
                        "steps": steps, "curves": each("accuracies")}}


def _probing(records: list[Record], request: Request) -> dict[str, Any]:
    """Recall of the class by a fresh head on each model's features."""
    if request.class_index is None:
        return {"probe": None, "probe_why": NO_CLASS}
    if any(record["probe"]["unlearned"] is None for record in records):
        unseen = records[0]["result"]["metrics"]["unlearned"]["test_forget_accuracy"]
        return {"probe": None, "probe_why": NO_UNSEEN if unseen is None else NO_FEATURES}
    return {"probe": _by_model(records, "probe"), "probe_why": ""}


def _membership(audit: Audit) -> dict[str, Any]:
    """What the likelihood-ratio attack can do."""
    shown = audit.to_json()
    return {name: shown[name] for name in
            ("original", "unlearned", "reference", "klom", "shadows", "samples")}


def _certificate(certificate: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of a certificate stands in a table."""
    if certificate is None:
        return None
    return {name: certificate[name] for name in
            ("mode", "epsilon", "delta", "covers", "residual", "residual_allowed")}


def csv_text(comparison: Comparison) -> str:
    """A row a method; columns are named by their place in :meth:`Comparison.to_json`."""
    rows = [dict(_flat(row)) for row in comparison.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return sheets.csv_text([names, *([row.get(name) for name in names] for row in rows)])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots and single values; lists are left to the JSON."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _flat(inside, f"{name}.{key}" if name else key)
    elif not isinstance(value, list):
        yield name, value
