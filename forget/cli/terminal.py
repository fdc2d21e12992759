"""What the commands share on a terminal: arguments, and progress on standard error."""

import argparse
import contextlib
import io
import os
import sys
from typing import Any

from tqdm import tqdm

from forget.core.errors import BadInput
from forget.core.spelling import printable
from forget.io.files import Progress
from forget.unlearning.watch import Watch

MAX_SEED = 2**63 - 1


def say_any_text() -> None:
    """Let both outputs take letters that the terminal does not have, as escapes like \\xe9."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def unsaid(error: OSError) -> int:
    """The exit status where the system refused a file, or to take what was printed.

    Whoever reads may have had enough, as ``head`` has: then nothing more is said to them, also by
    Python at its end.
    """
    what = (f"'{printable(str(error.filename))}' could not be read or written"
            if error.filename else "not all that was printed was taken")
    with contextlib.suppress(OSError):
        print(f"forget: {what} ({error.strerror})", file=sys.stderr, flush=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return 1


def add_dataset(sub: argparse.ArgumentParser) -> None:
    """The arguments of every command that reads a dataset and says what is wrong with its files."""
    sub.add_argument("dataset", metavar="DATASET")
    sub.add_argument("--verbose", action="store_true",
                     help="say of every file what is wrong with it, and not only of some of a kind")


def add_common(sub: argparse.ArgumentParser) -> None:
    """The arguments of every command that trains: hyperparameters and the seed."""
    sub.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", dest="knobs",
                     help="a hyperparameter of the method, or learner.KNOB=VALUE")
    sub.add_argument("--seed", type=seed, default=0, metavar="N")


def seed(text: str) -> int:
    """An argument that is a seed."""
    value = int(text)
    if not 0 <= value <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"must lie between 0 and {MAX_SEED}")
    return value


def count(text: str) -> int:
    """An argument that is a small count."""
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("must lie between 1 and 100")
    return value


def assignments(pairs: list[str]) -> dict[str, str]:
    """KNOB=VALUE, KNOB=VALUE, … as a dictionary."""
    assigned = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise BadInput(f"'{printable(pair)}' is not KNOB=VALUE; write for example --set "
                           "epochs=2")
        assigned[name] = value
    return assigned


class Bars(Watch):
    """Progress on standard error: one bar at a time."""

    def __enter__(self):
        self._bar: tqdm | None = None
        self._name = self._shown = ""
        return self

    def __exit__(self, *_):
        self._close()

    def phase(self, name):
        self._close()
        self._name = name

    def step(self, step, seconds):
        self._show(self._name, step.index, step.total, unit="step")

    def announce(self, spending):
        tqdm.write(spending.words, file=sys.stderr)

    def bytes(self, progress: Progress) -> None:
        """Progress of a download."""
        in_bytes = progress.unit == "byte"
        self._show(progress.what, progress.done, progress.total,
                   unit="B" if in_bytes else progress.unit, unit_scale=in_bytes)

    def _show(self, name: str, done: int, total: int, **look: Any) -> None:
        if self._bar is None or self._shown != name:
            self._close()
            self._bar = tqdm(total=total, desc=name, file=sys.stderr, mininterval=0.2, **look)
            self._shown = name
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
