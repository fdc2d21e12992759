"""A regularised linear head on fixed features: the learner whose removals can be certified."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from forget.certified.losses import loss_called
from forget.certified.newton import factor, solve
from forget.certified.noise import on_grid
from forget.certified.objective import Objective, data_curvature
from forget.core.errors import BadInput
from forget.core.knobs import knob
from forget.core.steps import Step, mapped
from forget.data import Samples
from forget.features import features_for
from forget.io.private import gaussian, noise_key, random_key
from forget.learners import LEARNERS, Learner
from forget.models.head import Head

SOLVED = 1e-8
"""Gradient norm to which every objective is solved, in float64."""

MOST_ROWS = 8192
"""Of a softmax Hessian: 270 MB a copy, and five seconds to factorise on one core."""

CURVATURES, WEIGHTS, OUTPUTS = 8, 20, 5
"""Copies that are there at once: of the curvature (formed, shifted, factorised, inverted, and once
more without what is forgotten), of the weights (each iterate is kept), and of all outputs."""

RADIUS = 16.0
"""Norm of a row in residual mode, so that entries are about 1 at 256 features; 1 in Guo mode."""


@LEARNERS.register
@dataclasses.dataclass(frozen=True)
class Convex(Learner):
    """L(w) = sum of losses + lambda n / 2 ||w||^2, the bias regularised too, solved to 1e-8.

    Noise, fixed before any data are seen, hides what is left of the difference between two
    solutions. ``residual``: the published weights are w, rounded to a grid, plus discrete Gaussian
    noise of scale sigma on that grid (output perturbation: Chaudhuri et al. 2011,
    https://arxiv.org/abs/0912.0071). ``guo``: b ~ N(0, sigma^2) stands in
    the objective as <b, w>, rows have norm 1, and w itself is published (Guo et al. 2020,
    https://arxiv.org/abs/1911.03030). The un-noised weights, b and the noise's key are the server's
    secret. The features are a constant of the recipe and never saw the data.

    >>> Convex().settings()["mode"]
    'residual'
    """

    name = "convex"
    keeps = True
    title = "Certified head"
    order = 3

    mode: str = knob("residual", "Where the noise goes: on the solved weights (residual), or into "
                     "the objective as in Guo et al. (guo)", choices=("residual", "guo"))
    loss: str = knob("auto", "Softmax, or one class against the rest; auto takes softmax, and "
                     "one-vs-rest in guo mode, which needs it", choices=("auto", "softmax", "ovr"))
    features: str = knob("auto", "Fixed features under the head; auto takes scattering for images",
                         choices=("auto", "scattering", "vectors", "pixels"))
    lam: float = knob(1e-4, "Strength of the regularisation; it is multiplied by the number of "
                      "samples", low=1e-9, high=10.0, log=True)
    sigma: float = knob(1e-3, "Standard deviation of the noise on every weight, or in guo mode on "
                        "every coefficient of b (there 1 to 10 is usual)", low=1e-9, high=1e3,
                        log=True)

    def __post_init__(self):
        super().__post_init__()
        if self.mode == "guo" and self.loss == "softmax":
            raise BadInput("guo mode has its bound for one-vs-rest only; set loss to ovr or auto")

    @property
    def radius(self) -> float:
        """Norm of a row."""
        return 1.0 if self.mode == "guo" else RADIUS

    def feature_map(self, input_shape):
        return features_for(self.features, input_shape)

    def suited(self, input_shape, n_classes):
        """Softmax has one Hessian for all columns: where it would be too large, auto takes one
        class against the rest, with a block a column."""
        rows = self.feature_map(input_shape).size * n_classes
        too_large = self.loss == "auto" and n_classes > 2 and rows > MOST_ROWS
        return dataclasses.replace(self, loss="ovr") if too_large else self

    def memory(self, n, input_shape, n_classes):
        d = self.feature_map(input_shape).size
        columns, coupled = n_classes, loss_called(self._loss).coupled
        curvature = (columns * d) ** 2 if coupled else columns * d**2
        held = (8 if self.mode == "guo" else 4) * curvature  # bytes of one of its copies
        return CURVATURES * held + WEIGHTS * 8 * d * columns + OUTPUTS * 8 * n * columns

    def build(self, input_shape, n_classes, generator):
        return Head(self.feature_map(input_shape), self.radius, loss_called(self._loss), n_classes)

    @property
    def _loss(self) -> str:
        if self.loss == "auto":
            return "ovr" if self.mode == "guo" else "softmax"
        return self.loss

    def objective(self, model: Head, data: Samples, linear: Tensor | None = None) -> Objective:
        """The objective over ``data``, in float64 on the data's device."""
        if data.y.device.type == "mps":
            raise BadInput("the convex learner needs float64, which MPS does not have; set "
                           "FORGET_DEVICE=cpu")
        return Objective(model.rows(data.x), data.y, model.loss, self.lam, model.weight.shape[1],
                         self.radius, linear)

    def train(self, model: Head, data: Samples, generator) -> Iterator[Step]:
        key, linear = None, None
        if self.mode == "guo":
            key = noise_key(generator, data.x, data.y, str(self.settings()))
            linear = self.noise(key, model).to(data.y.device)
        objective = self.objective(model, data, linear)
        solution = yield from shown(model, solve(objective, objective.zeros(), SOLVED, generator))
        if key is None:
            key = noise_key(generator, solution.w, str(self.settings()))
        self.publish(model, solution.w, key)
        last = solution.iterations + 1
        yield Step(last, last, "published", {"gradient_norm": solution.residual})
        model.secret |= {"spent": torch.tensor(solution.residual, dtype=torch.float64)}

    def noise(self, key: Tensor, model: Head) -> Tensor:
        """Guo mode's b: sigma times standard normal numbers of the weights' shape, on the CPU."""
        return self.sigma * gaussian(key, tuple(model.weight.shape))

    @torch.no_grad()
    def publish(self, model: Head, w: Tensor, key: Tensor) -> None:
        """Set the public weights, and keep what they were made of."""
        model.secret = {"weights": w.cpu().contiguous(), "noise_key": key, "salt": random_key(),
                        "ids_key": random_key(), "data_key": random_key(),
                        "seal_key": random_key()}
        model.weight.copy_(w if self.mode == "guo" else on_grid(w, self.sigma, key))
        model.eval()

    @torch.no_grad()
    def prepare(self, model: Head, data: Samples, generator) -> Iterator[Step]:
        """The curvature at the solved weights, factorised and inverted; in guo mode also the rows'
        Gram matrix with its largest eigenvalue."""
        if "weights" not in model.secret or "prepared_for" in model.secret:
            return
        objective = self.objective(model, data)
        w = model.secret["weights"].to(data.y.device)
        p = model.loss.probabilities(objective.scores(w))
        made = {"prepared_for": torch.tensor(len(data))}
        if self.mode == "residual":
            # Single precision: it only has to be near, and is half as large.
            whole = data_curvature(model.loss, objective.rows, self.radius, p.float())
            known = factor(whole, objective.strength)
            made |= {"factor": known.lower, "inverse": known.inverse()}
        else:
            whole = data_curvature(model.loss, objective.rows, self.radius, p)
            gram = sum(part.T @ part for part in objective.parts()) * self.radius**2
            made |= {"curvature": whole, "gram": gram,
                     "inverse": factor(whole, objective.strength).inverse(),
                     "largest": torch.linalg.eigvalsh(gram)[-1]}
        # Laid out as a file gives them back: another layout sums in another order.
        model.secret |= {name: value.cpu().contiguous() for name, value in made.items()}
        yield Step(1, 1, "forming the curvature", {"samples": float(len(data))})


def shown(model: Head, work: Iterator[tuple[Step, Tensor]]) -> Iterator[Step]:
    """The steps of a solver, with the model set to each iterate; returns the solver's result."""
    def show(item: tuple[Step, Tensor]) -> Step:
        step, w = item
        with torch.no_grad():
            model.weight.copy_(w)
        return step

    return mapped(work, show)
