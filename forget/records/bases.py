"""What can be taught: for each dataset, how a drawing or a photo becomes a sample of it."""

import dataclasses
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from forget.core.errors import BadInput
from forget.core.spelling import printable
from forget.data import Dataset, DatasetSource, find_dataset
from forget.data.people import person_name
from forget.faces import passed_over
from forget.faces.embed import folder_of, key_of, the_face_meant, try_embed
from forget.faces.embedders import find_embedder
from forget.io.files import OnProgress, silent
from forget.io.images import digit_from_picture, read_image


@dataclasses.dataclass(frozen=True)
class Given:
    """One sample as it is kept: only what a model reads, and what a person is shown.

    ``x``: one input, images (1, H, W) uint8 or a row (d,) float32.  ``picture``: (H, W) or
    (3, H, W) uint8.  ``reader``: what turned the file into ``x``, "" for plain pixels: rows of
    another reader do not go together.  ``sha256``: of the file's bytes.  ``note``: what is to be
    said of the file, such as which of its faces this is; it is not kept.
    """

    x: Tensor
    picture: Tensor
    reader: str
    sha256: str
    note: str = ""


class Base(ABC):
    """A dataset that people add to. ``copies``: how often the learner sees what they give in each
    pass, so that a handful counts beside thousands."""

    name: str
    title: str
    one: str
    """What a person gives, in a word."""
    copies: int

    @property
    def source(self) -> DatasetSource:
        return find_dataset(self.name)

    def dataset(self, progress: OnProgress = silent) -> Dataset:
        """The data that everybody starts from, without what people gave."""
        return self.source.load(progress)

    def present(self) -> bool:
        """Whether files can be read now, with nothing to be fetched first."""
        return True

    @property
    @abstractmethod
    def reader(self) -> str:
        """The :attr:`Given.reader` of samples read now."""

    @abstractmethod
    def read(self, data: bytes, face: int | None = None) -> Given:
        """One file as a sample; ``face``: which face of a photo is meant, 0 the largest.

        Raises :class:`~forget.core.errors.BadImage`.
        """

    @abstractmethod
    def label(self, text: str) -> str:
        """A label in its one spelling; :class:`BadInput` for one that cannot be."""

    def tensor(self, x: bytes) -> Tensor:
        """One input from the bytes that are kept of it."""
        return torch.frombuffer(bytearray(x), dtype=self.dtype).view(self.shape)

    dtype: torch.dtype
    shape: tuple[int, ...]
    """Of one input; -1 where the reader decides."""
    picture_shape: tuple[int, ...]


class Digits(Base):
    """A person's handwriting: 28 x 28 pixels, treated as MNIST's digits were."""

    name = "mnist"
    title = "Digits"
    one = "drawing"
    copies = 20
    reader = ""
    dtype = torch.uint8
    shape = (1, 28, 28)
    picture_shape = (28, 28)

    def read(self, data: bytes, face: int | None = None) -> Given:
        return self.drawn(digit_from_picture(read_image(data)))

    def drawn(self, digit: np.ndarray) -> Given:
        """A digit (28, 28) uint8 as it is: pixels are all that is kept of it."""
        pixels = torch.from_numpy(np.array(digit))
        return Given(pixels[None], pixels, self.reader, key_of(pixels.numpy().tobytes()))

    def label(self, text: str) -> str:
        if text.strip() not in tuple("0123456789"):
            raise BadInput(f"“{printable(text)}” is no digit: label a drawing with 0 to 9")
        return text.strip()


class Faces(Base):
    """A person's photos: the aligned face and its numbers are kept, and the photo is not."""

    name = "faces"
    title = "Faces"
    one = "photo"
    copies = 1
    dtype = torch.float32
    shape = (-1,)
    picture_shape = (3, 96, 96)

    def present(self) -> bool:
        return find_embedder().present()

    @property
    def reader(self) -> str:
        return folder_of(find_embedder())

    def read(self, data: bytes, face: int | None = None) -> Given:
        embedder = find_embedder()
        known = {}
        (found,) = try_embed([data], embedder, keep=False, known=known)
        one = the_face_meant(data, found, face, embedder, known)
        several = face is None and len(one.faces) > 1
        return Given(one.row, one.picture, folder_of(embedder), one.key,
                     passed_over(one.faces, one.chosen) if several else "")

    def label(self, text: str) -> str:
        return person_name(text)


BASES: dict[str, Base] = {base.name: base for base in (Digits(), Faces())}


def base_called(name: str) -> Base:
    """The base of a name; :class:`~forget.core.errors.BadInput` for one that nobody can teach."""
    if name not in BASES:
        raise BadInput(f"'{printable(name)}' cannot be taught; choose one of {', '.join(BASES)}")
    return BASES[name]
