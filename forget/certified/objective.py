"""L(w; D) = sum of losses + lambda n / 2 ||w||^2 + <b, w>: its value, gradient and curvature."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from forget.certified.losses import Loss

CHUNK = 256
"""Rows of one pass: what two products need of them stays in a processor's cache."""

DENSE_CHUNK = 4096
"""Rows of one pass where the curvature is formed: larger products run faster."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The objective at one point: value, gradient (d, K), probabilities (n, K)."""

    value: float
    gradient: Tensor
    p: Tensor

    @property
    def residual(self) -> float:
        """||gradient||: how far from the optimum, zero only there."""
        return self.gradient.norm().item()


@dataclasses.dataclass(frozen=True)
class Objective:
    """A regularised linear classifier's objective over rows (n, d) and labels (n,) int64.

    A sample's features are ``radius`` times its row. Rows may be float32; all arithmetic is
    float64, so they are turned a few at a time, which needs no second copy of the data.
    ``lam`` is lambda, multiplied by n: scikit-learn's C is 1 / (lambda n). ``linear``: b (d, K),
    None for zero. Every weight is regularised, the constant column's too, so that the objective is
    lambda n strongly convex.
    """

    rows: Tensor
    y: Tensor
    loss: Loss
    lam: float
    columns: int
    radius: float = 1.0
    linear: Tensor | None = None

    @property
    def strength(self) -> float:
        """lambda n: the least curvature in any direction."""
        return self.lam * len(self.y)

    def zeros(self) -> Tensor:
        return self.rows.new_zeros(self.rows.shape[1], self.columns, dtype=torch.float64)

    def parts(self) -> Iterator[Tensor]:
        """A few rows at a time, in float64."""
        return (part.double() for part in self.rows.split(CHUNK))

    def evaluate(self, w: Tensor) -> Evaluation:
        """Everything at ``w`` (d, K) in one pass over the rows."""
        scaled = self.radius * w
        value = self.strength / 2 * w.square().sum()
        pulled = torch.zeros_like(w.T)  # (K, d)
        p = w.new_empty(len(self.y), self.columns)
        for x, y, q in zip(self.parts(), self.y.split(CHUNK), p.split(CHUNK), strict=True):
            scores = x @ scaled
            value = value + self.loss.evaluate(scores, y, q)
            pulled.addmm_(self.loss.slope(q, y).T, x)
        if self.linear is not None:
            value = value + (self.linear * w).sum()
        return Evaluation(value.item(), self._gradient(w, pulled), p)

    def gradient(self, w: Tensor) -> Tensor:
        """(d, K) at ``w``: in half the time that everything takes."""
        scaled = self.radius * w
        pulled = torch.zeros_like(w.T)
        for x, y in zip(self.parts(), self.y.split(CHUNK), strict=True):
            pulled.addmm_(self.loss.slope(self.loss.probabilities(x @ scaled), y).T, x)
        return self._gradient(w, pulled)

    def _gradient(self, w: Tensor, pulled: Tensor) -> Tensor:
        """``pulled`` (K, d): the losses' slopes times the rows."""
        gradient = self.strength * w + self.radius * pulled.T
        return gradient if self.linear is None else gradient + self.linear

    def only(self, columns: Tensor) -> "Objective":
        """The share that some columns (ascending) have in an objective whose loss does not couple
        them: its optimum is theirs."""
        if len(columns) == self.columns:
            return self
        if len(columns) == 1:
            y = (self.y == columns).long()  # one column is that of the second of two classes
        else:
            place = torch.full((self.columns + 1,), len(columns), device=self.y.device)
            place[columns] = torch.arange(len(columns), device=self.y.device)
            y = place[self.y]
        linear = None if self.linear is None else self.linear[:, columns]
        return dataclasses.replace(self, y=y, columns=len(columns), linear=linear)

    def product(self, p: Tensor, v: Tensor) -> Tensor:
        """The Hessian at probabilities ``p`` times a direction (d, K), without forming it."""
        scaled = self.radius * v
        pulled = torch.zeros_like(v.T)
        for x, q in zip(self.parts(), p.split(CHUNK), strict=True):
            pulled.addmm_(self.loss.curvature(q, x @ scaled).T, x)
        return self.strength * v + self.radius * pulled.T

    def scores(self, w: Tensor) -> Tensor:
        """(n, K)."""
        scaled = self.radius * w
        return torch.cat([x @ scaled for x in self.parts()])


def data_curvature(loss: Loss, rows: Tensor, radius: float, p: Tensor) -> Tensor:
    """The Hessian of the summed losses over ``rows``, formed, in the precision of ``p``.

    (1, K d, K d) for a loss that couples its columns, else a block a column (K, d, d).
    """
    d, columns = rows.shape[1], p.shape[1]
    pairs = [(a, b) for a in range(columns) for b in range(a, columns if loss.coupled else a + 1)]
    blocks = {pair: p.new_zeros(d, d) for pair in pairs}
    for part, q in zip(rows.split(DENSE_CHUNK), p.split(DENSE_CHUNK), strict=True):
        x = part.to(p.dtype) * radius
        for pair in pairs:
            blocks[pair].addmm_(x.T, x * loss.pair(q, *pair)[:, None])
    if not loss.coupled:
        return torch.stack(list(blocks.values()))
    whole = p.new_empty(columns, d, columns, d)
    for (a, b), block in blocks.items():
        whole[a, :, b] = block
        whole[b, :, a] = block  # a block is symmetric, and so is the pair
    return whole.reshape(1, columns * d, columns * d)


def curvature_root(loss: Loss, rows: Tensor, radius: float, p: Tensor) -> Tensor:
    """U with U U^T = :func:`data_curvature` of a few rows: (1, K d, m K), or (K, d, m)."""
    x = rows.to(p.dtype) * radius
    root = loss.root(p)  # (m, K, K), or (m, K)
    if not loss.coupled:
        return torch.einsum("md,mk->kdm", x, root)
    return torch.einsum("md,mkc->kdmc", x, root).reshape(1, p.shape[1] * x.shape[1], -1)


def as_blocks(v: Tensor, blocks: Tensor) -> Tensor:
    """A direction (d, K) in the order of a formed curvature: (B, s, 1)."""
    return v.T.reshape(blocks.shape[0], -1, 1)


def from_blocks(v: Tensor, shape: torch.Size) -> Tensor:
    """The way back: (B, s, 1) as (d, K)."""
    return v.reshape(shape[1], shape[0]).T
