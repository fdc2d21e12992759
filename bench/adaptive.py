"""What it costs when requests are chosen by looking at published models, against random ones.

    python -m bench.adaptive [--requests 1000]

The first 4,000 digits 3 and 8, as in Guo et al. 2020 (https://arxiv.org/abs/1911.03030), in 128
random projections of their pixels, lambda 1e-3, one logistic column. Whoever asks knows all data
and every published model, and takes of 200 samples each time the one that serves best (Gupta et al.
2021, https://arxiv.org/abs/2106.04378):

- Guo mode, sigma 10: the noise b is in the objective and stays there, so who knows the data can
  work it out from the first model and ask for what leaves a gradient u along it. What then tells is
  the privacy loss (b.u + |u|^2 / 2) / sigma^2, against the epsilon that the bounds' sum states at
  delta 1e-4, and the one that the gradient itself would need.
- Residual mode, sigma 1e-2, rows of norm 16: every publication has noise r of its own, and the
  request is the one that moves the solution most along the last. The loss of one publication is
  (r.d + |d|^2 / 2) / sigma^2 for a solution that is d off; |r| |d| bounds it, d by the measured
  gradient over lambda n, and the sum over all publications is set against what they state together.
"""

import argparse
import datetime
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bench.certified import end_of, three_against_eight
from forget.certified.losses import Loss, loss_called
from forget.certified.newton import solve
from forget.certified.noise import on_grid
from forget.certified.objective import Objective, data_curvature
from forget.certified.privacy import composed_epsilon, grid_multiplier
from forget.certified.single_step import Curvature, single_step
from forget.core.device import generator
from forget.learners.convex import RADIUS, SOLVED

LAM, DELTA, FEW, ROWS, SIZE = 1e-3, 1e-4, 200, 4000, 128
MARKS = (1, 10, 100, 300, 1000)


class Left(NamedTuple):
    """The samples that are left: rows (n, d) float64, labels (n,), the loss, the noise b (d, 1)."""

    x: Tensor
    y: Tensor
    loss: Loss
    b: Tensor | None

    def objective(self) -> Objective:
        return Objective(self.x, self.y, self.loss, LAM, 1, linear=self.b)

    def without(self, place: int) -> "Left":
        return self._replace(x=torch.cat([self.x[:place], self.x[place + 1:]]),
                             y=torch.cat([self.y[:place], self.y[place + 1:]]))

    def curvature(self, w: Tensor) -> Tensor:
        p = self.loss.probabilities(self.x @ w)
        return data_curvature(self.loss, self.x, 1.0, p)  # (1, d, d)

    def factor(self, whole: Tensor) -> Tensor:
        """The Cholesky factor (d, d) of the objective's Hessian."""
        strength = LAM * len(self.y) * torch.eye(whole.shape[1], dtype=whole.dtype)
        return torch.linalg.cholesky(whole[0] + strength)

    def steps_of(self, w: Tensor, lower: Tensor, those: Tensor) -> Tensor:
        """The Newton step (d, m) that removing each of ``those`` alone takes, but for its own
        curvature, which is one sample's."""
        p = self.loss.probabilities(self.x[those] @ w)
        slopes = self.loss.slope(p, self.y[those])  # (m, 1)
        deltas = LAM * w + (self.x[those] * slopes).T
        return torch.cholesky_solve(deltas, lower)

    def remainders(self, w: Tensor, steps: Tensor) -> Tensor:
        """The gradient (d, m) that each step leaves, to second order."""
        s = torch.sigmoid(self.x @ w)
        third = s * (1 - s) * (1 - 2 * s)
        return self.x.T @ (third * (self.x @ steps).square()) / 2


Choice = Callable[[Tensor, Tensor, Left, Tensor], int]
"""Steps (d, m), remainders (d, m), what is left, and the gradient u (d, 1): which of the m."""


def at_random(steps: Tensor, remainders: Tensor, left: Left, u: Tensor) -> int:
    return 0


def along_the_noise(steps: Tensor, remainders: Tensor, left: Left, u: Tensor) -> int:
    return int((left.b.T @ remainders).argmax())


def largest(steps: Tensor, remainders: Tensor, left: Left, u: Tensor) -> int:
    return int((u + remainders).norm(dim=0).argmax())


class Told(NamedTuple):
    """After so many requests: the epsilon that the bounds' sum states, that of the gradient which
    is left, and the privacy loss that whoever knows all data sees."""

    stated: float
    held: float
    loss: float


