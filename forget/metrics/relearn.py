"""How fast what was forgotten comes back when training goes on with it."""

import copy
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core.errors import BadInput, Diverged
from forget.data import Samples
from forget.models import logits_of

BACK_WITHIN = 0.05
"""Accuracy on D_f counts as back within so much of the original's."""

STEPS = 200
LR = 1e-3
BATCH = 32
MEASURED = 256


@dataclasses.dataclass(frozen=True)
class Relearned:
    """One model's way back.

    ``accuracies``: on D_f, before the first step and after each.  ``steps``: when the target was
    reached, between two steps by straight line; the last step where it never was.  ``back``:
    whether it was.
    """

    accuracies: tuple[float, ...]
    steps: float
    back: bool


def relearn(
    model: nn.Module, forget: Samples, retain: Samples, target: float, generator: torch.Generator
) -> Relearned:
    """Train a copy of ``model`` on with D_f given back, until its accuracy there is ``target``.

    Memory left in the weights makes it faster than a retrained model (relearn time: Golatkar et
    al. 2020, https://arxiv.org/abs/1911.04933; Tarun et al. 2021,
    https://arxiv.org/abs/2111.08947), a scar makes it slower. Each step takes 32 samples of D_f and
    32 of D_r through Adam at 1e-3, all layers; accuracy is measured on up to 256 samples of D_f.
    Raises :class:`BadInput` where D_f is empty and :class:`Diverged` for outputs that are not
    finite.
    """
    if not len(forget):
        raise BadInput("there is nothing to relearn; ask for samples that exist")
    shared = {id(value): value for value in getattr(model, "secret", {}).values()}
    model = copy.deepcopy(model, shared).requires_grad_(True).train()
    seen = forget.take(_draw(len(forget), MEASURED, generator))
    optimizer = torch.optim.Adam(model.parameters(), LR)
    accuracies = [_accuracy(model, seen)]
    while accuracies[-1] < target and len(accuracies) <= STEPS:
        parts = [data.take(_draw(len(data), BATCH, generator)) for data in (forget, retain)]
        logits = model(torch.cat([part.x for part in parts]))
        loss = F.cross_entropy(logits, torch.cat([part.y for part in parts]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracies.append(_accuracy(model, seen))
    return Relearned(tuple(accuracies), _reached(accuracies, target), accuracies[-1] >= target)


def _draw(n: int, most: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator)[:most]


@torch.no_grad()
def _accuracy(model: nn.Module, data: Samples) -> float:
    logits = logits_of(model, data.x)
    if not logits.isfinite().all():
        raise Diverged("the model's outputs are not finite: undo, take a smaller lr and try again")
    return (logits.argmax(1) == data.y).double().mean().item()


def _reached(accuracies: list[float], target: float) -> float:
    last = len(accuracies) - 1
    if accuracies[-1] < target or last == 0:
        return float(last)
    before, after = accuracies[-2:]
    return last - (after - target) / (after - before) if after > before else math.nan
