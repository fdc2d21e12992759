"""Everything about a photo, computed once: its faces, the one that is meant, and that one's row.

What is known lies in ``forget_downloads/embeddings/``, a file for each photo and embedder, named by
the sha256 of the photo's bytes. The photo's own name and whose it is stand nowhere in it.
"""

import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from forget.core.errors import BadImage, BadInput, ManyFaces, NoFace
from forget.faces import Embedded, Face
from forget.faces.align import aligned
from forget.faces.copies import look_of
from forget.faces.detect import find_faces
from forget.faces.embedders import Embedder, rows_of
from forget.io.files import OnProgress, Progress, silent, write_atomically
from forget.io.images import read_photo
from forget.io.paths import downloads

log = logging.getLogger(__name__)

FOLDER = "embeddings"
PICTURE_SIDE = 96

BATCH = 16
"""Photos between two reports of progress; what is done by then stays done."""

CLEARLY_LARGER = 2.0
"""How many times as large as the second face the largest is where it is the one meant."""

FORM = 1
"""Raised when the same photo gives other faces or another crop: what is kept is then made anew."""

Known = dict[tuple[str, str], Embedded]
"""What is known for as long as this lives, by the embedder's folder and the photo's key."""

AnyEmbedder = Embedder | type[Embedder]
"""A network, or its class: that is loaded only where a photo is met for the first time."""


def embed(photos: Sequence[bytes], embedder: AnyEmbedder, *, keep: bool,
          known: Known | None = None, progress: OnProgress = silent) -> list[Embedded]:
    """What is known of each photo, computed where nothing is yet; equal photos only once.

    ``keep``: whether it is read from disk and written there.  ``known``: looked into first, and
    added to.  ``progress``: told the number of photos done; where it raises, what is done by then
    is kept.  Raises :class:`~forget.core.errors.BadImage` for the first photo that cannot be read.
    """
    found = try_embed(photos, embedder, keep=keep, known=known, progress=progress)
    for one in found:
        if isinstance(one, BadImage):
            raise one
    return found


def try_embed(photos: Sequence[bytes], embedder: AnyEmbedder, *, keep: bool,
              known: Known | None = None, progress: OnProgress = silent,
              ) -> list[Embedded | BadImage]:
    """As :func:`embed`, with the error in the place of each photo that cannot be read."""
    keys = [key_of(data) for data in photos]
    by_key = dict(zip(keys, photos, strict=True))
    folder = folder_of(embedder)
    known = {} if known is None else known
    done: dict[str, Embedded | BadImage] = {}
    for key in by_key:
        one = known.get((folder, key)) or (_read(folder, key) if keep else None)
        if one is not None:
            done[key] = known[folder, key] = one
    left = [key for key in by_key if key not in done]
    if left and isinstance(embedder, type):
        embedder = embedder.load(progress)
    for start in range(0, len(left), BATCH):
        progress(Progress("Finding faces", len(done), len(by_key), "photo"))
        for key, one in _compute(left[start : start + BATCH], by_key, embedder).items():
            done[key] = one
            if isinstance(one, Embedded):
                known[folder, key] = one
                if keep:
                    write_atomically(_path(folder, key), _to_bytes(folder, one), mode=0o600)
    progress(Progress("Finding faces", len(by_key), len(by_key), "photo"))
    return [done[key] for key in keys]


def embed_face(photo: Image.Image, face: Face, embedder: AnyEmbedder) -> tuple[Tensor, Tensor]:
    """(picture (3, 96, 96) uint8, row (d,) float32) of one face of a photo."""
    if isinstance(embedder, type):
        embedder = embedder.load()
    crop = aligned(photo, face)
    return _shrunk(crop), rows_of(embedder, crop[None])[0].clone()


def pick(photo: bytes, one: Embedded, face: int, embedder: AnyEmbedder, known: Known) -> Embedded:
    """What is known of a photo, with another of its faces as the one meant.

    Raises :class:`~forget.core.errors.BadImage` where the photo has no such face.
    """
    if not 0 <= face < len(one.faces):
        raise ManyFaces(f"the face that was picked is none of its {len(one.faces)}; pick one of "
                        "those")
    place = folder_of(embedder), f"{one.key}/{face}"
    if face == one.chosen:
        known[place] = one
    if place not in known:
        (found,) = find_faces([read_photo(photo)])  # once more: it may turn the photo upright
        picture, row = embed_face(found.photo, found.faces[face], embedder)
        known[place] = dataclasses.replace(one, chosen=face, picture=picture, row=row)
    return known[place]


def the_face_meant(photo: bytes, one: Embedded | BadImage, face: int | None,
                   embedder: AnyEmbedder, known: Known) -> Embedded:
    """What is known of a photo, about the face that somebody picked or the one clearly meant.

    Raises :class:`BadImage` where there is none, and what :func:`try_embed` gave
    in place of a photo.
    """
    if isinstance(one, BadImage):
        raise one
    if not one.faces:
        raise NoFace("no face was found in it; give a photo with the face turned to the camera")
    if face is not None:
        one = pick(photo, one, face, embedder, known)
    if one.chosen is None:
        raise ManyFaces(f"it shows {len(one.faces)} faces and none is clearly the largest; pick "
                        "one of them, or cut the photo to one face")
    return one


