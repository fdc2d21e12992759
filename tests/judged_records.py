"""The judge of a data folder in which a process was killed.

It reads the journal of what the process was promised, and the database without the program that is
judged: all that was promised must be there, what was under way must be there wholly or not at all,
and nothing else may be. Then it lets the program clean up in a copy of the folder, so that the next
process meets what the killed one left, and looks for whatever should be gone.
"""

import contextlib
import copy
import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import sqlite3
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forget.data import kept as kept_on_disk
from forget.io.files import Bundle
from forget.records import database, ledger, lineage, requests, trace
from forget.records.database import NAME, reading
from forget.unlearning import store
from tests.small_base import SMALL

WAITING, DONE, FAILED = "waiting", "done", "failed"
OLD_SECONDS = 2 * 24 * 3600
"""How old files are in the copy that is cleaned up: nothing half-written stays for ever."""

CHANGES = ("taught", "forgotten")


@dataclasses.dataclass
class State:
    """What is in the records, as far as it was promised to somebody.

    ``samples``: by contributor, pairs of label and row.  ``requests``: id to state and contributor,
    who is not known any more once it is done.  ``counts``: entries of the ledger by what they say.
    """

    samples: dict[str, set[tuple[str, bytes]]] = dataclasses.field(default_factory=dict)
    requests: dict[int, tuple[str, str]] = dataclasses.field(default_factory=dict)
    counts: Counter = dataclasses.field(default_factory=Counter)
    batch: int = 1

    @property
    def held(self) -> set[bytes]:
        return {row for those in self.samples.values() for _, row in those}

    @property
    def waiting(self) -> dict[int, str]:
        return {one: by for one, (state, by) in self.requests.items() if state == WAITING}

    def after(self, begun: dict[str, Any], ended: dict[str, Any]) -> "State":
        """What must be there once an operation came to its end."""
        now = copy.deepcopy(self)
        if "refused" in ended or "crashed" in ended:
            return now
        match begun["begin"]:
            case "add":
                now._added(begun)
            case "ask":
                now._asked(begun["by"], ended["ids"])
            case "carry_out" | "resume":
                now._carried_out(ended["done"])
            case "teach":
                now.counts["taught"] += 1
            case "policy":
                now.counts["policy"] += now.batch != begun["batch"]
                now.batch = begun["batch"]
        return now

    def _added(self, begun: dict[str, Any]) -> None:
        rows = {(begun["label"], bytes.fromhex(row)) for row in begun["rows"]}
        before = self.samples.get(begun["by"], set())
        self.samples[begun["by"]] = before | rows
        self.counts["added"] += not rows <= before

    def _asked(self, by: str, ids: list[int]) -> None:
        for one in ids:
            if one not in self.requests:
                self.requests[one] = (WAITING, by)
                self.counts["asked"] += 1

    def _carried_out(self, done: list[tuple[int, str]]) -> None:
        for one, failed in done:
            _, by = self.requests[one]
            self.requests[one] = (FAILED if failed else DONE, by)
            self.counts["failed" if failed else "forgotten"] += 1
            if not failed:
                self.samples.pop(by)


def guessed(before: State, begun: dict[str, Any], found: State) -> dict[str, Any] | None:
    """How an operation that was under way seems to have ended; None where it has done nothing."""
    match begun["begin"]:
        case "add":
            rows = {bytes.fromhex(row) for row in begun["rows"]}
            return {} if rows & found.held else None
        case "ask":
            new = sorted(set(found.requests) - set(before.requests))
            return {"ids": new} if new else None
        case "carry_out" | "resume":
            done = [(one, found.requests[one][0] == FAILED) for one in before.waiting
                    if found.requests.get(one, (WAITING,))[0] != WAITING]
            return {"done": done}
        case "teach":
            return {} if found.counts["taught"] > before.counts["taught"] else None
        case "policy":
            return {} if found.batch == begun["batch"] else None
    return None


def differences(due: State, found: State) -> list[str]:
    """In words how what is there differs from what must be."""
    said = []
    for name in sorted({*due.samples, *found.samples}):
        must, has = due.samples.get(name, set()), found.samples.get(name, set())
        said += [f"{len(must - has)} samples that were acknowledged are lost"] * bool(must - has)
        said += [f"{len(has - must)} samples are there that should not be"] * bool(has - must)
    for one in sorted({*due.requests, *found.requests}):
        must, has = (state.requests.get(one, ("unknown", "")) for state in (due, found))
        if must[0] != has[0] or (has[0] != DONE and must[1] != has[1]):
            said.append(f"request {one} is {has[0]}, and should be {must[0]}")
    for what in sorted({*due.counts, *found.counts}):
        if due.counts[what] != found.counts[what]:
            said.append(f"the ledger has {found.counts[what]} entries “{what}”, and should have "
                        f"{due.counts[what]}")
    if due.batch != found.batch:
        said.append(f"the policy is {found.batch}, and should be {due.batch}")
    return said


