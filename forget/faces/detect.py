"""Find the faces of a photo: three small networks in a row, each looking closer at fewer places.

MTCNN, Zhang et al. 2016, https://arxiv.org/abs/1604.02878, with the networks and weights that the
package facenet-pytorch ships. The walk through them is written out here, one photo at a time, so
that what is found in a photo never depends on which photos are beside it.

torchvision and facenet-pytorch are imported where they are used: they take more than a second, and
a command that looks at no photo need not wait for them.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from forget.core.device import use_fixed_threads
from forget.faces import Face

LONGEST = 1000
"""Longest side, in pixels, of a photo while faces are looked for."""

SMALLEST = 32
"""Side, in pixels of that, of the smallest squares that are looked at."""

STEP = 0.709
"""From one size of square to the next, about the root of a half."""

WINDOW = 12
"""Side of what the first network sees."""

OUTSIDE = 4
"""Of those, how many may lie outside of the photo on each side: a face may be cut off."""

PROPOSED, REFINED, CERTAIN = 0.6, 0.7, 0.95
"""Probability from which each network lets a place pass. The first two are the authors'. Of 400 ORL
faces the last gives 0.985 and more to each; drawn smileys and textures seldom get 0.95."""

SURE = 0.99
"""Probability that one face of a photo must have for the photo to be taken as lying on its side.

Each further look is one more chance to see a face where none is, and 97 % of upright faces have it.
"""

TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180)


@dataclasses.dataclass(frozen=True)
class Found:
    """An upright photo and its faces, the largest first, in pixels of this photo.

    ``photo`` is the one that was given, or a quarter or half turn of it.
    """

    photo: Image.Image
    faces: tuple[Face, ...]


def find_faces(photos: Sequence[Image.Image]) -> list[Found]:
    """The faces of each photo (mode RGB, any size); where there are none upright, of one turned.

    Faces less high than about 3 % of the photo's longest side, or than 30 pixels, may be missed.
    Coordinates have their origin in the photo's upper left corner, so that the middle of the first
    pixel is (0.5, 0.5). A box ends at the photo's edges; points may lie beyond.

    >>> find_faces([Image.new("RGB", (64, 48))])[0].faces
    ()
    """
    use_fixed_threads()  # another count rounds otherwise, and so may cut a face otherwise
    return [_found(photo) for photo in photos]


def _found(photo: Image.Image) -> Found:
    upright = Found(photo, faces_of(photo))
    if upright.faces:
        return upright
    turned = [photo.transpose(turn) for turn in TURNS]
    likeliest = max((Found(one, faces_of(one)) for one in turned), key=_surest)
    return likeliest if _surest(likeliest) >= SURE else upright


def _surest(found: Found) -> float:
    return max((face.probability for face in found.faces), default=0.0)


@torch.inference_mode()
def faces_of(photo: Image.Image) -> tuple[Face, ...]:
    """The faces of a photo as it stands, the largest first."""
    propose, refine, judge = _networks()
    small = photo
    if max(photo.size) > LONGEST:
        shrink = LONGEST / max(photo.size)
        small = photo.resize([max(1, round(side * shrink)) for side in photo.size],
                             Image.Resampling.BILINEAR, reducing_gap=2)
    boxes = _proposed(small, propose)
    halvings = _halvings(_tensor(small))
    boxes = _refined(halvings, boxes, refine)
    boxes, points, scores = _judged(halvings, boxes, judge)

    scale = torch.tensor([photo.width / small.width, photo.height / small.height])
    limits = torch.tensor(photo.size)
    corners = (boxes.view(-1, 2, 2) * scale).clamp(min=torch.zeros(2), max=limits)
    faces = [
        Face(box=tuple(box), points=tuple(map(tuple, five)), probability=score)
        for box, five, score in zip(corners.flatten(1).tolist(), (points * scale).tolist(),
                                    scores.tolist(), strict=True)
    ]
    return tuple(sorted(faces, key=lambda face: -face.area))


_loading = threading.Lock()


def _networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    """The three networks, loaded once."""
    with _loading:
        return _load_networks()


@functools.cache
def _load_networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    from facenet_pytorch import ONet, PNet, RNet

    return tuple(net().eval().requires_grad_(False).to(memory_format=torch.channels_last)
                 for net in (PNet, RNet, ONet))  # channels_last: three times as fast


def _tensor(image: Image.Image) -> Tensor:
    """(1, 3, H, W) float32 in -1..1."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    return (pixels.float() - 127.5) / 128


