"""Certified forgetting among many people: seconds and memory from 40 to 10,000 identities.

    python -m bench.identities [--only SIZE ...]

Rows of 128 numbers: a centre a person, and around it 5 training photos, one held out and one to
test on. The learner has its recipe for faces (one class against the rest); each size runs in a
process of its own. Seconds are of one thread on a machine that may be shared: trust the ratios. A
line that begins with MISSED did not reach what is written behind it.
"""

import argparse
import dataclasses
import itertools
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from bench.certified import Report, peak_gigabytes
from forget.core.device import generator
from forget.core.steps import drive
from forget.data import Dataset, Samples
from forget.data.photos import RECIPES
from forget.io.private import KEY_BYTES, MACHINE_KEY
from forget.learners.convex import Convex
from forget.methods.certified import Certified
from forget.unlearning.learn import start_from
from forget.unlearning.measure import Splits
from forget.unlearning.represent import represent
from forget.unlearning.request import NOTHING, parse_request
from forget.unlearning.result import Start
from forget.unlearning.run import unlearn
from forget.unlearning.warm import warm

SIZES = (40, 200, 1000, 3000, 10_000)
MOST_GIGABYTES = 16.0
TARGET, A_SECOND = 1000, 1.0
"""Among so many people a request shall take a second at most."""

MOST_RETRAINED = 3000
"""People beyond whom the retrain is left out: it takes what the original's training took."""

WIDTH, SPREAD = 128, 1.5
"""Numbers of a row; standard deviation around a centre whose own numbers have 1."""

REQUESTS = {"a person": "class:p3", "3 photos": "samples:15,16,17"}
"""Person p3's photos are samples 15 to 19."""

TIMES = 3


def made_up(people: int) -> Dataset:
    """Private, so that nothing of it is written."""
    draw = generator(0)
    centres = torch.randn(people, WIDTH, generator=draw)

    def part(photos: int) -> Samples:
        y = torch.arange(people).repeat_interleave(photos)
        x = centres[y] + SPREAD * torch.randn(len(y), WIDTH, generator=draw)
        return Samples(x, y, torch.arange(len(y)))

    return Dataset("made up", tuple(f"p{i}" for i in range(people)), part(5), part(1), part(1),
                   private={})


@dataclasses.dataclass(frozen=True)
class Forgot:
    """One request: the least seconds of :data:`TIMES`, iterations, gradient norm at the end."""

    seconds: float
    iterations: int
    residual: float


@dataclasses.dataclass(frozen=True)
class Size:
    """What one process measured.

    ``retrain``: seconds of an exact retrain without the person, from nothing;  ``off``: the largest
    difference of a weight from it, noise on neither; None where it was left out.  ``secret``: bytes
    of what forgetting needs.  Peaks are gigabytes of the whole process, ``base`` before anything.
    """

    people: int
    accuracy: float
    train: float
    prepare: float
    forgot: dict[str, Forgot]
    retrain: float | None
    off: float | None
    secret: int
    base: float
    train_peak: float
    forget_peak: float


def measured(people: int) -> Size:
    """Train, prepare, forget and retrain, in a process that has measured nothing yet."""
    warm()
    dataset, learner = made_up(people), Convex(**RECIPES["convex"])
    base = peak_gigabytes()
    start = start_from(learner, dataset, 0)
    train_peak = peak_gigabytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    rows = represent(learner, dataset)
    done = {name: forgotten(rows, start, spec) for name, spec in REQUESTS.items()}
    forget_peak = peak_gigabytes()
    record = start.stored.record
    retrain, off = (compared(rows, start, done["a person"][1]) if people <= MOST_RETRAINED
                    else (None, None))
    return Size(people, record["test_accuracy"], record["seconds"],
                record["prepare_seconds"] - rows.feature_seconds,
                {name: one for name, (one, _) in done.items()}, retrain, off,
                sum(value.nbytes for value in start.model.secret.values()),
                base, train_peak, forget_peak)


def forgotten(rows: Dataset, start: Start, spec: str) -> tuple[Forgot, Tensor]:
    """A request's figures, and the weights without noise."""
    request = parse_request(spec, rows, 0)
    splits = Splits(rows, request, NOTHING)
    done = [unlearn(rows, start, request, Certified(), 0, splits) for _ in range(TIMES)]
    reached = done[0].proof.kept_back
    return (Forgot(min(one.seconds for one in done), reached["iterations"], reached["residual"]),
            done[0].model.secret["weights"])


