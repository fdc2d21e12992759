"""Figures hold exactly the numbers that they are given, and say the key ones in words."""

import ast
import json
import math
from pathlib import Path

import pytest
import torch

from forget.core.device import generator
from forget.metrics.interval import Interval
from forget.metrics.membership import Roc, roc
from forget.report import figures
from forget.report.figures import (
    COLOURS,
    FORGET,
    LINES,
    ORIGINAL,
    PATTERNS,
    POINTS,
    RETAIN,
    RETRAINED,
    UNLEARNED,
    UNSEEN,
    confidences,
    klom_histogram,
    layer_similarity,
    map_of,
    matrix_difference,
    per_class,
    relearning,
    roc_curves,
    scores,
    trade_off,
)


def several(*each: float | None) -> dict:
    known = [one for one in each if one is not None]
    mean = sum(known) / len(known) if known else None
    spread = (sum((one - mean) ** 2 for one in known) / (len(known) - 1)) ** 0.5 if len(
        known) > 1 else None
    return {"mean": mean, "spread": spread, "each": list(each)}


def row(title: str, forget, retain, seconds, learner="network", reference=(0.96, 0.98)) -> dict:
    def models(unlearned, retrained, original):
        return {"unlearned": several(*unlearned), "reference": several(*retrained),
                "original": several(*original), "gap": None}
    return {"title": title, "learner": learner, "seconds": {"forget": several(*seconds)},
            "accuracy": {"forget_accuracy": models(forget, [0.0, 0.02], [0.99, 0.97]),
                         "retain_accuracy": models(retain, reference, [0.99, 0.99])}}


SHOWN = {"seeds": [0, 1], "rows": [
    row("Fine-tune", [0.1, 0.3], [0.95, 0.97], [1.0, 1.0]),
    row("Gradient ascent", [0.0, 0.01], [0.9, 0.8], [0.1, 10.0])]}


def named(drawn, name: str):
    found = [trace for trace in drawn.figure.data if trace.name == name]
    assert found, [trace.name for trace in drawn.figure.data]
    return found[0]


def a_roc(auc: float, members: int = 2000, others: int = 2000, points=None) -> Roc:
    x, y = points or ([0.0, 0.005, 0.01, 0.1, 1.0], [0.0, 0.05, 0.2, 0.6, 1.0])
    at = Interval(0.2, 0.15, 0.25)
    return Roc(torch.tensor(x).double(), torch.tensor(y).double(), Interval(auc, auc - .05, auc),
               Interval(0.7, 0.6, 0.8), at, None, members, others)


def sample_map(n: int, moved: int, classes: int = 3):
    draw = generator(0)
    a, b = torch.randn(n, 2, generator=draw).double(), torch.randn(n, 2, generator=draw).double()
    y = torch.arange(n) % classes
    guess = y.clone()
    guess[:moved] = (y[:moved] + 1) % classes
    return a, b, y, y.clone(), guess, [f"c{number}" for number in range(classes)]


EVERY = {
    "trade_off": lambda: trade_off(SHOWN),
    "per_class": lambda: per_class(["0", "1"], {ORIGINAL: [0.9, None]}, "digit"),
    "matrix_difference": lambda: matrix_difference("ab", [[2, 0], [1, 1]], [[1, 1], [0, 2]], "A",
                                                   "B"),
    "map_of": lambda: map_of(*sample_map(50, 5), ORIGINAL, UNLEARNED),
    "layer_similarity": lambda: layer_similarity({"A and B": {"dense 1": 0.5, "output": None}}),
    "confidences": lambda: confidences({ORIGINAL: {FORGET: torch.tensor([0.1, 0.9])}}),
    "roc_curves": lambda: roc_curves({ORIGINAL: a_roc(0.9), UNLEARNED: a_roc(0.6)}),
    "klom_histogram": lambda: klom_histogram(torch.tensor([1., 2.]), torch.tensor([0., 1.])),
    "relearning": lambda: relearning({"unlearned": [[0.1, 0.9]], "reference": [[0.0, 0.4]]}, 0.8),
    "scores": lambda: scores(torch.tensor([1., -1.]), torch.tensor([True, False]), 0.0),
}
NOTHING = {
    "trade_off": lambda: trade_off({"seeds": [], "rows": []}),
    "per_class": lambda: per_class(["0"], {}, "digit"),
    "matrix_difference": lambda: matrix_difference("a", [[0]], [[0]], "A", "B"),
    "map_of": lambda: map_of(*sample_map(0, 0), ORIGINAL, UNLEARNED),
    "layer_similarity": lambda: layer_similarity({}),
    "confidences": lambda: confidences({}),
    "roc_curves": lambda: roc_curves({}),
    "klom_histogram": lambda: klom_histogram(torch.ones(0), torch.full((2,), torch.nan)),
    "relearning": lambda: relearning({"unlearned": []}, 0.5),
    "scores": lambda: scores(torch.ones(0), torch.ones(0, dtype=torch.bool), 0.0),
}


