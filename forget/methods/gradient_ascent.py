"""Gradient ascent: climb the loss of what is to be forgotten, and stop before the rest breaks."""

import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core.errors import BadInput
from forget.core.knobs import knob
from forget.core.steps import Step
from forget.data import Samples
from forget.methods import METHODS, Method, Task
from forget.models import logits_of

CLASS_ACCURACY = 0.01
"""A class counts as forgotten at this accuracy on D_f; chance is not enough."""

FORGET_PROBE = 256
HELD_OUT_PROBE = 1000
"""Samples of D_f and of the held-out part that the stop rule looks at after each step."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class GradientAscent(Method):
    """theta <- theta + lr * u, u the unit vector along grad CE(D_f*) - alpha * grad CE(D_r).

    Ascent on D_f: Graves, Nagisetty and Ganesh 2021, https://arxiv.org/abs/2010.10981; Golatkar,
    Achille and Soatto 2020, https://arxiv.org/abs/1911.04933. The term with alpha
    (``retain_weight``) makes it NegGrad+: Kurmanji et al. 2023, https://arxiv.org/abs/2302.09880.
    D_f* is the part of D_f that the model still gets right: CE is unbounded above and steepest
    where a sample is already lost, so without this the lost samples drown the others. The step is
    normalised because CE(D_f) starts almost flat: the plain gradient is at first too small to do
    anything, and soon too large for any fixed lr.

    It stops once CE(D_f) reaches that of held-out data (samples), or accuracy on D_f is 1 % or
    less (a class); and at once, back at the last good step, when held-out accuracy on the retained
    classes falls by more than ``floor`` points. Assumes that held-out data come from the same
    distribution; proves nothing about the weights.

    >>> GradientAscent(lr=0.1).settings()["lr"]
    0.1
    """

    name = "gradient_ascent"
    title = "Approximate: gradient ascent"
    summary = ("Climbs the loss of what is to be forgotten while holding on to the rest, in the "
               "last layers, until a stop rule holds. Fastest; proves nothing.")
    learner = "network"
    picture = "path"
    order = 3

    lr: float = knob(0.03, "Length of one step in weight space", low=1e-5, high=10.0, log=True)
    last_layers: int = knob(2, "How many layers to change, counted from the output; the others "
                            "stay as they are", low=1, high=50)
    max_steps: int = knob(100, "Stop after this many steps at the latest", low=1, high=5000)
    batch_size: int = knob(64, "Samples to forget, and samples to keep, in each step",
                           low=4, high=4096)
    retain_weight: float = knob(1.0, "Weight alpha of the loss on samples to keep; 0 is plain "
                                "ascent", low=0.0, high=100.0)
    floor: float = knob(0.5, "Stop when held-out accuracy on the rest falls by more than this many "
                        "percentage points, or by more than one sample", low=0.0, high=100.0)

    def stop_line(self, whole_class):
        if whole_class:
            return CLASS_ACCURACY, f"accuracy of {CLASS_ACCURACY:.0%} or less on the forget set"
        return None, "a loss on the forget set as high as on held-out samples"

    def steps(self, model: nn.Module, task: Task) -> Iterator[Step]:
        rule = StopRule(model, task, self.floor / 100)
        forget = Cycle(task.forget, self.batch_size, task.generator)
        retain = Cycle(task.retain, self.batch_size, task.generator)
        changed = [layer for _, layer in model.layers[-self.last_layers :]]
        weights = [weight for layer in changed for weight in layer.parameters()]
        good = [weight.detach().clone() for weight in weights]
        before = rule.measure(model)
        if rule.forgotten(before, model):
            yield Step(1, 1, "nothing to do: no better on them than on unseen samples", before)
            return
        for index in range(1, self.max_steps + 1):
            loss = -_loss_where_right(model, forget.next())
            if self.retain_weight:
                kept = retain.next()
                loss = loss + self.retain_weight * F.cross_entropy(model(kept.x), kept.y)
            _descend(weights, torch.autograd.grad(loss, weights), self.lr)
            measured = rule.measure(model)
            if rule.broke_the_rest(measured):
                _restore(weights, good)
                yield Step(index, index, "stopped at the floor, back at the last good step",
                           rule.measure(model))
                return
            if rule.forgotten(measured, model):
                yield Step(index, index, "stopped: forgotten", measured)
                return
            good = [weight.detach().clone() for weight in weights]
            yield Step(index, self.max_steps, "climbing the loss of the forget set", measured)


class StopRule:
    """When to stop, judged on a part of D_f and on held-out data that trains and tests nothing."""

    def __init__(self, model: nn.Module, task: Task, floor: float):
        gone = torch.isin(task.held_out.y, torch.tensor(task.gone, device=task.device))
        self.whole_class = task.whole_class
        self.all_forget = task.forget
        self.forget = _probe(task.forget, FORGET_PROBE, task.generator)
        self.rest = _probe(task.held_out.take(~gone), HELD_OUT_PROBE, task.generator)
        if not len(self.rest):
            raise BadInput("gradient ascent needs held-out samples of what is to be kept, and "
                           "there are none; add some to the test set or choose another method")
        before_loss, before_accuracy = _loss_and_accuracy(model, self.rest)
        self.held_out_loss = before_loss
        # One sample of a small held-out part is no evidence: it may flip.
        self.lowest_accuracy = before_accuracy - max(floor, 1.01 / len(self.rest))

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Loss and accuracy on D_f and accuracy on the held-out rest."""
        forget_loss, forget_accuracy = _loss_and_accuracy(model, self.forget)
        _, rest_accuracy = _loss_and_accuracy(model, self.rest)
        return {
            "forget_loss": forget_loss,
            "forget_accuracy": forget_accuracy,
            "held_out_accuracy": rest_accuracy,
        }

    def forgotten(self, measured: dict[str, float], model: nn.Module) -> bool:
        """Whether the rule holds on the part looked at, and then on all of D_f."""
        return self._holds(measured["forget_loss"], measured["forget_accuracy"]) and self._holds(
            *_loss_and_accuracy(model, self.all_forget))

    def _holds(self, loss: float, accuracy: float) -> bool:
        return accuracy <= CLASS_ACCURACY if self.whole_class else loss >= self.held_out_loss

    def broke_the_rest(self, measured: dict[str, float]) -> bool:
        return measured["held_out_accuracy"] < self.lowest_accuracy


