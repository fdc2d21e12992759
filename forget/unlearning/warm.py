"""Pay the slow first times once: imports, a first forward pass, a first optimizer and solver."""

import torch

from forget.certified.losses import Softmax
from forget.certified.newton import Inverse, sampled_factor, solve
from forget.certified.objective import Objective, curvature_root
from forget.core.device import generator, pick_device, use_fixed_threads
from forget.core.steps import drive
from forget.learners import LEARNERS
from forget.learners.network import adamw
from forget.methods import METHODS
from forget.models import build, logits_of


def warm(device: torch.device | None = None) -> None:
    """Load every learner and method, train a small network for a step, solve a small problem."""
    use_fixed_threads()
    len(LEARNERS), len(METHODS)
    device = device or pick_device()
    model = build("cnn", (1, 28, 28), 10, generator(0)).to(device)
    optimizer = adamw(model.parameters(), 1e-3)
    x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8, device=device)
    model(x).sum().backward()
    optimizer.step()
    logits_of(model, x)
    _solve_something()


def _solve_something() -> None:
    """The first calls of the linear algebra library are many times slower than the later ones."""
    rows = torch.rand(300, 64, generator=generator(0))
    objective = Objective(rows, torch.arange(300) % 10, Softmax(), 1e-4, 10)
    drive(step for step, _ in solve(objective, objective.zeros(), 1e-6, generator(0)))
    p = objective.evaluate(objective.zeros()).p
    inverse = sampled_factor(objective, p, generator(0)).inverse()
    Inverse.without(inverse, curvature_root(objective.loss, rows[:5], 1.0, p[:5].float()))
