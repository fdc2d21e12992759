"""Plotly figures of a comparison and an audit, for pages and for the report.

Colours are fixed for each model and never the only sign. Widths, the colour of text and the ground
are left to the page: grounds are transparent. Every figure comes with one sentence that says in
numbers what it shows.
"""

import dataclasses
import html
import math
import statistics
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from plotly.colors import qualitative
from plotly.subplots import make_subplots
from torch import Tensor

from forget.core.words import agreeing, counted, percent, signed
from forget.metrics.membership import Roc
from forget.metrics.unknown import NOBODY, places
from forget.unlearning.measure import ORIGINAL, RETRAINED, UNLEARNED

COLOURS = {ORIGINAL: "#0072B2", UNLEARNED: "#D55E00", RETRAINED: "#009E73"}
PATTERNS = {ORIGINAL: "", UNLEARNED: "/", RETRAINED: "x"}
"""Colours and hatchings that colour-blind readers can tell apart (Okabe and Ito 2008)."""

FORGET, RETAIN, UNSEEN = "To forget", "To keep", "Unseen"
KINDS = {"original": ORIGINAL, "unlearned": UNLEARNED, "reference": RETRAINED}
"""How results name the models, and how people read them."""

LEGIBLE = 15
"""Classes up to which a matrix has room for its numbers, and a chart for bars."""

POSSIBLE = {"minallowed": 0, "maxallowed": 1}
"""Ends of every axis of shares."""

PERCENT = {"tickformat": ".0%", "range": [0, 1], **POSSIBLE}
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0}

POINTS, LINES = 1500, 300
"""The most samples that a map shows, and the most lines between their two places."""

CLEAR, FAINT, GREY = "rgba(0,0,0,0)", "rgba(128,128,128,0.25)", "#8a94a0"
LESS, SAME, MORE = "#8073AC", "#F4F4F4", "#E08214"
CLASS_COLOURS = [*qualitative.D3[:7], "#F0C000", *qualitative.D3[8:]]
"""Without the grey, which is for lines."""

BINS = 20
DECADES = 3
"""Powers of ten below 1 that an attack's curve shows where there are scores enough."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure, and one sentence with its key numbers for those who cannot see it."""

    figure: go.Figure
    alt: str


@dataclasses.dataclass(frozen=True)
class _Sign:
    """How one series is told from the others: by colour, and by one of the rest."""

    colour: str
    pattern: str
    dash: str
    symbol: str


MODELS = {
    ORIGINAL: _Sign(COLOURS[ORIGINAL], PATTERNS[ORIGINAL], "dash", "circle"),
    UNLEARNED: _Sign(COLOURS[UNLEARNED], PATTERNS[UNLEARNED], "solid", "diamond"),
    RETRAINED: _Sign(COLOURS[RETRAINED], PATTERNS[RETRAINED], "dot", "square"),
}
PARTS = {
    FORGET: _Sign("#CC79A7", "/", "solid", "diamond"),
    RETAIN: _Sign("#56B4E9", "", "dash", "circle"),
    UNSEEN: _Sign("#E69F00", "x", "dot", "square"),
}
OTHERS = (
    _Sign("#E69F00", "\\", "solid", "triangle-up"),
    _Sign("#56B4E9", "-", "dash", "cross"),
    _Sign("#CC79A7", "|", "dot", "star"),
    _Sign("#B07D62", "+", "dashdot", "hexagon"),
    _Sign("#8a94a0", ".", "longdash", "triangle-down"),
)


def literal(text: str) -> str:
    """A name from data as a figure shows it letter by letter: plotly reads HTML in all text.

    >>> literal("<b>Ana & Ben</b>")
    '&lt;b&gt;Ana &amp; Ben&lt;/b&gt;'
    """
    return html.escape(text, quote=False)