def test_every_figure_is_tried_here():
    tree = ast.parse(Path(figures.__file__).read_text())
    builders = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)
                and node.returns is not None and ast.unparse(node.returns) == "Drawn"}
    assert builders - {"_drawn"} == EVERY.keys() == NOTHING.keys()


LINK = '<a href="https://evil.example">Ana</a>'


@pytest.mark.parametrize("draw", [
    lambda: per_class([LINK, "1"], {ORIGINAL: [0.9, None]}, "digit"),
    lambda: matrix_difference([LINK, "1"], [[2, 0], [1, 1]], [[1, 1], [0, 2]], "A", "B"),
    lambda: map_of(*sample_map(50, 5)[:5], [LINK, "1", "2"], ORIGINAL, UNLEARNED),
])
def test_a_class_with_html_in_its_name_is_shown_letter_by_letter(draw):
    shown = json.dumps(draw().figure.to_dict(), default=str)
    assert "<a " not in shown
    assert "&lt;a href=" in shown


@pytest.mark.parametrize("name", EVERY)
def test_a_figure_fits_any_width_and_theme_and_names_its_axes(name):
    drawn = EVERY[name]()
    layout = drawn.figure.to_dict()["layout"]
    assert "width" not in layout and layout["height"] > 0
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert "color" not in layout.get("font", {})
    assert layout["legend"]["orientation"] == "h"
    titled = [axis for axis in layout if axis.startswith(("xaxis", "yaxis"))
              and layout[axis].get("title", {}).get("text")]
    assert any(axis.startswith("xaxis") for axis in titled)
    assert any(axis.startswith("yaxis") for axis in titled) or name == "layer_similarity"
    drawn.figure.to_json()


@pytest.mark.parametrize("name", EVERY)
def test_its_words_are_one_sentence_with_numbers(name):
    alt = EVERY[name]().alt
    assert alt.endswith(".") and any(letter.isdigit() for letter in alt) and "nan" not in alt


def beyond_the_possible(figure) -> list[str]:
    """Axes of shares that reach, or may be moved, to what no share can be."""
    wrong = []
    for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
        if "%" not in (axis.tickformat or "") and "CKA" not in (axis.title.text or ""):
            continue
        if axis.type == "log":
            fits = axis.range[1] <= 0
        else:
            fits = (axis.minallowed, axis.maxallowed) == (0, 1) and (
                axis.range is None or (axis.range[0] >= 0 and axis.range[1] <= 1))
        if not fits:
            wrong.append(f"{axis.plotly_name}: {axis.range}")
    return wrong


@pytest.mark.parametrize("drawn", [*EVERY.values(), *NOTHING.values(), lambda: trade_off(
    {"seeds": [0], "rows": [row("Fine-tune", [1.0], [1.0], [1.0])]})])
def test_no_axis_of_shares_reaches_beyond_what_is_possible(drawn):
    figure = drawn().figure
    assert beyond_the_possible(figure) == []
    assert all(trace.cliponaxis is False for trace in figure.data if trace.type == "scatter")


def test_points_too_small_to_show_are_no_minus_zero():
    drawn = matrix_difference("ab", [[5000, 5000], [1, 1]], [[4999, 5001], [1, 1]], "A", "B")
    (heat,) = drawn.figure.data
    assert not any(math.copysign(1, value) < 0 for cells in heat.z for value in cells)
    assert "0.0" not in drawn.alt


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_show_is_said(name):
    drawn = NOTHING[name]()
    assert drawn.alt.endswith(".") and len(drawn.alt) > 10
    drawn.figure.to_json()
    if name != "matrix_difference":
        assert any(note.text == drawn.alt[:-1] for note in drawn.figure.layout.annotations)


def test_the_default_template_of_the_process_has_no_say(monkeypatch):
    import plotly.io

    before = trade_off(SHOWN).figure.to_json()
    monkeypatch.setattr(plotly.io.templates, "default", "plotly_dark")
    assert trade_off(SHOWN).figure.to_json() == before


