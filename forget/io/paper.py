"""From a picture of a digit on any paper to MNIST's form: find the ink, judge it, scale, centre.

MNIST's digits are scaled into a 20 x 20 box and centred by their centre of mass in 28 x 28
(http://yann.lecun.com/exdb/mnist/); a digit on paper gets the same treatment.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from forget.core.errors import BadImage, EmptyDrawing

SIDE = 28
BOX = 20
WORK_BOX = 5 * BOX
PEN = 9.0
"""Width in the 100-pixel working box of a stroke as wide as MNIST's, about two of its pixels."""

LARGEST = 400
"""Side, in pixels, of the square as large as every picture is made before its ink is looked for."""

BROADEST = 131
"""Pixels of :data:`LARGEST`: what a square of this side fits into is no stroke of a pen."""

MIN_CONTRAST = 24
"""Grey levels between ink and paper under which a picture counts as empty."""

DARKEST = 0.35
"""Of the brightest paper: darker ground, such as a table, gets no finer eye than this."""

MOST_BOXES = 4
"""One in the other."""

NEAR = 5
"""Pixels from the picture's edge within which a mark is cut off by it."""

TOUCHING = np.ones((3, 3))

NOTHING = "there is no digit here yet: draw one, or give a picture of one"
UNCLEAR = ("no digit stands out here: draw one, large and dark, or give a picture of one on plain "
           "paper")
SEVERAL = "there is more than one digit here: give one at a time"
BLOT = ("this is a blot and no digit: draw one with a thinner pen, or give a picture of one on "
        "plain paper")
NOISE = ("there are marks all over and no digit stands out: give a picture of one digit on plain "
         "paper")

Box = tuple[slice, slice]
"""Rows and columns."""


class Several(BadImage):
    """There is more than one digit: so many ``marks``."""

    def __init__(self, message: str, marks: "list[Mark]"):
        super().__init__(message)
        self.marks = marks


REFUSALS = (NOTHING, UNCLEAR, SEVERAL, BLOT, NOISE)
"""What is said where dark and light ink are refused for two reasons: the later one."""


def digit_from_picture(image: Image.Image, canvas: bool = False) -> np.ndarray:
    """A grey picture of one digit as MNIST would have it: (28, 28) uint8, white ink on black.

    ``canvas``: it was drawn here, where there are no tables, frames or shadows: all ink is meant.

    Works for dark ink on light paper and for light on dark, for a digit in a corner, for a pen
    thinner than MNIST's, for light that falls unevenly, and beside or inside frames, tables,
    boxes and rulings. Raises :class:`~forget.core.errors.EmptyDrawing` where there is no ink and
    :class:`~forget.core.errors.BadImage` where it is not one digit.
    """
    picture = _at_working_size(image)
    grey = ndimage.gaussian_filter(picture, 1.0)
    if canvas:
        most = np.bincount(picture.astype(np.uint8).ravel()).argmax()
        papers = {bool(most < 128): np.full_like(grey, most)}
    else:
        papers = {light: _paper(grey, light) for light in (False, True)}
    found, refusals = [], []
    for light, paper in papers.items():
        try:
            found.append(_find(picture, grey - paper if light else paper - grey,
                               paper + MIN_CONTRAST if light else paper, canvas))
        except BadImage as refusal:
            refusals.append(refusal)
    if _is_plain(picture):  # elsewhere a sheet of paper may look like a digit around the digit
        digits = [mark for one in refusals if isinstance(one, Several) for mark in one.marks]
        found = [one for one in found if not any(_is_loop(one, digit) for digit in digits)]
    if not found:
        raise max(refusals, key=lambda refusal: REFUSALS.index(str(refusal)))
    clear = [one for one in found if one.step >= 0.4 * max(other.step for other in found)]
    sharp = [one for one in clear if one.ramp <= 2.2 * min(other.ramp for other in clear)]
    return as_mnist(max(sharp, key=lambda one: (one.boxed, max(one.ink.shape))).ink)


