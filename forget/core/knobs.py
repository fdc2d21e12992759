"""Hyperparameters: fields of a frozen dataclass, each with default, bounds and one line of help.

The app's form, the command line's ``--set`` and ``python -m forget methods`` are made from these
declarations and from nothing else.
"""

import dataclasses
import math
from typing import Any

from forget.core.errors import BadInput
from forget.core.spelling import printable


@dataclasses.dataclass(frozen=True)
class Knob:
    """One declared hyperparameter, as a form or a table needs it."""

    name: str
    type: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None
    log: bool = False

    def check(self, value: Any) -> Any:
        """The value in this knob's type, or :class:`BadInput` with what would be right."""
        if self.choices is not None:
            if value not in self.choices:
                raise BadInput(f"{self.name} is '{printable(str(value))}'; choose one of: "
                               f"{', '.join(self.choices)}")
            return value
        try:
            number = self.type(value)
            exact = float(value) == number
        except (TypeError, ValueError, OverflowError):
            number, exact = math.nan, False
        if not exact or not math.isfinite(number):
            kind = "a whole number" if self.type is int else "a number"
            raise BadInput(f"{self.name} is '{printable(str(value))}'; it must be "
                           f"{kind}{self._range()}")
        if not self.low <= number <= self.high:
            raise BadInput(f"{self.name} is {printable(str(value))}; it must lie{self._range()}")
        return number

    def _range(self) -> str:
        return f" between {self.low:g} and {self.high:g}"

    def describe(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        shown = {"name": self.name, "type": self.type.__name__, "default": self.default,
                 "help": self.help}
        if self.choices is not None:
            return shown | {"choices": list(self.choices)}
        return shown | {"low": self.low, "high": self.high, "log": self.log}


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    log: bool = False,
) -> Any:
    """A dataclass field that declares a hyperparameter: a number with bounds, or a choice.

    ``log`` says that the number is best set on a logarithmic scale.
    """
    if (choices is None) == (low is None or high is None):
        raise TypeError("a knob has either choices or both bounds")
    spec = {"help": help, "low": low, "high": high, "choices": choices, "log": log}
    return dataclasses.field(default=default, metadata={"knob": spec})


@dataclasses.dataclass(frozen=True)
class Knobs:
    """Base of everything with hyperparameters; construction checks every value against its bounds.

    >>> from forget.methods import METHODS
    >>> [knob.name for knob in METHODS["retrain"].knobs()]
    []
    """

    def __post_init__(self):
        for spec in self.knobs():
            object.__setattr__(self, spec.name, spec.check(getattr(self, spec.name)))

    @classmethod
    def knobs(cls) -> list[Knob]:
        """The declared hyperparameters, in order."""
        return [
            Knob(field.name, type(field.default), field.default, **field.metadata["knob"])
            for field in dataclasses.fields(cls)
            if "knob" in field.metadata
        ]

    def settings(self) -> dict[str, Any]:
        """Name to value, ready for JSON."""
        return {spec.name: getattr(self, spec.name) for spec in self.knobs()}


def make(cls: type[Knobs], settings: dict[str, Any]) -> Any:
    """A learner or method with these settings; :class:`BadInput` for one that it does not have."""
    known = [knob.name for knob in cls.knobs()]
    for name in settings:
        if name not in known:
            raise BadInput(f"'{cls.name}' has no hyperparameter '{name}'; "
                           f"it has: {', '.join(known) or 'none'}")
    return cls(**settings)