def test_colours_are_never_the_only_sign():
    for signs in (figures.MODELS.values(), figures.PARTS.values(), figures.OTHERS):
        for what in ("colour", "pattern", "dash", "symbol"):
            assert len({getattr(sign, what) for sign in signs}) == len(list(signs))
    assert {name: sign.colour for name, sign in figures.MODELS.items()} == COLOURS
    assert {name: sign.pattern for name, sign in figures.MODELS.items()} == PATTERNS


def test_trade_off_has_a_mark_a_method_and_seed():
    drawn = trade_off(SHOWN)
    trace = named(drawn, "Fine-tune")
    assert list(trace.x) == [0.1, 0.3] and list(trace.y) == [0.95, 0.97]
    assert [tuple(one) for one in trace.customdata] == [(0, "1 s"), (1, "1 s")]
    assert "Fine-tune 20.0 % and 96.0 % in 1 s" in drawn.alt
    assert "Retrained 1.0 % and 97.0 %" in drawn.alt and "Original 98.0 % and 99.0 %" in drawn.alt


def test_trade_off_sizes_go_by_the_logarithm_of_the_seconds():
    drawn = trade_off(SHOWN)
    assert list(named(drawn, "Gradient ascent").marker.size) == pytest.approx([9, 24])
    assert list(named(drawn, "Fine-tune").marker.size) == pytest.approx([16.5, 16.5])


def test_trade_off_draws_the_references_mean_and_spread_on_both_axes():
    across, up = trade_off(SHOWN).figure.layout.shapes
    spread = 0.02 / 2**0.5
    assert (across.x0, across.x1) == pytest.approx((0.01 - spread, 0.01 + spread))
    assert (up.y0, up.y1) == pytest.approx((0.97 - spread, 0.97 + spread))
    anchor = named(trade_off(SHOWN), RETRAINED)
    assert list(anchor.x) == [0.01] and list(anchor.y) == [0.97]


def test_trade_off_has_one_reference_a_learner():
    other = row("SISA", [0.0, 0.0], [0.9, 0.9], [2.0, 2.0], "sisa", (0.9, 0.92))
    again = row("SISA by class", [0.0, 0.0], [0.8, 0.8], [2.0, 2.0], "sisa", (0.7, 0.72))
    drawn = trade_off({"seeds": [0, 1], "rows": [*SHOWN["rows"], other, again]})
    references = [t for t in drawn.figure.data if t.legendgroup == RETRAINED]
    assert [t.y[0] for t in references] == pytest.approx([0.97, 0.91, 0.71])
    assert [t.showlegend for t in references] == [True, False, False]
    assert len(drawn.figure.layout.shapes) == 6
    for words in ("(network) 1.0 % and 97.0 %", "(sisa) 1.0 % and 91.0 %",
                  "(SISA by class) 1.0 % and 71.0 %"):
        assert f"Retrained {words}" in drawn.alt


def test_trade_off_of_one_seed_has_no_band_and_bears_missing_figures():
    one = row("Fine-tune", [None], [0.9], [1.0], reference=[0.9])
    for of in one["accuracy"].values():
        of["reference"] = several(0.9)
    drawn = trade_off({"seeds": [0], "rows": [one]})
    assert not drawn.figure.layout.shapes
    assert "Fine-tune – and 90.0 % in 1 s" in drawn.alt


def test_per_class_has_bars_of_the_numbers():
    drawn = per_class(["3", "7"], {ORIGINAL: [0.9, 0.8], RETRAINED: [0.9, None],
                                   UNLEARNED: [0.7, 0.1]}, "digit")
    assert [list(trace.y) for trace in drawn.figure.data] == [[0.9, 0.8], [0.9, None], [0.7, 0.1]]
    assert all(trace.type == "bar" for trace in drawn.figure.data)
    assert named(drawn, UNLEARNED).marker.color == COLOURS[UNLEARNED]
    assert named(drawn, UNLEARNED).marker.pattern.shape == PATTERNS[UNLEARNED]
    assert ("furthest apart at 7: Original 80.0 %, Retrained –, Unlearned 10.0 %" in drawn.alt)


def test_many_classes_are_marks_instead_of_bars():
    drawn = per_class([f"s{n}" for n in range(40)], {ORIGINAL: [0.5] * 40, "SISA": [1.0] * 40},
                      "identity")
    assert all(trace.type == "scatter" and len(trace.y) == 40 for trace in drawn.figure.data)
    assert len({trace.marker.symbol for trace in drawn.figure.data}) == 2


