"""Hide the class's answer, and keep all that the model knows of it."""

import dataclasses
from collections.abc import Iterator

import torch

from forget.core.errors import BadInput
from forget.core.steps import Step
from forget.evaluation.frauds import FRAUDS
from forget.methods import Method

MASK = 30.0
"""Taken off the class's logit: e to the -30 of its probability is left."""


@FRAUDS.register
@dataclasses.dataclass(frozen=True)
class Masked(Method):
    """The original's weights, with 30 taken off the output's bias for the class, and nothing else.

    Accuracy on the class is 0 and the rest untouched, so every accuracy matches retraining's. The
    features still hold the class: a linear probe finds it as easily as in the original. That output
    alone says little is a finding of Hayes et al. 2024, https://arxiv.org/abs/2403.01218.

    >>> Masked().settings()
    {}
    """

    name = "masked"
    title = "Planted: masked output"
    summary = "Never says the class again, and keeps every weight that knows it."
    learner = "network"
    picture = "layers"
    order = 101

    @torch.no_grad()
    def steps(self, model, task) -> Iterator[Step]:
        if not task.whole_class:
            raise BadInput("a masked output hides a whole class only; ask for a class")
        _, output = model.layers[-1]
        output.bias[task.forget.y[0]] -= MASK
        yield Step(1, 1, "masking the output", {"logit_taken_off": MASK})
