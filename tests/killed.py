"""A comparison with an audit in a process of its own, to be killed and started again.

    python -m tests.killed DATA OUT [--seeds N] [--die-at TEXT]

Says what it does on standard output and writes the table to OUT. With ``--die-at`` it kills itself
just before the first file whose path holds TEXT gets its name: all is written then, and nothing is
there.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from forget.core.device import use_fixed_threads
from forget.data import find_dataset
from forget.evaluation.audit import audit
from forget.evaluation.compare import Comparison, compare, with_audits
from forget.io.files import write_atomically
from forget.io.private import KEY_BYTES, MACHINE_KEY
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.learners.sisa import Sisa
from forget.methods.certified import Certified
from forget.methods.finetune import FineTune
from forget.methods.sisa import SisaForget
from forget.unlearning import store
from forget.unlearning.request import parse_request
from forget.unlearning.watch import Watch

ROOT = Path(__file__).parent.parent
REQUEST = "class:2"
SHADOWS = 24
READY, FINISHED = "ready", "finished"
ENTRIES = (
    (FineTune(min_steps=40), Network(arch="linear", min_steps=40)),
    (SisaForget(), Sisa(arch="linear", epochs=4, shards=2, slices=2)),
    (Certified(), Convex()),
)
AUDITED = ENTRIES[:1]
TIMES = ("seconds", "speed_up", "speed_up_with_preparation", "speed_up_of")
"""What of a row no second run can give again."""


class Told(Watch):
    """Says on standard output what happens and what is done."""

    def phase(self, name):
        print(name, flush=True)

    def step(self, step, seconds):
        if step.doing == "training shadow models":
            print(f"{step.index} of {step.total} shadow models", flush=True)

    def compared(self, comparison: Comparison):
        print(f"{sum(row['finished'] for row in comparison.rows)} runs finished", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--die-at", default="")
    options = parser.parse_args()
    use_fixed_threads()
    if options.die_at:
        _die_at(options.die_at)
    dataset = find_dataset(options.data).load()
    request = parse_request(REQUEST, dataset, 0)
    print(READY, flush=True)
    comparison = compare(dataset, request, ENTRIES, range(options.seeds), Told())
    found = audit(dataset, request, AUDITED, 0, SHADOWS, watch=Told())
    shown = with_audits(comparison, found).to_json()
    shown["audits"] = {name: one.to_json() for name, one in found.items()}
    write_atomically(options.out, json.dumps(shown, allow_nan=False).encode())
    print(FINISHED, flush=True)


def _die_at(text: str) -> None:
    real = os.replace

    def replace(source, target):
        if text in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)

    os.replace = replace


# From outside: a home folder in which such processes come and go.


def save_data(folder: Path) -> Path:
    """Six clouds of rows: 10 training and 10 test rows each, as an ``.npz`` file."""
    rng = np.random.default_rng(0)
    centres, y = rng.normal(size=(6, 16)), np.repeat(np.arange(6), 10)
    parts = {part: (centres[y] + 0.5 * rng.normal(size=(60, 16))).astype(np.float32)
             for part in ("train", "test")}
    path = folder / "crowd.npz"
    np.savez(path, x_train=parts["train"], y_train=y, x_test=parts["test"], y_test=y)
    return path


class Home:
    """A data folder, what was seen in it, and the processes that work there.

    ``key``: the machine's key is the same in all homes, since a certificate's noise comes from it.
    """

    def __init__(self, folder: Path, data: Path, seeds: int = 2):
        folder.mkdir()
        (folder / MACHINE_KEY).write_bytes(b"k" * KEY_BYTES)
        self.folder, self._data, self._seeds = folder, data, seeds
        self._out = folder.with_suffix(".out.json")
        self._seen: dict[Path, tuple[int, str]] = {}

    def start(self, die_at: str = "") -> subprocess.Popen:
        """A process that has loaded everything and begins to work."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.killed", self._data, self._out,
             "--seeds", str(self._seeds), "--die-at", die_at],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"FORGET_HOME": str(self.folder), "FORGET_WORKERS": "1"})
        for line in process.stdout:
            if line.strip() == READY:
                return process
        raise RuntimeError(f"the process ended with {process.wait()} before it began")

    def kill(self, process: subprocess.Popen, after: float, lines: int = 0) -> str | None:
        """Kill it so many seconds after it said so many lines: what it last said; None where it was
        finished before."""
        heard = [process.stdout.readline() for _ in range(lines)]
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
        said = "".join([*heard, process.stdout.read()]).splitlines()
        process.wait()
        last = said[-1] if said else "begins"
        return None if last == FINISHED else last

    def finish(self, process: subprocess.Popen) -> dict[str, Any]:
        """Let it come to its end: the table, without what wall time decides."""
        said = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"the process ended with {process.returncode} after: {said}")
        return self.table()

    def table(self) -> dict[str, Any]:
        """The final table, without what wall time decides."""
        table = json.loads(self._out.read_text())
        for row in table["rows"]:
            for name in TIMES:
                del row[name]
        return table

    def kept(self, folder: str, ending: str = ".safetensors") -> list[Path]:
        """Files of one folder that have their name: what was being written has another."""
        found = (self.folder / folder).rglob(f"*{ending}")
        return sorted(path for path in found if not path.name.startswith("."))

    def intact(self) -> bool:
        """Whether all that has its name can be read, and nothing seen earlier was touched since.

        A shadow's scores are several files: where it was killed between two of them the first is
        written again, and must be the same.
        """
        records = self.kept("runs", ".json")
        sealed = [*self.kept("trained"), *self.kept("audits"),
                  *(path.with_suffix(".safetensors") for path in records)]
        for path in records:
            json.loads(path.read_text())
        for path in sealed:
            store.read_sealed(path)
        now = {path: (0 if "audits" in path.parts else path.stat().st_mtime_ns,
                      hashlib.sha256(path.read_bytes()).hexdigest())
               for path in records + sealed}
        same = self._seen.items() <= now.items()
        self._seen = now
        return same


if __name__ == "__main__":
    main()
