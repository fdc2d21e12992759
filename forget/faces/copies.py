"""Find photos that are the same photo: saved again, resized, a little brighter, or mirrored.

Aligned faces do not tell: the points that a face is aligned by move a little when a photo is saved
again, and two photos taken one after the other differ by no more. What tells is the whole photo, as
it was framed.
"""

import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

SIDE = 48
BLUR = 1.5
"""Standard deviation, in pixels of the small picture: what saving again changes is gone by then."""

WINDOW = 12
"""A photo is no copy where one window of this side differs, however like the rest may be."""

DIFFERENT = 0.14
"""Root of the mean square difference in the worst window, over the picture's standard deviation.

Measured on the 400 ORL photos: no two of them are below 0.19, and the closest six pairs are, looked
at, two photos each, with another mouth or glance. Copies of 80 of them: rescaled by 0.6 to 2 at
most 0.02, saved as JPEG of quality 20 at most 0.06, brightness or contrast times 0.85 to 1.2 at
most 0.09. Mirrored as well, resized or brighter, and saved so: at most 0.10; no photo is below 0.40
beside another's mirror image. A copy cut by more than a percent on a side is not found.
"""

CHUNK = 1024


def look_of(photo: Image.Image) -> Tensor:
    """A photo as small and blurred as it is compared, (48, 48) uint8 grey."""
    grey = photo.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    small = grey.filter(ImageFilter.GaussianBlur(BLUR))
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(SIDE, SIDE)


def copies_among(looks: Tensor, faces: Tensor) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of photos (N, 48, 48) that are one and stand for the same face in it.

    ``faces``: (N,) which face of its photo each stands for, the largest is 0; of a group's photo
    each person may be given one.

    Brightness and contrast are taken out first: each picture has the mean 0 and the standard
    deviation 1, and a pair's difference is what one is beside the best multiple of the other.

    >>> looks = torch.arange(48 * 48).view(1, 48, 48) % 251
    >>> copies_among(torch.cat([looks, looks // 2 + 9]), torch.tensor([0, 0]))
    [(0, 1)]
    """
    flat, mirrored = _standard(looks), _standard(looks.flip(2))
    pairs = set()
    for start in range(0, len(flat), CHUNK):
        for other in (flat, mirrored):
            alike = flat[start:start + CHUNK] @ other.T / SIDE**2
            near = (1 - alike**2 <= DIFFERENT**2) & (alike > 0)
            near &= faces[start:start + CHUNK, None] == faces
            first, second = near.nonzero().T
            first = first + start
            later = second > first
            pairs.update(_really(flat, other, first[later], second[later]))
    return sorted(pairs)


def _standard(looks: Tensor) -> Tensor:
    """Pictures as rows with the mean 0 and the standard deviation 1."""
    flat = looks.flatten(1).float()
    return F.normalize(flat - flat.mean(1, keepdim=True)) * SIDE


def _really(flat: Tensor, other: Tensor, first: Tensor, second: Tensor) -> list[tuple[int, int]]:
    """Of pairs that are alike over the whole picture those that are in every window."""
    found = []
    for i, j in zip(first.split(CHUNK), second.split(CHUNK), strict=True):
        alike = (flat[i] * other[j]).mean(1, keepdim=True)
        squares = ((flat[i] - alike * other[j]) ** 2).view(-1, 1, SIDE, SIDE)
        worst = F.avg_pool2d(squares, WINDOW, WINDOW // 2).amax((1, 2, 3))
        same = worst <= DIFFERENT**2
        found += zip(i[same].tolist(), j[same].tolist(), strict=True)
    return found
