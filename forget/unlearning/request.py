"""A deletion request: which training samples a model shall forget.

``class:7`` or ``class:NAME``, ``random:100``, ``samples:3,17,99`` (ids in the training set).
"""

import dataclasses
import hashlib

import torch
from torch import Tensor

from forget.core.device import derive, generator
from forget.core.errors import BadInput
from forget.core.spelling import nearest, printable, spelling
from forget.data import Dataset, Samples

FORMS = "class:NAME, random:COUNT or samples:ID,ID,…"


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be forgotten: sorted training ids, and the class where it is a whole one.

    ``ids``: (m,) int64 on the CPU.  ``class_index``: the class of a class request, else None.
    """

    spec: str
    ids: Tensor
    class_index: int | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """All that one model was asked to forget so far, over successive requests."""

    requests: tuple[Request, ...] = ()

    def __add__(self, request: Request) -> "Forgotten":
        return Forgotten((*self.requests, request))

    @property
    def ids(self) -> Tensor:
        parts = [request.ids for request in self.requests]
        return torch.cat(parts).unique() if parts else torch.empty(0, dtype=torch.int64)

    @property
    def classes(self) -> list[int]:
        return sorted({r.class_index for r in self.requests if r.class_index is not None})

    @property
    def key(self) -> str:
        """sha256 of the ids: the same set gives the same key, however it was asked for."""
        return hashlib.sha256(self.ids.numpy().tobytes()).hexdigest()


NOTHING = Forgotten()


def parse_request(
    spec: str, dataset: Dataset, seed: int, already: Forgotten = NOTHING
) -> Request:
    """Read a request as a person writes it; random samples are drawn with ``seed``.

    Raises :class:`BadInput` for an unknown form, class or id, for samples that are already
    forgotten, and for a request that leaves nothing to forget or nothing to train on.
    """
    form, _, what = spec.partition(":")
    ids = dataset.train.ids.cpu()
    left = ~torch.isin(ids, already.ids)
    match form:
        case "class":
            index = _class_index(what, dataset)
            of_class = dataset.train.y.cpu() == index
            # By the class's own spelling: records and keys are made of it.
            request = Request(f"class:{dataset.classes[index]}", ids[of_class & left].unique(),
                              index)
        case "random":
            request = Request(spec, _draw(what, ids[left].unique(), seed, len(already.requests)))
        case "samples":
            request = Request(spec, _sample_ids(what, ids, already))
        case _:
            raise BadInput(f"'{printable(spec)}' is not a request; write {FORMS}")
    if not len(request):
        raise BadInput(f"'{printable(spec)}' asks for nothing that is still there; ask for other "
                       "samples")
    left &= ~torch.isin(ids, request.ids)
    if len(dataset.train.y.cpu()[left].unique()) < 2:
        raise BadInput(f"'{printable(spec)}' leaves fewer than two classes to train on; ask for "
                       "less")
    return request


def split(train: Samples, request: Request, already: Forgotten) -> tuple[Samples, Samples]:
    """(D_f, D_r): the samples of this request, and all that no request has named."""
    ids = train.ids.cpu()
    forget = torch.isin(ids, request.ids)
    retain = ~forget & ~torch.isin(ids, already.ids)
    device = train.y.device
    return train.take(forget.to(device)), train.take(retain.to(device))


def keys_of(dataset: Dataset, forgotten: Forgotten) -> set[str]:
    """Keys of the files behind all that was forgotten; of a whole class, in every part, and of what
    came under its name and was left out: that was looked at as well."""
    named = torch.isin(dataset.train.ids.cpu(), forgotten.ids).tolist()
    keys = {key for key, out in zip(dataset.train.keys, named, strict=False) if out}
    for part in (dataset.train, dataset.held_out, dataset.test):
        gone = torch.isin(part.y.cpu(), torch.tensor(forgotten.classes, dtype=torch.int64))
        keys.update(key for key, out in zip(part.keys, gone.tolist(), strict=False) if out)
    return keys.union(*(dataset.given.get(dataset.classes[one], ()) for one in forgotten.classes))


def _class_index(name: str, dataset: Dataset) -> int:
    """The class of a name, or the only one that looks the same; others are not guessed at."""
    if name in dataset.classes:
        return dataset.classes.index(name)
    asked = spelling(name)
    alike = [index for index, one in enumerate(dataset.classes) if spelling(one) == asked]
    if len(alike) == 1:
        return alike[0]
    near = nearest(name, dataset.classes)
    raise BadInput(f"'{dataset.name}' has no class '{printable(name)}'"
                   + (f" (did you mean '{near}'?)" if near else "")
                   + f"; it has {_shortened(dataset.classes)}")


def _shortened(names: tuple[str, ...]) -> str:
    return ", ".join(names if len(names) <= 12 else (*names[:6], "…", names[-1]))


def _draw(count: str, left: Tensor, seed: int, turn: int) -> Tensor:
    number = _whole(count, "a count of samples")
    if not 1 <= number < len(left):
        raise BadInput(f"random:{count} is out of range; give a count from 1 to {len(left) - 1}")
    order = torch.randperm(len(left), generator=generator(derive(seed, "request", turn)))
    return left[order[:number]].sort().values


def _sample_ids(text: str, known: Tensor, already: Forgotten) -> Tensor:
    ids = torch.tensor(sorted({_whole(word, "a sample id") for word in text.split(",")}))
    wrong = ids[~torch.isin(ids, known)]
    if len(wrong):
        raise BadInput(f"there is no training sample {wrong[0]}; ids go from {known.min()} to "
                       f"{known.max()}")
    again = ids[torch.isin(ids, already.ids)]
    if len(again):
        raise BadInput(f"sample {again[0]} is forgotten already; leave it out")
    return ids


def _whole(text: str, what: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 12):
        raise BadInput(f"'{printable(text)}' is not {what}; write {FORMS}")
    return int(digits)
