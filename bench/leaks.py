"""Which sample was forgotten? The right one's rank among 1,000, by everything that is published.

    python -m bench.leaks [--requests 100]

Whoever attacks has all 1,000 samples and this program, and carries out the removal of each one. Of
a published certificate every figure is set against what was measured for each candidate, and every
hash against the plain hashes of each candidate; ties are broken by chance. Where nothing tells, the
rank is uniform: a Kolmogorov-Smirnov test should give p above 0.01. As a proof that the attack
finds something where there is something, it is given what was measured as well.

Of the weights, the distance to each candidate's own is ranked, for the unlearned model and for one
retrained without the sample and published by the same recipe. Such an attack finds the sample after
honest retraining too where the noise is small; the ranks of both are compared with one another.
"""

import argparse
import datetime
import hashlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.stats import ks_2samp, kstest
from torch import Tensor

from forget.certified.noise import on_grid
from forget.core.device import generator
from forget.data import Dataset, Samples
from forget.learners.convex import Convex
from forget.methods.certified import Certified
from forget.unlearning import store
from forget.unlearning.certificate import data_sha256, retained_rows, retained_sha256
from forget.unlearning.learn import start_from
from forget.unlearning.represent import represent
from forget.unlearning.request import parse_request
from forget.unlearning.result import Result, Start
from forget.unlearning.run import run
from forget.unlearning.verify import solved

CANDIDATES, WIDTH, CLASSES = 1000, 12, 4
MEASURED = ("residual", "iterations", "bound_of_this_request", "spent")


def clouds() -> Dataset:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(CLASSES, WIDTH))

    def part(count: int) -> Samples:
        y = draw.integers(0, CLASSES, count)
        return Samples.from_arrays(
            (centres[y] + draw.normal(size=(count, WIDTH))).astype(np.float32), y)

    return Dataset("clouds", tuple("abcd"), part(CANDIDATES), part(60), part(60))


def removed(dataset: Dataset, start: Start, place: int) -> Result:
    request = parse_request(f"samples:{place}", dataset, 0)
    return run(dataset, start, request, Certified(epsilon=10.0), 0, references=0)


def leaves(published: Any) -> Iterator[Any]:
    """All figures and texts in a certificate."""
    if isinstance(published, dict | list):
        for one in published.values() if isinstance(published, dict) else published:
            yield from leaves(one)
    else:
        yield published


def plain_hashes(dataset: Dataset, place: int) -> set[str]:
    """What a careless certificate would state of a candidate."""
    ids = torch.tensor([place])
    kept = dataset.train.take(retained_rows(dataset, ids))
    texts = (ids.numpy().tobytes(), str(place).encode(), dataset.train.x[place].numpy().tobytes())
    return {retained_sha256(kept, dataset.classes), data_sha256(kept, dataset.classes),
            *(hashlib.sha256(text).hexdigest() for text in texts)}


def misfit(published: dict[str, Any], measured: dict[str, Any], hashes: set[str]) -> float:
    """How badly a certificate fits a candidate: -1 for a hash of its, else how far the nearest
    figure is from each that was measured, added up."""
    said = list(leaves(published))
    if hashes & {one for one in said if isinstance(one, str)}:
        return -1.0
    figures = np.array([one for one in said if type(one) in (int, float)], float)
    return sum(float((np.abs(figures - measured[name]) / abs(measured[name])).min())
               for name in MEASURED if measured.get(name))


def rank(misfits: np.ndarray, place: int, draw: np.random.Generator) -> float:
    """The share of candidates that fit better, ties broken by chance: 0 is found at once."""
    mine = misfits[place]
    ties = np.count_nonzero(misfits == mine) - 1
    return (np.count_nonzero(misfits < mine) + draw.integers(ties + 1)) / (len(misfits) - 1)


def figures(mode: str, requests: int) -> None:
    dataset = clouds()
    start = start_from(Convex(mode=mode, lam=1e-2, sigma=10.0 if mode == "guo" else 0.1),
                       dataset, 0)
    found = [removed(dataset, start, place) for place in range(CANDIDATES)]
    hashes = [plain_hashes(dataset, place) for place in range(CANDIDATES)]
    draw = np.random.default_rng(1)
    for name, told in (("certificate", False), ("and what was measured", True)):
        ranks = []
        for place in draw.permutation(CANDIDATES)[:requests]:
            one = removed(dataset, start, int(place))
            published = dict(one.files.certificate) | (one.kept_back if told else {})
            misfits = np.array([misfit(published, other.kept_back, own)
                                for other, own in zip(found, hashes, strict=True)])
            ranks.append(rank(misfits, int(place), draw))
        row(mode, name, ranks, kstest(ranks, "uniform").pvalue)


def weights(sigma: float, requests: int) -> None:
    """Residual mode's published weights, against those of the retrained model."""
    dataset, learner = clouds(), Convex(lam=1e-2, sigma=sigma)
    start = start_from(learner, dataset, 0)
    under = torch.stack([store.secret_of(removed(dataset, start, place).unlearned)["weights"]
                         for place in range(CANDIDATES)])
    draw, keys = np.random.default_rng(2), generator(3)
    ranks = {"unlearned": [], "retrained": []}
    for place in draw.permutation(CANDIDATES)[:requests]:
        result = removed(dataset, start, int(place))
        rows = represent(learner, dataset).train.take(
            retained_rows(dataset, torch.tensor([int(place)])))
        retrained = solved(learner.objective(result.unlearned, rows))
        key = torch.randint(0, 256, (32,), generator=keys, dtype=torch.uint8)
        for name, seen in (("unlearned", result.unlearned.weight.detach().double()),
                           ("retrained", on_grid(retrained, sigma, key).double())):
            ranks[name].append(rank(distances(under, seen), int(place), draw))
    same = ks_2samp(*ranks.values()).pvalue
    for name, those in ranks.items():
        row(f"sigma {sigma:g}", f"weights, {name}", those, same)


def distances(under: Tensor, seen: Tensor) -> np.ndarray:
    return (under - seen).flatten(1).norm(dim=1).numpy()


def row(mode: str, name: str, ranks: list[float], p: float) -> None:
    first = sum(one == 0 for one in ranks)
    print(f"{mode:12} {name:24} {np.median(ranks) * CANDIDATES:12.0f} {first:6} {p:10.3g}",
          flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    print(f"python -m bench.leaks --requests {options.requests}\n{datetime.date.today()}, "
          f"{os.cpu_count()} cores\n\n{'':12} {'seen':24} {'median rank':>12} {'first':>6} "
          f"{'p':>10}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["FORGET_HOME"] = home
        for mode in ("residual", "guo"):
            figures(mode, options.requests)
        for sigma in (0.1, 0.003):
            weights(sigma, options.requests)


if __name__ == "__main__":
    main()
