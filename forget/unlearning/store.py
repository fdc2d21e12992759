"""Models on disk: one safetensors file each, with the record of how it was made in its header.

A file is written whole or not at all, carries a seal (a sha256) over its weights and its
record, and is checked when it is read. Nothing is ever unpickled freely.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from forget.core.errors import BadInput, DamagedFile
from forget.io.files import sha256_of, write_atomically
from forget.io.paths import OWN, downloads
from forget.io.pickles import load_tensors
from forget.learners import LEARNERS
from forget.models import with_old_scales
from forget.models.foreign import recognise

MANIFEST = "manifest.json"
TRAINED = "trained"
SECRET = ".secret.safetensors"
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
STATE_DICTS = ("state_dict", "model_state_dict", "model")
"""What a training's checkpoint calls the network's weights, beside the rest that it holds."""

MAX_BYTES = 64 << 20
"""Of someone else's checkpoint; the largest known network for pictures of 256 pixels has half."""

MAX_HEADER = 8 << 20
"""Bytes of names and shapes in a file: the format allows a million tensors, which take seconds and
gigabytes."""

MAX_MANIFEST = 1 << 20
MAX_INPUTS = 1 << 16
"""Numbers of one input of a model with fewer weights than that."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """A model with its record (plain JSON data: learner, settings, seed, seconds, versions …)."""

    model: nn.Module
    record: dict[str, Any]


def key_of(**what: Any) -> str:
    """A short name for everything that determines a model.

    >>> key_of(seed=1) == key_of(seed=1) != key_of(seed=2)
    True
    """
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seal(record: str, tensors: dict[str, Tensor]) -> str:
    """sha256 over the record's text and the names, shapes and bytes of all tensors."""
    digest = hashlib.sha256(record.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def to_bytes(stored: Stored) -> bytes:
    """A safetensors file: the weights, and in its header the record and a seal over both."""
    return sealed_bytes(stored.model.state_dict(), stored.record)


def sealed_bytes(tensors: dict[str, Tensor], about: dict[str, Any]) -> bytes:
    """A safetensors file of tensors, with plain JSON data and a seal over both in its header."""
    record = json.dumps(about)
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(plain, header(record, seal(record, plain)))


def header(record: str, sealed: str) -> dict[str, str]:
    """One entry for both: safetensors writes several in an order that changes from run to run."""
    return {"forget": json.dumps({"record": record, "seal": sealed})}


def save(stored: Stored, path: Path) -> None:
    """Write the model, and beside it what its learner keeps to be able to forget, if anything."""
    public = to_bytes(stored)
    if secret := secret_of(stored.model):
        write_atomically(secret_path(path), secret_bytes(secret, {}, public), mode=0o600)
    write_atomically(path, public)


def secret_of(model: nn.Module) -> dict[str, Tensor]:
    """What a learner keeps beside a model's public weights; empty for most."""
    return getattr(model, "secret", {})


def secret_path(path: Path) -> Path:
    """Where the secret of the model at ``path`` lies."""
    return path.with_name(path.stem + SECRET)


def secret_bytes(secret: dict[str, Tensor], about: dict[str, Any], public: bytes) -> bytes:
    """A safetensors file that belongs to one model file and to no other.

    ``about``: plain JSON data to go with it.
    """
    return sealed_bytes(secret, {"model": hashlib.sha256(public).hexdigest()} | about)


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`sealed_bytes` made; :class:`DamagedFile` where a byte changed."""
    try:
        return _read_sealed(path)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError,
            RecursionError) as error:
        raise DamagedFile(f"{path} is damaged: delete it and it is made again") from error


def _opened(path: Path) -> safe_open:
    """A safetensors file, its header not longer than one of ours can be."""
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER:
            raise ValueError("the header is too long")
    return safe_open(path, framework="pt")


def _read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with _opened(path) as file:
        about = json.loads((file.metadata() or {})["forget"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if about["seal"] != seal(about["record"], tensors):
        raise ValueError("the seal is broken")
    return tensors, json.loads(about["record"])


def load(path: Path, with_secret: bool = True) -> Stored:
    """Read a model that :func:`save` wrote, with its secret where that lies beside it.

    Raises :class:`DamagedFile` where a byte changed.
    """
    damaged = DamagedFile(f"{path} is damaged: delete it and it is made again")
    _check_manifest(path)
    try:
        tensors, record = _read_sealed(path)
        model, tensors = _built(record, tensors)
        model.load_state_dict(tensors, strict=True)
        if with_secret and secret_path(path).is_file():
            model.secret, about = _read_sealed(secret_path(path))
            if about["model"] != sha256_of(path):
                raise ValueError("the secret belongs to another model")
    except (SafetensorError, BadInput, OSError, KeyError, ValueError, TypeError,
            RuntimeError, AttributeError, ArithmeticError) as error:
        raise damaged from error
    return Stored(frozen(model), record)


def _built(
    record: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The record's model, untrained, and the tensors in its form; it is built without memory first,
    so that no record asks for more than its file's tensors need."""
    learner = LEARNERS[record["learner"]](**record["settings"])
    shape, n_classes = tuple(record["input_shape"]), record["n_classes"]
    if math.prod(shape) > max(MAX_INPUTS, sum(value.numel() for value in tensors.values())):
        raise ValueError("its inputs have more numbers than the model has weights")
    with torch.device("meta"):
        planned = learner.build(shape, n_classes, torch.Generator()).state_dict()
    tensors = with_old_scales(tensors, planned)
    if {name: value.shape for name, value in planned.items()} != {
            name: value.shape for name, value in tensors.items()}:
        raise ValueError("its tensors are not its model's")
    return learner.build(shape, n_classes, torch.Generator()), tensors


def frozen(model: nn.Module) -> nn.Module:
    """The model as it is handed around: in eval mode and without gradients."""
    return model.eval().requires_grad_(False)


def path_of(dataset: str, learner: str, key: str) -> Path:
    """Where the model of a key lies: among the shipped ones, or where trained ones are put."""
    name = f"{re.sub('[^A-Za-z0-9_.]', '_', dataset)}-{learner}-{key}.safetensors"
    shipped = downloads() / name
    return shipped if shipped.is_file() else downloads() / TRAINED / name


def manifest() -> dict[str, Any]:
    """What ships with the program: file name to sha256, command, seed, versions, accuracy."""
    path = downloads() / MANIFEST
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_MANIFEST:
            raise ValueError("too long to be one")
        shipped = json.loads(path.read_text())["files"]
        return {str(name): dict(entry) for name, entry in shipped.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged: restore it with 'git checkout {path.name}' in its "
                          "folder, or delete it") from error


def write_manifest(name: str, entry: dict[str, Any]) -> None:
    """Add a shipped file to the manifest, or replace its entry."""
    entry = {"sha256": sha256_of(downloads() / name)} | entry
    text = json.dumps({"files": manifest() | {name: entry}}, indent=2) + "\n"
    write_atomically(downloads() / MANIFEST, text.encode())


def _check_manifest(path: Path) -> None:
    entry = manifest().get(path.name) if path.parent == downloads() else None
    if entry is not None and entry.get("sha256") != sha256_of(path):
        raise DamagedFile(f"{path} is not the file that its manifest names: restore it with "
                          f"'git checkout {path.name}' in its folder, or delete it and it is "
                          "trained again")


def foreign_files() -> list[Path]:
    """Checkpoints that a person put into the folder: not shipped, not made by the program.

    Its own sub-folders, and hidden ones, are passed over.
    """
    shipped, home = manifest(), downloads()
    folders = [home, *(path for path in _entries(home) if os.path.isdir(path)
                       and path.name not in OWN and not path.name.startswith("."))]
    return [path for folder in folders for path in _entries(folder)
            if path.suffix.lower() in SUFFIXES and os.path.isfile(path)
            and path.name not in shipped]


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it may not be looked into."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def is_own(path: Path) -> bool:
    """Whether a file is a model that this program wrote, whole or damaged."""
    if path.suffix != ".safetensors":
        return False
    try:
        with _opened(path) as file:
            return "forget" in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False


def read_foreign(path: Path) -> nn.Module:
    """A checkpoint of a known architecture, whoever saved it.

    safetensors, or a dictionary of plain tensors read with ``weights_only=True``: a file that asks
    for anything else to be built is refused. Raises :class:`DamagedFile`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DamagedFile(f"{path.name} has over {MAX_BYTES >> 20} MB: no known architecture "
                          "needs that, use another file")
    try:
        tensors = (_read_safetensors(path) if path.suffix.lower() == ".safetensors"
                   else load_tensors(path))
    except Exception as error:  # torch.load raises whatever the file's bytes lead it to
        raise DamagedFile(f"{path.name} cannot be read as a checkpoint of plain tensors "
                          f"({type(error).__name__}): save its state_dict again") from error
    if isinstance(tensors, dict):
        inside = [tensors[name] for name in STATE_DICTS if isinstance(tensors.get(name), dict)]
        tensors = inside[0] if inside else tensors
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        raise DamagedFile(f"{path.name} is not a dictionary of tensors: save the model's "
                          "state_dict and use that file")
    return frozen(_recognised(tensors, path))


def _recognised(tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """The known network of these tensors."""
    if sum(value.numel() * value.element_size() for value in tensors.values()
           if value.layout == torch.strided) > path.stat().st_size:
        raise DamagedFile(f"{path.name} names more numbers than it holds: save the network's "
                          "state_dict again")
    try:
        return recognise(tensors, ordered=path.suffix != ".safetensors")
    except RuntimeError as error:  # of kinds of numbers that torch cannot calculate with
        raise DamagedFile(f"{path.name} holds tensors that are not plain floating-point numbers: "
                          "save the network's state_dict again") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors layer by layer as far as their names tell: the format itself keeps no order."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return {name: tensors[name] for name in sorted(tensors, key=_layer_order)}


def _layer_order(name: str) -> tuple:
    layer, _, what = name.rpartition(".")
    numbers = tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", layer))
    return (*numbers, 0 if what == "weight" else 1, what)
