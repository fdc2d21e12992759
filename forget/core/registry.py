"""Named classes of one kind, found by importing every module of one package.

A new learner, method or dataset is one new file that registers itself; nothing else lists it.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from forget.core.errors import BadInput
from forget.core.spelling import printable

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """A read-only mapping from name to class, filled on first use.

    >>> from forget.methods import METHODS
    >>> "retrain" in METHODS
    True
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self._package = package
        self._classes: dict[str, type[T]] = {}
        self._loaded = False

    def register(self, cls: type[T]) -> type[T]:
        """Class decorator; the class has a ``name``. A name taken by another class is an error."""
        taken = self._classes.get(cls.name)
        if taken is not None and taken.__qualname__ != cls.__qualname__:
            raise ValueError(f"the {self.kind} name '{cls.name}' is taken by {taken.__qualname__}")
        self._classes[cls.name] = cls
        return cls

    def _load(self) -> dict[str, type[T]]:
        if not self._loaded:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._loaded = True
        return self._classes

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self._load()[name]
        except KeyError:
            raise BadInput(f"there is no {self.kind} called '{printable(name)}'; choose one of: "
                           f"{', '.join(self)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._load(), key=lambda name: (self._classes[name].order, name)))

    def __len__(self) -> int:
        return len(self._load())
