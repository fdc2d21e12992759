"""One Newton step that removes samples, and a bound on what it leaves of the gradient."""

import dataclasses
import math

import torch
from torch import Tensor

from forget.certified.losses import Loss
from forget.core.errors import Diverged

LIPSCHITZ = 1 / (6 * math.sqrt(3))
"""Largest |sigma''|, the Lipschitz constant of the logistic loss's curvature."""

BOUNDS = {"tight": LIPSCHITZ / 2, "paper": 1 / 4}
"""Factor of the bound: Guo et al. take gamma = 1/4 and the largest curvature along the step; the
sharp constant and the integral of the remainder, which halves it, give 5.2 times less."""

MAX_PRODUCTS = 200


@dataclasses.dataclass(frozen=True)
class Curvature:
    """What a single step needs of all n samples, formed beforehand at the weights it starts from.

    ``data``: Hessian of the summed losses, a block a column (K, d, d).  ``inverse``: of the same
    with lambda n on the diagonal.  ``gram``: X^T X (d, d).  ``largest``: its largest eigenvalue.
    """

    n: int
    data: Tensor
    inverse: Tensor
    gram: Tensor
    largest: float


@dataclasses.dataclass(frozen=True)
class Removal:
    """New weights (d, K), and a bound on the gradient norm that the step adds."""

    w: Tensor
    bound: float


def single_step(
    w: Tensor, x: Tensor, y: Tensor, loss: Loss, lam: float, known: Curvature, bound: str
) -> Removal:
    """Remove samples ``x`` (m, d), rows of norm at most 1, from a one-vs-rest head ``w`` (d, K).

    w + H(w; D_r)^-1 Delta, Delta = m lambda w + sum over D_f of the losses' gradients; the gradient
    left is at most ``factor * ||X_r|| ||v|| ||X_r v||`` a column, v the step (Guo et al. 2020,
    corollary 2, https://arxiv.org/abs/1911.03030), plus what the linear system was not solved to.

    Raises :class:`Diverged` for a system that is not solved, or a step that is not finite.
    """
    p = loss.probabilities(x @ w)  # (m, K)
    delta = len(x) * lam * w + x.T @ loss.slope(p, y)  # (d, K)
    strength = lam * (known.n - len(x))

    def product(v: Tensor) -> Tensor:
        whole = torch.bmm(known.data, v.T.unsqueeze(2)).squeeze(2).T
        return whole - x.T @ loss.curvature(p, x @ v) + strength * v

    step, missed = _solved(product, known.inverse, delta)
    if not step.isfinite().all():
        raise Diverged("the Newton step is not finite: take a larger lam")
    moved = (step * (known.gram @ step)).sum(0) - (x @ step).square().sum(0)  # ||X_r v||^2, (K,)
    left = (BOUNDS[bound] * math.sqrt(known.largest)
            * step.norm(dim=0) * moved.clamp_min(0).sqrt())
    return Removal(w + step, left.norm().item() + missed)


def worst_case(lam: float, n: int, m: int, factor: float, b: Tensor | None = None) -> float:
    """gamma ||Delta||^2 / (lambda^2 (n - m)): the bound that needs no data.

    ``b``: norm of each column of the objective's linear term, (K,). Losses have gradients of norm
    at most 1, so lambda ||w|| <= 1 + ||b|| / n and ||Delta|| <= m (2 + ||b|| / n) a column. Without
    b, and for one column, that is theorem 1 of the paper, 4 gamma m^2 / (lambda^2 (n - m)):

    >>> round(worst_case(1e-3, 11982, 1, 1 / 4), 1)
    83.5
    """
    b = torch.zeros(1) if b is None else b
    columns = factor * (m * (2 + b / n)) ** 2 / (lam**2 * (n - m))
    return columns.norm().item()


def _solved(product, inverse: Tensor, delta: Tensor) -> tuple[Tensor, float]:
    """The step for ``delta`` by conjugate gradients, and the norm of what is left of ``delta``.

    The inverse over all samples is the preconditioner: for few removed ones it is nearly exact.
    """
    def near(v: Tensor) -> Tensor:
        return torch.bmm(inverse, v.T.unsqueeze(2)).squeeze(2).T

    step = near(delta)
    residual = delta - product(step)
    stop = 1e-12 * delta.norm()
    z = near(residual)
    along, weight = z, (residual * z).sum()
    for _ in range(MAX_PRODUCTS):
        if residual.norm() <= stop:
            return step, residual.norm().item()
        bent = product(along)
        length = weight / (along * bent).sum()
        step = step + length * along
        residual = residual - length * bent
        z = near(residual)
        previous, weight = weight, (residual * z).sum()
        along = z + weight / previous * along
    raise Diverged(f"the Newton system was not solved within {MAX_PRODUCTS} products: take a "
                   "larger lam")
