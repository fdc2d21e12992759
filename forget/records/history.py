"""How a base's model fared over time, read from the ledger: accuracy, budget and publications."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from forget.records.bases import Base
from forget.records.ledger import Entry
from forget.records.measured import Figures, outcome
from forget.records.taught import RETRAIN
from forget.unlearning.certificate import together

UNREAD = "a way that cannot be read any more"

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


def history(base: Base, chain: Sequence[Entry], figures: Figures) -> list[Moment]:
    """A moment for each entry that changed the base's model, in their order.

    ``figures``: what was measured beside the ledger (:mod:`forget.records.measured`).
    """
    moments: list[Moment] = []
    for entry, published in _publications(base, chain):
        body, certificate = outcome(entry, figures), _certificate(entry.body)
        retrained = _part(_part(body, "metrics"), "retrained")
        moments.append(Moment(
            entry.number, entry.at, entry.what, body.get("how") or body.get("method") or UNREAD,
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
        certificate = _certificate(entry.body)
        published = [*([] if _from_nothing(entry.body) else published),
                     *([certificate] if certificate else [])]
        yield entry, published


COMPOSE = {"residual": ("noise_multiplier", "delta"), "guo": ("budget",)}
"""The figures that are needed of a certificate, by its mode."""


def _certificate(body: dict[str, Any]) -> dict[str, Any] | None:
    """An entry's certificate, where there is one that can be read: an entry that was altered and
    gone on over may have lost figures, and must hinder nobody from being forgotten."""
    found = _part(body, "certificate")
    if found.get("mode") not in tuple(COMPOSE):
        return None
    figures = [found.get(name) for name in COMPOSE[found["mode"]]]
    within = all(type(one) in (int, float) and 1e-12 <= one <= 1e12 for one in figures)
    weights = found.get("weights", 0)
    return found if within and type(weights) is int and 0 <= weights < 1e12 else None


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
                and type(body.get("test_accuracy")) in (int, float)
                and body.get("model_sha256") not in (None, model)):
            model = body["model_sha256"]
            yield entry


def anew(body: dict[str, Any]) -> bool:
    """Whether a budget or a limit did not allow a request, so that the model was trained anew; its
    certificate said so before certificates had a second version."""
    return bool(body.get("anew") or _part(body, "certificate").get("retrained"))


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of an entry; empty where there is none, or where it was altered."""
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _share(body: dict[str, Any], certificate: dict[str, Any]) -> float | None:
    """The share of a budget that is spent: nothing of it by a model that was just made."""
    if type(body.get("spent")) not in (int, float):
        return None
    return body["spent"] / certificate["budget"] if certificate else 0.0
