"""SISA's views: what a request does to shards and slices, and what other divisions would cost."""

import streamlit as st

from forget.core.errors import BadInput
from forget.core.words import counted
from forget.data import Dataset
from forget.learners.sharding import Plan, Sharding, expected_share, plan
from forget.learners.sisa import Sisa
from forget.unlearning.request import Forgotten, Request, split
from forget.unlearning.result import Start
from ui.run.method_form import knob_widget
from ui.run.session import Session
from ui.shell.words import told
from ui.widgets import charts
from ui.widgets.charts import percent

WHAT_IF = ("shards", "slices", "sharding")


def preview(held: Session, request: Request) -> None:
    """What the request will do to this model, before anything is done."""
    st.markdown("**Before you press it.** "
                + in_words(_plan_of(held.start, held.dataset, request), request))


def what_if(held: Session, request: Request) -> None:
    """The predicted cost of the request under another division; nothing is trained."""
    with st.expander("What if the data were divided otherwise?"):
        columns = st.columns(3)
        knobs = {knob.name: knob for knob in Sisa.knobs()}
        chosen = {name: knob_widget(knobs[name], place, f"{held.subject.key}.whatif.{name}")
                  for name, place in zip(WHAT_IF, columns, strict=True)}
        try:
            learner = Sisa(**chosen)
            division = learner.divided(0, len(held.dataset.classes))
        except BadInput as error:
            st.error(told(error), icon=":material/error:")
            return
        st.markdown(in_words(_plan(learner, division, held.dataset, held.start.forgotten, request),
                             request))
        if request.class_index is None and chosen["sharding"] == "uniform":
            share = expected_share(len(request), learner.shards, learner.slices)
            drawn = counted(len(request), "sample drawn at random costs",
                            "samples drawn at random cost")
            st.caption(f"On average {drawn} {percent(share)} (closed form). To use such a "
                       "model, set it under Model; it is then trained.")
        else:
            st.caption("To use such a model, set it under Model; it is then trained.")


def in_words(it: Plan, request: Request) -> str:
    """The plan as a sentence or two."""
    shards = len(it.forget)
    text = (f"This request touches **{len(it.first)} of {counted(shards, 'shard')}** and costs "
            f"**{percent(it.share)}** of training them all anew "
            f"({it.visits:,} of {it.everything:,} samples passed over).")
    if len(it.first) == shards and request.class_index is not None:
        text += (" A whole class lies in every shard, so little or nothing is saved: by_class "
                 "sharding keeps each class in one shard, at a high cost in accuracy.")
    elif len(it.first) == shards > 1:
        text += " It touches every shard: more shards, or fewer samples, would save more."
    return text


def shards_view(held: Session) -> None:
    """The grid of shards and slices of one finished request, and predicted beside measured cost."""
    result = held.result
    it = _plan_of(result.start, held.dataset, result.request)
    charts.shard_grid(it)
    st.caption("Rows are shards, columns their slices in the order in which they are trained; each "
               "number says how many of the forgotten samples lie there. Kept: the checkpoint "
               "after this slice never saw them and stays. Restored: training went on from it. "
               "Retrained: the checkpoint was destroyed and made anew without them.")
    st.markdown(in_words(it, result.request))
    rows = [{"": "Predicted, from the samples' places", "Cost": percent(it.share)}]
    if result.request.class_index is None and result.start.learner.sharding == "uniform":
        learner = result.start.learner
        share = expected_share(len(result.request), learner.shards, learner.slices)
        rows.append({"": "On average for as many random samples (closed form)",
                     "Cost": percent(share)})
    if result.faster.ratio:
        rows.append({"": f"Measured, in {result.faster.of}",
                     "Cost": percent(1 / result.faster.ratio)})
    st.table(rows, hide_index=True, border="horizontal",
             alt="Predicted and measured cost as a share of retraining everything")


def _plan_of(start: Start, dataset: Dataset, request: Request) -> Plan:
    division = start.learner.division_of(start.model)
    return _plan(start.learner, division, dataset, start.forgotten, request)


def _plan(
    learner: Sisa, division: Sharding, dataset: Dataset, already: Forgotten, request: Request
) -> Plan:
    forget, retain = split(dataset.train, request, already)
    return plan(division, forget, retain, learner.epochs, learner.least_visits)
