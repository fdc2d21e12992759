"""One Newton step sold as a certified removal."""

import dataclasses
from collections.abc import Iterator

from forget.core.steps import Step
from forget.evaluation.frauds import FRAUDS
from forget.io.private import noise_key
from forget.learners.convex import Convex
from forget.methods import Proof
from forget.methods.certified import Certified, newton_from
from forget.models.head import Head


@FRAUDS.register
@dataclasses.dataclass(frozen=True)
class OneStep(Certified):
    """w + H(w; D_r)^-1 grad once, published with the statement that only a solved residual allows.

    For a few samples one step is all that is needed; for a class it stops a third of the way (the
    gradient norm falls from 376 to 179 where 1e-8 is claimed), although accuracy on the class is
    small by then. The single step is that of Guo et al. 2020, https://arxiv.org/abs/1911.03030,
    whose own bound would refuse it here.

    >>> OneStep().learner
    'convex'
    """

    name = "one_step"
    title = "Planted: one Newton step"
    summary = "Takes a single Newton step and claims the residual of a solved problem."
    order = 102

    def _residual(self, model: Head, task) -> Iterator[Step]:
        learner: Convex = task.learner
        objective = learner.objective(model, task.retain)
        work = newton_from(model, objective, task)
        next(work)  # the state before
        step, w = next(work)
        yield dataclasses.replace(step, index=1, total=1)
        learner.publish(model, w, noise_key(task.generator, w, str(learner.settings())))
        allowed = self._allowed(learner, objective.strength, model)
        # The lie: nothing was solved.
        return Proof(self._statement_of_residual(model, task, allowed, objective.strength), {})
