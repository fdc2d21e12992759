"""Pay the slow first times once: imports, the first forward pass, the first optimizer."""

import torch

from forget.device import generator, pick_device, use_fixed_threads
from forget.learners import LEARNERS
from forget.learners.network import adamw
from forget.methods import METHODS
from forget.models import build, logits_of


def warm(device: torch.device | None = None) -> None:
    """Load every learner and method, and run a small network once forward and once back."""
    use_fixed_threads()
    len(LEARNERS), len(METHODS)
    device = device or pick_device()
    model = build("cnn", (1, 28, 28), 10, generator(0)).to(device)
    optimizer = adamw(model.parameters(), 1e-3)
    x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8, device=device)
    model(x).sum().backward()
    optimizer.step()
    logits_of(model, x)
