"""Fine-tuning: go on training on what is left, and let the rest fade."""

import dataclasses
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from forget.core.knobs import knob
from forget.core.steps import Step
from forget.learners.network import adamw, batches, shifted
from forget.methods import METHODS, Method
from forget.models import initialise


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FineTune(Method):
    """Minimise CE(D_r) from the original weights, in all layers or in the last k.

    Catastrophic forgetting in the last k layers (CF-k) and, with those layers drawn anew first,
    exact unlearning of the last k (EU-k): Goel, Prabhu and Kumaraguru 2022,
    https://arxiv.org/abs/2201.06640. Nothing pushes D_f out of the layers that are kept, so what
    they learnt from it stays there: small accuracy on D_f does not mean that it is gone.

    >>> FineTune(lr=0.001).epochs
    1
    """

    name = "finetune"
    title = "Fine-tune"
    summary = "Goes on training on what is left. Quick, but old layers keep what they learnt."
    learner = "network"
    picture = "layers"
    order = 2

    epochs: int = knob(1, "Passes over the retained samples", low=1, high=50)
    lr: float = knob(4e-3, "Highest learning rate; it falls to nothing", low=1e-6, high=0.5,
                     log=True)
    last_layers: int = knob(2, "How many layers to train, counted from the output; the others "
                            "stay as they are", low=1, high=50)
    reinitialise: str = knob("yes", "Draw those layers anew first", choices=("yes", "no"))
    min_steps: int = knob(200, "Train at least this many steps, however few the samples",
                          low=1, high=100_000)
    batch_size: int = knob(128, "Samples a step", low=8, high=4096)

    def steps(self, model, task) -> Iterator[Step]:
        trained = [layer for _, layer in model.layers[-self.last_layers:]]
        if self.reinitialise == "yes":
            for layer in trained:
                initialise(layer, task.generator)
        parameters = [parameter for layer in trained for parameter in layer.parameters()]
        model.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        data = task.retain
        per_epoch = math.ceil(len(data) / self.batch_size)
        epochs = max(self.epochs, math.ceil(self.min_steps / per_epoch))
        total = epochs * per_epoch
        optimizer = adamw(parameters, self.lr)
        fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total)
        model.train()
        for index, rows in enumerate(
            batches(len(data), self.batch_size, epochs, task.generator), 1
        ):
            loss = F.cross_entropy(model(shifted(data.x[rows], task.learner.shift, task.generator)),
                                   data.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fall.step()
            yield Step(index, total, f"fine-tuning, step {index} of {total}", {"loss": loss.item()})
        model.eval()
