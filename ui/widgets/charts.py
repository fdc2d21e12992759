"""Plotly figures. Colours are fixed for each model, and never the only sign."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from forget.core.steps import Point
from forget.core.words import counted, percent
from forget.learners.sharding import Plan
from forget.metrics.unknown import places
from forget.report import figures
from forget.report.figures import (
    COLOURS,
    FORGET,
    LEGEND,
    LEGIBLE,
    ORIGINAL,
    PARTS,
    PATTERNS,
    PERCENT,
    RETAIN,
    RETRAINED,
    UNLEARNED,
    Drawn,
    literal,
)
from forget.unlearning.result import Result

DASHES = {FORGET: "solid", RETAIN: "dash"}
SPLIT_COLOURS = {part: PARTS[part].colour for part in (FORGET, RETAIN)}


QUIET = {"displayModeBar": False, "scrollZoom": False}
"""No toolbar, and a page that scrolls where a finger rests on a chart."""


def show(figure: go.Figure, alt: str, height: int = 320, top: int = 36, **where) -> None:
    """Draw a figure with its text alternative, without the toolbar; ``top`` is its margin there."""
    figures.whole_marks(figure)
    figure.update_layout(height=height, margin={"l": 8, "r": 8, "t": top, "b": 8})
    st.plotly_chart(figure, alt=alt, config=QUIET, **where)


def draw(drawn: Drawn, key: str) -> None:
    """Show a figure of the library with its sentence for those who cannot see it."""
    st.plotly_chart(drawn.figure, alt=drawn.alt, key=key, config=QUIET)


def probabilities(classes: Sequence[str], p: Sequence[float], model: str) -> None:
    """Bars of one model's probabilities for one picture."""
    figure = go.Figure(go.Bar(
        x=list(p), y=list(map(literal, classes)), orientation="h", marker_color=COLOURS[model],
        marker_pattern_shape=PATTERNS[model],
        text=[percent(value) if value >= 0.005 else "" for value in p],
        textposition="outside", cliponaxis=False, hovertemplate="%{y}: %{x:.2%}<extra></extra>"))
    figure.update_xaxes(range=[0, 1.25], visible=False, fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True)
    best = max(range(len(p)), key=lambda index: p[index])
    show(figure, f"{model}: most likely {classes[best]} with {percent(p[best])}",
         height=42 + 22 * len(p), top=8, key=f"probabilities {model}")


def curve(points: Sequence[Point], title: str, key: str) -> None:
    """Accuracy on what is to be forgotten and to be kept, by step."""
    figure = go.Figure()
    for name, values in ((FORGET, [p.forget_accuracy for p in points]),
                         (RETAIN, [p.retain_accuracy for p in points])):
        figure.add_scatter(
            x=[p.step.index for p in points], y=values, name=name, mode="lines+markers",
            line={"dash": DASHES[name], "color": SPLIT_COLOURS[name]}, marker_size=4)
    figure.update_layout(title=title, legend=LEGEND | {"y": -0.35})
    figure.update_xaxes(title="Step", rangemode="tozero")
    figure.update_yaxes(title="Accuracy", **PERCENT)
    last = points[-1]
    show(figure, f"{title}. After step {last.step.index}: to forget "
                 f"{percent(last.forget_accuracy)}, to keep {percent(last.retain_accuracy)}",
         key=key)


LIVE = {
    "mark": {"type": "line", "point": {"size": 12}, "clip": False},
    "encoding": {
        "x": {"field": "Step", "type": "quantitative", "axis": {"tickMinStep": 1}},
        "y": {"field": "Accuracy", "type": "quantitative", "scale": {"domain": [0, 1]},
              "axis": {"format": "%"}},
        "color": {"field": "Of", "type": "nominal", "legend": {"orient": "top", "title": None},
                  "scale": {"domain": list(DASHES), "range": list(SPLIT_COLOURS.values())}},
        "strokeDash": {"field": "Of", "type": "nominal", "legend": None,
                       "scale": {"domain": list(DASHES), "range": [[1, 0], [6, 4]]}},
    },
}
"""How the curve of a job under way is drawn: always alike, so that only its data change."""