def trade_off(shown: Mapping) -> Drawn:
    """Accuracy on what to forget and what to keep, a mark a method and seed, larger where slower.

    ``shown``: a comparison as plain data. The band is a reference's mean and spread over seeds.
    """
    rows = shown["rows"]
    figure, said = _figure(360 + 18 * len(rows)), []  # the legend may need a line a method
    for name, accuracy in _anchors(rows, "reference", RETRAINED).items():
        for add, split in ((figure.add_vrect, "forget_accuracy"),
                           (figure.add_hrect, "retain_accuracy")):
            _band(add, accuracy[split])
        said.append(_anchor(figure, name, accuracy, RETRAINED))
    for name, accuracy in _anchors(rows, "original", ORIGINAL).items():
        said.append(_anchor(figure, name, accuracy, ORIGINAL))
    sizes = _sizes([row["seconds"]["forget"]["each"] for row in rows])
    for row, size, sign in zip(rows, sizes, _signs([r["title"] for r in rows]), strict=True):
        forget, retain = (row["accuracy"][split]["unlearned"]
                          for split in ("forget_accuracy", "retain_accuracy"))
        seconds = row["seconds"]["forget"]
        figure.add_scatter(
            x=forget["each"], y=retain["each"], name=row["title"], mode="markers",
            marker={"size": size, "color": sign.colour, "symbol": sign.symbol, "opacity": 0.85,
                    "line": {"width": 1, "color": GREY}},
            customdata=[[seed, _seconds(taken)] for seed, taken in
                        zip(shown["seeds"], seconds["each"], strict=False)],  # some may be left
            hovertemplate="seed %{customdata[0]}: forget %{x:.2%}, keep %{y:.2%}, "
                          "%{customdata[1]}<extra>" + row["title"] + "</extra>")
        said.append(f"{row['title']} {percent(forget['mean'])} and {percent(retain['mean'])} "
                    f"in {_seconds(seconds['mean'])}")
    figure.update_layout(legend={
        "itemsizing": "constant",
        "title": {"text": "Larger marks took longer to forget", "side": "top"}})
    figure.update_xaxes(title="Accuracy on what to forget, in %", **near(_values(figure, "x")))
    figure.update_yaxes(title="Accuracy on what to keep, in %", **near(_values(figure, "y")))
    return _drawn(figure, "Accuracy on what to forget and what to keep: ", said,
                  "No method has been run yet")


def _anchors(rows: Sequence[Mapping], model: str, name: str) -> dict[str, Mapping]:
    """Each learner's accuracies by split, once; by its name where there are several."""
    found = {}
    for row in rows:
        accuracy = {split: values[model] for split, values in row["accuracy"].items()}
        if accuracy not in found.values():
            found[row["learner"] if row["learner"] not in found else row["title"]] = accuracy
    return {name: found.popitem()[1]} if len(found) == 1 else found


def _anchor(figure: go.Figure, name: str, accuracy: Mapping, model: str) -> str:
    """Mark one model's mean; return it in words."""
    forget, retain = accuracy["forget_accuracy"]["mean"], accuracy["retain_accuracy"]["mean"]
    if name != model:
        if model == RETRAINED and retain is not None:
            figure.add_annotation(x=0.5, xref="paper", y=retain, text=f"retrained, {name}",
                                  showarrow=False)
        name = f"{model} ({name})"
    figure.add_scatter(
        x=[forget], y=[retain], name=model, mode="markers", legendgroup=model,
        showlegend=all(trace.legendgroup != model for trace in figure.data),
        marker={"size": 13, "color": COLOURS[model], "symbol": MODELS[model].symbol + "-open",
                "line": {"width": 3}},
        hovertemplate="forget %{x:.2%}, keep %{y:.2%}<extra>" + name + "</extra>")
    return f"{name} {percent(forget)} and {percent(retain)}"


def _band(add, value: Mapping) -> None:
    if value["mean"] is not None and value["spread"] is not None:
        add(value["mean"] - value["spread"], value["mean"] + value["spread"], layer="below",
            fillcolor=COLOURS[RETRAINED], opacity=0.25,
            line={"width": 1, "color": COLOURS[RETRAINED]})


