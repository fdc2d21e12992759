"""Retraining from scratch: exact by definition, and what every other method is measured against."""

import dataclasses
from collections.abc import Iterator

from forget.core.steps import Step
from forget.methods import METHODS, Method


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Retrain(Method):
    """U = A(D_r): every weight drawn anew, the same recipe run on the retained samples only.

    The exact baseline of all unlearning work (Cao and Yang 2015,
    https://doi.org/10.1109/SP.2015.35; Bourtoule et al. 2021, https://arxiv.org/abs/1912.03817).
    Two retrainings differ by their seeds alone, and how much they differ is the noise floor of
    every other figure. Assumes nothing; costs a whole training.

    >>> Retrain().learner
    'network'
    """

    name = "retrain"
    title = "Standard: retrain"
    summary = "Throws the model away and trains a new one on what is left. Exact, and slowest."
    learner = "network"
    picture = "curve"
    order = 1

    def steps(self, model, task) -> Iterator[Step]:
        shape = tuple(task.retain.x.shape[1:])
        fresh = task.learner.build(shape, model.n_classes, task.generator)
        # All parameters and buffers at once: a loop over children would miss nested layers.
        model.load_state_dict(fresh.state_dict(), strict=True)
        yield from task.learner.train(model, task.retain, task.generator)