def read(path: Path) -> tuple[State, list[str]]:
    """What the database holds, and what is wrong with it whatever was promised."""
    found, wrong = State(), []
    if not path.is_file() or not path.stat().st_size:
        return found, []
    with contextlib.closing(sqlite3.connect(path)) as db:
        if (check := db.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            wrong.append(f"the database is damaged: {check[:3]}")
        if db.execute("PRAGMA foreign_key_check").fetchall():
            wrong.append("a row names another one that is not there")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone():
            return found, wrong  # killed before there was a schema
        for name, label, x in db.execute("SELECT name, label, x FROM sample JOIN contributor ON "
                                         "contributor.id = sample.contributor"):
            found.samples.setdefault(name, set()).add((label, x))
        for one, state, name in db.execute(
                "SELECT request.id, state, ifnull(name, '') FROM request LEFT JOIN contributor ON "
                "contributor.id = request.contributor"):
            found.requests[one] = (state, name)
        entries = [(what, json.loads(body)) for what, body in
                   db.execute("SELECT what, body FROM ledger ORDER BY number")]
        found.counts = Counter(what for what, _ in entries)
        for row in db.execute("SELECT batch FROM policy"):
            found.batch = row[0]
        wrong += [*_once(found, entries), *_model(db, path.parent, entries)]
    return found, wrong


def _once(found: State, entries: list[tuple[str, dict]]) -> list[str]:
    """A request that is done or failed has one entry that says so, and others have none."""
    wrong = []
    for what, state in (("forgotten", DONE), ("failed", FAILED)):
        said = Counter(body["request"] for name, body in entries if name == what)
        must = Counter(one for one, (now, _) in found.requests.items() if now == state)
        wrong += [f"request {one} is {what} {said[one]} times in the ledger, and {must[one]} times "
                  "in the records" for one in sorted(said | must) if said[one] != must[one]]
    return wrong


def _model(db: sqlite3.Connection, folder: Path, entries: list[tuple[str, dict]]) -> list[str]:
    """The live model's file is the one of the last entry that made one."""
    rows = db.execute("SELECT file FROM model").fetchall()
    hashes = [body["model_sha256"] for what, body in entries
              if what in CHANGES and "model_sha256" in body]
    if len(rows) != bool(hashes):
        return [f"there are {len(rows)} models after {len(hashes)} entries that made one"]
    if not rows:
        return []
    file = folder / database.MODELS / rows[0][0]
    if not file.is_file():
        return ["the file of the live model is not there"]
    if hashlib.sha256(file.read_bytes()).hexdigest() != hashes[-1]:
        return ["the live model is not the one that the ledger names last"]
    return []


@dataclasses.dataclass
class Judge:
    """Follows one data folder from kill to kill.

    ``bundle``: what is fetched there.  ``state``: what must be there.  ``ever``: every row that was
    ever held, ``names``: every contributor.  ``photos``: kept ones of those who are there, with the
    contributor, ``promised``: of these what was acknowledged, ``gone``: those of whoever was
    forgotten.
    """

    folder: Path
    journal: Path
    bundle: Bundle
    state: State = dataclasses.field(default_factory=State)
    ever: set[bytes] = dataclasses.field(default_factory=set)
    names: set[str] = dataclasses.field(default_factory=set)
    photos: dict[bytes, str] = dataclasses.field(default_factory=dict)
    promised: set[bytes] = dataclasses.field(default_factory=set)
    gone: set[bytes] = dataclasses.field(default_factory=set)
    read_to: int = 0

    def look(self, clean: bool = True) -> dict[str, Any]:
        """What was done since the last time, what was under way, and in words every fault that is
        found; without ``clean`` only those in the records."""
        did, faults, begun = Counter(), [], None
        for line in self._new_lines():
            if "begin" in line:
                begun = line
                continue
            if "crashed" in line:
                faults.append(f"{begun['begin']} crashed: {line['crashed']}")
            if line.get("left"):
                faults.append("a comparison came to its end with runs left to do")
            did[f"{begun['begin']} refused" if "refused" in line else begun["begin"]] += 1
            self._keep_in_mind(self.state.after(begun, line), begun)
            if begun["begin"] == "keep" and "refused" not in line:
                self.promised.add(bytes.fromhex(begun["photo"]))
            begun = None
        copied = self._copied(".seen")
        found, wrong = read(copied / NAME)
        faults += wrong
        due = self.state
        if begun is not None:
            ended = guessed(due, begun, found)
            due = due if ended is None else due.after(begun, ended)
        faults += differences(due, found)
        self._keep_in_mind(found, begun)
        faults += self._lost_photos(copied)
        if clean:
            faults += self._cleaned(self._copied(".cleaned"))  # as it was: nobody has read it
        return {"during": begun["begin"] if begun else "between", "did": did, "faults": faults}

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        """What was written to the journal since the last time, but for a line that broke off."""
        if not self.journal.is_file():
            return
        lines = self.journal.read_bytes().splitlines(keepends=True)
        for line in lines[self.read_to:]:
            if line.endswith(b"\n"):
                yield json.loads(line)
        self.read_to = len(lines)

    def _keep_in_mind(self, state: State, begun: dict[str, Any] | None) -> None:
        self.state = state
        self.ever |= state.held
        self.names |= set(state.samples)
        if begun is not None and begun["begin"] == "keep":
            self.photos[bytes.fromhex(begun["photo"])] = begun["by"]
        left = {data for data, by in self.photos.items() if by not in state.samples}
        self.gone |= left
        self.promised -= left
        self.photos = {data: by for data, by in self.photos.items() if data not in left}

    def _lost_photos(self, copied: Path) -> list[str]:
        """Kept photos that are not there; those of whoever asked may be gone already."""
        asked = {by for _, by in self.state.requests.values()}
        here = {path.read_bytes() for path in (copied / kept_on_disk.FOLDER).rglob("*.jpg")}
        lost = {data for data in self.promised - here if self.photos[data] not in asked}
        return [f"{len(lost)} kept photos that were acknowledged are lost"] * bool(lost)

    def _copied(self, suffix: str) -> Path:
        """A copy of the folder in which all is so old that nobody can be at work on it."""
        copied = self.folder.with_suffix(suffix)
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(self.folder, copied)
        old = time.time() - OLD_SECONDS
        for path in copied.rglob("*"):
            os.utime(path, (old, old))
        return copied

    def _cleaned(self, copied: Path) -> list[str]:
        try:
            return in_another(lambda: self._clean(copied))
        except RuntimeError as error:
            return [f"cleaning up: {error}"]

    def _clean(self, copied: Path) -> list[str]:
        """Let the program finish what is left, as it does when it starts, and look for the rest."""
        os.environ["FORGET_HOME"] = str(copied)
        with reading() as db:
            wrong = [f"before cleaning: {fault}" for fault in ledger.verify(db).faults]
        done = [[one.asked.id, one.failed] for one in requests.resume()]
        found, more = read(copied / NAME)
        wrong += more + differences(self.state.after({"begin": "resume"}, {"done": done}), found)
        if requests.resume():
            wrong.append("what was carried out is carried out again")
        with reading() as db:
            wrong += [f"after cleaning: {fault}" for fault in ledger.verify(db).faults]
            wrong += ["a chore is left"] * bool(db.execute("SELECT 1 FROM chore").fetchone())
            files = {row[0] for row in db.execute("SELECT file FROM model")}
            lost = db.execute("SELECT count(*) FROM lineage WHERE sample NOT IN "
                              "(SELECT id FROM sample)").fetchone()[0]
        wrong += [f"the model learnt from {lost} samples that are gone"] * bool(lost)
        if len(found.waiting) >= found.batch:
            wrong.append("requests that are due were not carried out")
        return wrong + self._left(copied, found, files) + self._broken(copied)

    def _left(self, copied: Path, found: State, files: set[str]) -> list[str]:
        """What of forgotten samples, photos and names, and of half-done work, is still there."""
        gone = [SMALL.read(row) for row in self.ever - found.held]
        photos = [*self.gone, *(data for data, by in self.photos.items()
                                if by not in found.samples)]
        if list(copied.glob(".partial-*")):
            self.bundle.ensure()  # whoever fetches next clears away what another left
        hits = trace.search("", gone, photos)
        for name in sorted(self.names - set(found.samples)):
            hits += trace.search(name)
            hits += [trace.Hit("people", "a folder")] * kept_on_disk.folder_of(name).exists()
        wrong = [f"{hit.what} of somebody forgotten is in {hit.file}" for hit in hits]
        own = files | {store.secret_path(Path(file)).name for file in files}
        wrong += [f"taught/{path.name} is left" for path in (copied / database.MODELS).glob("*")
                  if path.name not in own]
        wrong += [f"{path.relative_to(copied)} is left" for path in copied.rglob(".*")
                  if path.suffix != ".lock"]
        return wrong

    def _broken(self, copied: Path) -> list[str]:
        """What has its name and cannot be read."""
        wrong = []
        here = lineage.learner_of(SMALL)
        if here is not None:
            live = lineage.live(SMALL, here)
            wrong += ["the model knows the name of somebody forgotten" for name in
                      (self.names - set(self.state.samples)) & set(live.classes)]
        for folder in ("trained", "runs"):
            for path in (copied / folder).glob("[!.]*.safetensors"):
                store.read_sealed(path)
            for path in (copied / folder).glob("[!.]*.json"):
                json.loads(path.read_text())
        return wrong


class Crash(str):
    """What a process said when it broke off."""


def in_another(work: Callable[[], Any]) -> Any:
    """What comes of work in another process, so that nothing of it stays in this one."""
    hear, say = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = work()
        except BaseException:  # noqa: BLE001 - told to whoever asked
            said = Crash(traceback.format_exc())
        with open(say, "wb") as file:  # noqa: PTH123 - no path
            file.write(pickle.dumps(said))
        os._exit(0)
    os.close(say)
    with open(hear, "rb") as file:  # noqa: PTH123 - no path
        said = file.read()
    os.waitpid(child, 0)
    came = pickle.loads(said)  # noqa: S301 - from the process above
    if isinstance(came, Crash):
        raise RuntimeError(f"another process crashed: {came}")
    return came