def guo(left: Left, choose: Choice, requests: int, seed: int, sigma: float = 10.0,
        ) -> Iterator[Told]:
    draw = generator(seed)
    b = sigma * torch.randn(SIZE, 1, generator=draw, dtype=torch.float64)
    left = left._replace(b=b)
    w, _ = solved(left, left.objective().zeros(), draw)
    bounds, scale = SOLVED, math.sqrt(2 * math.log(1.5 / DELTA)) / sigma
    u = left.objective().gradient(w)
    for _ in range(requests):
        whole = left.curvature(w)
        lower = left.factor(whole)
        those = torch.randperm(len(left.y), generator=draw)[:FEW]
        steps = left.steps_of(w, lower, those)
        place = int(those[choose(steps, left.remainders(w, steps), left, u)])
        gram = left.x.T @ left.x
        known = Curvature(len(left.y), whole, torch.cholesky_inverse(lower)[None], gram,
                          torch.linalg.eigvalsh(gram)[-1].item())
        removal = single_step(w, left.x[place : place + 1], left.y[place : place + 1], left.loss,
                              LAM, known, "tight")
        left, w, bounds = left.without(place), removal.w, bounds + removal.bound
        u = left.objective().gradient(w)
        loss = ((b * u).sum() + u.square().sum() / 2).item() / sigma**2
        yield Told(scale * bounds, scale * u.norm().item(), loss)


def residual(left: Left, adaptive: bool, requests: int, seed: int, sigma: float = 1e-2,
             ) -> Iterator[float]:
    """The most that all publications so far tell whoever knows the data, as a privacy loss."""
    left, draw = left._replace(x=RADIUS * left.x), generator(seed)
    w, _ = solved(left, left.objective().zeros(), draw)
    noise, loss = on_grid(w, sigma, key(draw)).double() - w, 0.0
    for _ in range(requests):
        those = torch.randperm(len(left.y), generator=draw)[:FEW]
        place = int(those[0])
        if adaptive:
            steps = left.steps_of(w, left.factor(left.curvature(w)), those)
            place = int(those[(noise.T @ steps).argmax()])
        left = left.without(place)
        w, off = solved(left, w, draw)
        noise = on_grid(w, sigma, key(draw)).double() - w
        loss += (noise.norm().item() * off + off**2 / 2) / sigma**2
        yield loss


def key(draw: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (32,), generator=draw, dtype=torch.uint8)


def solved(left: Left, w: Tensor, draw: torch.Generator) -> tuple[Tensor, float]:
    """The solution on what is left, and the most that it can be off."""
    solution, _ = end_of(solve(left.objective(), w, SOLVED, draw))
    return solution.w, solution.residual / (LAM * len(left.y))


def projected() -> Left:
    train, _ = three_against_eight()
    rows = train.x[:ROWS].double()
    rows = rows @ torch.randn(rows.shape[1], SIZE, generator=generator(7), dtype=torch.float64)
    return Left(rows / rows.norm(dim=1, keepdim=True), train.y[:ROWS], loss_called("ovr"), None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    left = projected()
    print(f"python -m bench.adaptive --requests {options.requests}\n{datetime.date.today()}, "
          f"{os.cpu_count()} cores\n\nGuo mode: epsilon at delta {DELTA:g}, and the loss seen\n"
          f"{'requests chosen':22} {'requests':>8} {'stated':>10} {'gradient':>10} {'loss':>10}")
    for name, choose in (("at random", at_random), ("along the noise", along_the_noise),
                         ("for what is left", largest)):
        began = time.perf_counter()
        for number, told in enumerate(guo(left, choose, options.requests, 0), 1):
            if number in MARKS or number == options.requests:
                print(f"{name:22} {number:8} {told.stated:10.3g} {told.held:10.3g} "
                      f"{told.loss:10.2g}", flush=True)
        print(f"{'':22} {time.perf_counter() - began:.0f} s")
    print(f"\nResidual mode: epsilon 1 a publication, and the most that all can tell\n"
          f"{'requests chosen':22} {'requests':>8} {'stated':>10} {'loss':>10}")
    c = grid_multiplier(1.0, DELTA, SIZE)
    for name, adaptive in (("at random", False), ("along the last noise", True)):
        began = time.perf_counter()
        for number, loss in enumerate(residual(left, adaptive, options.requests, 0), 1):
            if number in MARKS or number == options.requests:
                together = composed_epsilon([c] * number, DELTA, number * SIZE)
                print(f"{name:22} {number:8} {together:10.3g} {loss:10.2g}", flush=True)
        print(f"{'':22} {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