def _proposed(photo: Image.Image, propose: nn.Module) -> Tensor:
    """Squares (N, 4) that may hold a face: the first network slides over the photo in all sizes."""
    from torchvision.ops import nms

    found = [torch.empty(0, 9)]
    for level in _levels(photo):
        x = F.pad(_tensor(level), (OUTSIDE,) * 4).contiguous(memory_format=torch.channels_last)
        moves, chances = propose(x)  # (1, 4, H', W'), (1, 2, H', W')
        rows, columns = (chances[0, 1] >= PROPOSED).nonzero(as_tuple=True)
        corner = 2 * torch.stack([columns, rows], 1) - OUTSIDE  # the network halves once
        to_photo = torch.tensor([photo.width / level.width, photo.height / level.height] * 2)
        boxes = torch.cat([corner, corner + WINDOW], 1) * to_photo
        scores = chances[0, 1, rows, columns]
        kept = nms(boxes, scores, 0.5)
        parts = [boxes, moves[0, :, rows, columns].T, scores[:, None]]
        found.append(torch.cat(parts, 1)[kept])
    boxes, moves, scores = torch.cat(found).split([4, 4, 1], 1)
    kept = nms(boxes, scores[:, 0], 0.7)
    return _square(_moved(boxes[kept], moves[kept]))


def _levels(photo: Image.Image) -> Iterator[Image.Image]:
    """The photo in sizes in which one window after the other is as large as a face may be."""
    scale = WINDOW / SMALLEST
    while True:
        size = [max(1, round(side * scale)) for side in photo.size]
        if min(size) < WINDOW - OUTSIDE:
            return
        yield photo.resize(size, Image.Resampling.BILINEAR)
        scale *= STEP


def _refined(halvings: list[Tensor], boxes: Tensor, refine: nn.Module) -> Tensor:
    """Of the squares (N, 4) those that the second network takes for faces, set right."""
    from torchvision.ops import nms

    if not len(boxes):
        return boxes
    moves, chances = refine(_crops(halvings, boxes, 24))
    passed = chances[:, 1] > REFINED
    boxes, moves, scores = boxes[passed], moves[passed], chances[passed, 1]
    kept = nms(boxes, scores, 0.7)
    return _square(_moved(boxes[kept], moves[kept]))


def _judged(halvings: list[Tensor], boxes: Tensor, judge: nn.Module) -> tuple[Tensor, ...]:
    """Boxes (N, 4), points (N, 5, 2) and probabilities (N,) of what the last network is sure of."""
    if not len(boxes):
        return boxes, boxes.new_empty(0, 5, 2), boxes.new_empty(0)
    moves, points, chances = judge(_crops(halvings, boxes, 48))
    passed = chances[:, 1] >= CERTAIN
    boxes, moves, scores = boxes[passed], moves[passed], chances[passed, 1]
    shares = points[passed].view(-1, 2, 5).mT  # of the square's sides
    points = boxes[:, None, :2] + shares * (boxes[:, 2:] - boxes[:, :2])[:, None]
    boxes = _moved(boxes, moves)
    kept = _apart(boxes, scores, 0.7)
    return boxes[kept], points[kept], scores[kept]


def _halvings(x: Tensor) -> list[Tensor]:
    """An image (1, 3, H, W) at a half, a quarter, … of its size, itself first."""
    sizes = [x]
    while min(sizes[-1].shape[2:]) >= 2 * WINDOW:
        sizes.append(F.avg_pool2d(sizes[-1], 2))
    return sizes


def _crops(halvings: list[Tensor], boxes: Tensor, side: int) -> Tensor:
    """What squares (N, 4) of the image hold, (N, 3, side, side); grey outside of the image.

    Each is taken from the halving in which it is one to two times as large as its crop.
    """
    from torchvision.ops import roi_align

    larger = (boxes[:, 2] - boxes[:, 0]) / side
    choice = larger.clamp(min=1).log2().long().clamp(max=len(halvings) - 1)
    crops = boxes.new_empty(len(boxes), 3, side, side)
    for index, image in enumerate(halvings):
        here = choice == index
        crops[here] = roi_align(image, [boxes[here]], side, spatial_scale=0.5**index,
                                sampling_ratio=2, aligned=True)
    return crops.contiguous(memory_format=torch.channels_last)


def _moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (N, 4) with each side moved by a share of the box's own width or height."""
    return boxes + moves * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _square(boxes: Tensor) -> Tensor:
    """The squares with the same middles and the longer sides."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([middle - half, middle + half], 1)


def _apart(boxes: Tensor, scores: Tensor, most: float) -> list[int]:
    """The likeliest of boxes that share more than ``most`` of the smaller one's area."""
    upper = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    lower = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    shared = (lower - upper).clamp(min=0).prod(2) / torch.minimum(area[:, None], area)
    kept: list[int] = []
    for box in scores.argsort(descending=True, stable=True).tolist():
        if not kept or shared[box, kept].max() <= most:
            kept.append(box)
    return kept
