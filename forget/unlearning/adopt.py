"""Start from a checkpoint that a person put into ``forget_downloads/``."""

from pathlib import Path

from torch import nn

from forget.core.device import generator
from forget.core.errors import BadInput
from forget.data import Dataset
from forget.learners.network import Network
from forget.metrics.accuracy import Predictions
from forget.models import Scale, shapes_of
from forget.unlearning import store
from forget.unlearning.result import Start
from forget.unlearning.store import Stored

SCALINGS = {
    "pixels from -1/2 to 1/2": (127.5, 255.0),
    "pixels from 0 to 1": (0.0, 255.0),
    "pixels from -1 to 1": (127.5, 127.5),
    "MNIST's mean 0.1307 and deviation 0.3081": (0.1307 * 255, 0.3081 * 255),
}
"""Usual ways to scale pixels: (shift, span) of (x - shift) / span."""

AS_THEY_ARE = "vectors as they are"
"""Vectors are scaled by whoever made them, or by what the checkpoint says of each feature."""


def adopt(path: Path, dataset: Dataset) -> Start:
    """A start from someone else's checkpoint of a known architecture.

    A checkpoint does not say how its pixels were scaled: of the usual ways the one with the best
    held-out accuracy is taken and named in the record. How it was trained is unknown too; the
    learner's recipe with its architecture stands in for it, and ``seconds`` is missing. It may also
    have been trained on the held-out part, which then is no fair judge of when to stop.
    """
    model = store.read_foreign(path).to(dataset.train.y.device)
    wanted = (dataset.input_shape, len(dataset.classes))
    if (model.input_shape, model.n_classes) != wanted:
        raise BadInput(f"{path.name} takes inputs of shape {model.input_shape} into "
                       f"{model.n_classes} classes; '{dataset.name}' needs {wanted[0]} and "
                       f"{wanted[1]}: choose another checkpoint")
    learner = Network(arch=model.name)
    if shapes_of(learner.build(*wanted, generator(0))) != shapes_of(model):
        raise BadInput(f"{path.name} has other layer sizes than this program's '{model.name}', so "
                       "it could not be retrained to compare with: choose another checkpoint")
    best = AS_THEY_ARE
    if len(dataset.input_shape) == 3:
        best = max(SCALINGS, key=lambda name: _held_out_accuracy(model, dataset, SCALINGS[name]))
        _rescale(model, SCALINGS[best])
    record = {
        "file": path.name,
        "scaling": best,
        "input_shape": list(dataset.input_shape),
        "test_accuracy": Predictions.of(model, dataset.test).accuracy,
    }
    return Start(Stored(model, record), learner)


def _rescale(model: nn.Module, scaling: tuple[float, float]) -> None:
    shift, span = scaling
    for module in model.modules():
        if isinstance(module, Scale):
            module.shift.fill_(shift)
            module.span.fill_(span)


def _held_out_accuracy(model: nn.Module, dataset: Dataset, scaling: tuple[float, float]) -> float:
    """Share of held-out samples right, 0 where none is held out."""
    _rescale(model, scaling)
    return Predictions.of(model, dataset.held_out).accuracy or 0.0
