"""Certificates: what a removal claims, with hashes that bind it to its files and data."""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from forget import store
from forget.data import Dataset, Samples
from forget.device import versions
from forget.faces.embedders import EMBEDDERS
from forget.private import commitment, keyed_hash
from forget.request import Forgotten

FIRST = "forget certificate, version 1"
"""Of before the noise was on a grid; it is read still, and checked as what it is."""

KIND = "forget certificate, version 2"
KINDS = (FIRST, KIND)


def text_of(certificate: dict[str, Any]) -> str:
    """The one way in which a certificate is written: another byte is another certificate."""
    return json.dumps(certificate, indent=2, allow_nan=False) + "\n"


def data_sha256(train: Samples, classes: tuple[str, ...]) -> str:
    """sha256 over class names, inputs and labels, in their order."""
    digest = hashlib.sha256("\0".join(classes).encode())
    for tensor in (train.x, train.y):
        digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def coverage(dataset: Dataset) -> dict[str, str]:
    """What a certificate over these data covers: all of it, or the head over a public embedder's
    rows."""
    if not dataset.embedder:
        return {"covers": "whole model",
                "covers_because": "the features under the head are fixed and never saw any data, "
                                  "and the head is the rest of the model"}
    embedder = EMBEDDERS[dataset.embedder]
    return {
        "covers": "head",
        "covers_because": f"the rows under it come from {embedder.title}, which learnt from "
                          f"{embedder.learnt_from}; it covers the whole model only as far as those "
                          "did not hold these people, which cannot be checked here",
        "embedder": embedder.name,
    }


def weights_sha256(model: nn.Module) -> str:
    """sha256 over a model's public weights."""
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.seal("", tensors)


def retained_rows(dataset: Dataset, ids: Tensor) -> Tensor:
    """A mask of the training samples whose ids are not among ``ids``."""
    return ~torch.isin(dataset.train.ids.cpu(), ids).to(dataset.train.y.device)


def issue(
    statement: dict[str, Any], before: nn.Module, after: nn.Module, forgotten: Forgotten,
    public: bytes, secret: bytes,
) -> dict[str, Any]:
    """The certificate of one removal: what its method states, and hashes of all that it is about.

    ``public`` and ``secret``: the bytes of the unlearned model's two files.
    """
    kept = store.secret_of(after)
    certificate = {
        "kind": KIND,
        **statement,
        "model": {"file_sha256": hashlib.sha256(public).hexdigest(),
                  "weights_sha256_before": weights_sha256(before),
                  "weights_sha256_after": weights_sha256(after)},
        "secret_file_sha256": hashlib.sha256(secret).hexdigest(),
        "forgotten_keyed_hash": keyed_hash(kept["ids_key"], forgotten.ids.numpy().tobytes()),
        "noise_commitment": commitment(kept["noise_key"], kept["salt"]),
        "versions": versions(),
    }
    return certificate | {"mac": keyed_hash(kept["seal_key"], text_of(certificate).encode())}
