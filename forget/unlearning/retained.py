"""The data that a certificate calls retained, found among data that somebody has."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from forget.data import Dataset, Samples
from forget.io.private import keyed_hash
from forget.unlearning.certificate import (
    FIRST,
    data_sha256,
    empty_classes,
    marks_of,
    present,
    retained_rows,
    retained_sha256,
)
from forget.unlearning.checks import Check
from forget.unlearning.request import Forgotten
from forget.unlearning.store import Stored


def retained(
    dataset: Dataset, stated: dict[str, Any], kept: dict[str, Tensor], named: Sequence[str],
    forgotten: Forgotten | None, n_classes: int,
) -> tuple[Tensor | None, list[Check]]:
    """A mask of the retained samples' rows, None where they cannot be told, and what speaks for it.

    ``n_classes``: of the model.  ``kept``: the secret's tensors, and ``named`` the requests in it;
    none where there is no secret.
    ``forgotten``: what is asked about; its samples must be among the data.
    """
    secret = kept.get("forgotten_ids")
    if forgotten is not None:
        gone = forgotten.ids
    elif len(dataset.train) == stated["n_retained"]:
        gone = torch.empty(0, dtype=torch.int64)  # the forgotten samples were deleted from it
    elif secret is not None:
        gone = secret
    else:
        return None, [Check("the retained data are the ones named", None,
                            "which samples were forgotten is in the secret; or name them with "
                            "--forget")]
    rows = retained_rows(dataset, gone)
    train = dataset.train.take(rows)
    checks = [_count(train, stated), _data(train, dataset, stated, kept),
              _absent(train, dataset, kept, named)]
    if stated["kind"] != FIRST:
        checks += [_empty(train, dataset, stated, n_classes), _as_many(stated, kept)]
    if forgotten is not None and secret is not None:
        checks.append(Check("the samples asked about are those that were forgotten",
                            torch.equal(forgotten.ids, secret.unique())))
    return rows, checks


def _absent(
    train: Samples, dataset: Dataset, kept: dict[str, Tensor], named: Sequence[str]
) -> Check:
    """Whether what was forgotten is not among the retained: a certificate over all the data, with
    the forgotten among them, forgot nothing."""
    what = "the forgotten samples are not among the retained"
    there, _ = present(train, dataset.classes)
    for spec in named:
        kind, _, name = spec.partition(":")
        if kind == "class" and name in there:
            return Check(what, False, "the secret names a class that still has samples")
    if "forgotten_marks" in kept:
        left = set(map(bytes, marks_of(train, kept["data_key"]).numpy()))
        marks = list(map(bytes, kept["forgotten_marks"].numpy()))
        copies = sum(mark in left for mark in marks)
        if copies:
            passed = False if copies == len(marks) else None
            return Check(what, passed, f"{copies:,} of {len(marks):,} are there, or copies of them")
        return Check(what, bool(marks), "" if marks else "the secret names none")
    if len(train) < len(dataset.train):
        return Check(what, True, "the ones named were left out")
    return Check(what, None, "nothing says what they were: name it with --forget, over data that "
                             "still hold it")


def _count(train: Samples, stated: dict[str, Any]) -> Check:
    """Whether the retained samples are as many as stated."""
    return Check("the retained samples are as many as it says",
                 len(train) == stated["n_retained"], f"{len(train):,} of {stated['n_retained']:,}")


def _empty(train: Samples, dataset: Dataset, stated: dict[str, Any], n_classes: int) -> Check:
    """Whether the classes that have no sample left are the ones stated; in data from which a class
    was deleted their number alone can be told."""
    what, empty = "the classes without samples are the ones named", stated["empty_classes"]
    if len(dataset.classes) == n_classes:
        return Check(what, empty == empty_classes(train, n_classes))
    right = len(set(empty)) == len(empty) == n_classes - len(train.y.unique())
    return Check(what, right and all(one < n_classes for one in empty))


def _as_many(stated: dict[str, Any], kept: dict[str, Tensor]) -> Check:
    """Whether the last request was for as many samples as stated."""
    what = "as many samples were forgotten as it says"
    requests = sorted((name for name in kept if name.startswith("request.")),
                      key=lambda name: (len(name), name))
    if not requests:
        return Check(what, None, f"{stated['n_forgotten']:,} by its own word")
    count = kept[requests[-1]].numel()
    return Check(what, count == stated["n_forgotten"], f"{count:,}")


def _data(
    train: Samples, dataset: Dataset, stated: dict[str, Any], kept: dict[str, Tensor]
) -> Check:
    """Whether these are the retained data, to the last bit."""
    what = "the retained data are the ones named"
    if stated["kind"] == FIRST:
        same = data_sha256(train, dataset.classes) == stated["data_sha256"]
    elif "data_key" in kept:
        digest = retained_sha256(train, dataset.classes)
        same = keyed_hash(kept["data_key"], digest.encode()) == stated["retained_keyed_hash"]
    else:
        return Check(what, None, "the key of their hash is in the secret: without it whoever has "
                                 "all the data could try out who was forgotten")
    return Check(what, same, OTHER_ROWS if dataset.embedder and not same else "")


OTHER_ROWS = ("the photos differ, or their embeddings were made on another kind of processor, which"
              " rounds otherwise: verify where they were made, or with a copy of embeddings/")


def in_columns(train: Samples, stated: dict[str, Any], stored: Stored) -> Samples:
    """The samples with the labels that the model's columns have: data from which a class was
    deleted number the others anew."""
    if stated["kind"] == FIRST:
        return train
    empty = set(stated["empty_classes"])
    left = [index for index in range(stored.model.n_classes) if index not in empty]
    there, numbers = train.y.cpu().unique(return_inverse=True)
    if len(there) != len(left):
        return train
    return Samples(train.x, torch.tensor(left)[numbers].to(train.y.device), train.ids)