def live_curve(points: Sequence[Point]) -> None:
    """The curve of a job under way, also while a phase has no point yet.

    Not by Plotly: Streamlit takes its charts away and draws them anew at every change, so that a
    chart which grows by the second blinks. Vega's get the new data only.
    """
    rows = {"Step": [], "Accuracy": [], "Of": []}
    for name, values in ((FORGET, [p.forget_accuracy for p in points]),
                         (RETAIN, [p.retain_accuracy for p in points])):
        rows["Step"] += [p.step.index for p in points]
        rows["Accuracy"] += values
        rows["Of"] += [name] * len(points)
    said = (f"After step {points[-1].step.index}: to forget {percent(points[-1].forget_accuracy)}, "
            f"to keep {percent(points[-1].retain_accuracy)}" if points else "No step measured yet")
    st.vega_lite_chart(pd.DataFrame(rows), LIVE, height=320, alt=f"Accuracy by step. {said}")


def path(points: Sequence[Point], stop: float | None) -> None:
    """A run's way through the plane of forget and retain accuracy, with the stop rule's line."""
    forget = [p.forget_accuracy for p in points]
    retain = [p.retain_accuracy for p in points]
    labels = [f"Step {p.step.index}, {p.seconds:.2f} s" for p in points]
    figure = go.Figure(go.Scatter(
        x=forget, y=retain, mode="lines+markers", text=labels, name="Path",
        marker={"size": 8, "color": list(range(len(forget))), "colorscale": "Cividis",
                "colorbar": {"title": "Step"}},
        line={"color": "#8a94a0"}, hovertemplate="%{text}<br>to forget %{x:.1%}, to keep "
                                                 "%{y:.1%}<extra></extra>"))
    figure.add_annotation(x=forget[0], y=retain[0], text="start", ax=-30, ay=-24)
    figure.add_annotation(x=forget[-1], y=retain[-1], text="end", ax=30, ay=24)
    if stop is not None:
        figure.add_vline(x=stop, line_dash="dot", line_color=COLOURS[UNLEARNED],
                         annotation_text="forgotten at or left of this line")
    figure.update_xaxes(title="Accuracy on what is to be forgotten", **PERCENT)
    figure.update_yaxes(title="Accuracy on what is to be kept", **figures.near(retain))
    show(figure, f"Path of {counted(len(points) - 1, 'step')} from {percent(forget[0])} to "
                 f"{percent(forget[-1])} on what is to be forgotten, {percent(retain[-1])} kept",
         height=380)


def layers(changes: dict[str, float]) -> None:
    """How far each layer moved from the original."""
    names = list(changes)
    figure = go.Figure(go.Bar(
        x=list(changes.values()), y=names, orientation="h", marker_color=COLOURS[UNLEARNED],
        text=["not moved" if value == 0 else percent(value) for value in changes.values()],
        textposition="outside", cliponaxis=False))
    figure.update_xaxes(title="Change, as a share of the layer's size", tickformat=".0%",
                        range=[0, 1.2 * max(max(changes.values()), 1e-9)])
    figure.update_yaxes(autorange="reversed")
    show(figure, "Change per layer: " + ", ".join(
        f"{name} {value:.0%}" for name, value in changes.items()))


KEPT, RESTORED, RETRAINED_CELL = "kept", "restored", "retrained"
CELL_COLOURS = {KEPT: "#56B4E9", RESTORED: "#F0E442", RETRAINED_CELL: "#D55E00"}


def shard_grid(plan: Plan) -> None:
    """Shards by slices: kept, restored or retrained, with the forgotten samples in each."""
    shards, slices = plan.forget.shape
    states = [[_cell(plan, shard, slice_) for slice_ in range(slices)] for shard in range(shards)]
    order = list(CELL_COLOURS)
    text = [[f"{states[s][r]}<br>{int(plan.forget[s, r])}" for r in range(slices)]
            for s in range(shards)]
    colours = [[place / len(order), CELL_COLOURS[name]] for place, name in
               ((i + j, name) for i, name in enumerate(order) for j in (0, 1))]
    figure = go.Figure(go.Heatmap(
        z=[[order.index(state) for state in row] for row in states], zmin=-0.5,
        zmax=len(order) - 0.5, colorscale=colours, showscale=False, xgap=2, ygap=2,
        x=[f"slice {r + 1}" for r in range(slices)], y=[f"shard {s + 1}" for s in range(shards)],
        text=text if shards * slices <= 80 else None, texttemplate="%{text}",
        textfont={"color": "#000000"},
        customdata=[[[states[s][r], int(plan.forget[s, r]), int(plan.retain[s, r])]
                     for r in range(slices)] for s in range(shards)],
        hovertemplate="%{y}, %{x}: %{customdata[0]}<br>%{customdata[1]} to forget, "
                      "%{customdata[2]} to keep<extra></extra>"))
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    figure.update_xaxes(side="top", fixedrange=True)
    counts = [sum(row.count(name) for row in states) for name in order]
    show(figure, "Shards and slices: " + ", ".join(
        f"{count} {name}" for count, name in zip(counts, order, strict=True)),
        height=60 + max(shards * 42, 120), top=40)


