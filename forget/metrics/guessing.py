"""Whether a model learnt anything: its answers against always naming the most frequent class."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from scipy.special import bdtrc

from forget.metrics.interval import LEVEL

SHARE = 0.1
"""Of what guessing gets wrong a model must get this share right to be clearly better."""


@dataclasses.dataclass(frozen=True)
class Learnt:
    """A model on the samples that it learnt from.

    ``right``: how many it gets right of ``samples``;  ``frequent``: how many are of the most
    frequent class, which is what guessing gets right.
    """

    right: int
    samples: int
    frequent: int

    @property
    def accuracy(self) -> float:
        return self.right / self.samples

    @property
    def guessing(self) -> float:
        return self.frequent / self.samples

    @property
    def clear(self) -> bool:
        """Whether it is clearly better than guessing: beyond chance (binomial test) and by enough.

        >>> Learnt(right=40, samples=120, frequent=40).clear, Learnt(100, 120, 40).clear
        (False, True)
        """
        by_chance = bdtrc(self.right - 1, self.samples, self.guessing)
        enough = self.accuracy - self.guessing >= SHARE * (1 - self.guessing)
        return bool(by_chance < 1 - LEVEL and enough)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"clear": self.clear}

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Learnt":
        """What :meth:`to_json` wrote."""
        return cls(told["right"], told["samples"], told["frequent"])

    @classmethod
    def together(cls, several: Sequence["Learnt"]) -> "Learnt":
        """Several models of the same recipe as one."""
        return cls(*(sum(getattr(one, field.name) for one in several)
                     for field in dataclasses.fields(cls)))
