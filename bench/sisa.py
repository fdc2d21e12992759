"""SISA on MNIST: what a request costs beside its prediction, workers, bytes sent, and by_class.

    python -m bench.sisa [--seed N]

Learner at its defaults but for the shards: 4 slices, 6 epochs, one thread. Samples touched are
counted where training reads them. Seconds are training only; accuracies are on the test set.
"""

import argparse
import copy
import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from forget.core import parallel
from forget.core.device import generator
from forget.core.steps import drive
from forget.data import Dataset, Samples, find_dataset
from forget.learners import sisa
from forget.learners.sharding import Plan, Sharding, expected_share, plan
from forget.learners.sisa import Sisa
from forget.methods import Task
from forget.methods.sisa import SisaForget
from forget.metrics.accuracy import Predictions
from forget.unlearning.request import NOTHING, Request, parse_request, split
from forget.unlearning.store import frozen
from forget.unlearning.warm import warm
from tests.browser import copy_home

TWENTY = Sisa(shards=20)
EPOCHS = TWENTY.epochs


class Counter:
    """Samples that training read since it was last asked."""

    def __init__(self):
        self._fetch, self._count = sisa.fetch, 0
        sisa.fetch = self._counting

    def _counting(self, data, rows):
        self._count += len(rows)
        return self._fetch(data, rows)

    def taken(self) -> int:
        count, self._count = self._count, 0
        return count


def trained(learner: Sisa, dataset: Dataset, data: Samples, seed: int):
    """A model and the seconds that training it took."""
    draw = generator(seed)
    model = learner.build(dataset.input_shape, len(dataset.classes), draw)
    return frozen(model), drive(learner.train(model, data, draw))


def forgotten(learner: Sisa, original, dataset: Dataset, request: Request):
    """The model without the request's samples, its seconds and what was predicted."""
    forget, retain = split(dataset.train, request, NOTHING)
    model = copy.deepcopy(original).requires_grad_(True)
    task = Task(learner, forget, retain, dataset.held_out, request.class_index is not None, (),
                generator(0))
    seconds = drive(SisaForget().steps(model, task))
    planned = plan(learner.division_of(original), forget, retain, learner.epochs,
                   learner.least_visits)
    return frozen(model), seconds, planned


def accuracy(model, data: Samples) -> float:
    return Predictions.of(model, data).accuracy


def said(text: str = "") -> None:
    print(text, flush=True)


def ten_digits(dataset: Dataset, seed: int, counter: Counter) -> None:
    said(f"(1) ten random digits, 20 shards of 4 slices, {len(dataset.train):,} samples")
    original, seconds = trained(TWENTY, dataset, dataset.train, seed)
    said(f"    training: {counter.taken():,} samples touched, {seconds:.1f} s, "
         f"{accuracy(original, dataset.test):.2%}")
    said("    request    touched    predicted  share of all   shards   seconds")
    taken = []
    for turn in range(3):
        request = parse_request("random:10", dataset, seed + turn)
        model, seconds, planned = forgotten(TWENTY, original, dataset, request)
        taken.append(seconds)
        row(turn + 1, counter.taken(), planned, seconds)
    data = split(dataset.train, request, NOTHING)[1]
    retrained, seconds = trained(TWENTY, dataset, data, seed)
    said(f"    full retrain without the third's samples: {counter.taken():,} touched, "
         f"{seconds:.1f} s: {seconds / statistics.fmean(taken):.2f} times a request's mean")
    same = all(torch.equal(one, two) for one, two in zip(
        model.state_dict().values(), retrained.state_dict().values(), strict=True))
    said(f"    the two agree bit for bit: {'yes' if same else 'NO'}; "
         f"{accuracy(model, dataset.test):.2%}")
    said(f"    closed form for ten: {expected_share(10, 20, 4):.1%} of all\n")


def row(number: int, touched: int, planned: Plan, seconds: float) -> None:
    said(f"    {number:7} {touched:10,} {planned.visits:12,} {planned.share:13.1%} "
         f"{len(planned.first):5} of 20 {seconds:8.2f}")


