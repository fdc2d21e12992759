"""Operations on the records under hard conditions, each in a process of its own.

    python -m tests.hard_times [--step KB] [--every N] [--operations NAME …]

The data folder is a small tmpfs, so that it can be full or read-only even for root. An operation
is tried under a condition, the condition ends, and the operation is tried again; after both a judge
(:mod:`tests.judged_records`) looks whether all is there that was promised, and nothing else. One
line of JSON a try stands on standard output.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from forget.core.device import use_fixed_threads
from forget.io import files
from forget.io.files import Bundle
from forget.records import database, ledger
from forget.unlearning.warm import warm
from tests.judged_records import Judge, in_another
from tests.killed_records import (
    Journal,
    Moments,
    Worker,
    bundle_at,
    in_child,
    only_small,
    serve,
    told_by,
    watch_moments,
)

OPERATIONS = ("add", "keep", "ask", "teach", "carry_out", "resume", "policy", "fetch", "compare")
LONG = ("teach", "carry_out", "compare")
MEGABYTES = 8
"""Of the tmpfs: room for everything, the bundle packed and unpacked included."""

MOST_KILOBYTES = 400
"""With so much room every operation but a fetch comes to its end."""

PATIENCE = 0.1
"""Seconds that a transaction waits for another program's, instead of the program's own 5."""

LONGEST_SENTENCE = 300
"""Letters, the data folder's path included."""

NOBODY = 65534
FILLER = "filler"
LONG_AGO = "2020-01-01T00:00:00.000+00:00"


@dataclasses.dataclass(frozen=True)
class Tried:
    """One operation under one condition.

    ``refused``: the sentence that it was refused with, "" where it was done.  ``untidy``: where it
    was, what could not be cleaned up, in words.  ``faults``: in words what is wrong: a crash,
    something lost, or an operation that does not work afterwards.
    """

    condition: str
    operation: str
    refused: str
    untidy: str
    faults: list[str]


@dataclasses.dataclass(frozen=True)
class Grip:
    """What the process under a condition does itself: ``prepare`` before it works, and ``act`` at
    the moment of this place (:class:`~tests.killed_records.Moments`), where one is named."""

    prepare: Callable[[], None] = lambda: None
    at: int | None = None
    act: Callable[[], None] = lambda: None


Hold = Callable[[Path], contextlib.AbstractContextManager[Grip]]

FREE = Grip()


# Conditions: what holds while the block goes on.


@contextlib.contextmanager
def full(home: Path, kilobytes: int) -> Iterator[Grip]:
    """The disk has so much room left."""
    fill(home, kilobytes)
    yield FREE
    (home / FILLER).unlink()


@contextlib.contextmanager
def full_from(home: Path, place: int) -> Iterator[Grip]:
    """The disk becomes full at a moment of the operation."""
    yield Grip(at=place, act=lambda: fill(home))
    (home / FILLER).unlink(missing_ok=True)


@contextlib.contextmanager
def filling(home: Path) -> Iterator[Grip]:
    """The disk becomes full once something is being downloaded."""
    real = files.download

    def download(*args, **more):
        fill(home)
        real(*args, **more)

    yield Grip(lambda: setattr(files, "download", download))
    (home / FILLER).unlink(missing_ok=True)


def fill(home: Path, kilobytes: int = 0) -> None:
    free = shutil.disk_usage(home).free
    (home / FILLER).write_bytes(bytes(max(0, free - (kilobytes << 10))))


@contextlib.contextmanager
def read_only(home: Path) -> Iterator[Grip]:
    """The file system takes no writes."""
    mount("-o", "remount,ro", home)
    yield FREE
    mount("-o", "remount,rw", home)


@contextlib.contextmanager
def somebody_elses(home: Path) -> Iterator[Grip]:
    """The folder belongs to another user, who lets everybody read it."""
    paths = [home, *home.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield Grip(lambda: os.seteuid(NOBODY))
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode)


@contextlib.contextmanager
def held(home: Path, *statements: str, place: int | None = None) -> Iterator[Grip]:
    """Another process holds the database, from the beginning or from a moment on."""
    (wait, go), (hear, say) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        in_child(lambda: keep_holding(home / database.NAME, statements, wait, say))

    def hold() -> None:
        os.write(go, b"!")
        os.read(hear, 1)

    if place is None:
        hold()
    yield Grip(lambda: setattr(database, "WAIT_SECONDS", PATIENCE), place, hold)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for end in (wait, go, hear, say):
        os.close(end)


