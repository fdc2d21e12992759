"""SISA: train the affected shards again, from the last checkpoint that never saw the samples."""

import dataclasses
from collections.abc import Iterator

from forget.core.errors import BadInput
from forget.core.steps import Step
from forget.methods import METHODS, Method


@METHODS.register
@dataclasses.dataclass(frozen=True)
class SisaForget(Method):
    """Exact unlearning of a sharded ensemble (Bourtoule et al. 2021,
    https://arxiv.org/abs/1912.03817).

    In each shard that holds a forgotten sample, everything from the first slice with one is
    destroyed, and training goes on from the checkpoint before it without them: weights, optimizer
    and random numbers as they were then. The result equals, bit for bit, training the same division
    of the data without the samples from the start. One request costs (2R + 1) / (3R) of its shard
    on average; a whole class under uniform sharding touches every shard and saves nothing.

    Assumes nothing about the loss or the network; has no chance of its own.

    >>> SisaForget().settings()
    {}
    """

    name = "sisa"
    title = "Exact: SISA"
    summary = ("Trains only the shards again that held the samples, from a checkpoint before "
               "them. Exact; cheap for few samples, not for a whole class.")
    learner = "sisa"
    because = "only a model trained in shards has checkpoints to go back to"
    picture = "shards"
    order = 4

    def steps(self, model, task) -> Iterator[Step]:
        if "seed" not in model.secret:
            raise BadInput("this model comes without its checkpoints, the secret file that lay "
                           "beside it; put it there, or train the model here")
        first = task.learner.first_affected(model, task.forget.ids)
        yield from task.learner.go_on(model, task.retain, first)
