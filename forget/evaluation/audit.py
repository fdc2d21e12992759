"""Is it forgotten, or only hidden? A method on trial, against models that never saw the data."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from forget.core import memory
from forget.core.device import derive, generator, use_fixed_threads
from forget.data import Dataset, Samples
from forget.evaluation import shadows
from forget.evaluation.shadows import ORIGINAL, REFERENCE, TRACED, World
from forget.learners import Learner
from forget.methods import Method, check_suits, params_of
from forget.metrics.interval import Interval, difference, ratio_of_means
from forget.metrics.klom import klom
from forget.metrics.membership import Roc, auc, likelihood_ratios, roc
from forget.metrics.verdict import (
    Check,
    check_attack,
    check_probe,
    check_relearning,
)
from forget.unlearning.request import Request
from forget.unlearning.watch import UNWATCHED, Watch

MODELS = 64
UNLEARNED = "unlearned"
KINDS = (ORIGINAL, UNLEARNED, REFERENCE)

NO_CLASS = "Only a class can be relearnt or probed for: single samples look like the rest."
NO_FEATURES = ("The features under the output are fixed and learnt nothing from these data, so "
               "there is nothing to probe.")
NO_WAY_BACK = "Retrained models get them right at once, so there is nothing to relearn."


@dataclasses.dataclass(frozen=True)
class Exposure:
    """What the attack says of one pair of shadow models: the real scores, sample by sample.

    ``ids``: (m,) rows of the whole training set.  ``ratios`` and ``member``: (2, m); each sample
    was unlearned by one model of the pair and never seen by the other.
    """

    ids: Tensor
    ratios: Tensor
    member: Tensor


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found of one method on one request.

    ``original``, ``unlearned``, ``reference``: the attack on models before unlearning, after it,
    and on such as never saw the data (where it must fail).  ``population``: AUC of one threshold on
    the margin for all samples, by kind of model; weak.  ``klom``: (m,) in nats, and
    ``klom_floor``: that of models that never saw a sample against retrained ones.
    ``relearned``: kind of model to accuracies by step, one list a model, and ``steps``: until they
    were back.  ``probed``: kind to recalls.  ``ratio`` and ``probe``: unlearned over, and minus,
    retrained; None where a class was not asked for or nothing can be measured.
    """

    method: Method
    learner: Learner
    models: int
    samples: int
    original: Roc
    unlearned: Roc
    reference: Roc
    population: dict[str, float]
    klom: Tensor
    klom_floor: Tensor
    relearned: dict[str, list[list[float]]]
    steps: dict[str, list[float]]
    probed: dict[str, list[float]]
    ratio: Interval | None
    probe: Interval | None
    checks: tuple[Check, ...]
    exposure: Exposure

    @property
    def clear(self) -> bool:
        """Whether no check convicts."""
        return all(check.passed is not False for check in self.checks)

    @property
    def told(self) -> bool:
        """Whether every check that applies could have seen what matters."""
        return not any(check.untold for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the figures, without the scores of single samples."""
        return {
            "method": self.method.name, "title": self.method.title, "learner": self.learner.name,
            "params": params_of(self.method, self.learner),
            "shadows": self.models, "samples": self.samples,
            **{kind: getattr(self, kind).to_json() for kind in KINDS},
            "population": self.population,
            "klom": {"median": self.klom.median().item(), "mean": self.klom.mean().item(),
                     "floor_median": self.klom_floor.median().item(),
                     "floor_mean": self.klom_floor.mean().item()},
            "relearn_ratio": self.ratio and self.ratio.to_json(),
            "relearn_steps": self.steps,
            "probe": self.probed,
            "probe_difference": self.probe and self.probe.to_json(),
            "clear": self.clear,
            "told": self.told,
            "checks": [check.to_json() for check in self.checks],
        }


@memory.told()
def audit(
    dataset: Dataset,
    request: Request,
    entries: Sequence[tuple[Method, Learner]],
    seed: int,
    models: int = MODELS,
    samples: int = shadows.SAMPLES,
    processes: int = 1,
    watch: Watch = UNWATCHED,
) -> dict[str, Audit]:
    """Put methods on trial: method name to what was found.

    ``entries``: each method with the learner whose models it edits.  ``models``: shadow models a
    learner, a multiple of eight; half as many retrained ones come on top.  ``samples``: training
    samples of the small world that they live in. Raises :class:`BadInput` for a method that cannot
    edit its learner's models, and what the method raises.
    """
    use_fixed_threads()
    for method, learner in entries:
        check_suits(method, learner)
    found = {}
    for learner in dict.fromkeys(learner for _, learner in entries):
        world = shadows.small_world(dataset, request, learner, seed, samples, watch)
        methods = [method for method, of in entries if of == learner]
        scores = shadows.score(world, methods, models, processes, watch)
        watch.phase("Weighing the evidence")
        for method in methods:
            found[method.name] = judge(world, method, models, scores)
            watch.check()
    return {method.name: found[method.name] for method, _ in entries}


def judge(world: World, method: Method, models: int, scores: dict[str, list]) -> Audit:
    """All figures of one method from what was measured of every model."""
    member = world.member(models)
    before, after, retrained = (
        torch.stack([each["margins"] for each in scores[kind]])
        for kind in (ORIGINAL, method.name, REFERENCE))
    ratios = likelihood_ratios(after, member)
    draw = derive(world.seed, "intervals")
    traces = {kind: [each for each in scores[name] if "steps" in each][:TRACED] for kind, name in
              ((ORIGINAL, ORIGINAL), (UNLEARNED, method.name), (REFERENCE, REFERENCE))}
    steps = {kind: [each["steps"].item() for each in found] for kind, found in traces.items()}
    probed = {kind: [each["probe"].item() for each in found if "probe" in each]
              for kind, found in traces.items()}

    def compared(measure, values: dict[str, list[float]]) -> Interval | None:
        return measure(values[UNLEARNED], values[REFERENCE])

    before_unlearning = roc(likelihood_ratios(before, member), member, generator(draw))
    unlearned = roc(ratios, member, generator(draw))
    ratio, probe = compared(ratio_of_means, steps), compared(difference, probed)
    null, asked = _null(world, after, retrained, member)
    return Audit(
        method, world.learner, models, len(world.dataset.train),
        original=before_unlearning,
        unlearned=unlearned,
        reference=roc(likelihood_ratios(null, asked), asked, generator(draw)),
        population={ORIGINAL: auc(before[member], before[~member]),
                    UNLEARNED: auc(after[member], after[~member]),
                    REFERENCE: auc(null[asked], null[~asked])},
        klom=klom(retrained, after.masked_fill(~member, torch.nan)),
        klom_floor=klom(retrained, after.masked_fill(member, torch.nan)),
        relearned={kind: [each["relearned"].tolist() for each in found]
                   for kind, found in traces.items()},
        steps=steps, probed=probed,
        ratio=ratio,
        probe=probe,
        checks=(check_attack(unlearned.auc, before_unlearning.auc.value),
                check_relearning(ratio, NO_WAY_BACK if world.whole_class else NO_CLASS,
                                 _over(steps[ORIGINAL], steps[REFERENCE])),
                check_probe(probe, NO_FEATURES if world.whole_class else NO_CLASS,
                            _minus(probed[ORIGINAL], probed[REFERENCE]))),
        exposure=Exposure(world.rows[world.judged], ratios[:2], member[:2]),
    )


def _over(a: list[float], b: list[float]) -> float | None:
    """The ratio of two means, None where there is none."""
    return sum(a) / len(a) / (sum(b) / len(b)) if a and b and sum(b) else None


def _minus(a: list[float], b: list[float]) -> float | None:
    """The difference of two means, None where there is none."""
    return sum(a) / len(a) - sum(b) / len(b) if a and b else None


def _null(
    world: World, after: Tensor, retrained: Tensor, member: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores and members with retrained models where the unlearned ones stood: an attack on these
    must fail."""
    if not world.whole_class:
        return retrained, member[: len(retrained)]
    scores = after.clone()
    scores[::2] = retrained
    return scores, member


def shown(dataset: Dataset, exposure: Exposure, chosen: Tensor) -> Samples:
    """The samples of an exposure that a mask (m,) names, with their pictures."""
    return dataset.train.take(exposure.ids[chosen].to(dataset.train.y.device))
