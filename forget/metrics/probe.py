"""Is a class still in the features, only no longer in the answers?"""

import statistics
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from forget.core.errors import Diverged
from forget.data import Samples
from forget.models import features_of

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SHOTS = 10
"""Labelled samples a class: with many, features that never saw a class tell it apart as well."""

DRAWS = 5
TESTED = 1000


def probe(
    model: nn.Module, train: Samples, test: Samples, class_index: int, generator: torch.Generator
) -> float | None:
    """Recall in 0..1 of one class by a fresh linear head on the model's frozen features.

    Linear probes: Alain and Bengio 2016, https://arxiv.org/abs/1610.01644. The head, a logistic
    regression on standardised features, is fitted on ten samples a class, drawn five times, and
    tested on up to 1,000 samples of the class; the mean over the draws is returned. If it finds the
    class as easily as in the original, the class was hidden. None where no feature was learnt from
    the data, or where a part has no sample of the class. Raises :class:`Diverged` for features that
    are not finite.
    """
    asked = test.take((test.y == class_index).nonzero().flatten()[:TESTED])
    if not model.learns_features or not len(asked) or not (train.y == class_index).any():
        return None
    features = _finite(model, asked)
    found = []
    for _ in range(DRAWS):
        shown = train.take(_few_of_each(train, generator))
        head = _head()
        head.fit(_finite(model, shown), shown.y.cpu().numpy())
        found.append((head.predict(features) == class_index).mean())
    return statistics.fmean(found)


def _head() -> "Pipeline":
    from sklearn.linear_model import LogisticRegression  # a second to import: only when needed
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _finite(model: nn.Module, data: Samples) -> np.ndarray:
    features = features_of(model, data.x).cpu().numpy()
    if not np.isfinite(features).all():
        raise Diverged("the model's features are not finite: undo, take a smaller lr and try again")
    return features


def _few_of_each(data: Samples, generator: torch.Generator) -> torch.Tensor:
    """Rows of up to ten samples of each class."""
    order = torch.randperm(len(data), generator=generator)
    y = data.y.cpu()[order]
    return torch.cat([order[y == label][:SHOTS] for label in y.unique()])
