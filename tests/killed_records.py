"""Processes that teach, forget, fetch and compare in a data folder, and get SIGKILL while they do.

    python -m tests.killed_records FOLDER [--kills N] [--homes N] [--seed N]

Each process is forked from one that has loaded everything, and writes what it was promised to a
journal outside of the data folder. Half of them die after a random time; the others at a moment
that was picked: before or after a rename, a commit, an unlink, an emptying of the log, or within a
VACUUM. One line of JSON a kill stands on standard output, with what
:mod:`tests.judged_records` found.
"""

import argparse
import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.server
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forget.core.device import use_fixed_threads
from forget.core.errors import ForgetError
from forget.data import kept as kept_on_disk
from forget.data.people import Photo
from forget.evaluation.compare import compare
from forget.io.files import Bundle, DeclaredFile, Mirror
from forget.methods import METHODS, Method
from forget.records import bases, contributions, lineage, requests, taught
from forget.unlearning.request import parse_request
from forget.unlearning.warm import warm
from tests import judged_records as judged
from tests.small_base import PEOPLE, SIZE, SMALL, learner

ROOT = Path(__file__).parent.parent

LONGEST = 1.6
"""Seconds of work after which a process that dies at random is dead."""

TOO_LONG = 40.0
"""Seconds after which a process that was to die at a picked moment is killed anyway."""

NAMES = [f"{first} {last}" for first in ("Amalia", "Bertram", "Cordula", "Dietmar", "Eleonore")
         for last in ("Quittenbaum", "Rosskopf", "Sauerbier", "Tannhauser", "Unterberg")]
LEARNERS = {
    "network": {"epochs": 1, "min_steps": 30},
    "sisa": {"epochs": 1, "shards": 2, "slices": 2, "min_steps": 10},
    "convex": {},
}
QUICK = {"finetune": {"min_steps": 20}, "gradient_ascent": {"max_steps": 20}}
OFTEN = {"add": 6, "keep": 1, "ask": 4, "carry_out": 5, "teach": 5, "policy": 1, "fetch": 3,
         "compare": 2}
"""How often each operation is drawn."""

BEFORE = {"carry_out": ("add", "add", "teach", "ask"), "teach": ("add",), "ask": ("add",),
          "keep": ("add",)}
"""What makes work for an operation."""

BUNDLE_BYTES = 400_000


def method(name: str) -> Method:
    """A method with settings that make it quick."""
    return METHODS[name](**QUICK.get(name, {}))


def only_small() -> None:
    """Make the small base the only one that there is, in this process."""
    bases.BASES.clear()
    bases.BASES[SMALL.name] = SMALL


class Journal:
    """What a process is about to do and what it was promised, one line of JSON each, synced."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.open = False
        """Whether something was begun and is not ended."""

    def write(self, **line: Any) -> None:
        self.open = "begin" in line
        os.write(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file)


# Moments at which a process can be told to die.


class Moments:
    """Counts the moments of an operation, and does something at one of them.

    ``seen``: their names, in order.  ``act_at``: the place of that one.  ``act`` gets its name, and
    may kill this process.
    """

    def __init__(self, draw: random.Random, act: Callable[[str], None]):
        self.seen: list[str] = []
        self.act_at: int | None = None
        self._draw, self._act = draw, act

    def begin(self, act_at: int | None) -> None:
        self.seen, self.act_at = [], act_at

    def pass_by(self, name: str) -> None:
        if self._due(name):
            self._act(name)

    def around(self, name: str, function: Callable[[], Any]) -> Any:
        self.pass_by(f"before {name}")
        done = function()
        self.pass_by(f"after {name}")
        return done

    def within(self, name: str, function: Callable[[], Any]) -> Any:
        """As ``around``, and a moment somewhere within: a thread waits for it, since what SQLite
        does holds no lock of Python's."""
        self.pass_by(f"before {name}")
        due = self._due(f"during {name}")
        if due:
            delay = self._draw.uniform(0, 0.004)
            waiting = threading.Thread(target=lambda: (time.sleep(delay),
                                                       self._act(f"during {name}")))
            waiting.start()
        done = function()
        if due:
            waiting.join()
        self.pass_by(f"after {name}")
        return done

    def _due(self, name: str) -> bool:
        self.seen.append(name)
        return self.act_at == len(self.seen) - 1


