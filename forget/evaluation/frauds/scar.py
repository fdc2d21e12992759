"""Gradient ascent that does not stop: the class becomes a hole that no retrained model has."""

import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from forget.core.knobs import knob
from forget.core.steps import Step
from forget.evaluation.frauds import FRAUDS
from forget.methods import Method
from forget.methods.gradient_ascent import Cycle


@FRAUDS.register
@dataclasses.dataclass(frozen=True)
class Scar(Method):
    """theta <- theta + grad CE(D_f) - grad CE(D_r) through Adam, far beyond any stop rule.

    NegGrad+ (Kurmanji et al. 2023, https://arxiv.org/abs/2302.09880) without its stop: accuracy on
    the class is 0 as it should be, but its samples get answers so sure of being anything else that
    the hole itself gives them away.

    >>> Scar(max_steps=50).max_steps
    50
    """

    name = "scar"
    title = "Planted: a scar"
    summary = "Climbs the loss of the forget set far beyond what retraining gives."
    learner = "network"
    picture = "curve"
    order = 103

    max_steps: int = knob(150, "Steps to climb", low=1, high=5000)
    lr: float = knob(1e-3, "Adam's learning rate", low=1e-6, high=0.5, log=True)
    batch_size: int = knob(64, "Samples to forget, and samples to keep, in each step",
                           low=4, high=4096)

    def steps(self, model, task) -> Iterator[Step]:
        forget = Cycle(task.forget, self.batch_size, task.generator)
        retain = Cycle(task.retain, self.batch_size, task.generator)
        optimizer = torch.optim.Adam(model.parameters(), self.lr)
        for index in range(1, self.max_steps + 1):
            lost, kept = forget.next(), retain.next()
            climbed = F.cross_entropy(model(lost.x), lost.y)
            loss = F.cross_entropy(model(kept.x), kept.y) - climbed
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield Step(index, self.max_steps, "climbing without a stop",
                       {"forget_loss": climbed.item()})
