"""Certificates: what a removal claims, with hashes that bind it to its files and data."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from forget.certified.privacy import composed_epsilon
from forget.core.device import versions
from forget.data import Dataset, Samples
from forget.faces.embedders import EMBEDDERS
from forget.io.private import commitment, keyed_hash
from forget.unlearning import store
from forget.unlearning.request import Forgotten

FIRST = "forget certificate, version 1"
"""Of before the noise was on a grid; it is read still, and checked as what it is."""

KIND = "forget certificate, version 2"
KINDS = (FIRST, KIND)


def text_of(certificate: dict[str, Any]) -> str:
    """The one way in which a certificate is written: another byte is another certificate."""
    return json.dumps(certificate, indent=2, allow_nan=False) + "\n"


def data_sha256(train: Samples, classes: tuple[str, ...]) -> str:
    """sha256 over class names, inputs and labels, in their order."""
    return _digest(train.x, train.y, classes)


def retained_sha256(train: Samples, classes: tuple[str, ...]) -> str:
    """The same over retained samples and the classes that have any, numbered without the others:
    a person who was deleted from the data leaves it as it is."""
    names, numbers = present(train, classes)
    return _digest(train.x, numbers, names)


def present(train: Samples, classes: tuple[str, ...]) -> tuple[tuple[str, ...], Tensor]:
    """The classes that have samples, and the samples' labels (N,) as places among these."""
    there, numbers = train.y.cpu().unique(return_inverse=True)
    return tuple(classes[index] for index in there.tolist()), numbers


def _digest(x: Tensor, y: Tensor, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join(classes).encode())
    for tensor in (x, y):
        digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def coverage(dataset: Dataset) -> dict[str, str]:
    """What a certificate over these data covers: all of the model, or the head over rows that
    somebody else's network may have made."""
    if dataset.embedder:
        embedder = EMBEDDERS[dataset.embedder]
        return {
            "covers": "head",
            "covers_because": f"the rows under it come from {embedder.title}, which learnt from "
                              f"{embedder.learnt_from}; it covers the whole model only as far as "
                              "those did not hold these people, which cannot be checked here",
            "embedder": embedder.name,
        }
    if dataset.train.x.ndim == 2:
        return {"covers": "head",
                "covers_because": "the data are vectors that were made elsewhere, and whether what "
                                  "made them learnt from these samples cannot be known here"}
    return {"covers": "whole model", "covers_because": FIXED}


FIXED = ("the features under the head are fixed and never saw any data, and the head is the rest "
         "of the model")


def marks_of(samples: Samples, key: Tensor) -> Tensor:
    """A keyed hash (N, 32) uint8 of each sample's inputs, by which it is found again wherever it
    stands; nobody without the key can tell of which."""
    rows = samples.x.cpu().contiguous().numpy()
    found = bytearray().join(bytes.fromhex(keyed_hash(key, row.tobytes())) for row in rows)
    return torch.frombuffer(found, dtype=torch.uint8).reshape(len(rows), 32)


def weights_sha256(model: nn.Module) -> str:
    """sha256 over a model's public weights."""
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.seal("", tensors)


def retained_rows(dataset: Dataset, ids: Tensor) -> Tensor:
    """A mask of the training samples whose ids are not among ``ids``."""
    return ~torch.isin(dataset.train.ids.cpu(), ids).to(dataset.train.y.device)


def statement_over(
    statement: dict[str, Any], dataset: Dataset, forgotten: Forgotten
) -> dict[str, Any]:
    """What a method states, with what it is about: the data that are left, and what they leave
    empty."""
    kept = dataset.train.take(retained_rows(dataset, forgotten.ids))
    empty = empty_classes(kept, len(dataset.classes))
    return statement | coverage(dataset) | {
        "assumptions": assumed(statement["assumptions"], empty), "empty_classes": empty,
        "dataset": dataset.name,
        "retained_sha256": retained_sha256(kept, dataset.classes)}


def empty_classes(train: Samples, n_classes: int) -> list[int]:
    """The classes of which no sample is left."""
    there = set(train.y.unique().tolist())
    return [index for index in range(n_classes) if index not in there]


def assumed(assumptions: Sequence[str], empty: Sequence[int]) -> list[str]:
    """What a certificate rests on, and what an emptied class shows, where there is one."""
    return [*assumptions, *([SHOWS] if empty else [])]


SHOWS = ("A class without samples keeps its place in the model: everybody sees that it is empty, "
         "and that somebody may have been there.")
"""What a certificate over an emptied class says besides."""


def together(published: Sequence[dict[str, Any]]) -> float | None:
    """The epsilon that the publications of these statements or certificates allow together, at the
    last one's delta; None where the last one has no noise of its own."""
    if not published or published[-1]["mode"] != "residual":
        return None
    noisy = [one for one in published if one["mode"] == "residual"]
    # Weights are not said where the noise was on no grid.
    return composed_epsilon([one["noise_multiplier"] for one in noisy], noisy[-1]["delta"],
                            sum(one.get("weights", 0) for one in noisy))


def issue(
    statement: dict[str, Any], before: nn.Module, after: nn.Module, forgotten: Forgotten,
    public: bytes, secret: bytes, earlier: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The certificate of one removal: what its method states, and hashes of all that it is about.

    Nothing in it may tell which samples were forgotten, also not to somebody who has all the data
    and guesses: so the hashes of what was forgotten and of what is left are made with keys that
    stay in the secret. ``public`` and ``secret``: the bytes of the unlearned model's two files.
    ``earlier``: what was stated of the publications before, since the model was last trained from
    nothing; somebody may have kept all of them.
    """
    kept, stated = store.secret_of(after), dict(statement)
    name, digest = stated.pop("dataset"), stated.pop("retained_sha256")
    certificate = {
        "kind": KIND,
        **stated,
        "model": {"file_sha256": hashlib.sha256(public).hexdigest(),
                  "weights_sha256_after": weights_sha256(after)},
        "secret_file_sha256": hashlib.sha256(secret).hexdigest(),
        "forgotten_keyed_hash": keyed_hash(kept["ids_key"], forgotten.ids.numpy().tobytes()),
        "retained_keyed_hash": keyed_hash(kept["data_key"], digest.encode()),
        "noise_commitment": commitment(kept["noise_key"], kept["salt"]),
        # Nobody can work these out again: whoever issues it says so.
        "issuer_says": {"dataset": name, "weights_sha256_before": weights_sha256(before),
                        "publications": len(earlier) + 1,
                        "epsilon_of_all": together([*earlier, statement]),
                        "versions": versions()},
    }
    return certificate | {"mac": keyed_hash(kept["seal_key"], text_of(certificate).encode())}
