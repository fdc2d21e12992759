"""One model on every split of one request."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from forget.data import Dataset, Samples
from forget.metrics.accuracy import Predictions
from forget.metrics.unknown import Threshold, answered
from forget.unlearning.request import Forgotten, Request, split

ORIGINAL, UNLEARNED, RETRAINED = "Original", "Unlearned", "Retrained"
"""What a person reads for each model."""

SPLITS = ("forget_accuracy", "retain_accuracy", "test_forget_accuracy", "test_retain_accuracy")

SPLIT_NAMES = {
    "forget_accuracy": "to forget, trained on",
    "retain_accuracy": "to keep, trained on",
    "test_forget_accuracy": "to forget, unseen",
    "test_retain_accuracy": "to keep, unseen",
}
"""What a person reads for each split; unseen means from the test set."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one model does on D_f, D_r and the test set.

    ``accuracies``: the four of :data:`SPLITS` in 0..1, None where a split is empty.
    ``forget`` and ``test``: the predictions themselves.
    ``retain_named``: the accuracy on D_r where a class must be named, whatever the threshold.
    """

    accuracies: dict[str, float | None]
    forget: Predictions
    test: Predictions
    retain_named: float | None


class Splits:
    """The splits of one request, cut once and measured for every model.

    ``threshold``: the line below which a model's answer is "nobody I know", where there is one.

    The test set is split as the request splits the training set: samples of the requested class
    against the rest. Classes that an earlier request took away belong to neither.
    """

    def __init__(self, dataset: Dataset, request: Request, already: Forgotten,
                 threshold: Threshold | None = None):
        self.threshold = threshold
        self.forget, self.retain = split(dataset.train, request, already)
        self.test = dataset.test
        y = dataset.test.y.cpu()
        earlier = torch.isin(y, torch.tensor(already.classes, dtype=y.dtype))
        whole = request.class_index is not None
        self.test_forget_rows = (y == request.class_index) if whole else torch.zeros_like(earlier)
        self.test_retain_rows = ~(self.test_forget_rows | earlier)

    def answers(
        self, model: nn.Module, part: Samples, between: Callable[[], None] = lambda: None
    ) -> Predictions:
        """What a model says of a part; below the threshold, where there is one, that is nobody."""
        return answered(Predictions.of(model, part, between), self.threshold)

    def measure(
        self, model: nn.Module, between: Callable[[], None] = lambda: None
    ) -> Measured:
        """Predict once on each part; the retained part is large and only its accuracy is kept.

        ``between`` is called now and then, so that a caller can stop the work by raising.
        """
        forget = self.answers(model, self.forget, between)
        test = self.answers(model, self.test, between)
        retain = self.answers(model, self.retain, between)
        accuracies = (
            forget.accuracy,
            retain.accuracy,
            test.take(self.test_forget_rows).accuracy,
            test.take(self.test_retain_rows).accuracy,
        )
        return Measured(dict(zip(SPLITS, accuracies, strict=True)), forget, test,
                        retain.named.accuracy)