def simulated() -> None:
    said("(2) mean share of the work over 200 simulated requests, N = 60,000, S = 20, R = 4")
    said("        K    simulated  standard error   closed form   difference")
    n = 60_000
    data = Samples(torch.empty(n, 0), torch.zeros(n, dtype=torch.int64), torch.arange(n))
    for k in (1, 10, 100):
        draw, shares = generator(k), []
        for seed in range(200):
            gone = torch.zeros(n, dtype=torch.bool)
            gone[torch.randperm(n, generator=draw)[:k]] = True
            division = Sharding(20, 4, "uniform", 10, seed)
            shares.append(plan(division, data.take(gone), data.take(~gone), EPOCHS).share)
        mean, expected = statistics.fmean(shares), expected_share(k, 20, 4)
        said(f"    {k:5} {mean:12.2%} {statistics.stdev(shares) / 200**0.5:15.2%} "
             f"{expected:13.2%} {mean / expected - 1:+12.1%}")
    said()


def workers(dataset: Dataset, seed: int) -> None:
    said(f"(3) training 20 shards in processes of this machine ({os.cpu_count()} cores, "
         f"load {os.getloadavg()[0]:.1f} before)")
    small = dataset.train.take(torch.arange(2000))
    taken, models = [], []
    for count in (1, 2):
        os.environ[parallel.WORKERS] = str(count)
        trained(TWENTY, dataset, small, seed)  # the processes have started and imported everything
        began = time.perf_counter()
        models.append(trained(TWENTY, dataset, dataset.train, seed)[0])
        taken.append(time.perf_counter() - began)
    del os.environ[parallel.WORKERS]
    same = all(torch.equal(models[0].secret[name], models[1].secret[name])
               for name in models[0].secret)
    said(f"    {parallel.WORKERS}=1 (in this process): {taken[0]:.1f} s;  =2: {taken[1]:.1f} s;  "
         f"{taken[0] / taken[1]:.2f} times as fast;  same checkpoints: {'yes' if same else 'NO'}\n")


def on_the_wire(dataset: Dataset, seed: int) -> None:
    said("(4) bytes a shard to and from a worker, pickled, 20 shards of 4 slices")
    model, _ = trained(Sisa(shards=20, epochs=0.1), dataset, dataset.train, seed)
    placed = TWENTY.division_of(model).place(dataset.train)
    up, down = {}, {}
    for start in range(TWENTY.slices):
        jobs = [TWENTY._job(model, dataset.train, placed, shard, start) for shard in range(20)]
        up[start] = statistics.fmean(len(pickle.dumps(job)) for job in jobs)
        down[start] = statistics.fmean(
            len(pickle.dumps([sisa.checkpoint_of(model, shard, slice_)
                              for slice_ in range(start, TWENTY.slices)])) for shard in range(20))
    said("    from slice          up (job)   down (checkpoints)")
    for start in range(TWENTY.slices):
        said(f"    {start + 1:10} {up[start]:17,.0f} {down[start]:20,.0f}")
    said(f"    training all 20: {20 * up[0] / 1e6:.1f} MB up, {20 * down[0] / 1e6:.1f} MB down\n")


def by_class(dataset: Dataset, seed: int, counter: Counter) -> None:
    said("(5) forgetting class 7, 5 shards of 4 slices; accuracy on unseen samples of the rest and "
         "of the class")
    said("                       touched   of a retrain    seconds     rest    class   shards")
    rest, unseen = (dataset.test.take(rows) for rows in (dataset.test.y != 7, dataset.test.y == 7))
    request = parse_request("class:7", dataset, seed)
    for kind in ("uniform", "by_class"):
        learner = Sisa(shards=5, sharding=kind)
        counter.taken()
        original, seconds = trained(learner, dataset, dataset.train, seed)
        said(f"    {kind:9} before {counter.taken():10,} {'':14} {seconds:10.1f} "
             f"{accuracy(original, rest):8.2%} {accuracy(original, unseen):8.2%}")
        model, seconds, planned = forgotten(learner, original, dataset, request)
        said(f"    {kind:9} after  {counter.taken():10,} {planned.share:14.1%} {seconds:10.1f} "
             f"{accuracy(model, rest):8.2%} {accuracy(model, unseen):8.2%} "
             f"{len(planned.first):3} of 5")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in (parallel.WORKERS, parallel.SCHEDULER):
        os.environ.pop(name, None)
    said(f"python -m bench.sisa {' '.join(sys.argv[1:])}".rstrip() + "\n")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORGET_HOME"] = str(copy_home(Path(folder) / "home"))
        began, counter = time.perf_counter(), Counter()
        warm()
        dataset = find_dataset("mnist").load()
        ten_digits(dataset, options.seed, counter)
        simulated()
        workers(dataset, options.seed)
        on_the_wire(dataset, options.seed)
        by_class(dataset, options.seed, counter)
        said(f"\n{time.perf_counter() - began:.0f} s in all, load {os.getloadavg()[1]:.1f} on "
             f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