def key_of(photo: bytes) -> str:
    """By what a photo is known: the sha256 of its bytes."""
    return hashlib.sha256(photo).hexdigest()


def folder_of(embedder: AnyEmbedder) -> str:
    return f"{embedder.name}-v{embedder.version}"


def all_kept(photos: Iterable[bytes], embedder: AnyEmbedder) -> bool:
    """Whether something is kept of every photo, so that :func:`embed` takes moments."""
    return all(_path(folder_of(embedder), key_of(photo)).is_file() for photo in photos)


def erase(keys: Iterable[str]) -> int:
    """Delete what is kept of photos, by any embedder; returns how many files that were.

    What a killed process left half-written goes with it.
    """
    gone = 0
    for key in keys:
        if not re.fullmatch("[0-9a-f]{64}", key):
            raise BadInput("a photo's key is the sha256 of its bytes, 64 hexadecimal digits; "
                           "take it from the dataset's samples")
        for path in list((downloads() / FOLDER).glob(f"*/{key[:2]}/*{key}*")):
            path.unlink(missing_ok=True)
            gone += path.name == f"{key}.safetensors"
    return gone


def choose(faces: Sequence[Face]) -> int | None:
    """The face that a photo is about: the only one, or the first where it is clearly the largest.

    >>> small, large = (Face((0, 0, side, side), (), 1.0) for side in (10, 20))
    >>> choose([large, small]), choose([small, small]), choose([])
    (0, None, None)
    """
    if not faces:
        return None
    clear = len(faces) == 1 or faces[0].area >= CLEARLY_LARGER * faces[1].area
    return 0 if clear else None


def _compute(keys: Sequence[str], photos: dict[str, bytes], embedder: Embedder,
             ) -> dict[str, Embedded | BadImage]:
    done: dict[str, Embedded | BadImage] = {}
    crops = {}
    for key in keys:
        try:
            (found,) = find_faces([read_photo(photos[key])])
            chosen = choose(found.faces)
            if chosen is not None:
                crops[key] = aligned(found.photo, found.faces[chosen])
        except BadImage as error:
            done[key] = error.with_traceback(None)  # which would hold on to the photo
        else:
            done[key] = Embedded(key, found.faces, chosen, None, None, look_of(found.photo))
    rows = rows_of(embedder, torch.stack(list(crops.values()))) if crops else ()
    for (key, crop), row in zip(crops.items(), rows, strict=True):
        row = row.clone()  # each its own memory, and no inference tensor
        done[key] = dataclasses.replace(done[key], picture=_shrunk(crop), row=row)
    return done


def _shrunk(crop: Tensor) -> Tensor:
    """An aligned crop (3, 150, 150) as (3, 96, 96)."""
    image = Image.fromarray(crop.movedim(0, -1).contiguous().numpy())
    image = image.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).movedim(-1, 0).contiguous()


def _path(folder: str, key: str) -> Path:
    return downloads() / FOLDER / folder / key[:2] / f"{key}.safetensors"


def _to_bytes(folder: str, one: Embedded) -> bytes:
    """A safetensors file with a seal over everything in it, its place and its form."""
    n = len(one.faces)
    tensors = {
        "box": torch.tensor([face.box for face in one.faces], dtype=torch.float64).view(n, 4),
        "points": torch.tensor([face.points for face in one.faces],
                               dtype=torch.float64).view(n, 5, 2),
        "probability": torch.tensor([face.probability for face in one.faces],
                                    dtype=torch.float64),
        "chosen": torch.tensor([] if one.chosen is None else [one.chosen], dtype=torch.int64),
        "look": one.look,
    }
    if one.chosen is not None:
        tensors |= {"picture": one.picture, "row": one.row}
    tensors["seal"] = _seal(folder, one.key, tensors)
    return safetensors.torch.save(tensors)


def _seal(folder: str, key: str, tensors: dict[str, Tensor]) -> Tensor:
    """sha256 over the names, shapes and bytes of all tensors, (32,) uint8."""
    digest = hashlib.sha256(f"{FORM}/{folder}/{key}".encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def _read(folder: str, key: str) -> Embedded | None:
    """What is kept of a photo; None where there is nothing, or nothing that can be believed."""
    try:
        data = _path(folder, key).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _from_bytes(folder, key, data)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError):
        log.warning("what is kept of a photo is damaged or of an older form: it is made again")
        return None


def _from_bytes(folder: str, key: str, data: bytes) -> Embedded:
    tensors = safetensors.torch.load(data)
    if not torch.equal(tensors.pop("seal"), _seal(folder, key, tensors)):
        raise ValueError("the seal is broken")
    faces = zip(tensors["box"].tolist(), tensors["points"].tolist(),
                tensors["probability"].tolist(), strict=True)
    return Embedded(
        key,
        tuple(Face(tuple(box), tuple(map(tuple, points)), probability)
              for box, points, probability in faces),
        next(iter(tensors["chosen"].tolist()), None),
        tensors.get("picture"),
        tensors.get("row"),
        tensors["look"],
    )
