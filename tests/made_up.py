"""Photos of nobody, a detector that reads from them where their faces are, and a small embedder.

With them everything around the networks is tested in moments.
"""

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from forget.data.people import Photo
from forget.faces import Face
from forget.faces.detect import Found
from forget.faces.embedders import Embedder
from forget.io.files import silent

SIDE = 96
BAR = 12
"""Height of the bar at a photo's top whose colour says how many faces there are and how large."""

LARGEST = 40


def picture(seed: int, faces: int = 1, second: float = 0.25) -> Image.Image:
    """A smooth random picture with so many faces; the second has this share of the first's area."""
    coarse = np.random.default_rng(seed).integers(40, 210, (6, 6, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).rectangle([0, 0, SIDE, BAR], (40 * faces, round(200 * second), 0))
    return image


def encoded(image: Image.Image, form: str = "PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def photo(seed: int, faces: int = 1, second: float = 0.25) -> bytes:
    return encoded(picture(seed, faces, second))


def photos_of(**counts: int) -> list[Photo]:
    """So many good photos of each person, no two alike."""
    return [Photo(person, f"{number}.png", photo(1000 * which + number))
            for which, (person, count) in enumerate(counts.items()) for number in range(count)]


def find_faces(photos) -> list[Found]:
    return [Found(one, _faces(one)) for one in photos]


def _faces(image: Image.Image) -> tuple[Face, ...]:
    bar = image.resize((1, 1), box=(2, 2, 0.9 * image.width, 0.08 * image.height))
    red, green, _ = bar.getpixel((0, 0))
    return tuple(face_at(image, place, LARGEST * (green / 200) ** (0.5 * (place > 0)))
                 for place in range(round(red / 40)))


def face_at(image: Image.Image, place: int, side: float) -> Face:
    """A square face; the places overlap a little, and each is less certain than the one before."""
    scale = image.width / SIDE
    left, top = 12 * place, 20
    box = (left, top, left + side, top + side)
    points = ((1, 1), (3, 1), (2, 2), (1, 3), (3, 3))
    return Face(tuple(scale * edge for edge in box),
                tuple((scale * (left + x), scale * (top + y)) for x, y in points),
                0.99 - place / 100)


def aligned(image: Image.Image, face: Face) -> torch.Tensor:
    crop = image.resize((150, 150), Image.Resampling.BILINEAR, box=face.box)
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1).contiguous()


class Small(Embedder):
    """The colours of the crop's four quarters."""

    name = "small"
    title = "Colours"
    order = 1
    learnt_from = "nothing"
    size = 12
    version = 1
    loaded = 0

    @classmethod
    def present(cls):
        return True

    @classmethod
    def load(cls, progress=silent):
        cls.loaded += 1
        return cls()

    def forward(self, crops):
        return F.adaptive_avg_pool2d(crops.float() / 255, 2).flatten(1)


class Other(Small):
    name = "other"
