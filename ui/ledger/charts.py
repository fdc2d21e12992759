"""How each base's model fared over time: accuracy after each change, and what is spent."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from forget.core.words import counted, percent
from forget.records import bases
from forget.records.history import Moment, history
from forget.report.figures import (
    COLOURS,
    LEGEND,
    MODELS,
    ORIGINAL,
    PERCENT,
    RETRAINED,
    UNLEARNED,
    near,
)
from ui.ledger.book import Book
from ui.shell.access import who
from ui.widgets import charts

TAUGHT, FORGOTTEN = "After learning", "After forgetting"
SERIES = {TAUGHT: ORIGINAL, FORGOTTEN: UNLEARNED, RETRAINED: RETRAINED}
"""Each series and the model whose colour and sign it has."""

LINE = "#8a94a0"
TICKS = 8


def over_time(book: Book) -> None:
    """A base's two charts, or what has to happen before there are any."""
    if not book.intact:
        st.caption("Charts are drawn when the ledger is intact.")
        return
    known = {base.name: history(base, book.chain, book.figures) for base in bases.BASES.values()}
    names = [name for name, moments in known.items() if moments]
    if not names:
        st.info("No model has changed yet. When one learns what somebody gave, or forgets it, its "
                "accuracy after each change is drawn here.", icon=":material/show_chart:")
        return
    name = names[0] if len(names) == 1 else st.segmented_control(
        "Model", names, default=names[0], required=True, key="ledger.base",
        format_func=lambda one: bases.BASES[one].title, persist_state="session", wrap=True)
    st.markdown(f"**{bases.BASES[name].title}**")
    accuracy(known[name])
    spending(known[name])


def accuracy(moments: Sequence[Moment]) -> None:
    """Share of the unseen samples that the model gets right after each change."""
    figure = go.Figure()
    figure.add_scatter(x=_entries(moments), y=[one.accuracy for one in moments], mode="lines",
                       line={"color": LINE, "width": 1}, hoverinfo="skip", showlegend=False)
    shown = {TAUGHT: [(one, one.accuracy) for one in moments if one.what == "taught"],
             FORGOTTEN: [(one, one.accuracy) for one in moments if one.what == "forgotten"],
             RETRAINED: [(one, one.retrained) for one in moments if one.retrained is not None]}
    for name, points in shown.items():
        if points:
            _marks(figure, name, points)
    _axes(figure, "Unseen samples right", moments)
    figure.update_yaxes(**near([value for points in shown.values() for _, value in points]))
    first, last = moments[0], moments[-1]
    charts.show(figure, f"Accuracy on unseen samples after {_changes(moments)}: "
                f"{percent(first.accuracy)} after entry {first.entry}, {percent(last.accuracy)} "
                f"after entry {last.entry}", key="ledger.accuracy")
    st.caption("Share of the unseen test samples that the model gets right after each change; a "
               "change is an entry of the ledger. Retrained: the model trained from scratch "
               "without the samples, which each forgetting is measured against. Where a class of "
               "its own was forgotten, both are measured on the rest.")


def _marks(figure: go.Figure, name: str, points: Sequence[tuple[Moment, float]]) -> None:
    sign = MODELS[SERIES[name]]
    figure.add_scatter(
        x=[one.entry for one, _ in points], y=[value for _, value in points], name=name,
        mode="markers", marker={
            "size": 13 if name == RETRAINED else 9, "color": sign.colour,
            "symbol": sign.symbol + ("-open" if name == RETRAINED else ""),
            "line": {"width": 2 if name == RETRAINED else 0}},
        customdata=[[one.what, one.how] for one, _ in points],
        hovertemplate="entry %{x}, %{customdata[0]} (%{customdata[1]}): %{y:.2%}"
                      "<extra>" + name + "</extra>")


def spending(moments: Sequence[Moment]) -> None:
    """What is spent of a budget, or what all publications allow together, where there is one."""
    spent = [one for one in moments if one.spent is not None]
    composed = [one for one in moments if one.epsilon is not None]
    if spent and who().local:
        _budget(spent)
    elif spent:
        st.caption("What is spent of the budget is shown only to whoever sits at the machine: it "
                   "tells of what was forgotten.")
    if composed:
        _epsilon(composed)
    if not spent and not composed:
        st.caption("This kind of model has no budget and gives no certificates, so there is none "
                   "to be spent. A certified head has one: choose it on the page Teach.")


def _budget(moments: Sequence[Moment]) -> None:
    figure = go.Figure()
    figure.add_scatter(x=_entries(moments), y=[one.spent for one in moments], name="Spent",
                       mode="lines+markers", marker={"size": 9, "symbol": "diamond"},
                       line={"color": COLOURS[UNLEARNED], "shape": "hv"},
                       hovertemplate="after entry %{x}: %{y:.1%} of the budget<extra></extra>")
    anew = [one for one in moments if one.anew]
    if anew:
        figure.add_scatter(x=_entries(anew), y=[one.spent for one in anew], mode="markers",
                           name="Trained anew", hoverinfo="skip",
                           marker={"size": 16, "symbol": "star", "color": COLOURS[RETRAINED]})
    figure.add_hline(y=1, line_dash="dot", line_color=LINE, annotation_text="all of it",
                     annotation_position="bottom right")
    _axes(figure, "Budget spent", moments)
    figure.update_yaxes(**PERCENT)
    charts.show(figure, f"Budget spent after {_changes(moments)}: now "
                f"{percent(moments[-1].spent)}; trained anew {counted(len(anew), 'time')}",
                key="ledger.budget")
    st.caption("Share of the budget that requests have spent. A request that would spend more than "
               "is left has the model trained anew, and its budget starts again.")


def _epsilon(moments: Sequence[Moment]) -> None:
    figure = go.Figure()
    figure.add_scatter(x=_entries(moments), y=[one.epsilon for one in moments], name="ε",
                       mode="lines+markers", marker={"size": 9, "symbol": "diamond"},
                       line={"color": COLOURS[UNLEARNED], "shape": "hv"},
                       hovertemplate="after entry %{x}: ε = %{y:.3g}<extra></extra>")
    _axes(figure, "ε of all together", moments)
    figure.update_yaxes(rangemode="tozero")
    published = counted(len(moments), "certified publication")
    charts.show(figure, f"Privacy loss of {published} together: {moments[-1].epsilon:.3g}",
                key="ledger.epsilon")
    st.caption("Each certificate speaks of one publication. For whoever keeps every published "
               "model, those since it was last trained allow this ε together: it grows with each, "
               "and a model that is trained anew owes nothing to what was forgotten before.")


def _changes(moments: Sequence[Moment]) -> str:
    return counted(len(moments), "change")


def _entries(moments: Sequence[Moment]) -> list[int]:
    return [one.entry for one in moments]


def _axes(figure: go.Figure, title: str, moments: Sequence[Moment]) -> None:
    """Whole numbers of entries below, and room around the first and the last."""
    first, last = moments[0].entry, moments[-1].entry
    edge = 0.05 * (last - first) + 0.5
    figure.update_layout(legend=LEGEND)
    figure.update_xaxes(title="Entry of the ledger", range=[first - edge, last + edge], tick0=first,
                        dtick=max(1, (last - first) // TICKS), fixedrange=True)
    figure.update_yaxes(title=title, fixedrange=True)
