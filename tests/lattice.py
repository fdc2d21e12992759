"""An attack on published weights: is it one solution plus noise, or the other?

Pairs of solutions, one after forgetting a sample and one retrained without it, are published again
and again with fresh noise, and statistics look for anything that tells them apart: the direction in
which they differ, and which floating-point numbers the noise could have been added to.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

from forget.data import Dataset, Samples
from forget.io.private import gaussian
from forget.learners.convex import Convex
from forget.methods.certified import Certified
from forget.unlearning.certificate import retained_rows
from forget.unlearning.learn import start_from
from forget.unlearning.represent import represent
from forget.unlearning.request import parse_request
from forget.unlearning.run import run
from forget.unlearning.verify import solved

PAIRS = ("column", "class", "label")

Publish = Callable[[Tensor, float, Tensor], Tensor]
"""Weights, sigma and a key (32,) to what is published."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Un-noised weights of the two sides."""

    forgotten: Tensor
    retrained: Tensor


OWN = 24
"""Columns that are empty but for one sample or two."""


def alone(kind: str, seed: int = 0) -> Dataset:
    """Clouds of vectors, of which sample 0 is one that a single direction, column or class has.

    ``column``: columns that nobody else uses.  ``class``: a class of its own.
    ``label``: a direction shared with one other, under another label.
    """
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(3, 7))

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(count) % 3
        return np.hstack([centres[y] + draw.normal(size=(count, 7)), np.zeros((count, OWN))]), y

    parts = [part(count) for count in (240, 60, 60)]
    x, y = parts[0]
    if kind == "column":
        x[0, 7:] = 3.0
    if kind == "label":
        x[:2, 7:], y[:2] = 3.0, (0, 1)
    if kind == "class":
        x[0, :7], y[0] = -4 * centres[0], 3
    return Dataset(kind, tuple("abcd"[: y.max() + 1]), *(
        Samples.from_arrays(x.astype(np.float32), y) for x, y in parts))


def pair(kind: str, sigma: float = 1e-3) -> Pair:
    """The weights after forgetting sample 0, by the library, and those retrained without it."""
    dataset, learner = alone(kind), Convex(lam=1e-3, sigma=sigma)
    start = start_from(learner, dataset, 0)
    request = parse_request("samples:0", dataset, 0)
    unlearned = run(dataset, start, request, Certified(), 0, references=0).unlearned
    rows = represent(learner, dataset).train.take(retained_rows(dataset, request.ids))
    return Pair(unlearned.secret["weights"], solved(learner.objective(unlearned, rows)))


def floating(weights: Tensor, sigma: float, key: Tensor) -> Tensor:
    """What was published before the noise was on a grid."""
    return weights + sigma * gaussian(key, tuple(weights.shape))


def could_be_noise_alone(published: Tensor, sigma: float) -> Tensor:
    """Of each value, whether some floating-point number times sigma is it, to the last bit."""
    near = published / sigma
    ends = [torch.full_like(near, end) for end in (-math.inf, math.inf)]
    tried = [near, *(torch.nextafter(near, end) for end in ends)]
    return torch.stack([number * sigma == published for number in tried]).any(0)


def statistics(published: Tensor, pair: Pair, sigma: float) -> dict[str, np.ndarray]:
    """What an attacker computes of each publication (N, d, K)."""
    away = pair.forgotten - pair.retrained
    empty = pair.retrained == 0
    reached = could_be_noise_alone(published, sigma)
    return {
        "direction": ((published - pair.retrained) * (away / away.norm())).sum((1, 2)).numpy(),
        "reachable where nothing was": reached[:, empty].double().sum(1).numpy(),
        "reachable": reached.double().sum((1, 2)).numpy(),
    }


def shown(publish: Publish, pair: Pair, sigma: float, delta: float, draws: int = 500) -> float:
    """The largest lower bound on epsilon, 95 % sure, that ``draws`` publications a side show."""
    keys = torch.randint(0, 256, (2, draws, 32), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))
    one, other = (
        statistics(torch.stack([publish(side, sigma, key) for key in keys[number]]), pair, sigma)
        for number, side in enumerate((pair.forgotten, pair.retrained)))
    sure = 1 - 0.05 / len(one)
    return max(lower_bound_on_epsilon(one[name], other[name], delta, sure) for name in one)


def lower_bound_on_epsilon(
    one: np.ndarray, other: np.ndarray, delta: float, confidence: float = 0.95
) -> float:
    """A Clopper-Pearson lower bound on the epsilon that a statistic of two sides shows at delta.

    A threshold is chosen on one half of the draws and judged on the other, in all directions: an
    (epsilon, delta) pair demands P(hit) <= e^epsilon P(false alarm) + delta. Error is shared out
    among them.
    """
    half = len(one) // 2
    tail = (1 - confidence) / 8  # two rates in four directions

    def bound(hits: int, alarms: int, n: int) -> float:
        least = beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
        most = beta.ppf(1 - tail, alarms + 1, n - alarms) if alarms < n else 1.0
        return math.log((least - delta) / most) if least > delta else 0.0

    def best(one: np.ndarray, other: np.ndarray) -> float:
        seen = np.concatenate([one[:half], other[:half]])
        cuts = np.quantile(seen, np.linspace(0.005, 0.995, 199))
        cut = max(cuts, key=lambda c: bound((one[:half] > c).sum(), (other[:half] > c).sum(), half))
        rest = len(one) - half
        return bound((one[half:] > cut).sum(), (other[half:] > cut).sum(), rest)

    return max(0.0, best(one, other), best(-one, -other), best(other, one), best(-other, -one))