class Cycle:
    """Batches of samples without end, in a fresh order each time round."""

    def __init__(self, data: Samples, size: int, generator: torch.Generator):
        self._data, self._size, self._generator = data, size, generator
        self._left: list[Tensor] = []

    def next(self) -> Samples:
        if not self._left:
            order = torch.randperm(len(self._data), generator=self._generator)
            self._left = list(order.split(self._size))
        return self._data.take(self._left.pop())


def _loss_where_right(model: nn.Module, data: Samples) -> Tensor:
    """CE over the samples that the model gets right; zero, with zero gradient, if it gets none."""
    logits = model(data.x)
    losses = F.cross_entropy(logits, data.y, reduction="none")
    right = logits.argmax(1) == data.y
    return (losses * right).sum() / right.sum().clamp_min(1)


def _descend(weights: list[Tensor], gradients: tuple[Tensor, ...], length: float) -> None:
    """One step of a given length against the gradient of all weights taken together."""
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= length * gradient / norm.clamp_min(1e-12)


def _restore(weights: list[Tensor], saved: list[Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, saved, strict=True):
            weight.copy_(value)


def _probe(data: Samples, most: int, generator: torch.Generator) -> Samples:
    return data.take(torch.randperm(len(data), generator=generator)[:most])


def _loss_and_accuracy(model: nn.Module, data: Samples) -> tuple[float, float]:
    logits = logits_of(model, data.x)
    loss = F.cross_entropy(logits, data.y).item()
    return loss, (logits.argmax(1) == data.y).float().mean().item()
