"""The models of a comparison by the names that a person picks, and what they say: in caches."""

import dataclasses

import streamlit as st
from torch import Tensor, nn

from forget.data import Dataset, Samples
from forget.evaluation.compare import ORIGINAL, RETRAINED, UNLEARNED, Comparison
from forget.learners import LEARNERS, Learner
from forget.metrics.accuracy import Predictions
from forget.metrics.unknown import answered
from forget.models import features_of
from forget.unlearning.represent import represent
from ui.compare.run import Shown

FEW = 1000
"""Samples that a map, a comparison of layers or a confidence curve is drawn from."""


@dataclasses.dataclass(frozen=True)
class Picked:
    """One model of a comparison.  ``method``: a method from whose run it comes.  ``kind``:
    original, unlearned or retrained, as :meth:`Comparison.models` calls them."""

    label: str
    method: str
    kind: str
    seed_index: int


def choices(comparison: Comparison, shown: Shown, seed: int) -> dict[str, Picked]:
    """Every model of one seed by its label: each learner's original and retrained ones, and what
    each method made."""
    rows = [row for row in shown["rows"] if comparison.record(row["method"], seed) is not None]
    index, found = comparison.seeds.index(seed), {}
    learners = list(dict.fromkeys(row["learner"] for row in rows))
    for learner in learners:
        first = next(row for row in rows if row["learner"] == learner)
        more = f", {kind_of(learner)}" if learner != learners[0] else ""
        for kind in (ORIGINAL, RETRAINED):
            found[kind + more] = Picked(kind + more, first["method"], kind, index)
    for row in rows:
        found[row["title"]] = Picked(row["title"], row["method"], UNLEARNED, index)
    return found


def kind_of(learner: str) -> str:
    """What a learner makes, within a sentence.

    >>> kind_of("sisa")
    'sharded ensemble (SISA)'
    """
    title = LEARNERS[learner].title
    return title[:1].lower() + title[1:]


def learner_of(comparison: Comparison, picked: Picked) -> Learner:
    """The learner that the model is of."""
    return next(learner for method, learner in comparison.entries if method.name == picked.method)


def model_of(comparison: Comparison, picked: Picked) -> nn.Module:
    """The model, loaded from disk once."""
    return _models(comparison.key, picked.method, picked.seed_index, comparison)[picked.kind]


@st.cache_resource(show_spinner=False, max_entries=30)
def _models(
    key: str, method: str, seed_index: int, _comparison: Comparison
) -> dict[str, nn.Module]:
    return _comparison.models(method, seed_index)


def seen_by(comparison: Comparison, picked: Picked) -> Dataset:
    """The data as rows of the model's features, where it has fixed ones: they are known already."""
    return represent(learner_of(comparison, picked), comparison.data)


def on_test(comparison: Comparison, picked: Picked) -> Predictions:
    """What the model says of all unseen samples."""
    return _on_test(comparison.key, picked, comparison)


@st.cache_resource(show_spinner=False, max_entries=40)
def _on_test(key: str, picked: Picked, _comparison: Comparison) -> Predictions:
    said = Predictions.of(model_of(_comparison, picked), seen_by(_comparison, picked).test)
    return answered(said, _comparison.threshold(picked.method, picked.seed_index))


def certainty(comparison: Comparison, picked: Picked, part: Samples) -> Tensor:
    """Probability of the true class (n,) of at most a thousand samples of a part."""
    few = part.thinned(FEW)
    said = Predictions.of(model_of(comparison, picked), few)
    return said.log_p.exp().gather(1, said.y[:, None]).flatten()


def features(comparison: Comparison, picked: Picked) -> Tensor:
    """What the output layer reads (n, d) for at most a thousand unseen samples."""
    return features_of(model_of(comparison, picked),
                       seen_by(comparison, picked).test.thinned(FEW).x).cpu()