def keep_holding(path: Path, statements: tuple[str, ...], wait: int, say: int) -> None:
    """What another process does; where somebody else holds it already, nothing."""
    os.read(wait, 1)
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    with contextlib.suppress(sqlite3.OperationalError):
        for statement in statements:
            db.execute(statement).fetchall()
    os.write(say, b"!")
    signal.pause()


@contextlib.contextmanager
def set_back(_home: Path) -> Iterator[Grip]:
    """The clock shows a time before everything in the ledger."""
    yield Grip(lambda: setattr(ledger, "now", lambda: LONG_AGO))


WRITES = ("BEGIN IMMEDIATE",)
HOLDS_ALL = ("PRAGMA locking_mode = EXCLUSIVE", "SELECT * FROM chore", "BEGIN IMMEDIATE")
READS = ("BEGIN", "SELECT * FROM ledger")

CONDITIONS: dict[str, Hold] = {
    "read-only file system": read_only,
    "somebody else's folder": somebody_elses,
    "another process writes": lambda home: held(home, *WRITES),
    "another process holds all": lambda home: held(home, *HOLDS_ALL),
    "another process reads": lambda home: held(home, *READS),
    "clock set back": set_back,
}

WORDS = {"disk": "full|space", "read-only": "let this program write",
         "somebody": "let this program write", "another": "another program|other programs"}
"""By the first word of a condition, what a clear sentence on it says."""


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def can_become_nobody() -> bool:
    """Whether there is another user here that a process can become."""
    lines = [list(map(int, line.split())) for line in
             Path("/proc/self/uid_map").read_text().splitlines()]
    return os.geteuid() == 0 and any(at <= NOBODY < at + count for at, _, count in lines)


# One try after the other.