def as_mnist(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W), 0..255 and cut to its box, as MNIST would have it: (28, 28) uint8."""
    ink = _thicken(_resized(ink, WORK_BOX / max(ink.shape)))
    digit = _resized(ink, BOX / max(ink.shape))
    digit = np.clip(digit * (255 / digit.max()), 0, 255)
    return _centred(digit)


def _at_working_size(image: Image.Image) -> np.ndarray:
    scale = min(LARGEST / np.sqrt(image.width * image.height), 3 * LARGEST / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    how = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC
    return np.asarray(image.resize(size, how), dtype=np.float32)


def _is_plain(picture: np.ndarray) -> bool:
    """Whether nearly all of a picture is paper of one brightness."""
    most = np.bincount(picture.astype(np.uint8).ravel()).argmax()
    return bool((np.abs(picture - most) < MIN_CONTRAST).mean() > 0.75)


@dataclasses.dataclass(frozen=True)
class Found:
    """``ink``: a digit's (H, W), 0..255, cut to its ``box``.  ``boxed``: one was drawn round it.

    ``step``: grey levels between paper and ink.  ``ramp``: pixels from one to the other.
    """

    ink: np.ndarray
    box: Box
    boxed: bool
    step: float
    ramp: float


def _find(picture: np.ndarray, apart: np.ndarray, paper: np.ndarray, canvas: bool) -> Found:
    """The one digit in dark (or light) ink, ``apart`` grey levels from the paper under it."""
    ink = _ink(apart, paper)
    faint = ink > 0.3
    drawn = faint if canvas else _without_boxes(faint)
    kept = _one_digit(ink, drawn)
    _judge(kept)
    cut = ndimage.binary_dilation(faint & ~drawn, iterations=4)  # the digit may go on from there
    outline = kept & ~ndimage.binary_erosion(kept, border_value=1) & ~cut
    steepness, step, ramp = _steps(picture, apart, ink, kept, outline)
    if not canvas and (steepness < 0.95 or _is_ground(kept)):
        raise BadImage(UNCLEAR)
    near = ndimage.binary_dilation(kept, iterations=3) & (drawn | ~faint)
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    soft = np.where(near, np.clip((ink - 0.25) * 2, 0, 1) * 255, 0)
    return Found(soft[box], box, bool((drawn < faint).any()), step, ramp)


def _steps(picture: np.ndarray, apart: np.ndarray, ink: np.ndarray, kept: np.ndarray,
           outline: np.ndarray) -> tuple[float, float, float]:
    """The share of an outline at which the picture has a step; the step's height and width.

    A part of the paper that is too narrow to be told from ink, such as that between a digit and
    the sheet's edge, ends somewhere without a step.
    """
    if not outline.any():
        return 0.0, 0.0, 0.0
    between = (ink > 0.25) & (ink < 0.75) & ndimage.binary_dilation(kept, iterations=10)
    ramp = 2 * between.sum() / outline.sum()  # wider where the picture is blurred
    size = 2 * int(np.clip(round(ramp), 4, 24)) + 1
    step = ndimage.maximum_filter(picture, size) - ndimage.minimum_filter(picture, size)
    steep = step >= 0.6 * ndimage.maximum_filter(apart, size)
    return float(steep[outline].mean()), float(np.median(step[outline])), float(ramp)


def _ink(apart: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """How much each pixel stands out from the paper around it: 0 paper, 1 ink."""
    if apart.max() < MIN_CONTRAST:
        raise EmptyDrawing(NOTHING)
    ink = apart / np.maximum(paper, DARKEST * paper.max())
    strong = min(ink.size // 500, np.count_nonzero(ink > ink.max() / 2))
    most = np.sort(ink.ravel())[-max(1, strong)]
    return ink / np.median(ink[ink >= most / 2])


def _paper(grey: np.ndarray, light: bool) -> np.ndarray:
    """The paper under the ink: the picture without what is narrower than :data:`BROADEST`.

    A closing (of light ink: an opening), which keeps steps and slopes of the light as they are.
    The world outside counts as ink: so nothing that runs along the picture's edge does.
    """
    padded = np.pad(grey, BROADEST, constant_values=255 if light else 0)
    smooth = ndimage.grey_opening if light else ndimage.grey_closing
    paper = smooth(padded, size=(BROADEST, BROADEST))
    return paper[BROADEST:-BROADEST, BROADEST:-BROADEST]


def _without_boxes(mask: np.ndarray) -> np.ndarray:
    """Without boxes and frames: marks with four straight thin sides, whatever touches them."""
    for _ in range(MOST_BOXES):
        labels, _ = ndimage.label(mask, TOUCHING)
        cut = [(mark, inside) for mark in _marks(labels) if mark.longest > 0.2 * LARGEST
               and (inside := _inside_box(labels[mark.box] == mark.number, mark.at)) is not None]
        if not cut:
            break
        mask = mask.copy()
        for mark, inside in cut:
            mask[mark.box] &= inside | (labels[mark.box] != mark.number)
    return mask


def _inside_box(mark: np.ndarray, at: tuple[bool, ...]) -> np.ndarray | None:
    """The pixels inside the four sides of a box; None where the mark has not got such sides.

    ``at``: which sides (left, top, right, bottom) the picture's edge has cut off.
    """
    if min(mark.shape) < 0.15 * max(mark.shape):
        return None
    sides = {turn: _straight_side(np.rot90(mark, turn), max(mark.shape))
             for turn in range(4) if not at[turn]}
    if len(sides) < 3 or None in sides.values():
        return None
    pen = min(thick for _, thick in sides.values())  # where a digit touches a side, it is thicker
    if pen > 0.07 * max(mark.shape):
        return None
    inside = np.ones_like(mark)
    for turn, (place, _) in sides.items():
        turned = np.rot90(inside, turn)
        turned &= np.arange(turned.shape[1]) > (place + 1.2 * pen + 1)[:, None]
    return inside


def _straight_side(mark: np.ndarray, longest: int) -> tuple[np.ndarray, float] | None:
    """The straight left side of a mark: its place in each row, and how thick the ink is there."""
    rows = np.flatnonzero(mark.any(1))
    first = mark[rows].argmax(1)
    fits = first < 0.2 * longest
    for _ in range(3):
        if fits.sum() < 0.75 * len(mark):
            return None
        line = np.polynomial.Polynomial.fit(rows[fits], first[fits], 1)
        fits = np.abs(first - line(rows)) <= max(2, 0.025 * longest)
    if fits.sum() < 0.8 * len(mark):
        return None
    ends = np.argmin(np.pad(mark[rows], ((0, 0), (0, 1)))
                     | (np.arange(mark.shape[1] + 1) < first[:, None]), axis=1)
    return line(np.arange(len(mark))), float(np.median((ends - first)[fits]))


@dataclasses.dataclass(frozen=True)
class Mark:
    """Ink that hangs together: its number, its area in pixels, its box (two slices)."""

    number: int
    area: int
    box: Box
    at: tuple[bool, bool, bool, bool]
    """Whether it reaches the picture's edge: left, top, right, bottom."""

    @property
    def at_edge(self) -> bool:
        return any(self.at)

    @property
    def height(self) -> int:
        return self.box[0].stop - self.box[0].start

    @property
    def width(self) -> int:
        return self.box[1].stop - self.box[1].start

    @property
    def longest(self) -> int:
        return max(self.height, self.width)

    def and_other(self, other: "Mark") -> int:
        """The longest side of the box around both."""
        return max(max(one.stop, two.stop) - min(one.start, two.start)
                   for one, two in zip(self.box, other.box, strict=True))


