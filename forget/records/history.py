"""How a base's model fared over time, read from the ledger: accuracy, budget and publications."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from forget.certificate import together
from forget.records.bases import Base
from forget.records.ledger import Entry
from forget.records.taught import RETRAIN

CHANGES = ("taught", "forgotten")
"""Entries after which there is another model."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """The model after one entry of the ledger.

    ``entry``: its number.  ``at``: when.  ``what``: "taught" or "forgotten", and ``how``: the way
    or the method.  ``accuracy``: share of the base's unseen test samples that it gets right, and
    ``retrained``: the same of the model retrained without the data, where one was made.
    ``spent``: share of its budget that is gone, where it has one: 1 is all.  ``anew``: whether the
    budget, or a limit, did not allow the request, so that it was trained anew.  ``epsilon``: what
    all certified publications since it was last trained from nothing allow together, for whoever
    keeps them all, where they compose.
    """

    entry: int
    at: str
    what: str
    how: str
    accuracy: float | None
    retrained: float | None
    spent: float | None
    anew: bool
    epsilon: float | None


def history(base: Base, chain: Sequence[Entry]) -> list[Moment]:
    """A moment for each entry that changed the base's model, in their order."""
    moments: list[Moment] = []
    for entry, published in _publications(base, chain):
        body, certificate = entry.body, entry.body.get("certificate")
        retrained = (body.get("metrics") or {}).get("retrained") or {}
        moments.append(Moment(
            entry.number, entry.at, entry.what, body.get("how") or body["method"],
            body["test_accuracy"], retrained.get("test_retain_accuracy"),
            _share(body, certificate or {}),
            anew(body),
            together(published) if certificate else None))
    return moments


def certificates(base: Base, chain: Sequence[Entry]) -> list[dict[str, Any]]:
    """The certificate of each publication of the base's model that has one, in their order, since
    the model was last trained from nothing: it owes nothing to what was forgotten before."""
    every = [published for _, published in _publications(base, chain)]
    return every[-1] if every else []


def _publications(base: Base, chain: Sequence[Entry],
                  ) -> Iterator[tuple[Entry, list[dict[str, Any]]]]:
    """Each change with the certificates of its own and those before, since the last training."""
    published: list[dict[str, Any]] = []
    for entry in _changes(base, chain):
        certificate = entry.body.get("certificate")
        published = [*([] if _from_nothing(entry.body) else published),
                     *([certificate] if certificate else [])]
        yield entry, published


def _from_nothing(body: dict[str, Any]) -> bool:
    """Whether an entry's model was trained from nothing on what was there."""
    return anew(body) or RETRAIN in (body.get("how"), body.get("method"))


def _changes(base: Base, chain: Sequence[Entry]) -> Iterator[Entry]:
    """The entries that changed the base's model: not those where nothing had been learnt, and the
    first of several requests that one run did for."""
    model = None
    for entry in chain:
        body = entry.body
        if (entry.what in CHANGES and body.get("base") == base.name
                and body.get("test_accuracy") is not None and body["model_sha256"] != model):
            model = body["model_sha256"]
            yield entry


def anew(body: dict[str, Any]) -> bool:
    """Whether a budget or a limit did not allow a request, so that the model was trained anew; its
    certificate said so before certificates had a second version."""
    return bool(body.get("anew") or (body.get("certificate") or {}).get("retrained"))


def _share(body: dict[str, Any], certificate: dict[str, Any]) -> float | None:
    """The share of a budget that is spent: nothing of it by a model that was just made."""
    if body.get("spent") is None:
        return None
    return body["spent"] / certificate["budget"] if certificate else 0.0