def compared(rows: Dataset, start: Start, w: Tensor) -> tuple[float, float]:
    """Seconds of a retrain without the person, and how far ``w`` is from its weights."""
    retain = Splits(rows, parse_request(REQUESTS["a person"], rows, 0), NOTHING).retain
    draw = generator(1)
    model = start.learner.build(rows.input_shape, len(rows.classes), draw)
    seconds = drive(start.learner.train(model, retain, draw))
    return seconds, (model.secret["weights"] - w).abs().max().item()


def expected(size: Size, people: int) -> tuple[float, float]:
    """Gigabytes and seconds of training for more people, as (n, K) numbers grow."""
    growth = (people / size.people) ** 2
    return size.base + (size.train_peak - size.base) * growth, size.train * growth


def seconds_line(size: Size) -> str:
    person, photos = (one.seconds for one in size.forgot.values())
    # The original's training is the same work to five rows; what else runs only adds time.
    retrained = ("left out" if size.retrain is None else f"{size.retrain:.2f}, the quicker of it "
                 f"and training {min(size.retrain, size.train) / person:.1f} times a person")
    return (f"{size.people:6,}{100 * size.accuracy:11.1f}{size.train:11.2f}{size.prepare:11.2f}"
            f"{person:11.3f}{photos:11.3f}   {retrained}")


def other_line(size: Size) -> str:
    requests = "".join(f"{one.iterations:12}{one.residual:10.0e}" for one in size.forgot.values())
    off = "left out" if size.off is None else f"{size.off:.0e}"
    return (f"{size.people:6,}{requests}{off:>11}{size.secret / 1e6:12.1f}"
            f"{size.train_peak:9.2f}{size.forget_peak:9.2f}")


def exponents(one: Size, two: Size) -> str:
    """By which power of the number of people each grows."""
    values = [(size.train, size.prepare, *(each.seconds for each in size.forgot.values()),
               size.secret) for size in (one, two)]
    grown = (math.log(b / a) / math.log(two.people / one.people)
             for a, b in zip(*values, strict=True))
    return f"{one.people:,} to {two.people:,}".rjust(19) + "".join(f"{e:11.2f}" for e in grown)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", type=int, choices=SIZES, default=list(SIZES),
                        metavar="SIZE")
    options = parser.parse_args()
    report, begun, sizes = Report(), time.perf_counter(), []
    print(f"torch {torch.__version__}, one thread of {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before; seconds of\n{'people':6}{'accuracy %':>11}"
          f"{'training':>11}{'preparing':>11}" + "".join(f"{name:>11}" for name in REQUESTS)
          + "   a retrain without the person", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORGET_HOME"] = folder
        (Path(folder) / MACHINE_KEY).write_bytes(bytes(KEY_BYTES))  # the same noise in every run
        for people in options.only:
            peak, seconds = expected(sizes[-1], people) if sizes else (0.0, 0.0)
            if peak > MOST_GIGABYTES:
                print(f"{people:6,} left out: by what {sizes[-1].people:,} took, training would "
                      f"need about {peak:.0f} GB and {seconds / 60:.0f} minutes; one matrix of "
                      f"samples x people in double\n{'':7}precision has "
                      f"{5 * people**2 * 8 / 1e9:.0f} GB, and there are several at a time")
                continue
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                sizes.append(alone.submit(measured, people).result())
            print(seconds_line(sizes[-1]), flush=True)
    print(f"\n{'':6}" + "".join(f"{name:>22}" for name in REQUESTS)
          + f"{'w off the':>11}{'secret':>12}{'peak GB':>18}\n{'people':6}"
          + 2 * f"{'iterations':>12}{'residual':>10}" + f"{'retrain':>11}{'MB':>12}"
          f"{'train':>9}{'forget':>9}")
    for size in sizes:
        print(other_line(size))
    print(f"of the peaks {sizes[0].base:.2f} GB is the program before it does anything\n\n"
          f"exponents of people{'training':>11}{'preparing':>11}"
          + "".join(f"{name:>11}" for name in REQUESTS) + f"{'secret':>11}")
    for one, two in itertools.pairwise(sizes):
        print(exponents(one, two))
    print()
    for size in sizes:
        for name, one in size.forgot.items() if size.people == TARGET else ():
            report.range(f"{name} among {size.people:,} forgotten, seconds", one.seconds,
                         -math.inf, A_SECOND, ".2f")
    print(f"{time.perf_counter() - begun:.0f} s in all, load {os.getloadavg()[1]:.1f} at the end; "
          f"{len(report.missed)} missed")


if __name__ == "__main__":
    main()
