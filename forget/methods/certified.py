"""Certified removal: Newton steps on a convex objective, and noise that hides what is left."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from forget.certified.newton import ROUGH, Factor, Inverse, Solution, factor, solve
from forget.certified.objective import Objective, curvature_root, data_curvature
from forget.certified.privacy import budget, grid_multiplier, residual_allowed
from forget.certified.single_step import BOUNDS, Curvature, Removal, single_step, worst_case
from forget.core.errors import BadInput, Diverged
from forget.core.knobs import knob
from forget.core.steps import Step, mapped
from forget.data import Samples
from forget.io.private import noise_key, random_key
from forget.learners.convex import SOLVED, Convex, shown
from forget.methods import METHODS, Method, Proof, Spending, Task
from forget.models.head import Head

Work = Iterator[Step]


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Certified(Method):
    """Newton's method on L(w; D_r) from the solution on D, until the measured residual is small.

    Residual mode: stop at ||grad L(w; D_r)|| <= 1e-8, as the learner does, which is far below the
    tau that (epsilon, delta) allows, then publish w on a grid with fresh discrete Gaussian noise.
    Strong convexity puts w within tau / (lambda n') of the one optimum, where the reference ends
    too; the mechanism does the rest (:func:`~forget.certified.privacy.residual_allowed`; Balle and
    Wang 2018, https://arxiv.org/abs/1805.06530; Canonne et al. 2020,
    https://arxiv.org/abs/2004.00010; descent with perturbed publishing: Neel et al. 2021,
    https://arxiv.org/abs/2007.02923).

    Guo mode: the single Newton step of Guo et al. 2020, https://arxiv.org/abs/1911.03030. What it
    leaves of the gradient is bounded, and bounds add up over requests; (epsilon, delta) holds while
    their sum is at most sigma epsilon / c. Beyond that the model is retrained, and says so.

    Assumes that the features never saw the data and that the un-noised weights stay secret; in Guo
    mode also that requests are not chosen by looking at published models, whose noise stays the
    same. In residual mode they may be: given all that was published before and every request made
    of it, the bound holds for whatever D_r is left, and the noise is fresh. So each publication is
    (epsilon, delta)-close to one retrained on the same D_r, which is what Gupta et al. 2021
    (https://arxiv.org/abs/2106.04378) ask of adaptive requests, and several compose as Gaussian
    mechanisms that are chosen adaptively do (Dong et al. 2022, https://arxiv.org/abs/1905.02383).

    >>> Certified(epsilon=0.5).settings()["delta"]
    1e-05
    """

    name = "certified"
    title = "Certified: Newton step"
    summary = ("Solves for the weights that retraining would give, and hides the tiny rest under "
               "noise. Comes with a certificate that can be checked.")
    learner = "convex"
    because = ("the layers of a trained network learnt from the data to be forgotten, so a "
               "certificate for its head would not cover them")
    picture = "newton"
    order = 5

    epsilon: float = knob(1.0, "Privacy loss that the certificate allows: below 1 is strict",
                          low=1e-3, high=100.0, log=True)
    delta: float = knob(1e-5, "Probability that the guarantee fails", low=1e-12, high=0.1, log=True)
    bound: str = knob("tight", "Guo mode's bound on what one step leaves: the paper's, or the same "
                      "with sharper constants", choices=tuple(BOUNDS))

    anew: bool = False
    """Train from nothing on what is left, whatever a step would cost: what is published then owes
    nothing to what was forgotten before."""

    def steps(self, model: Head, task: Task) -> Iterator[Step]:
        if model.features.learnt_from:
            raise BadInput(f"the features under this head were learnt from "
                           f"{model.features.learnt_from}, so a certificate for the head would "
                           "say nothing of the model; choose features that never saw the data")
        if "weights" not in model.secret:
            raise BadInput("this model comes without the secret file that lay beside it, so "
                           "nothing can be certified; put it there, or train the model here")
        run = self._residual if task.learner.mode == "residual" else self._guo
        return (yield from run(model, task))

    def _residual(self, model: Head, task: Task) -> Iterator[Step]:
        learner: Convex = task.learner
        objective = learner.objective(model, task.retain)
        allowed = self._allowed(learner, objective.strength, model)
        statement = self._statement_of_residual(model, task, allowed, objective.strength)
        if self.anew:
            taken = yield from self._trained(model, task, "training anew")
            return Proof(statement, {"residual": model.secret["spent"].item(),
                                     "iterations": taken - 1, "retrained": True})
        path: list[Tensor] = []
        work = recorded(newton_from(model, objective, task), path)
        solution = yield from shown(model, work)
        key = noise_key(task.generator, solution.w, str(learner.settings()))
        if not solution.residual <= SOLVED:
            raise Diverged(f"the solver left a gradient of {solution.residual:.2g} where "
                           f"{SOLVED:g} is stated: take a larger lam")
        learner.publish(model, solution.w, key)
        yield Step(solution.iterations + 2, solution.iterations + 2, "published with fresh noise",
                   {"gradient_norm": solution.residual})
        return Proof(statement,
                     {"residual": solution.residual, "iterations": solution.iterations},
                     tuple((w - solution.w).norm().item() for w in path))

    def _allowed(self, learner: Convex, strength: float, model: Head) -> float:
        """The residual that the noise hides; :class:`BadInput` where it is too small to reach."""
        allowed = residual_allowed(
            learner.sigma, strength, self.epsilon, self.delta, model.weight.numel())
        if allowed < SURELY:
            most = f"may be {allowed:.2g} at most" if allowed > 0 else "has no room under the noise"
            raise BadInput(f"with sigma {learner.sigma:g} the residual {most}, and models are "
                           f"solved to {SOLVED:g}: take a larger sigma, epsilon or lam")
        return allowed

    def _statement_of_residual(
        self, model: Head, task: Task, allowed: float, strength: float
    ) -> dict[str, Any]:
        """What residual mode states: nothing that was measured, only what was fixed beforehand."""
        return self._statement(model, task, allowed) | {
            "residual": SOLVED, **self.publication(task.learner, model),
            "distance_allowed": allowed / strength,
        }

    def publication(self, learner: Convex, model: Head) -> dict[str, Any] | None:
        if learner.mode != "residual":
            return None
        weights = model.weight.numel()
        return {"mode": learner.mode, "delta": self.delta, "weights": weights,
                "noise_multiplier": grid_multiplier(self.epsilon, self.delta, weights)}

    def _trained(self, model: Head, task: Task, why: str) -> Iterator[Step]:
        """Train from nothing on what is left; returns the steps taken, the publication's too."""
        taken = 1
        for step in task.learner.train(model, task.retain, task.generator):
            taken = step.index + 1
            yield dataclasses.replace(step, index=taken, total=max(taken, 12),
                                      doing=f"{why}: {step.doing}")
        return taken

    def _guo(self, model: Head, task: Task) -> Iterator[Step]:
        learner: Convex = task.learner
        removal, spending = self._removal(model, task)
        n = len(task.forget) + len(task.retain)
        b = learner.noise(model.secret["noise_key"], model).norm(dim=0)
        spent, allowed = spending.spent, spending.budget
        retrained = self.anew or spending.retrains
        yield Step(1, 2, "one Newton step", {"gradient_norm_bound": spent + removal.bound})
        if not retrained:
            _settle(model, removal, spent)
            yield Step(2, 2, f"published; {(spent + removal.bound) / allowed:.0%} of the budget "
                             "spent", {"gradient_norm_bound": spent + removal.bound})
        else:
            taken = yield from self._trained(model, task, "budget spent, retraining")
            yield Step(taken + 1, taken + 1, "budget was spent: retrained from scratch",
                       {"gradient_norm": model.secret["spent"].item()})
        now = model.secret["spent"].item()
        statement = self._statement(model, task, allowed) | {
            "residual": allowed, "bound": self.bound, "budget": allowed}
        return Proof(statement, {
            "residual": now, "iterations": 1 if not retrained else taken - 1,
            "bound_of_this_request": removal.bound,
            "bound_worst_case": worst_case(
                learner.lam, n, len(task.forget), BOUNDS[self.bound], b),
            "spent_before": spent, "spent": now, "retrained": retrained,
        })

    def spends(self, model: Head, task: Task) -> Spending | None:
        return self._removal(model, task)[1] if task.learner.mode == "guo" else None

    def _removal(self, model: Head, task: Task) -> tuple[Removal, Spending]:
        """The single step for a request, and what it spends."""
        learner: Convex = task.learner
        allowed = budget(learner.sigma, self.epsilon, self.delta)
        if allowed < SOLVED:
            raise BadInput(f"with sigma {learner.sigma:g} the whole budget is {allowed:.2g}, and "
                           f"models are solved to {SOLVED:g}: take a larger sigma or epsilon")
        x = model.rows(task.forget.x).double() * learner.radius
        w = model.secret["weights"].to(x.device)
        known = known_curvature(model, len(task.forget) + len(task.retain), x.device)
        removal = single_step(w, x, task.forget.y, model.loss, learner.lam, known, self.bound)
        return removal, Spending(model.secret["spent"].item(), removal.bound, allowed)

    def _statement(self, model: Head, task: Task, allowed: float) -> dict[str, Any]:
        """What a certificate says, apart from the data, what it covers of them, and hashes.

        ``residual`` is the most that can be left, and ``iterations`` is not said: what was reached,
        and after how many steps, was found to tell which sample was forgotten.
        """
        learner: Convex = task.learner
        return {
            "mode": learner.mode, "epsilon": self.epsilon, "delta": self.delta,
            "sigma": learner.sigma, "lam": learner.lam,
            "residual_allowed": allowed, "iterations": None,
            "n_retained": len(task.retain), "n_forgotten": len(task.forget),
            "loss": model.loss.name, "features": model.features.name, "radius": learner.radius,
            "weights": model.weight.numel(),
            "assumptions": list(ASSUMPTIONS[learner.mode]),
        }


SURELY = 2 * SOLVED
"""The least that can be allowed: half of it is for how far float64 puts the measured one off."""

ASSUMPTIONS = {
    "residual": (
        "The un-noised weights and the noise's key stay with whoever runs the server.",
        "It holds for this publication against one of the retrained reference; publications of "
        "several requests seen together compose: epsilons and deltas add up at worst.",
        "The learner's constants (features, classes, lambda, sigma) did not depend on the data.",
        "Weights are solved in float64, and the gradient that is measured there is off by less "
        "than 1e-8. Noise is drawn in whole numbers on a grid, from SHAKE-256 with a 256-bit key.",
    ),
    "guo": (
        "The vector b of the objective and its key stay with whoever runs the server.",
        "Requests are not chosen by looking at published models.",
        "The residual stated is the whole budget: a bound on the gradient norm, added up over all "
        "requests since the last training, keeps to it, and holds for each column of weights with "
        "its own noise.",
        "It holds for this publication alone: whoever has the weights before and after sees the "
        "step itself, which carries no noise of its own.",
        "The learner's constants (features, classes, lambda, sigma) did not depend on the data.",
        "Arithmetic is float64, and the proof is one about real numbers; noise comes from a "
        "pseudo-random generator with a 128-bit key.",
    ),
}
"""What a certificate rests on, in words."""


SAME_NOISE = ("noise_key", "salt")
"""What a single step leaves as it was: the noise is in the objective and stays there."""


def newton_from(
    model: Head, objective: Objective, task: Task
) -> Iterator[tuple[Step, Tensor]]:
    """From the weights on D to those on D_r: the curvature without D_f first, then the solver.

    Yields steps with their weights, the state before the first iteration included, and returns a
    :class:`Solution`. The first iteration is the plain Newton step of the literature.
    """
    w = model.secret["weights"].to(task.device)
    known = without(model, objective, task.forget, w, task.learner)
    way = _together if objective.loss.coupled else _by_column
    return (yield from way(objective, w, known, task))


def _together(
    objective: Objective, w: Tensor, known: Factor | Inverse, task: Task
) -> Iterator[tuple[Step, Tensor]]:
    """All columns in one system: plain Newton steps while they contract, then the solver."""
    at = objective.evaluate(w)
    yield _counted(0, BEFORE, at.gradient), w
    iterations, contracts = 0, True
    while contracts and at.residual > SOLVED:
        there = w - known.solve(at.gradient)
        new = objective.evaluate(there)
        contracts = new.residual <= ROUGH * at.residual
        if contracts or not iterations:
            iterations += 1
            yield _counted(iterations, "Newton step", new.gradient), there
        if contracts:
            w, at = there, new
    if at.residual > SOLVED and task.whole_class:
        # Far away, and the own column of a class that has no sample left is the reason.
        w, known = head_start(objective, w, int(task.forget.y[0])), None
        at = objective.evaluate(w)
        iterations += 1
        yield _counted(iterations, "the forgotten class's own weights set aside", at.gradient), w
    work = solve(objective, w, SOLVED, task.generator, at, known, iterations)
    return (yield from mapped(work, _after_the_first))


def _by_column(
    objective: Objective, w: Tensor, known: Factor | Inverse, task: Task
) -> Iterator[tuple[Step, Tensor]]:
    """Columns that do not meet in the Hessian: each takes plain Newton steps while they contract.

    Most hardly notice a request and are soon done; the solver gets only those that are left.
    """
    share = SOLVED / (2 * objective.columns**0.5)  # half of SOLVED, if every column leaves it
    gradient = objective.gradient(w)
    left = gradient.norm(dim=0)  # (K,), and so are the masks
    yield _counted(0, BEFORE, left), w
    iterations, going, hard = 0, left > share, left.isnan()
    while going.any():
        there = w - known.solve(gradient * going)
        columns = going.nonzero().flatten()
        gradient[:, columns] = objective.only(columns).gradient(there[:, columns])
        now = gradient.norm(dim=0)
        better = now < left
        contracts = going & (now <= ROUGH * left)
        hard |= going & ~contracts
        w, left = torch.where(better, there, w), torch.where(better, now, left)
        going = contracts & (now > share)
        iterations += 1
        yield _counted(iterations, "Newton step", left), w
    if hard.any():
        columns = hard.nonzero().flatten()
        work = solve(objective.only(columns), w[:, columns], SOLVED / 2, task.generator,
                     known=known.only(columns), taken=iterations)
        settled = left[~hard].norm().item()

        def among_all(item: tuple[Step, Tensor]) -> tuple[Step, Tensor]:
            step, some = _after_the_first(item)
            norm = math.hypot(step.measured["gradient_norm"], settled)
            return (dataclasses.replace(step, measured={"gradient_norm": norm}),
                    w.index_copy(1, columns, some))

        solution = yield from mapped(work, among_all)
        w, iterations = w.index_copy(1, columns, solution.w), solution.iterations
    return Solution(w, objective.gradient(w).norm().item(), iterations)


BEFORE = "the retained samples' gradient at the original"


def _after_the_first(item: tuple[Step, Tensor]) -> tuple[Step, Tensor]:
    """A solver's step counted from the one that shows the state before it."""
    step, w = item
    return dataclasses.replace(step, index=step.index + 1, total=step.total + 1), w


FEW = 4
"""A share of at most a quarter of the size is taken out of the inverse; a larger one out of the
matrix, which is then factorised anew."""


def _counted(iterations: int, doing: str, gradient: Tensor) -> Step:
    return Step(iterations + 1, max(iterations + 1, 12), doing,
                {"gradient_norm": gradient.norm().item()})


def recorded(
    work: Iterator[tuple[Step, Tensor]], path: list[Tensor]
) -> Iterator[tuple[Step, Tensor]]:
    """The same steps and weights, with the weights put down in ``path`` as they come."""
    def put_down(item: tuple[Step, Tensor]) -> tuple[Step, Tensor]:
        path.append(item[1])
        return item

    return mapped(work, put_down)


def without(
    model: Head, objective: Objective, forget: Samples, w: Tensor, learner: Convex
) -> Factor | Inverse:
    """The prepared curvature with the forgotten samples' share taken out, ready to solve with."""
    lower = model.secret["factor"].to(w.device)
    rows = model.rows(forget.x)
    p = model.loss.probabilities(rows.double() @ w * learner.radius).to(lower.dtype)
    root_columns = len(forget) * (p.shape[1] if model.loss.coupled else 1)
    if root_columns <= lower.shape[1] // FEW:
        return Inverse.without(model.secret["inverse"].to(w.device),
                               curvature_root(model.loss, rows, learner.radius, p))
    share = data_curvature(model.loss, rows, learner.radius, p)
    return factor(lower @ lower.mT - share, -learner.lam * len(forget))


def head_start(objective: Objective, w: Tensor, column: int) -> Tensor:
    """The weights with one class's column drawn down until no sample is given to it.

    The column becomes the multiple of the mean row that minimises the objective: one number, found
    by Newton's method on the samples' scores.
    """
    rest = objective.loss.others(objective.scores(w), column)  # (n,)
    along = objective.rows.mean(0, dtype=torch.float64) * objective.radius
    shift = objective.scores(along[:, None])[:, 0]  # (n,)
    size = along.square().sum() * objective.strength
    t = rest.new_zeros(())
    for _ in range(20):
        p = torch.sigmoid(t * shift - rest)
        slope = (p * shift).sum() + size * t
        t = t - slope / ((p * (1 - p) * shift.square()).sum() + size)
    w = w.clone()
    w[:, column] = t * along
    return w


def known_curvature(model: Head, n: int, device: torch.device) -> Curvature:
    """What the learner prepared for a single step."""
    secret = {name: model.secret[name].to(device)
              for name in ("curvature", "inverse", "gram", "largest")}
    return Curvature(n, secret["curvature"], secret["inverse"], secret["gram"],
                     secret["largest"].item())


def _settle(model: Head, removal: Removal, spent: float) -> None:
    """Publish a single step's weights, and keep what the next request needs to know."""
    secret = model.secret
    with torch.no_grad():
        model.weight.copy_(removal.w)
    model.secret = {name: secret[name] for name in SAME_NOISE} | {
        "ids_key": random_key(), "data_key": random_key(), "seal_key": random_key(),
        "weights": removal.w.cpu().contiguous(),
        "spent": torch.tensor(spent + removal.bound, dtype=torch.float64),
    }
