"""Two models side by side: who they are, and the views that show how they differ."""

import dataclasses
from collections.abc import Callable

import streamlit as st

from forget.core.errors import BadInput
from forget.evaluation.compare import RETRAINED, UNLEARNED, Comparison
from forget.metrics.cka import layer_by_layer
from forget.metrics.projection import shared_map
from forget.report import figures
from forget.report.figures import FORGET, RETAIN, UNSEEN, Drawn
from forget.unlearning.measure import Splits
from forget.unlearning.request import NOTHING
from ui.compare.models import (
    FEW,
    Picked,
    certainty,
    choices,
    features,
    model_of,
    on_test,
    seen_by,
)
from ui.compare.run import Comparing, Shown
from ui.compare.yours import yours
from ui.shell.words import told
from ui.study.request import subject_of
from ui.widgets.charts import draw


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two models of one comparison and seed.  ``models``: all that can be picked, by label."""

    comparison: Comparison
    shown: Shown
    a: Picked
    b: Picked
    models: dict[str, Picked]

    @property
    def subject(self):
        return subject_of(self.comparison.data.name)


def pair(held: Comparing) -> None:
    """Pick two models and a view."""
    comparison, shown = held.result[0], held.shown
    seeds = [seed for seed in comparison.seeds
             if any(comparison.record(row["method"], seed) for row in shown["rows"])]
    seed, chosen = _pick(comparison, shown, seeds)
    two = Pair(comparison, shown, *chosen, choices(comparison, shown, seed))
    one = two.subject.one
    views: dict[str, Callable[[Pair], None]] = {
        "Trade-off": _trade_off, f"Per {one}": _per_class,
        "Where predictions differ": _differences, "Map": _map, "Layers": _layers,
        "Confidence": _confidences, "Your own": yours}
    view = st.segmented_control("View", list(views), default="Trade-off", required=True,
                                key=f"compare.view.{one}", label_visibility="collapsed",
                                persist_state="session", wrap=True)
    with st.spinner("Asking the models"):
        views[view](two)


def _pick(comparison: Comparison, shown: Shown, seeds: list[int]) -> tuple[int, list[Picked]]:
    left, right, last = st.columns([3, 3, 1])
    with last:
        seed = seeds[0] if len(seeds) == 1 else st.selectbox("Of seed", seeds,
                                                             key="compare.pair.seed")
    models = choices(comparison, shown, seed)
    labels = list(models)
    made = [label for label, one in models.items() if one.kind == UNLEARNED]
    first = next((label for label in made if models[label].method != "retrain"), made[0])
    chosen = []
    for where, name, usual in ((left, "A", first), (right, "B", RETRAINED)):
        key = f"compare.pair.{name}"
        if st.session_state.get(key) not in labels:
            st.session_state[key] = usual
        with where:
            chosen.append(models[st.selectbox(f"Model {name}", labels, key=key)])
    return seed, chosen


def _trade_off(two: Pair) -> None:
    draw(figures.trade_off(two.shown), "compare.trade_off")
    band = ("The band is the retrained models' spread over seeds." if len(two.shown["seeds"]) > 1
            else "With a second seed a band would show how far retrained models spread.")
    st.caption("All methods, not only A and B: what each still gets right of the data that it was "
               "to forget (further left is less) and of the rest (higher is better). Near the "
               f"retrained models is right; further left is not better. {band}")


def _per_class(two: Pair) -> None:
    values = {one.label: on_test(two.comparison, one).per_class for one in _both(two)}
    draw(figures.per_class(two.comparison.data.classes, values, two.subject.one),
         "compare.per_class")
    st.caption(f"Share of the unseen {two.subject.samples} of each {two.subject.one} that are "
               "named right.")


def _both(two: Pair) -> tuple[Picked, ...]:
    return (two.a,) if two.a == two.b else (two.a, two.b)


def _differences(two: Pair) -> None:
    counts = [on_test(two.comparison, one).matrix.tolist() for one in (two.a, two.b)]
    draw(figures.matrix_difference(two.comparison.data.classes, *counts, two.a.label, two.b.label),
         "compare.difference")
    st.caption(f"Each row is a true {two.subject.one}, each column what a model says; a cell is "
               f"how many more in a hundred unseen {two.subject.samples} of that row B takes for "
               "that column than A does.")


def _map(two: Pair) -> None:
    draw(_mapped(two.comparison.key, two.a, two.b, two.comparison), "compare.map")
    many = len(two.comparison.data.classes) > len(figures.CLASS_COLOURS)
    st.caption(f"Each dot is an unseen {two.subject.sample}, up to {FEW:,} of them, placed by what "
               "the output layer reads, flattened to two directions that both models share. Its "
               f"{'colour and shape say' if many else 'colour says'} which {two.subject.one} it "
               f"really is. A above, B below: a line leads from A's place to B's, for those that B "
               f"takes for another {two.subject.one} than A does, up to {figures.LINES} of them. A "
               "picture to look at: distances in it prove nothing.")


@st.cache_resource(show_spinner=False, max_entries=12)
def _mapped(key: str, a: Picked, b: Picked, _comparison: Comparison) -> Drawn:
    test = _comparison.data.test.thinned(FEW)
    said = [on_test(_comparison, one) for one in (a, b)]
    rows = test.ids.cpu()
    maps = shared_map(*(features(_comparison, one) for one in (a, b)))
    return figures.map_of(*maps, test.y.cpu(), *(one.guess[rows] for one in said),
                          _comparison.data.classes, a.label, b.label)


def _layers(two: Pair) -> None:
    try:
        found = _alike(two.comparison.key, two.a, two.b, two.comparison)
    except BadInput as error:
        st.info(told(error), icon=":material/info:")
        return
    draw(figures.layer_similarity({f"{two.a.label} and {two.b.label}": found}), "compare.layers")
    st.caption("CKA, centred kernel alignment, of what each layer makes of up to "
               f"{FEW:,} unseen {two.subject.samples}: 1 is the same up to turning and scaling. "
               "Two models trained from other seeds are not at 1 either.")


@st.cache_resource(show_spinner=False, max_entries=12)
def _alike(key: str, a: Picked, b: Picked, _comparison: Comparison) -> dict[str, float | None]:
    x = seen_by(_comparison, a).test.thinned(FEW).x
    return layer_by_layer(model_of(_comparison, a), model_of(_comparison, b), x)


def _confidences(two: Pair) -> None:
    values = {one.label: _sure(two.comparison.key, one, two.comparison) for one in _both(two)}
    draw(figures.confidences(values), "compare.confidences")
    st.caption(f"How sure each model is of the true {two.subject.one}, for the samples to forget, "
               f"those to keep and unseen ones (up to {FEW:,} of each).")


@st.cache_resource(show_spinner=False, max_entries=24)
def _sure(key: str, picked: Picked, _comparison: Comparison) -> dict:
    data = seen_by(_comparison, picked)
    splits = Splits(data, _comparison.request, NOTHING)
    parts = {FORGET: splits.forget, RETAIN: splits.retain, UNSEEN: data.test}
    return {name: certainty(_comparison, picked, part) for name, part in parts.items()}