def _sizes(seconds: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Diameters from 9 to 24 pixels by the logarithm of the seconds."""
    logs = [[math.log(max(one or 0.0, 1e-3)) for one in row] for row in seconds]
    flat = [one for row in logs for one in row]
    low, high = min(flat, default=0.0), max(flat, default=0.0)
    return [[9 + 15 * (one - low) / ((high - low) or 1.0) for one in row] for row in logs]


def _values(figure: go.Figure, axis: str) -> list[float]:
    return [one for trace in figure.data for one in trace[axis] if one is not None]


def near(values: Sequence[float]) -> dict:
    """Range and number format of an axis of shares that shows all marks and little else.

    >>> near([0.99, 1.0])
    {'range': [0.985, 1.0], 'tickformat': '.1%', 'minallowed': 0, 'maxallowed': 1}
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    edge = max(0.1 * (high - low), 0.005)
    return {"range": [max(low - edge, 0.0), min(high + edge, 1.0)],
            "tickformat": ".0%" if high - low > 0.1 else ".1%", **POSSIBLE}


def per_class(
    classes: Sequence[str], values: Mapping[str, Sequence[float | None]], one: str
) -> Drawn:
    """Accuracy on unseen samples of each class, by model; ``one`` is what a class is called."""
    figure, said = _figure(360), []
    for (name, shares), sign in zip(values.items(), _signs(values), strict=True):
        how = {"x": list(map(literal, classes)), "y": list(shares), "name": name,
               "hovertemplate": "%{x}: %{y:.1%}<extra>" + name + "</extra>"}
        if len(classes) <= LEGIBLE:
            figure.add_bar(marker={"color": sign.colour, "pattern": {"shape": sign.pattern}}, **how)
        else:
            figure.add_scatter(mode="markers", marker={"color": sign.colour, "size": 8,
                                                       "symbol": sign.symbol + "-open"}, **how)
        known = [share for share in shares if share is not None]
        said.append(f"{name} {percent(statistics.fmean(known) if known else None)} on average")
    figure.update_layout(barmode="group")
    figure.update_xaxes(title=one.capitalize(), type="category")
    figure.update_yaxes(title="Accuracy on unseen samples, in %", **PERCENT)
    widest = max(range(len(classes)), key=lambda i: _width(values, i), default=None)
    if widest is not None and _width(values, widest) > 0:
        said.append(f"furthest apart at {classes[widest]}: " + ", ".join(
            f"{name} {percent(shares[widest])}" for name, shares in values.items()))
    return _drawn(figure, f"Accuracy by {one}: ", said, "No model to show by class")


def _width(values: Mapping[str, Sequence[float | None]], index: int) -> float:
    known = [shares[index] for shares in values.values() if shares[index] is not None]
    return max(known) - min(known) if known else 0.0


def matrix_difference(
    classes: Sequence[str],
    a_counts: Sequence[Sequence[int]],
    b_counts: Sequence[Sequence[int]],
    a_name: str,
    b_name: str,
) -> Drawn:
    """Where ``b`` takes samples more or less often than ``a``, in points of the true class.

    Counts: rows are the true class, columns what the model says, where the last may be nobody. A
    class without samples is blank.
    """
    answers = places(classes, len(a_counts[0]))
    points = [[_points(a, b, sum(row_a), sum(row_b)) for a, b in zip(row_a, row_b, strict=True)]
              for row_a, row_b in zip(a_counts, b_counts, strict=True)]
    known = {(i, j): value for i, row in enumerate(points) for j, value in enumerate(row)
             if value is not None}
    most = max((abs(value) for value in known.values()), default=0.0) or 1.0
    text = [["" if not value or round(value) == 0 else signed(value, 0)
             for value in row] for row in points]
    figure = _figure(400)
    figure.add_heatmap(
        z=points, x=list(map(literal, answers)), y=list(map(literal, classes)), text=text,
        xgap=1, ygap=1,
        texttemplate="%{text}" if len(classes) <= LEGIBLE else None,
        colorscale=[[0, LESS], [0.5, SAME], [1, MORE]], zmin=-most, zmax=most,
        colorbar={"thickness": 10, "x": 1.01, "tickformat": "+.0f"},
        hoverongaps=False,
        hovertemplate="a %{y} taken for %{x}: %{z:+.1f} points<extra></extra>")
    figure.update_layout(title={"text": f"{b_name} minus {a_name}, in points", "font_size": 14})
    figure.update_xaxes(title="Taken for", type="category", ticks="")
    figure.update_yaxes(title="Really", type="category", ticks="", autorange="reversed")
    said = [f"{what} {classes[i]} taken for {answers[j]} ({signed(known[i, j])})"
            for what, (i, j) in (("most gained:", max(known, key=known.get, default=(0, 0))),
                                 ("most lost:", min(known, key=known.get, default=(0, 0))))
            if known.get((i, j))]
    return _drawn(figure, f"Prediction matrix, {b_name} minus {a_name} in points of each true "
                          "class: ", said, f"{a_name} and {b_name} take every class alike")


def _points(a: int, b: int, of_a: int, of_b: int) -> float | None:
    return round(100 * (b / of_b - a / of_a), 1) + 0.0 if of_a and of_b else None


def map_of(
    points_a: Tensor,
    points_b: Tensor,
    y: Tensor,
    guess_a: Tensor,
    guess_b: Tensor,
    classes: Sequence[str],
    a_name: str,
    b_name: str,
) -> Drawn:
    """Two maps (N, 2) of the same samples, one above the other on the same axes.

    Below, a line leads to each sample that ``b`` takes for another class than ``a`` from where
    ``a`` has it: at most 300 of them, among at most 1,500 samples, taken evenly.
    """
    moved = (guess_a != guess_b).nonzero().flatten()
    lined = moved[_evenly(len(moved), LINES)]
    rest = torch.tensor([row for row in range(len(y)) if row not in set(lined.tolist())],
                        dtype=torch.int64)
    rows = torch.cat([rest[_evenly(len(rest), POINTS - len(lined))], lined]).sort().values
    figure = _panels([a_name, b_name], 760)
    _add_lines(figure, points_a[lined], points_b[lined])
    for place, (points, guess) in enumerate(((points_a, guess_a), (points_b, guess_b)), 1):
        _add_samples(figure, place, points[rows], y[rows], guess[rows], classes)
        _add_names(figure, place, points, y, classes)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(showticklabels=False, zeroline=False, matches="x")
    figure.update_yaxes(title="Component 2, same units", showticklabels=False, zeroline=False,
                        matches="y")
    figure.update_xaxes(title="Component 1, in units of the features' size", row=2)
    answers = (*classes, NOBODY)
    where = [f"{int(count)} from {answers[pair[0]]} to {answers[pair[1]]}"
             for pair, count in _common(guess_a[moved], guess_b[moved])]
    said = [f"{len(moved)} of {len(y)} {agreeing(len(moved), 'is', 'are')} taken for another class",
            *where,
            f"{counted(len(rows), 'sample')} and {counted(len(lined), 'line')} are drawn"]
    return _drawn(figure, f"Samples in {a_name} and {b_name}: ", said if len(y) else [],
                  "No samples to map")


def _evenly(n: int, most: int) -> Tensor:
    """At most ``most`` of n places, evenly spread."""
    return torch.arange(min(n, most)) * n // max(min(n, most), 1)


def _common(before: Tensor, after: Tensor) -> list[tuple[list[int], Tensor]]:
    """The two most common moves between classes, with how many make them."""
    pairs, counts = torch.stack([before, after], 1).unique(dim=0, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:2]
    return [(pairs[place].tolist(), counts[place]) for place in order]


def _add_lines(figure: go.Figure, start: Tensor, end: Tensor) -> None:
    gap = torch.full_like(start, torch.nan)
    x, y = torch.stack([start, end, gap], 1).reshape(-1, 2).T.tolist()
    figure.add_scatter(x=_blank(x), y=_blank(y), mode="lines", name="moved", hoverinfo="skip",
                       line={"width": 1, "color": GREY}, row=2, col=1)


def _blank(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _add_samples(
    figure: go.Figure, row: int, points: Tensor, y: Tensor, guess: Tensor, classes: Sequence[str]
) -> None:
    palette, shapes = CLASS_COLOURS, ("circle", "square", "diamond", "cross", "triangle-up")
    labels, answers = y.tolist(), (*classes, NOBODY)
    figure.add_scatter(
        x=points[:, 0].tolist(), y=points[:, 1].tolist(), mode="markers", name="samples",
        marker={"size": 5, "opacity": 0.7,
                "color": [palette[one % len(palette)] for one in labels],
                "symbol": [shapes[one // len(palette) % len(shapes)] for one in labels]},
        text=[literal(f"a {classes[really]} taken for {answers[said]}")
              for really, said in zip(labels, guess.tolist(), strict=True)],
        hovertemplate="%{text}<extra></extra>", row=row, col=1)


def _add_names(
    figure: go.Figure, row: int, points: Tensor, y: Tensor, classes: Sequence[str]
) -> None:
    """The name of each class in the middle of its samples, where there is room."""
    present = y.unique().tolist() if len(classes) <= LEGIBLE else []
    for label in present:
        x, height = points[y == label].median(0).values.tolist()
        figure.add_annotation(x=x, y=height, text=f"<b>{literal(classes[label])}</b>",
                              showarrow=False, font={"color": "#000000", "size": 13}, borderpad=1,
                              bgcolor="rgba(255,255,255,0.8)", row=row, col=1)


def layer_similarity(values: Mapping[str, Mapping[str, float | None]]) -> Drawn:
    """CKA of each layer, 0 to 1, by pair of models; None where there is none."""
    layers = list(dict.fromkeys(layer for of in values.values() for layer in of))
    figure, said = _figure(110 + 26 * len(layers) * max(len(values), 1)), []
    for (pair, of), sign in zip(values.items(), _signs(values), strict=True):
        shares = [of.get(layer) for layer in layers]
        figure.add_bar(
            x=shares, y=layers, orientation="h", name=pair,
            marker={"color": sign.colour, "pattern": {"shape": sign.pattern}},
            text=["" if share is None else f"{share:.2f}" for share in shares],
            textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:.3f}<extra>" + pair + "</extra>")
        said.append(f"{pair}: " + ", ".join(
            f"{layer} {'–' if of.get(layer) is None else format(of[layer], '.2f')}"
            for layer in layers))
    figure.update_layout(barmode="group")
    figure.update_xaxes(title="CKA (1: the same up to turn and size)", range=[0, 1], **POSSIBLE,
                        tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(margin_r=44)  # for the number beside the longest bar
    return _drawn(figure, "Similarity by layer. ", said, "No pair of models with the same layers")


def confidences(values: Mapping[str, Mapping[str, Tensor]]) -> Drawn:
    """How sure each model is of the true class: a panel a model, a line a part of the data.

    ``values``: model -> part (:data:`FORGET`, :data:`RETAIN`, :data:`UNSEEN`) -> probabilities of
    the true class. The axis of shares is logarithmic; a line at its foot means no sample.
    """
    figure = _panels(list(values), 100 + 190 * max(len(values), 1))
    sizes = [len(p) for of in values.values() for p in of.values()]
    foot = 0.5 / max([*sizes, 50])
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    said = []
    for row, (model, of) in enumerate(values.items(), 1):
        kept = {part: p.double() for part, p in of.items() if len(p)}
        for (part, p), sign in zip(kept.items(), _signs(kept), strict=True):
            first = all(trace.name != part for trace in figure.data)
            _add_steps(figure, p, edges, part, sign, foot, showlegend=first, row=row, col=1)
        said.append(f"{model}: " + ", ".join(
            f"{part.lower()} {percent(p.median().item())}" for part, p in kept.items()))
    figure.update_xaxes(**PERCENT, dtick=0.25)
    figure.update_xaxes(title="Probability of the true class, in %", row=max(len(values), 1))
    figure.update_yaxes(title="Share, in %", type="log", dtick=1, tickformat="~%",
                        range=[math.log10(foot), 0])
    return _drawn(figure, "Median probability of the true class. ", said, "No model to show")


def roc_curves(rocs: Mapping[str, Roc]) -> Drawn:
    """True against false positives of the attack, both axes logarithmic.

    They reach down to one in 1,000, less far where there are fewer scores; what lies below stands
    on the edge.
    """
    figure, said = _figure(420), []
    foot = max([10.0**-DECADES, *(1 / max(min(roc.members, roc.others), 1)
                                  for roc in rocs.values())])
    for (name, roc), sign in zip(rocs.items(), _signs(rocs), strict=True):
        x, y = _visible(roc, foot)
        figure.add_scatter(x=x, y=y, mode="lines", name=f"{name}, AUC {roc.auc.value:.3f}",
                           line={"color": sign.colour, "dash": sign.dash, "width": 2.5},
                           hovertemplate="false %{x:.2%}, true %{y:.2%}<extra>" + name + "</extra>")
        said.append(f"{name} AUC {_interval(roc.auc)}, {_interval(roc.tpr_at_1, percent)} true "
                    "positives at 1 % false")
    figure.add_scatter(x=[foot, 1], y=[foot, 1], mode="lines", name="chance", hoverinfo="skip",
                       line={"color": GREY, "width": 1})
    if foot < 0.01:
        figure.add_scatter(x=[0.01, 0.01], y=[foot, 1], mode="lines", name="1 % false positives",
                           hoverinfo="skip", line={"color": GREY, "width": 1, "dash": "dashdot"})
    for update, what in ((figure.update_xaxes, "False"), (figure.update_yaxes, "True")):
        update(title=f"{what} positives, in %", type="log", dtick=1, tickformat="~%",
               range=[math.log10(foot), 0])
    return _drawn(figure, "Membership attack: ", said, "No attack has been run yet")


def _visible(roc: Roc, foot: float) -> tuple[list[float], list[float]]:
    """The curve from ``foot`` on, without points that fall on the pixel of the one before."""
    points = torch.stack([roc.false_positive, roc.true_positive]).double().clamp_min(foot)
    pixels = (points.log10() * 150).round()
    fresh = torch.ones(points.shape[1], dtype=torch.bool)
    fresh[1:-1] = (pixels.diff(dim=1) != 0).any(0)[:-1]
    return points[0, fresh].tolist(), points[1, fresh].tolist()


def _interval(interval, written=lambda value: f"{value:.3f}") -> str:
    if interval.low is None:
        return written(interval.value)
    return f"{written(interval.value)} ({written(interval.low)} to {written(interval.high)})"


def klom_histogram(klom: Tensor, floor: Tensor) -> Drawn:
    """KLoM by sample (m,), beside that of one group of retrained models against another.

    Samples without a figure (NaN) are left out.
    """
    figure, said = _figure(340), []
    sides = {UNLEARNED: klom[klom.isfinite()].double(), RETRAINED: floor[floor.isfinite()].double()}
    high = max([1e-3, *(side.max().item() for side in sides.values() if len(side))])
    edges = torch.linspace(0, high, BINS + 1, dtype=torch.float64)
    for model, side in sides.items():
        if len(side):
            _add_steps(figure, side, edges, f"{model} against retrained", MODELS[model],
                       fill="tozeroy")
            said.append(f"{model.lower()} against retrained median {side.median().item():.2f}, "
                        f"95 % below {side.quantile(0.95).item():.2f}")
    figure.update_xaxes(title="KLoM of a sample, in nats", range=[0, high])
    figure.update_yaxes(title="Share of samples, in %", tickformat=".0%", rangemode="tozero",
                        **POSSIBLE)
    return _drawn(figure, "KLoM in nats: ", said, "No KLoM has been measured yet")


def relearning(
    curves: Mapping[str, Sequence[Sequence[float]]], target: float | None
) -> Drawn:
    """Accuracy on what was forgotten while training goes on with it, by step.

    ``curves``: "original", "unlearned", "reference" -> a curve a seed. A line is the mean, its band
    reaches from the lowest to the highest; one that stops early because it is back stays there.
    """
    figure, said = _figure(360), []
    for kind, several in curves.items():
        several = [one for one in several if len(one)]
        if not several:
            continue
        name, length = KINDS[kind], max(map(len, several))
        steps = list(zip(*([*one, *[one[-1]] * (length - len(one))] for one in several),
                         strict=True))
        _add_mean(figure, name, steps)
        said.append(f"{name} from {percent(statistics.fmean(steps[0]))} to "
                    f"{percent(statistics.fmean(steps[-1]))} after "
                    f"{counted(length - 1, 'step')}")
    if target is not None and said:
        figure.add_hline(target, line={"dash": "longdash", "color": GREY}, annotation_text="back",
                         annotation_position="bottom right")
        said.append(f"back at {percent(target)}")
    figure.update_xaxes(title="Steps of training", rangemode="tozero")
    figure.update_yaxes(title="Accuracy on what was forgotten, in %", **PERCENT)
    return _drawn(figure, "Relearning: ", said, "Nothing has been relearnt yet")


def _add_mean(figure: go.Figure, name: str, steps: Sequence[Sequence[float]]) -> None:
    """A line through the means, with a band from lowest to highest where there are several."""
    sign, x = MODELS[name], list(range(len(steps)))
    if len(steps[0]) > 1:
        figure.add_scatter(x=[*x, *reversed(x)], y=[*map(max, steps), *map(min, reversed(steps))],
                           fill="toself", fillcolor=_sheer(sign.colour), mode="none", name=name,
                           showlegend=False, hoverinfo="skip")
    figure.add_scatter(x=x, y=[statistics.fmean(step) for step in steps], name=name,
                       mode="lines+markers", marker={"symbol": sign.symbol, "size": 6},
                       line={"color": sign.colour, "dash": sign.dash},
                       hovertemplate="step %{x}: %{y:.1%}<extra>" + name + "</extra>")


def scores(ratios: Tensor, member: Tensor, threshold: float) -> Drawn:
    """Likelihood ratios (m,) of samples that were learnt and of those never seen; a threshold.

    The first and last bars also hold the one sample in a hundred that lies beyond them.
    """
    figure, said = _figure(340), []
    ratios = ratios.double()
    if len(ratios):
        low, high = ratios.quantile(torch.tensor([0.005, 0.995], dtype=torch.float64)).tolist()
        low, high = min(low, threshold) - 1e-6, max(high, threshold) + 1e-6
        edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)
        for name, side, sign in (("learnt and unlearned", ratios[member], MODELS[UNLEARNED]),
                                 ("never seen", ratios[~member], MODELS[RETRAINED])):
            if len(side):
                _add_steps(figure, side, edges, name, sign, fill="tozeroy")
            said.append(f"{int((side >= threshold).sum())} of {len(side)} {name} at or above "
                        f"{threshold:.2f}")
        figure.add_vline(threshold, line={"dash": "longdash", "color": GREY},
                         annotation_text="exposed →", annotation_position="top right")
    figure.update_xaxes(title="Log of the likelihood ratio, in nats")
    figure.update_yaxes(title="Share of samples, in %", tickformat=".0%", rangemode="tozero",
                        **POSSIBLE)
    return _drawn(figure, "Likelihood ratios: ", said, "No scores yet")


def _figure(height: int) -> go.Figure:
    figure = go.Figure()
    _dress(figure, height)
    return figure


def _panels(titles: Sequence[str], height: int) -> go.Figure:
    """One panel above the other, which a phone has room for."""
    figure = make_subplots(rows=max(len(titles), 1), shared_xaxes=True, subplot_titles=titles,
                           vertical_spacing=0.15 / max(len(titles), 1))
    _dress(figure, height)
    figure.update_annotations(font_size=14)
    figure.update_layout(margin_t=64, legend_y=1 + 26 / height)  # above the first panel's title
    return figure


def _dress(figure: go.Figure, height: int) -> None:
    """What all figures share; a template of its own, for the default one may be a page's."""
    axis = {"gridcolor": FAINT, "zerolinecolor": FAINT, "automargin": True,
            "ticklabelstandoff": 3}
    figure.update_layout(
        template=go.layout.Template(layout={"xaxis": axis, "yaxis": axis}), height=height,
        paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, legend=LEGEND,
        margin={"l": 8, "r": 16, "t": 36, "b": 8})


def _drawn(figure: go.Figure, start: str, said: Sequence[str], nothing: str) -> Drawn:
    """The figure with its sentence; where there is nothing to say the figure says so too."""
    whole_marks(figure)
    if said:
        return Drawn(figure, start + "; ".join(said) + ".")
    if not any(trace.type == "heatmap" for trace in figure.data):
        figure.add_annotation(text=nothing, xref="paper", yref="paper", x=0.5, y=0.5,
                              showarrow=False)
    return Drawn(figure, nothing + ".")


def whole_marks(figure: go.Figure) -> None:
    """Marks at the end of an axis are drawn whole, so that it need not reach beyond what can be."""
    figure.update_traces(cliponaxis=False, selector={"type": "scatter"})


def _signs(names: Sequence[str] | Mapping) -> list[_Sign]:
    """A sign for each name: the fixed one of a model or part, the next free one for others."""
    fixed = MODELS | PARTS
    others = [name for name in names if name not in fixed]
    return [fixed[name] if name in fixed else OTHERS[others.index(name) % len(OTHERS)]
            for name in names]


def _add_steps(
    figure: go.Figure,
    values: Tensor,
    edges: Tensor,
    name: str,
    sign: _Sign,
    foot: float = 0.0,
    **how,
) -> None:
    """A histogram's outline: the share of values in each bin, no lower than ``foot``.

    Values beyond the edges count in the last bin on their side.
    """
    counts = torch.histogram(values.clamp(edges[0], edges[-1]), edges).hist
    shares = (counts / len(values)).tolist()
    figure.add_scatter(
        x=edges.tolist(), y=[max(share, foot) for share in [*shares, shares[-1]]], name=name,
        mode="lines", legendgroup=name, fillcolor=_sheer(sign.colour),
        line={"shape": "hv", "color": sign.colour, "dash": sign.dash, "width": 2},
        customdata=[*shares, shares[-1]],
        hovertemplate="from %{x:.2f}: %{customdata:.1%}<extra>" + name + "</extra>", **how)


def _sheer(colour: str) -> str:
    """
    >>> _sheer("#0072B2")
    'rgba(0,114,178,0.18)'
    """
    red, green, blue = (int(colour[at:at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"