def test_matrix_difference_is_in_points_of_the_true_class():
    drawn = matrix_difference(["a", "b", "c"], [[4, 0, 0], [1, 1, 0], [0, 0, 0]],
                              [[1, 3, 0], [1, 1, 0], [0, 0, 0]], "A", "B")
    heat = drawn.figure.data[0]
    assert [list(row) for row in heat.z] == [[-75, 75, 0], [0, 0, 0], [None] * 3]
    assert [list(row) for row in heat.text] == [["−75", "+75", ""], [""] * 3, [""] * 3]
    assert (heat.zmin, heat.zmax) == (-75, 75)
    assert "a taken for b (+75.0)" in drawn.alt and "a taken for a (−75.0)" in drawn.alt


def test_matrices_that_are_alike_are_said_to_be():
    drawn = matrix_difference(["a"], [[4]], [[2]], "A", "B")
    assert drawn.alt == "A and B take every class alike."


def test_a_map_holds_the_points_and_a_line_for_each_that_changed():
    a, b, y, guess_a, guess_b, classes = sample_map(20, 4)
    drawn = map_of(a, b, y, guess_a, guess_b, classes, "A", "B")
    above, below = (t for t in drawn.figure.data if t.name == "samples")
    assert list(above.x) == a[:, 0].tolist() and list(below.y) == b[:, 1].tolist()
    line = named(drawn, "moved")
    assert list(line.x) == [x for k in range(4) for x in (a[k, 0].item(), b[k, 0].item(), None)]
    assert above.text[0] == "a c0 taken for c0" and below.text[0] == "a c0 taken for c1"
    assert "4 of 20 are taken for another class; 2 from c0 to c1" in drawn.alt
    assert {note.text for note in drawn.figure.layout.annotations} == {
        "A", "B", "<b>c0</b>", "<b>c1</b>", "<b>c2</b>"}


def test_a_map_of_many_has_at_most_1500_points_and_300_lines():
    drawn = map_of(*sample_map(4000, 1000), "A", "B")
    assert len(named(drawn, "samples").x) == POINTS == 1500
    assert sum(x is None for x in named(drawn, "moved").x) == LINES == 300
    assert "1000 of 4000" in drawn.alt and "1,500 samples and 300 lines are drawn" in drawn.alt


def test_a_map_where_nothing_changed_has_no_line():
    drawn = map_of(*sample_map(10, 0), "A", "B")
    assert not named(drawn, "moved").x
    assert "0 of 10" in drawn.alt


def test_layers_have_bars_and_none_stays_empty():
    drawn = layer_similarity({"A and B": {"dense 1": 0.25, "output": None},
                              "A and C": {"dense 1": 1.0, "output": 0.5}})
    assert [list(trace.x) for trace in drawn.figure.data] == [[0.25, None], [1.0, 0.5]]
    assert list(drawn.figure.data[0].text) == ["0.25", ""]
    assert len({trace.marker.pattern.shape for trace in drawn.figure.data}) == 2
    assert "A and B: dense 1 0.25, output –; A and C: dense 1 1.00, output 0.50" in drawn.alt


def test_confidences_are_shares_by_bin():
    p = torch.tensor([0.0, 0.02, 0.52, 1.0])
    drawn = confidences({ORIGINAL: {FORGET: p, RETAIN: torch.ones(0), UNSEEN: torch.ones(3)},
                         UNLEARNED: {FORGET: torch.zeros(2)}})
    shares = list(named(drawn, FORGET).customdata)[:-1]
    assert len(shares) == figures.BINS and sum(shares) == pytest.approx(1)
    assert [shares[0], shares[10], shares[-1]] == [0.5, 0.25, 0.25]
    assert [trace.name for trace in drawn.figure.data] == [FORGET, UNSEEN, FORGET]
    assert all(y > 0 for trace in drawn.figure.data for y in trace.y)  # for the logarithm
    assert [trace.showlegend for trace in drawn.figure.data] == [True, True, False]
    assert "Original: to forget 2.0 %, unseen 100.0 %; Unlearned: to forget 0.0 %" in drawn.alt


def test_roc_curves_are_logarithmic_on_both_axes_with_chance_and_the_1_percent_line():
    drawn = roc_curves({ORIGINAL: a_roc(0.9), RETRAINED: a_roc(0.5)})
    layout = drawn.figure.layout
    assert layout.xaxis.type == layout.yaxis.type == "log"
    assert layout.xaxis.range[0] == layout.yaxis.range[0] == pytest.approx(-3)
    assert list(named(drawn, "1 % false positives").x) == [0.01, 0.01]
    assert list(named(drawn, "chance").x) == list(named(drawn, "chance").y)
    assert ("Original AUC 0.900 (0.850 to 0.900), 20.0 % (15.0 % to 25.0 %) true positives at 1 % "
            "false" in drawn.alt)


