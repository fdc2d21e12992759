"""Newton's method for the objective, exact to a gradient norm that float64 can reach."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from forget.certified.objective import Evaluation, Objective, as_blocks, data_curvature, from_blocks
from forget.core.errors import Diverged
from forget.core.steps import Step

SAMPLE = 8192
"""Rows from which the solver forms its own preconditioner."""

STALE = 8
"""Conjugate-gradient iterations from which forming a new preconditioner is the cheaper way."""

ROUGH = 0.1
"""Each Newton system is solved to this share of the gradient at least, to more near the end."""

MAX_ITERATIONS = 100
MAX_PRODUCTS = 500


@dataclasses.dataclass(frozen=True)
class Factor:
    """Cholesky factors of a curvature's blocks, (B, s, s) in any precision: a preconditioner."""

    lower: Tensor

    def solve(self, v: Tensor) -> Tensor:
        """The inverse times ``v`` (d, K), in the precision of ``v``."""
        b = as_blocks(v, self.lower).to(self.lower.dtype)
        return from_blocks(torch.cholesky_solve(b, self.lower), v.shape).to(v.dtype)

    def inverse(self) -> Tensor:
        """(B, s, s)."""
        return torch.cholesky_inverse(self.lower)

    def only(self, blocks: Tensor) -> "Factor":
        """Some of the blocks."""
        return Factor(self.lower[blocks])


@dataclasses.dataclass(frozen=True)
class Inverse:
    """(H - U U^T)^-1 for U of few columns, from H^-1 formed beforehand (Woodbury's identity).

    ``whole``: H^-1 (B, s, s); a product with it takes a fraction of two triangular solves.
    ``near``: H^-1 U (B, s, r).  ``small``: Cholesky factors of I - U^T H^-1 U.
    """

    whole: Tensor
    near: Tensor
    small: Tensor

    @classmethod
    def without(cls, whole: Tensor, root: Tensor) -> "Inverse":
        """``root``: U (B, s, r)."""
        near = whole @ root
        one = torch.eye(root.shape[2], dtype=root.dtype, device=root.device)
        return cls(whole, near, _cholesky(one - root.mT @ near))

    def solve(self, v: Tensor) -> Tensor:
        """The inverse times ``v`` (d, K), in the precision of ``v``."""
        b = as_blocks(v, self.whole).to(self.whole.dtype)
        z = self.whole @ b + self.near @ torch.cholesky_solve(self.near.mT @ b, self.small)
        return from_blocks(z, v.shape).to(v.dtype)

    def only(self, blocks: Tensor) -> "Inverse":
        """Some of the blocks."""
        return Inverse(self.whole[blocks], self.near[blocks], self.small[blocks])


def factor(curvature: Tensor, strength: float) -> Factor:
    """Factors of a formed curvature (B, s, s) plus ``strength`` on the diagonal.

    In single precision a little more, as much as rounding may have taken away.
    """
    shifted = curvature.clone()
    diagonal = shifted.diagonal(dim1=-2, dim2=-1)
    if curvature.dtype == torch.float32:
        rounding = torch.finfo(torch.float32).eps * curvature.shape[-1] ** 0.5
        strength += 4 * rounding * diagonal.max().item()
    diagonal.add_(strength)
    return Factor(_cholesky(shifted))


def _cholesky(matrix: Tensor) -> Tensor:
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if failed.any():
        raise Diverged("the linear system is singular to working precision: take a larger lam")
    return lower


@dataclasses.dataclass(frozen=True)
class Solution:
    """Where a solver stopped: weights (d, K), the gradient norm there, iterations taken."""

    w: Tensor
    residual: float
    iterations: int


def solve(
    objective: Objective,
    w: Tensor,
    tolerance: float,
    generator: torch.Generator,
    at: Evaluation | None = None,
    known: Factor | Inverse | None = None,
    taken: int = 0,
) -> Iterator[tuple[Step, Tensor]]:
    """Newton's method with conjugate gradients, from ``w`` to ||gradient|| <= ``tolerance``.

    Yields each iteration's :class:`Step` with its weights and returns a :class:`Solution`. Each
    system is solved by products with the exact Hessian; the preconditioner is ``known``, or formed
    over a sample of the rows, and formed anew when the iterations grow many (subsampled Newton
    methods: Roosta-Khorasani and Mahoney 2019, https://arxiv.org/abs/1601.04737; forcing terms:
    Eisenstat and Walker 1996, https://doi.org/10.1137/0917003). ``at``: the evaluation at ``w``
    where it is known; ``taken``: iterations already counted. Raises :class:`Diverged` where the
    gradient does not come down.
    """
    at = at or objective.evaluate(w)
    products = 0 if known is not None else STALE + 1
    for iteration in range(taken + 1, MAX_ITERATIONS + 1):
        if at.residual <= tolerance:
            return Solution(w, at.residual, iteration - 1)
        if products > STALE:
            known = sampled_factor(objective, at.p, generator)
        stop = min(ROUGH, at.residual**0.5) * at.residual
        direction, products = conjugate_gradients(objective, at, known, stop)
        w, at = line_search(objective, w, at, direction)
        yield Step(iteration, max(iteration, 12), f"Newton iteration {iteration}",
                   {"gradient_norm": at.residual}), w
    if at.residual <= tolerance:
        return Solution(w, at.residual, MAX_ITERATIONS)
    raise Diverged(f"the gradient norm is still {at.residual:.2g} after {MAX_ITERATIONS} Newton "
                   f"iterations, {tolerance:.2g} was asked for: take a larger lam")


def sampled_factor(objective: Objective, p: Tensor, generator: torch.Generator) -> Factor:
    """A preconditioner from some rows: single precision, since it only has to be near."""
    n = len(objective.y)
    rows = torch.randperm(n, generator=generator)[:SAMPLE].to(p.device)
    sampled = data_curvature(objective.loss, objective.rows[rows].float(), objective.radius,
                             p[rows].float())
    return factor(sampled * (n / len(rows)), objective.strength)


def conjugate_gradients(
    objective: Objective, at: Evaluation, known: Factor | Inverse, stop: float
) -> tuple[Tensor, int]:
    """The Newton direction to a residual of ``stop``, and how many Hessian products it took."""
    direction = torch.zeros_like(at.gradient)
    residual = -at.gradient
    z = known.solve(residual)
    along, weight = z, (residual * z).sum()
    for count in range(1, MAX_PRODUCTS + 1):
        bent = objective.product(at.p, along)
        length = weight / (along * bent).sum()
        direction = direction + length * along
        residual = residual - length * bent
        if residual.norm() <= stop:
            return direction, count
        z = known.solve(residual)
        previous, weight = weight, (residual * z).sum()
        along = z + weight / previous * along
    raise Diverged(f"a Newton system was not solved within {MAX_PRODUCTS} products: take a larger "
                   "lam")


def line_search(
    objective: Objective, w: Tensor, at: Evaluation, direction: Tensor
) -> tuple[Tensor, Evaluation]:
    """Half the step until the objective falls as it should (Armijo's rule, to rounding)."""
    slope = (at.gradient * direction).sum().item()
    length = 1.0
    while length > 1e-9:
        there = w + length * direction
        new = objective.evaluate(there)
        # Near the optimum the value no longer resolves the fall; the gradient norm does.
        if (new.value <= at.value + 1e-4 * length * slope
                or (new.residual < at.residual and slope > -1e-9 * abs(at.value))):
            return there, new
        length /= 2
    raise Diverged("no step along the Newton direction lowers the objective: take a larger lam")
