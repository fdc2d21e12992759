"""Bring a face into the form that embedders know: turned, scaled and moved onto fixed points."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from forget.core.errors import BadImage
from forget.faces import Face

SIDE = 150
"""Pixels of an aligned face's side."""

PADDING = 0.25
"""What dlib leaves around a face, as a share of the face's own side."""

MEAN_FACE = np.array([
    (0.225492, 0.215990),  # left eye: the mean of its six landmarks
    (0.754761, 0.215990),  # right eye
    (0.490127, 0.515625),  # tip of the nose
    (0.254149, 0.780233),  # left corner of the mouth
    (0.726104, 0.780233),  # right corner
])
"""Where the detector's five points lie in dlib's mean face: ``get_face_chip_details`` in
https://github.com/davisking/dlib/blob/master/dlib/image_transforms/interpolation.h"""

TEMPLATE = (PADDING + MEAN_FACE) / (1 + 2 * PADDING) * SIDE + 0.5
"""The same in pixels of an aligned face, (5, 2); dlib's pixels have their middles at 0, 1, 2, …"""


def similarity(points: ArrayLike, template: ArrayLike) -> np.ndarray:
    """The turn, scale and shift (2, 3) that brings points (N, 2) nearest to a template, by squares.

    Umeyama 1991, https://doi.org/10.1109/34.88573, without reflection. In the plane, with points
    as complex numbers p and their targets q around their means, that is q = a p with
    a = sum(conj(p) q) / sum(|p|^2).

    Raises :class:`~forget.core.errors.BadImage` where all points are one.

    >>> similarity([(0, 0), (1, 0)], [(5, 5), (5, 7)])
    array([[ 0., -2.,  5.],
           [ 2.,  0.,  5.]])
    """
    p, q = (np.asarray(xy, np.float64) @ (1, 1j) for xy in (points, template))
    around = p - p.mean()
    spread = np.vdot(around, around).real
    if not spread > 0:
        raise BadImage("the eyes, nose and mouth of this face were found in one place; "
                       "choose another photo")
    turn = np.vdot(around, q - q.mean()) / spread
    shift = q.mean() - turn * p.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def aligned(photo: Image.Image, face: Face) -> Tensor:
    """A face as (3, 150, 150) uint8 RGB, its points as near to TEMPLATE as a similarity gets them.

    What lies outside of the photo is black, as dlib has it. A face larger than the result is
    averaged: each pixel is the mean of about as many samples as the photo has pixels behind it.
    Raises :class:`~forget.core.errors.BadImage` where the points do not lie as in a face.
    """
    to_template = similarity(face.points, TEMPLATE)
    scale = math.hypot(*to_template[:, 0])
    if scale * 4 * max(photo.size) < SIDE:
        raise BadImage("the eyes, nose and mouth of this face were found far apart; "
                       "choose another photo")
    finer = max(1, round(1 / scale))  # samples a pixel, each way
    to_photo = np.linalg.inv(np.vstack([to_template * finer, (0, 0, 1)]))
    chip = photo.transform((SIDE * finer, SIDE * finer), Image.Transform.AFFINE,
                           to_photo[:2].ravel().tolist(), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(chip.reduce(finer))).permute(2, 0, 1).contiguous()
