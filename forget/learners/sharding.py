"""Which shard and slice a sample belongs to, and what forgetting it costs."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from forget.core.device import derive, generator
from forget.core.errors import BadInput
from forget.core.words import counted
from forget.data import Samples

UNIFORM, BY_CLASS = "uniform", "by_class"


@dataclasses.dataclass(frozen=True)
class Sharding:
    """S shards of R slices each. A sample's place depends on its id, its class and the seed only.

    So nothing that remains is moved when something is forgotten, and the order, number or absence
    of other samples changes no place. ``uniform``: shard and slice are drawn independently for
    each id, so sizes vary by chance. ``by_class``: each class lies wholly in one shard, at least
    two classes a shard; slices are drawn as before.
    """

    shards: int
    slices: int
    kind: str
    n_classes: int
    seed: int

    def __post_init__(self):
        if self.kind == BY_CLASS and self.shards > self.n_classes // 2:
            raise BadInput(f"{self.shards} shards by class need at least {2 * self.shards} "
                           f"classes, two a shard, and there are {self.n_classes}; take "
                           f"{counted(max(1, self.n_classes // 2), 'shard')} or fewer")

    def place(self, data: Samples) -> tuple[Tensor, Tensor]:
        """Shard and slice of each sample, two (N,) int64 on the CPU, counted from 0."""
        ids = data.ids.cpu().numpy()
        slices = _drawn(ids, derive(self.seed, "slice")) % np.uint64(self.slices)
        if self.kind == BY_CLASS:
            order = torch.randperm(self.n_classes, generator=generator(derive(self.seed, "class")))
            shards = (order % self.shards)[data.y.cpu()]
        else:
            drawn = _drawn(ids, derive(self.seed, "shard")) % np.uint64(self.shards)
            shards = torch.from_numpy(drawn.astype(np.int64))
        return shards, torch.from_numpy(slices.astype(np.int64))

    def counts(self, data: Samples) -> Tensor:
        """How many samples lie in each cell, (S, R) int64."""
        shards, slices = self.place(data)
        cells = torch.bincount(shards * self.slices + slices, minlength=self.shards * self.slices)
        return cells.reshape(self.shards, self.slices)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a request does to each shard, and how many samples are touched by it.

    ``first``: affected shard to its first affected slice.  ``forget``, ``retain``: samples in each
    cell (S, R).  ``visits``: samples that training passes over, each pass counted.  ``everything``:
    the same for training all shards anew on what is retained.
    """

    first: Mapping[int, int]
    forget: Tensor
    retain: Tensor
    visits: int
    everything: int

    @property
    def share(self) -> float:
        """Share of a whole retraining's work."""
        return self.visits / self.everything if self.everything else 0.0


def plan(
    sharding: Sharding, forget: Samples, retain: Samples, epochs: float, least: int = 0
) -> Plan:
    """What forgetting ``forget`` does, before anything is trained; see :func:`stage_visits`."""
    gone, left = sharding.counts(forget), sharding.counts(retain)
    first = {shard: int(row.nonzero()[0]) for shard, row in enumerate(gone) if row.any()}
    up_to = left.cumsum(1).tolist()  # samples that each slice's stage trains on
    cost = [[stage_visits(n, sharding.slices, epochs, least) for n in row] for row in up_to]
    visits = sum(sum(cost[shard][start:]) for shard, start in first.items())
    return Plan(first, gone, left, visits, sum(map(sum, cost)))


def stage_visits(n: int, slices: int, epochs: float, least: int = 0) -> int:
    """Samples that one stage passes over: 2e / (R + 1) epochs of the n samples up to its slice.

    Over all stages of evenly filled slices that makes e epochs of a shard. ``least``: so many at
    least, where there is a sample at all.

    >>> sum(stage_visits(n, 4, 5) for n in (100, 200, 300, 400))
    2000
    """
    return max(round(2 * epochs * n / (slices + 1)), least if n else 0)


def expected_share(k: int, shards: int, slices: int) -> float:
    """Share of a whole retraining that k uniformly drawn samples cost on average:
    2 / (R (R + 1)) sum over j = 1..R of j (1 - (1 - j / (R S))^k).

    Stage j is done again when at least one sample fell into slices 1 to j of its shard.

    >>> expected_share(1, 1, 1)
    1.0
    """
    done = sum(j * (1 - (1 - j / (slices * shards)) ** k) for j in range(1, slices + 1))
    return 2 / (slices * (slices + 1)) * done


def _drawn(ids: np.ndarray, seed: int) -> np.ndarray:
    """A number in 0..2^64 for each id, uniform and independent of the other ids: SplitMix64
    (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195)."""
    z = ids.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for _ in range(2):
        z = (z + np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return z
