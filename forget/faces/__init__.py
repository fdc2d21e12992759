"""Faces: from a photo to a row of numbers that a head can learn from.

    photo -> detect -> align -> embedders -> embed -> people

The network that embeds is public and stays as it is; only the head on its rows learns, and forgets.
"""

import dataclasses
from collections.abc import Sequence

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in a photo.

    ``box``: left, top, right, bottom.  ``points``: left eye, right eye, nose, left and right mouth
    corner as they stand in the photo, each (x, y).  All in pixels of the photo.
    ``probability``: of being a face, says the detector, 0..1.
    """

    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]
    probability: float

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        left, top, right, bottom = self.box
        return max(right - left, 0.0) * max(bottom - top, 0.0)


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What is known of one photo.

    ``key``: sha256 of its bytes.  ``faces``: all that were found, the largest first.
    ``chosen``: the index of the face that the rest is about, None where none could be chosen.
    ``picture``: that face aligned, (3, 96, 96) uint8.  ``row``: its embedding (d,) float32.
    ``look``: the whole photo, small and blurred, (48, 48) uint8 grey: by it copies are known.
    """

    key: str
    faces: tuple[Face, ...]
    chosen: int | None
    picture: Tensor | None
    row: Tensor | None
    look: Tensor | None = None


def from_the_left(faces: Sequence[Face]) -> list[int]:
    """The indices of a photo's faces in the order in which people are shown their numbers.

    >>> from_the_left([Face((60, 0, 90, 30), (), 1.0), Face((5, 0, 25, 20), (), 1.0)])
    [1, 0]
    """
    return sorted(range(len(faces)), key=lambda index: (
        faces[index].box[0] + faces[index].box[2], faces[index].box[1], index))


def passed_over(faces: Sequence[Face], chosen: int) -> str:
    """What is said of a photo with several faces in which nobody picked one.

    >>> passed_over([Face((60, 0, 90, 30), (), 1.0), Face((5, 0, 25, 20), (), 1.0)], 0)
    'shows 2 faces; by far the largest is taken, number 2 from the left'
    """
    number = from_the_left(faces).index(chosen) + 1
    return f"shows {len(faces)} faces; by far the largest is taken, number {number} from the left"