def _marks(labels: np.ndarray) -> list[Mark]:
    areas = np.bincount(labels.ravel())
    height, width = labels.shape
    return [Mark(number, int(areas[number]), box, (
                box[1].start < NEAR, box[0].start < NEAR,
                box[1].stop > width - NEAR, box[0].stop > height - NEAR))
            for number, box in enumerate(ndimage.find_objects(labels), 1)]


def _one_digit(ink: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The marks that make up the digit, of those drawn: a mask (H, W)."""
    labels, count = ndimage.label(drawn & (ink > 0.5), TOUCHING)
    if not count:
        raise BadImage(UNCLEAR)
    marks = [mark for mark in _marks(labels) if not _is_crease(mark, labels)]
    if not marks:
        raise BadImage(UNCLEAR)
    levels = ndimage.mean(ink, labels, np.arange(1, count + 1))
    main = max(marks, key=lambda mark: mark.area * levels[mark.number - 1] ** 2
               * (0.2 if mark.at_edge else 1))
    away = ndimage.distance_transform_edt(labels != main.number)
    parts, others = [main.number], []
    for mark in marks:
        if (mark is main or mark.area < 0.04 * main.area
                or (mark.at_edge and not main.at_edge)):
            continue
        gap = ndimage.minimum(away, labels, mark.number) / mark.and_other(main)
        if _is_another(mark, main, gap):
            if levels[mark.number - 1] > 0.7 * levels[main.number - 1]:
                others.append(mark)
        elif gap < 0.3:
            parts.append(mark.number)
    if others:
        raise Several(SEVERAL if len(others) < 4 else NOISE, [main, *others])
    return np.isin(labels, parts)


def _is_crease(mark: Mark, labels: np.ndarray) -> bool:
    """Whether a mark is a straight line across a corner of the picture."""
    left, top, right, bottom = mark.at
    if (not ((left or right) and (top or bottom)) or mark.longest > 0.6 * max(labels.shape)
            or mark.area < 10):
        return False
    spread = np.linalg.eigvalsh(np.cov(np.nonzero(labels[mark.box] == mark.number)))
    return spread[0] < 0.02 * spread[1]


def _is_another(mark: Mark, main: Mark, gap: float) -> bool:
    """Whether a mark is a digit of its own, and no stroke of the main one's.

    Strokes of one digit lie near each other; two digits beside each other are equally high.
    """
    alike = min(mark.height, main.height) > 0.8 * max(mark.height, main.height)
    beside = _overlap(mark.box[1], main.box[1]) <= 0
    below = (_overlap(mark.box[0], main.box[0]) <= 0
             and all(one.height > 0.75 * one.width for one in (mark, main)))
    return mark.height > 0.5 * main.height and (
        gap > 0.2 or (alike and (beside or below) and gap > 0.02))


def _is_loop(found: Found, digit: Mark) -> bool:
    """Whether what was found is only what the strokes of a larger digit leave between them."""
    thin = digit.area < 0.6 * digit.height * digit.width  # and no paper within a frame
    return thin and not digit.at_edge and max(found.ink.shape) < digit.longest and all(
        2 * around.start < inner.start + inner.stop < 2 * around.stop
        for around, inner in zip(digit.box, found.box, strict=True))


def _overlap(one: slice, other: slice) -> int:
    return min(one.stop, other.stop) - max(one.start, other.start)


def _judge(kept: np.ndarray) -> None:
    """Refuse what no digit looks like; the bounds are those of MNIST's 60,000, with some room."""
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    longest = max(height, width)
    if width > 1.9 * height:
        raise BadImage(SEVERAL)
    if (kept.sum() > 0.62 * longest ** 2
            or ndimage.distance_transform_edt(kept).max() > 0.3 * longest):
        raise BadImage(BLOT)
    filled = ndimage.binary_closing(np.pad(kept, 3), iterations=3)  # chalk is full of little holes
    _, grounds = ndimage.label(~filled)  # one around the digit, the others in its loops
    if (filled & ~ndimage.binary_erosion(filled)).sum() > 8 * longest or grounds > 6:
        raise BadImage(NOISE)


def _is_ground(kept: np.ndarray) -> bool:
    """Whether this is a piece of paper or table: it runs along the edge, or has straight sides."""
    rows, columns = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    mark = kept[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    longest = max(mark.shape)
    along = max(edge.sum() for edge in (kept[0], kept[-1], kept[:, 0], kept[:, -1]))
    sides = [_straight_side(np.rot90(mark, turn), longest) for turn in range(4)]
    narrow = mark.shape[1] <= 0.3 * mark.shape[0]  # a one has straight sides as well
    return bool(along > 0.5 * longest or (not narrow and sides.count(None) < 2))


def _resized(ink: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink.astype(np.float32)).resize((width, height), how))


def _thicken(ink: np.ndarray) -> np.ndarray:
    """Widen a pen thinner than MNIST's; a stroke is as wide as twice its area over its outline."""
    mask = np.pad(ink > 100, 1)
    outline = (mask & ~ndimage.binary_erosion(mask)).sum()
    missing = PEN - 2 * mask.sum() / max(outline, 1)
    radius = round(missing / 2)
    if radius < 1:
        return ink
    padded = Image.fromarray(np.pad(ink, radius).astype(np.uint8))
    return np.asarray(padded.filter(ImageFilter.MaxFilter(2 * radius + 1)), dtype=np.float32)


def _centred(digit: np.ndarray) -> np.ndarray:
    """Place a digit of at most 20 x 20 so that its centre of mass is the middle of 28 x 28."""
    rows, columns = ndimage.center_of_mass(digit)
    middle = (SIDE - 1) / 2
    top, left = (
        int(np.clip(round(middle - centre), 0, SIDE - side))
        for centre, side in zip((rows, columns), digit.shape, strict=True)
    )
    out = np.zeros((SIDE, SIDE), np.uint8)
    out[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(digit)
    return out