def watch_moments(moments: Moments) -> None:
    """Let every rename, unlink, commit, emptying of the log and VACUUM of this process tell."""

    def told(name: str, real: Callable) -> Callable:
        return lambda *args, **more: moments.around(name, lambda: real(*args, **more))

    class Told(sqlite3.Connection):
        def commit(self):
            moments.around("commit", super().commit)

        def execute(self, text, *values):
            run = functools.partial(super().execute, text, *values)
            if text == "VACUUM":
                return moments.within("VACUUM", run)
            return moments.around("log emptied", run) if "wal_checkpoint" in text else run()

    os.replace = told("rename", os.replace)
    os.unlink = told("unlink", os.unlink)
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Told)


# What such a process does.


@dataclasses.dataclass(frozen=True)
class Worker:
    """One process at work in the folder of FORGET_HOME; ``bundle``: what it fetches."""

    draw: random.Random
    journal: Journal
    moments: Moments
    bundle: Bundle

    def work(self, target: str = "", act_at: int = 0) -> None:
        """Carry on until killed; at a moment of an operation of one kind, where one is named."""
        self.do("resume")
        for name in BEFORE.get(target, ()):
            self.do(name)
        while target:
            self.do(target, act_at)
            if self.moments.seen:  # it had fewer than were known of: the last one, next time
                act_at = min(act_at, len(self.moments.seen) - 1)
            for name in BEFORE.get(target, ()):
                self.do(name)
        while True:
            self.do(*self.draw.choices(list(OFTEN), OFTEN.values()))

    def do(self, name: str, act_at: int | None = None) -> dict[str, Any]:
        """One operation, noted before and after: what came of it. A refusal is an answer, too."""
        self.moments.begin(act_at)
        try:
            outcome = getattr(self, name)()
        except ForgetError as error:
            outcome = {"refused": str(error)}
        except Exception:  # noqa: BLE001 - whatever it is, the judge must hear of it
            outcome = {"crashed": traceback.format_exc()}
        if not self.journal.open:  # nothing could even be looked up
            self.journal.write(begin="nothing")
        self.journal.write(end=name, **outcome)
        return outcome

    def resume(self) -> dict:
        self.journal.write(begin="resume")
        return came_of(requests.resume())

    def add(self) -> dict:
        by, count = self.draw.choice(NAMES), self.draw.randint(1, 4)
        rng = np.random.default_rng(self.draw.getrandbits(64))
        rows = [row.tobytes() for row in rng.normal(size=(count, SIZE)).astype(np.float32)]
        label = self.draw.choice((by, by, *PEOPLE))
        self.journal.write(begin="add", by=by, label=label, rows=[row.hex() for row in rows])
        return {"new": contributions.add(SMALL, by, [(label, SMALL.read(row)) for row in rows])}

    def keep(self) -> dict:
        """A photo, kept under the name of somebody who gave something and waits for nothing."""
        waiting = {one.contributor for one in requests.waiting()}
        free = [one.name for one in contributions.contributors() if one.name not in waiting]
        if not free:
            return {}
        photo = Photo(self.draw.choice(free), "photo.jpg", self.draw.randbytes(2000))
        self.journal.write(begin="keep", by=photo.person, photo=photo.data.hex())
        kept_on_disk.keep([photo])
        return {}

    def ask(self) -> dict:
        present = lineage.learner_of(SMALL)
        suited = [name for name in METHODS
                  if present is None or METHODS[name].learner == present.name]
        names = [one.name for one in contributions.contributors()] or NAMES[:1]
        by, how = self.draw.choice(names), self.draw.choice(suited)
        self.journal.write(begin="ask", by=by)
        return {"ids": requests.ask(by, {SMALL.name: method(how)})}

    def carry_out(self) -> dict:
        self.journal.write(begin="carry_out")
        return came_of(requests.carry_out(SMALL, now=self.draw.random() < 0.7))

    def teach(self) -> dict:
        present = lineage.learner_of(SMALL)
        how = self.draw.choice((taught.RETRAIN, taught.FINETUNE))
        if present is None or self.draw.random() < 0.4:
            name = self.draw.choice(list(LEARNERS))
        else:
            name = present.name
        if name != "network":
            how = taught.RETRAIN
        self.journal.write(begin="teach", how=how, learner=name)
        return {"untidy": taught.teach(SMALL, how, learner(name, **LEARNERS[name])).untidy}

    def policy(self) -> dict:
        batch = self.draw.randint(1, 3)
        self.journal.write(begin="policy", batch=batch)
        requests.set_policy(SMALL, batch)
        return {}

    def fetch(self) -> dict:
        """Fetch the bundle again: what an earlier call fetched is taken away first."""
        act_at, self.moments.act_at = self.moments.act_at, None
        for file in self.bundle.files:
            (self.bundle.folder / file.name).unlink(missing_ok=True)
        self.journal.write(begin="fetch")
        self.moments.begin(act_at)
        self.bundle.ensure()
        return {}

    def compare(self) -> dict:
        dataset, seed = SMALL.dataset(), self.draw.randrange(1000)
        request = parse_request(f"class:{self.draw.choice(PEOPLE)}", dataset, 0)
        entries = [(method(name), learner("network", **LEARNERS["network"]))
                   for name in ("finetune", "gradient_ascent")]
        self.journal.write(begin="compare", seed=seed)
        return {"left": compare(dataset, request, entries, [seed]).left}


