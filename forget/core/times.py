"""What work took, and how many times faster one piece of it was than another.

Wall seconds say how long somebody waited; they also measure what else the machine did meanwhile, so
two of them may be compared only where both were measured in the same run. Processor seconds of the
thread that worked hardly depend on that, and those of an earlier run will do as well.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

PROCESSOR = "processor seconds"
WALL = "wall seconds of the same run"
"""Which times a speed-up is of."""

NOT_RETRAINED = "nothing was retrained to compare with"
NOTHING_DONE = "nothing was changed, and doing nothing is no speed-up"
OTHER_RUN = ("some times are those of another run, of which no processor seconds are known that "
             "could be compared")
"""Why there is no speed-up."""


@dataclasses.dataclass(frozen=True)
class Took:
    """Seconds of some work.

    ``processor``: of the thread that worked, None where others did it (an accelerator, other
    processes) or it was not recorded.  ``now``: measured in this run, and not read from a record.
    """

    wall: float
    processor: float | None = None
    now: bool = True

    def record(self, name: str = "") -> dict[str, float | None]:
        """As fields of a record: ``seconds`` and ``processor_seconds``, a name before them."""
        return {f"{name}seconds": self.wall, f"{name}processor_seconds": self.processor}

    @classmethod
    def of(cls, record: Mapping[str, Any], name: str = "") -> "Took | None":
        """What a record says, None where it says nothing."""
        if record.get(f"{name}seconds") is None:
            return None
        return cls(record[f"{name}seconds"], record.get(f"{name}processor_seconds"), now=False)

    def __add__(self, other: "Took") -> "Took":
        known = None not in (self.processor, other.processor)
        return Took(self.wall + other.wall, self.processor + other.processor if known else None,
                    self.now and other.now)


def mean(several: Sequence[Took]) -> Took:
    """The mean of what several pieces of the same work took."""
    total = sum(several[1:], several[0])
    return Took(total.wall / len(several),
                None if total.processor is None else total.processor / len(several), total.now)


@dataclasses.dataclass(frozen=True)
class SpeedUp:
    """How many times as long retraining took as forgetting, and as preparing and forgetting.

    ``of``: by which seconds, or why there is none.
    """

    ratio: float | None
    with_preparation: float | None
    of: str

    def to_json(self) -> dict[str, Any]:
        return {"speed_up": self.ratio, "speed_up_with_preparation": self.with_preparation,
                "speed_up_of": self.of}


def speed_up(prepare: Took | None, forget: Took, retrain: Took) -> SpeedUp:
    """Retraining over forgetting, by seconds that can be compared.

    >>> speed_up(None, Took(2.0, 1.0), Took(40.0, 8.0, now=False)).ratio
    8.0
    >>> speed_up(Took(3.0), Took(2.0), Took(40.0)).to_json()["speed_up_with_preparation"]
    8.0
    >>> speed_up(None, Took(2.0), Took(40.0, 8.0, now=False)).ratio
    """
    ratio, of = _times(forget, retrain)
    together = None if prepare is None else _times(prepare + forget, retrain)
    # Two ratios side by side are of the same seconds, or the second is left out.
    return SpeedUp(ratio, together[0] if together and together[1] == of else None, of)


def _times(quick: Took, slow: Took) -> tuple[float | None, str]:
    if quick.processor and slow.processor is not None:
        return slow.processor / quick.processor, PROCESSOR
    if quick.now and slow.now and quick.wall:
        return slow.wall / quick.wall, WALL
    return None, OTHER_RUN
