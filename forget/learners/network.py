"""An ordinary network, trained by stochastic gradient descent on whole tensors."""

import dataclasses
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forget.core.knobs import knob
from forget.core.steps import Step
from forget.data import Samples
from forget.learners import LEARNERS, Learner
from forget.models import build, fit_inputs


@LEARNERS.register
@dataclasses.dataclass(frozen=True)
class Network(Learner):
    """Cross-entropy, AdamW and a one-cycle learning rate, one random shift a batch.

    A third of the images may be turned and slanted as well, each in its own way.

    AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101. One cycle: Smith and
    Topin 2019, https://arxiv.org/abs/1708.07120. Batches are drawn by index from tensors that
    already lie on the device, without a loader: ``bench/train_speed.py`` has the difference.

    >>> Network(epochs=1).settings()["epochs"]
    1
    """

    name = "network"
    title = "Ordinary network"
    order = 1

    arch: str = knob("auto", "Network: small convolutional, fully connected or linear; auto takes "
                     "the convolutional one for square images, else the connected one",
                     choices=("auto", "cnn", "mlp", "linear"))
    epochs: int = knob(3, "Passes over the training data", low=1, high=100)
    lr: float = knob(8e-3, "Highest learning rate of the cycle", low=1e-5, high=0.5, log=True)
    batch_size: int = knob(128, "Samples a step", low=8, high=4096)
    shift: int = knob(1, "Images are shifted by up to this many pixels", low=0, high=4)
    tilt: int = knob(0, "A third of the images are turned by up to this many degrees, and slanted "
                     "and sized a little", low=0, high=45)
    min_steps: int = knob(600, "Train at least this many steps, however few the samples",
                          low=1, high=100_000)

    def arch_for(self, input_shape: tuple[int, ...]) -> str:
        """The architecture for inputs of one shape."""
        square = len(input_shape) == 3 and input_shape[1] == input_shape[2] >= 8
        return ("cnn" if square else "mlp") if self.arch == "auto" else self.arch

    def build(self, input_shape, n_classes, generator):
        return build(self.arch_for(input_shape), input_shape, n_classes, generator)

    def standardises(self, input_shape):
        return len(input_shape) == 1 and self.arch_for(input_shape) == "mlp"

    def train(self, model: nn.Module, data: Samples, generator) -> Iterator[Step]:
        per_epoch = math.ceil(len(data) / self.batch_size)
        epochs = max(self.epochs, math.ceil(self.min_steps / per_epoch))
        total = epochs * per_epoch
        optimizer = adamw(model.parameters(), self.lr)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=total)
        fit_inputs(model, data.x)
        model.train()
        for index, rows in enumerate(batches(len(data), self.batch_size, epochs, generator), 1):
            x = tilted(shifted(data.x[rows], self.shift, generator), self.tilt, generator)
            loss = F.cross_entropy(model(x), data.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            epoch = (index - 1) // per_epoch + 1
            yield Step(index, total, f"training, epoch {epoch} of {epochs}", {"loss": loss.item()})
        model.eval()


def adamw(parameters, lr: float) -> torch.optim.Optimizer:
    """AdamW without weight decay's usual default, fused where the device has it."""
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0, fused=True)


def batches(
    n: int, size: int, epochs: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Row indices of each batch; every epoch is a fresh permutation of all n rows."""
    for _ in range(epochs):
        yield from torch.randperm(n, generator=generator).split(size)


def shifted(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) moved together by up to ``most`` pixels each way; vectors as they are."""
    if x.ndim != 4 or most == 0:
        return x
    down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return torch.roll(x, (down, right), (2, 3))


TILTED = 1 / 3
"""Share of the images that are turned: with half of them a little is lost on upright digits."""

SIZE, SLANT = 0.12, 0.15
"""How far a tilted image may be enlarged or made smaller, and be sheared, as shares of its side."""


def tilted(x: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W), some of them turned by up to ``most`` degrees; vectors as they are.

    Whatever is turned is slanted and sized at random too, as handwriting is (Simard, Steinkraus and
    Platt 2003, https://doi.org/10.1109/ICDAR.2003.1227801).
    """
    if x.ndim != 4 or most == 0:
        return x
    (chosen,) = (torch.rand(len(x), generator=generator) < TILTED).nonzero(as_tuple=True)
    turn, size, slant = 2 * torch.rand(3, len(chosen), generator=generator) - 1
    turn, size = turn * math.radians(most), 1 + SIZE * size
    down, across = size * turn.sin(), size * turn.cos()
    none = torch.zeros(len(chosen))
    theta = torch.stack([across, SLANT * slant - down, none, down, across, none], 1)
    grid = F.affine_grid(theta.view(-1, 2, 3), [len(chosen), *x.shape[1:]], align_corners=False)
    x, chosen = x.float(), chosen.to(x.device)
    return x.index_copy(0, chosen, F.grid_sample(x[chosen], grid.to(x.device),
                                                 align_corners=False))