def _cell(plan: Plan, shard: int, slice_: int) -> str:
    first = plan.first.get(shard)
    if first is None or slice_ < first - 1:
        return KEPT
    return RESTORED if slice_ == first - 1 else RETRAINED_CELL


def newton(norms: Sequence[float], allowed: float) -> None:
    """Gradient norm by iteration on a log axis, with the line below which noise hides it."""
    figure = go.Figure(go.Scatter(
        x=list(range(len(norms))), y=list(norms), mode="lines+markers", name="gradient norm",
        line={"color": COLOURS[UNLEARNED]}, marker_size=8,
        hovertemplate="iteration %{x}: %{y:.2g}<extra></extra>"))
    figure.add_scatter(x=[0, len(norms) - 1], y=[allowed, allowed], mode="lines",
                       name=f"allowed: {allowed:.2g}",
                       line={"dash": "dot", "color": COLOURS[RETRAINED]}, hoverinfo="skip")
    figure.update_layout(legend=LEGEND)
    figure.update_xaxes(title="Iteration", dtick=1, rangemode="tozero")
    figure.update_yaxes(title="Gradient norm", type="log", exponentformat="power", dtick=2)
    show(figure, f"Gradient norm from {norms[0]:.2g} to {norms[-1]:.2g} in "
                 f"{counted(len(norms) - 1, 'iteration')}; allowed is {allowed:.2g}", height=340)


def per_class(result: Result, one: str) -> None:
    """Accuracy on unseen samples of each class, for every model there is."""
    models = {ORIGINAL: result.measured_original.test.per_class,
              UNLEARNED: result.measured_unlearned.test.per_class}
    if result.measured_references:
        models[RETRAINED] = _mean_by_class([m.test.per_class for m in result.measured_references])
    draw(figures.per_class(result.classes, models, one), "per class")


def _mean_by_class(several: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean of each class over several models, None where a class has no sample."""
    return [None if values[0] is None else sum(values) / len(values)
            for values in zip(*several, strict=True)]


def matrix(classes: Sequence[str], counts: Sequence[Sequence[int]], model: str) -> None:
    """Where predictions go: rows are the true class, columns what the model says, where the last
    may be nobody."""
    answers = places(classes, len(counts[0]))
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    text = [[str(n) if n else "" for n in row] for row in counts]
    figure = go.Figure(go.Heatmap(
        z=shares, x=list(map(literal, answers)), y=list(map(literal, classes)), text=text,
        texttemplate="%{text}" if len(classes) <= LEGIBLE else None,
        colorscale="Blues", zmin=0, zmax=1, showscale=False,
        hovertemplate="a %{y} taken for %{x}: %{text} (%{z:.1%})<extra></extra>"))
    figure.update_layout(title=model)
    figure.update_xaxes(title="Taken for", type="category", side="bottom")
    figure.update_yaxes(title="Really", type="category", autorange="reversed")
    samples = counted(sum(map(sum, counts)), "sample")
    show(figure, f"{model}: prediction matrix, {samples}", height=380, key=f"matrix {model}")


def destinations(places: Sequence[str], counts: dict[str, Sequence[int]], of: str) -> None:
    """Where each model's predictions on some samples go; of many places only those they go to."""
    used = [index for index in range(len(places))
            if len(places) <= LEGIBLE or any(row[index] for row in counts.values())]
    figure = go.Figure()
    for name, row in counts.items():
        total = max(sum(row), 1)
        figure.add_bar(x=[literal(places[index]) for index in used],
                       y=[row[index] / total for index in used], name=name,
                       marker_color=COLOURS[name], marker_pattern_shape=PATTERNS[name],
                       customdata=[row[index] for index in used],
                       hovertemplate="taken for %{x}: %{customdata} (%{y:.1%})<extra></extra>")
    figure.update_layout(barmode="group", legend=LEGEND)
    figure.update_xaxes(title="Taken for", type="category")
    figure.update_yaxes(title=f"Share of {of}", **PERCENT)
    show(figure, f"Where predictions on {of} go: " + "; ".join(
        f"{name} mostly {places[max(range(len(row)), key=lambda i: row[i])]}"
        for name, row in counts.items()), height=340)
