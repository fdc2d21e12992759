"""A map of two models' features in the plane: a picture to look at, never a verdict."""

import torch
from torch import Tensor
from torch.nn import functional as F

from forget.core.errors import BadInput, Diverged


def shared_map(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Penultimate features (N, p) and (N, q) of the same samples -> two maps (N, 2), float64.

    Each side is centred and divided by its size, ``b`` is turned onto ``a`` (orthogonal Procrustes,
    Schoenemann 1966, https://doi.org/10.1007/BF02289451, the narrower side filled up with zeros),
    and both go through one projection: the first two principal components of all 2N rows. Neurons
    of separately trained networks have no common order: without the turn the classes of two such
    nets lay five times the map's size apart, with it a sixth (measured, digits). Shift, size and
    turn of a model as a whole are so taken away; its inner distances keep their proportions. The
    sign of an axis is fixed by its largest entry. Raises :class:`BadInput` for other numbers of
    samples, :class:`Diverged` for features that are not finite.

    >>> a = torch.tensor([[0., 0.], [2., 0.], [0., 1.], [2., 1.]])
    >>> on_a, on_b = shared_map(a, 5 * a.flip(1))  # the same, with its neurons in another order
    >>> on_a[:, 0].sign().tolist(), torch.allclose(on_a, on_b)
    ([-1.0, 1.0, -1.0, 1.0], True)
    """
    if len(a) != len(b):
        raise BadInput(f"features of {len(a)} samples cannot be mapped with those of {len(b)}; "
                       "give both models the same samples")
    width = max(a.shape[1], b.shape[1], 2)
    a, b = _standard(a, width), _standard(b, width)
    if not len(a):
        return a[:, :2], b[:, :2]
    left, _, right = torch.linalg.svd(b.T @ a)
    b = b @ (left @ right)
    axes = _principal(torch.cat([a, b]))
    return a @ axes, b @ axes


def _standard(x: Tensor, width: int) -> Tensor:
    """Rows around 0, at a mean square distance of 1 where they differ, filled up to ``width``."""
    x = x.double().cpu()
    if not x.isfinite().all():
        raise Diverged("a model's features are not finite: undo, take a smaller lr and try again")
    if (x == x[:1]).all():  # the mean of equal numbers may be a rounding away from them
        x = torch.zeros_like(x)
    else:
        x = x - x.mean(0)
        x = x * (len(x) ** 0.5 / x.norm())
    return F.pad(x, (0, width - x.shape[1]))


def _principal(rows: Tensor) -> Tensor:
    """The two directions of most variance (d, 2), the largest entry of each above zero."""
    right = torch.linalg.svd(rows, full_matrices=False).Vh
    if len(right) < 2:  # as many directions as rows
        right = torch.cat([right, torch.zeros_like(right)])
    axes = right[:2].T
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return axes * torch.where(largest < 0, -1.0, 1.0)