def test_a_roc_curve_holds_its_points_and_what_lies_below_stands_on_the_edge():
    trace = named(roc_curves({ORIGINAL: a_roc(0.9)}), "Original, AUC 0.900")
    assert list(trace.x) == pytest.approx([0.001, 0.005, 0.01, 0.1, 1.0])
    assert list(trace.y) == pytest.approx([0.001, 0.05, 0.2, 0.6, 1.0])
    assert trace.line.color == COLOURS[ORIGINAL]


def test_few_scores_end_the_axes_earlier():
    drawn = roc_curves({ORIGINAL: a_roc(0.9, members=4000, others=50)})
    assert drawn.figure.layout.xaxis.range[0] == pytest.approx(math.log10(1 / 50))
    assert "1 % false positives" not in [trace.name for trace in drawn.figure.data]


def test_a_long_roc_curve_is_thinned_to_what_can_be_seen():
    draw = generator(0)
    member = torch.rand(40, 500, generator=draw) < 0.5
    real = roc(torch.randn(40, 500, generator=draw) + member, member, draw, 5)
    trace = roc_curves({ORIGINAL: real}).figure.data[0]
    points = set(zip(real.false_positive.clamp_min(1e-3).tolist(),
                     real.true_positive.clamp_min(1e-3).tolist(), strict=True))
    assert len(trace.x) < 1000 < len(points)
    assert set(zip(trace.x, trace.y, strict=True)) <= points
    gaps = torch.tensor([trace.x, trace.y]).log10().diff(dim=1)
    assert gaps.max() < 0.4 and (trace.x[-1], trace.y[-1]) == (1, 1)


def test_klom_is_shares_by_bin_without_those_that_are_nan():
    drawn = klom_histogram(torch.tensor([0., 4., torch.nan, 4.]), torch.tensor([0., 0.]))
    unlearned = named(drawn, "Unlearned against retrained")
    assert [unlearned.y[0], unlearned.y[figures.BINS - 1]] == pytest.approx([1 / 3, 2 / 3])
    assert named(drawn, "Retrained against retrained").y[0] == 1
    assert "unlearned against retrained median 4.00" in drawn.alt


def test_relearning_is_the_mean_with_a_band_and_stops_where_it_is_back():
    drawn = relearning({"unlearned": [[0.0, 0.8], [0.2, 0.4, 0.9]], "reference": [[0.0, 0.1]],
                        "original": []}, 0.75)
    line = next(t for t in drawn.figure.data if t.name == UNLEARNED and t.mode != "none")
    assert list(line.y) == pytest.approx([0.1, 0.6, 0.85]) and list(line.x) == [0, 1, 2]
    band = [t for t in drawn.figure.data if t.fill == "toself"]
    assert [t.name for t in band] == [UNLEARNED]  # one curve has no band
    assert list(band[0].y) == [0.2, 0.8, 0.9, 0.8, 0.4, 0.0]
    assert [shape.y0 for shape in drawn.figure.layout.shapes] == [0.75]
    assert "Unlearned from 10.0 % to 85.0 % after 2 steps" in drawn.alt
    assert "back at 75.0 %" in drawn.alt


def test_relearning_without_a_target_has_no_line():
    assert not relearning({"unlearned": [[0.1]]}, None).figure.layout.shapes


def test_scores_count_what_a_threshold_exposes():
    ratios = torch.tensor([-2., 0., 1., 3., 0.5])
    member = torch.tensor([False, False, True, True, True])
    drawn = scores(ratios, member, 0.5)
    assert "3 of 3 learnt and unlearned" in drawn.alt and "0 of 2 never seen" in drawn.alt
    for trace in drawn.figure.data:
        assert sum(trace.y[:-1]) == pytest.approx(1)
    assert [shape.x0 for shape in drawn.figure.layout.shapes] == [0.5]


def test_scores_far_out_stay_in_the_last_bars():
    ratios = torch.cat([torch.linspace(-1, 1, 999), torch.tensor([1e6])])
    drawn = scores(ratios, torch.ones(1000, dtype=torch.bool), 0.0)
    (trace,) = drawn.figure.data
    assert max(trace.x) < 2 and sum(trace.y[:-1]) == pytest.approx(1)


def test_percent_reads_well():
    assert figures.percent(1.0) == "100.0 %" and figures.percent(None) == "–"