def came_of(done: list[requests.Done]) -> dict:
    """What came of requests, as the journal has it."""
    return {"done": [[one.asked.id, one.failed] for one in done],
            "untidy": next((one.untidy for one in done if one.untidy), "")}


# A web server with something to fetch.


def contents() -> dict[str, bytes]:
    draw = random.Random(0)
    return {name: draw.randbytes(BUNDLE_BYTES // 2).hex().encode()
            for name in ("first.bin", "second.bin")}


def bundle_at(port: int) -> Bundle:
    """Two files at a server of this machine."""
    files = tuple(DeclaredFile(name, hashlib.sha256(data).hexdigest(), len(data))
                  for name, data in contents().items())
    return Bundle("stand_in", files, (Mirror(f"http://127.0.0.1:{port}/"),), "wait for it")


def serve() -> tuple[int, int]:
    """Serve the files from a process of its own: its id and the port.

    Bytes come in small parts, so that there is time to die.
    """
    packed = {f"/{name}.gz": gzip.compress(data) for name, data in contents().items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = packed[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for start in range(0, len(data), 1 << 16):
                time.sleep(0.01)
                self.wfile.write(data[start:start + (1 << 16)])

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(ConnectionError):  # who asked was killed
                super().handle()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    child = os.fork()
    if not child:
        server.serve_forever()
    server.server_close()
    return child, server.server_port


# Starting and killing them, from a process that has loaded everything.


@dataclasses.dataclass
class Home:
    """A data folder in which processes come and go, its journal, and what must be in it."""

    folder: Path
    bundle: Bundle

    def __post_init__(self):
        self.folder.mkdir(parents=True)
        self.journal = self.folder.with_suffix(".journal")
        self.judge = judged.Judge(self.folder, self.journal, self.bundle)

    def start(self, seed: int, target: str = "", act_at: int = 0) -> tuple[int, int]:
        """A process at work, and the end of a pipe on which it says at what moment it dies."""
        hear, say = os.pipe()
        child = os.fork()
        if not child:
            in_child(lambda: self._work(seed, target, act_at, say))
        os.close(say)
        return child, hear

    def _work(self, seed: int, target: str, act_at: int, say: int) -> None:
        os.environ["FORGET_HOME"] = str(self.folder)
        draw = random.Random(seed)

        def die(name: str) -> None:
            os.write(say, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

        moments = Moments(draw, die)
        watch_moments(moments)
        Worker(draw, Journal(self.journal), moments, self.bundle).work(target, act_at)

    def moments(self, seed: int) -> dict[str, list[str]]:
        """The moments of each operation, from a process that nobody kills."""
        hear, say = os.pipe()
        child = os.fork()
        if not child:
            in_child(lambda: self._moments(seed, say))
        os.close(say)
        with open(hear, "rb") as file:  # noqa: PTH123 - no path
            said = file.read()
        os.waitpid(child, 0)
        return json.loads(said)

    def _moments(self, seed: int, say: int) -> None:
        os.environ["FORGET_HOME"] = str(self.folder)
        moments, found = Moments(random.Random(seed), print), {}
        watch_moments(moments)
        worker = Worker(random.Random(seed), Journal(self.journal), moments, self.bundle)
        for name in OFTEN:
            for one in (*BEFORE.get(name, ()), name):
                worker.do(one)
            found[name] = moments.seen
        os.write(say, json.dumps(found).encode())


def in_child(work: Callable[[], None]) -> None:
    """Do a child's work and end it without whatever its parent does at its own end."""
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing may go on in the parent's place
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def kill_at_random(home: Home, seed: int, after: float) -> str:
    child, hear = home.start(seed)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(hear)
    return "at random"


def kill_at(home: Home, seed: int, target: str, place: int) -> str:
    """Wait until a process died at a moment of an operation; which one that was."""
    child, hear = home.start(seed, target, place)
    timer = threading.Timer(TOO_LONG, os.kill, (child, signal.SIGKILL))
    timer.start()
    with open(hear, "rb") as file:  # noqa: PTH123 - no path
        said = file.read().decode()
    os.waitpid(child, 0)
    timer.cancel()
    return said or "at random"


def kills(folder: Path, count: int, homes: int, seed: int) -> Iterator[dict[str, Any]]:
    """Kill so many processes, spread over so many folders; a judge looks after each."""
    warm()
    only_small()
    server, port = serve()
    bundle, draw = bundle_at(port), random.Random(seed)
    try:
        planned = plan(Home(folder / "undisturbed", bundle).moments(seed), draw)
        home = None
        for index in range(count):
            if index * homes // count != (index - 1) * homes // count or home is None:
                home = Home(folder / f"home{index * homes // count}", bundle)
            picked = next(planned) if index % 2 else None
            if picked:
                how = kill_at(home, draw.getrandbits(32), *picked)
            else:
                how = kill_at_random(home, draw.getrandbits(32), draw.uniform(0, LONGEST))
            yield {"kill": index + 1, "picked": picked, "how": how} | home.judge.look()
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def plan(moments: dict[str, list[str]], draw: random.Random) -> Iterator[tuple[str, int]]:
    """Every moment of every operation, in a drawn order, again and again."""
    every = [(name, place) for name, seen in moments.items() for place in range(len(seen))]
    draw.shuffle(every)
    return itertools.cycle(every)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--homes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    use_fixed_threads()
    for line in kills(options.folder.resolve(), options.kills, options.homes, options.seed):
        print(json.dumps(line), flush=True)


# From outside.


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill: its number, at what moment it came and during which operation.

    ``picked``: the operation and the place of the moment that was picked, None for a random time.
    ``did``: how often each operation came to its end before, since the last kill.  ``faults``: what
    the judge found, in words.
    """

    kill: int
    picked: tuple[str, int] | None
    how: str
    during: str
    did: dict[str, int]
    faults: list[str]


def killed(folder: Path, count: int, homes: int, seed: int) -> Iterator[Kill]:
    """Kill so many processes, spread over so many data folders; each kill when it was judged."""
    command = [sys.executable, "-m", "tests.killed_records", folder, "--kills", str(count),
               "--homes", str(homes), "--seed", str(seed)]
    return (Kill(**one) for one in told_by(command))


def told_by(command: Sequence[str | Path]) -> Iterator[dict]:
    """Run a command in the folder of the project; each of its lines of JSON, as it comes.

    Raises:
        RuntimeError: it did not end well.
    """
    environment = os.environ | {"NO_PROXY": "*", "no_proxy": "*"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")


if __name__ == "__main__":
    main()