@dataclasses.dataclass
class Bench:
    """A data folder on a disk of its own, and another one that it starts from each time.

    ``seeds``: by operation, a seed with which there is something to do for it.
    """

    home: Path
    template: Path
    bundle: Bundle
    seeds: dict[str, int] = dataclasses.field(default_factory=dict)

    def prepare(self, operations: list[str]) -> None:
        """Somebody was forgotten, somebody waits for it, and there is something new to learn."""
        self.template.mkdir()
        draw = random.Random(0)
        for name in ("add", "add", "keep", "teach", "ask", "carry_out", "add", "teach", "ask",
                     "add"):
            while "refused" in self._came(self.template, name, draw.getrandbits(32)):
                pass  # another draw
        self._judge = Judge(self.template, self.template.with_suffix(".journal"), self.bundle)
        faults = self._judge.look()["faults"]
        if faults or len(self._judge.state.waiting) != 1:
            raise RuntimeError(f"there is nothing to start from: {faults}")
        for name in operations:
            self.seeds[name] = next(seed for seed in range(100) if not self._refused(name, seed))

    def _refused(self, operation: str, seed: int) -> bool:
        self._start_over()
        return "refused" in self._came(self.home, operation, seed)

    def _start_over(self) -> Judge:
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.template, self.home, dirs_exist_ok=True)
        journal = shutil.copy(self._judge.journal, self.home.with_suffix(".journal"))
        return dataclasses.replace(copy.deepcopy(self._judge), folder=self.home, journal=journal)

    def _came(self, home: Path, operation: str, seed: int, grip: Grip = FREE) -> dict[str, Any]:
        """What comes of an operation in a process of its own, as the journal has it, and its
        ``moments``."""
        return in_another(lambda: self._do(home, operation, seed, grip))

    def _do(self, home: Path, operation: str, seed: int, grip: Grip) -> dict[str, Any]:
        os.environ["FORGET_HOME"] = str(home)
        moments = Moments(random.Random(seed), lambda _: grip.act())
        if grip.at is not None:
            watch_moments(moments)
        journal = Journal(home.with_suffix(".journal"))
        worker = Worker(random.Random(seed), journal, moments, self.bundle)
        grip.prepare()
        return worker.do(operation, grip.at) | {"moments": moments.seen}

    def _moments(self, operation: str) -> list[str]:
        self._start_over()
        return self._came(self.home, operation, self.seeds[operation], Grip(at=-1))["moments"]

    def tried(self, condition: str, operation: str, hold: Hold) -> Tried:
        """One operation under one condition and once more after it."""
        judge, seed = self._start_over(), self.seeds[operation]
        with hold(self.home) as grip:
            came = self._came(self.home, operation, seed, grip)
        faults = judge.look(clean=False)["faults"]
        again = self._came(self.home, operation, seed)
        if "refused" in came and "refused" in again:
            faults.append(f"afterwards it does not work either: {again['refused']}")
        faults += judge.look()["faults"]
        said = [came.get(name, "").replace(str(self.home), "DATA")
                for name in ("refused", "untidy")]
        for sentence in said:
            faults += unclear(condition, sentence)
        return Tried(condition, operation, *said, faults)

    def all(self, step: int) -> Iterator[Tried]:
        """Every operation under every condition."""
        for operation in self.seeds:
            for kilobytes in range(0, MOST_KILOBYTES, step):
                one = self.tried(f"disk full but for {kilobytes} KB", operation,
                                 functools.partial(full, kilobytes=kilobytes))
                yield one
                if not one.refused or operation == "fetch":  # which asks for room beforehand
                    break
            for condition, hold in CONDITIONS.items():
                if hold is not somebody_elses or can_become_nobody():
                    yield self.tried(condition, operation, hold)
        if "fetch" in self.seeds:
            yield self.tried("disk full while fetching", "fetch", filling)

    def midway(self, every: int) -> Iterator[Tried]:
        """A disk that becomes full, and a database that somebody takes, at moments of the
        operations that take a while: ``every`` so many moments one."""
        for operation in [name for name in LONG if name in self.seeds]:
            for place, moment in list(enumerate(self._moments(operation)))[::every]:
                for what, hold in (
                    ("disk full", functools.partial(full_from, place=place)),
                    ("another process writes", lambda home, at=place: held(
                        home, *WRITES, place=at)),
                    ("another process reads", lambda home, at=place: held(
                        home, *READS, place=at)),
                ):
                    yield self.tried(f"{what} from {place + 1}: {moment}", operation, hold)


def unclear(condition: str, said: str) -> list[str]:
    """What is wrong with a sentence, in words; nothing where nothing is said."""
    words = WORDS.get(condition.split()[0], "nothing is ever refused for it")
    wrong = []
    if "\n" in said or len(said) > LONGEST_SENTENCE:
        wrong.append("what is said is not one sentence")
    if said and not re.search(words, said):
        wrong.append(f"what is said is not what is wrong: {said}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=8)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--operations", nargs="+", default=list(OPERATIONS))
    options = parser.parse_args()
    use_fixed_threads()
    warm()
    only_small()
    server, port = serve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "home").mkdir()
        mount("-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=755", "tmpfs", folder / "home")
        try:
            bench = Bench(folder / "home", folder / "template", bundle_at(port))
            bench.prepare(options.operations)
            for one in itertools.chain(bench.all(options.step), bench.midway(options.every)):
                print(json.dumps(dataclasses.asdict(one)), flush=True)
        finally:
            subprocess.run(["umount", folder / "home"], check=True)
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


# From outside.


def command(*arguments: str) -> list[str]:
    """A command in a space of its own for mounts; root there, whoever starts it."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else [
        "unshare", "--user", "--map-root-user", "--mount"]
    return [*own, *arguments]


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have a disk of our own."""
    return not subprocess.run(command("mount", "-t", "tmpfs", "tmpfs", str(folder)),
                              capture_output=True).returncode


def tried(step: int, every: int, operations: Sequence[str] = OPERATIONS) -> Iterator[Tried]:
    """Try every operation under every condition.

    A disk is full but for nothing, ``step`` KB and so on, until the operation is done; it becomes
    full, or the database is taken, at ``every`` so many moments of one.
    """
    arguments = command(sys.executable, "-m", "tests.hard_times", "--step", str(step),
                        "--every", str(every), "--operations", *operations)
    return (Tried(**one) for one in told_by(arguments))


if __name__ == "__main__":
    main()
