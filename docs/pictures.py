"""The pictures of methods.md, each drawn from a real run: ``python -m docs.pictures [NAME …]``.

Every method forgets sevens, or a few digits, of the model that ships or that is trained here; its
picture is the one of the app's view *How it worked*, as a small file that needs no font and no
script. Takes a minute or two, most of it for SISA and the certified method's features.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from forget.core.device import pick_device
from forget.data import find_dataset
from forget.learners import learner_for
from forget.learners.sharding import Plan, plan
from forget.methods import METHODS
from forget.report.figures import COLOURS, FORGET, PARTS, RETAIN, RETRAINED, UNLEARNED, percent
from forget.unlearning.learn import start_from
from forget.unlearning.request import parse_request, split
from forget.unlearning.result import Result
from forget.unlearning.run import run

FOLDER = Path(__file__).parent / "pictures"
REQUESTS = {"sisa": "random:10"}
"""What is forgotten where it is not a whole class."""

WHOLE = "class:7"
SEED = 0

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 606, 56, 286
INK, FAINT, GROUND = "#16202b", "#c9d1d9", "#ffffff"
"""Dark on a white card of its own, so that it reads on a light and on a dark page."""

CELLS = {"kept": "#56B4E9", "restored": "#F0E442", "retrained": "#D55E00"}

Place = tuple[float, float]


def main() -> None:
    """Draw the pictures of the methods that are named, or of all."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or METHODS:
        picture, about = drawn(name)
        (FOLDER / f"{name}.svg").write_text(picture)
        print(f"{name}: {about}")


def drawn(name: str) -> tuple[str, str]:
    """One method's picture and, in a sentence, what is on it."""
    method = METHODS[name]()
    source = find_dataset("mnist")
    learner = learner_for(source, method.learner, {})
    dataset = source.load().to(pick_device())
    start = start_from(learner, dataset, SEED)
    request = parse_request(REQUESTS.get(name, WHOLE), dataset, SEED)
    result = run(dataset, start, request, method, SEED, references=0)
    if method.picture == "shards":
        forget, retain = split(dataset.train, request, start.forgotten)
        return shards(plan(learner.division_of(start.model), forget, retain, learner.epochs,
                           learner.least_visits))
    pictures = {"curve": curve, "layers": layers, "path": path, "newton": newton}
    return pictures[method.picture](result)


def curve(result: Result) -> tuple[str, str]:
    """Accuracy on what is to be forgotten and what is to be kept, by step."""
    points = result.curve
    last = points[-1]
    x = scale(0, last.step.index, LEFT, RIGHT)
    y = scale(0, 1, BOTTOM, TOP)
    about = (f"Accuracy by step while a new model is trained on what is left: after "
             f"{last.step.index:,} steps {percent(last.forget_accuracy)} on what is to be "
             f"forgotten, {percent(last.retain_accuracy)} on the rest.")
    parts = [*axes("Step", "Accuracy", whole_ticks(last.step.index, x),
                   [(y(v), f"{v:.0%}") for v in (0, 0.25, 0.5, 0.75, 1)])]
    for name, values, dash in ((FORGET, [p.forget_accuracy for p in points], ""),
                               (RETAIN, [p.retain_accuracy for p in points], "8 5")):
        parts.append(line([(x(p.step.index), y(v)) for p, v in zip(points, values, strict=True)],
                          PARTS[name].colour, dash))
    parts += legend([(FORGET, PARTS[FORGET].colour, ""), (RETAIN, PARTS[RETAIN].colour, "8 5")])
    return card("Retrain: learning from scratch without the sevens", about, parts)


def layers(result: Result) -> tuple[str, str]:
    """How far each layer moved, as a share of its size."""
    changes = result.layers
    x = scale(0, 1.15 * max(changes.values()), LEFT + 60, RIGHT)
    height = (BOTTOM - TOP) / len(changes)
    parts = []
    for place, (name, value) in enumerate(changes.items()):
        top = TOP + place * height
        said = percent(value) if value else "not moved"
        parts += [text(LEFT + 50, top + height / 2 + 4, name, "end"),
                  f'<rect x="{LEFT + 60}" y="{top + 5:.1f}" width="{x(value) - LEFT - 60:.1f}" '
                  f'height="{height - 10:.1f}" fill="{COLOURS[UNLEARNED]}"/>',
                  text(x(value) + 8, top + height / 2 + 4, said)]
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 34, "Change, as a share of the layer's size",
                      "middle"))
    about = "Change by layer: " + ", ".join(
        f"{name} {percent(value) if value else 'not moved'}" for name, value in changes.items())
    return card("Fine-tune: only the last two layers move", f"{about}.", parts)


def path(result: Result) -> tuple[str, str]:
    """The way through the plane of what is to be forgotten and what is to be kept."""
    points = [(p.forget_accuracy, p.retain_accuracy) for p in result.curve]
    stop, rule = result.method.stop_line(result.request.class_index is not None)
    lowest = math.floor(100 * min(kept for _, kept in points) - 0.5) / 100
    x, y = scale(0, 1, LEFT, RIGHT), scale(lowest, 1, BOTTOM, TOP)
    places = [(x(forget), y(keep)) for forget, keep in points]
    levels = [lowest + share * (1 - lowest) for share in (0, 0.25, 0.5, 0.75, 1)]
    parts = [*axes("Accuracy on what is to be forgotten", "Accuracy on the rest",
                   [(x(v), f"{v:.0%}") for v in (0, 0.25, 0.5, 0.75, 1)],
                   [(y(v), percent(v)) for v in levels]),
             line([(x(stop), TOP), (x(stop), BOTTOM)], COLOURS[UNLEARNED], "3 4"),
             text(x(stop) + 8, BOTTOM - 10, f"stop: {rule}"),
             line(places, "#56B4E9"), *dots(places, "#0072B2"),
             text(places[0][0] - 10, places[0][1] - 10, "start", "end"),
             text(places[-1][0] + 10, places[-1][1] + 18, "end")]
    about = (f"{len(points) - 1} steps from {percent(points[0][0])} to {percent(points[-1][0])} on "
             f"what is to be forgotten, with {percent(points[-1][1])} on the rest at the end.")
    return card("Gradient ascent: until the stop rule holds", about, parts)


def shards(it: Plan) -> tuple[str, str]:
    """What a request does to each shard and slice."""
    count, slices = it.forget.shape
    wide, high = (RIGHT - LEFT - 20) / slices, (BOTTOM + 20 - TOP - 24) / count
    parts, seen = [], dict.fromkeys(CELLS, 0)
    for slice_ in range(slices):
        parts.append(text(LEFT + 20 + (slice_ + 0.5) * wide, TOP + 14, f"slice {slice_ + 1}",
                          "middle"))
    for shard in range(count):
        top = TOP + 24 + shard * high
        parts.append(text(LEFT + 10, top + high / 2 + 4, f"shard {shard + 1}", "end"))
        for slice_ in range(slices):
            state, left = cell(it, shard, slice_), LEFT + 20 + slice_ * wide
            seen[state] += 1
            said = f"{state}, {int(it.forget[shard, slice_])} to forget"
            parts += [f'<rect x="{left + 1:.1f}" y="{top + 1:.1f}" width="{wide - 2:.1f}" '
                      f'height="{high - 2:.1f}" fill="{CELLS[state]}"/>',
                      text(left + wide / 2, top + high / 2 + 4, said, "middle", "#000000")]
    about = (f"{', '.join(f'{n} {state}' for state, n in seen.items())}: "
             f"{percent(it.share)} of the work of training all shards anew.")
    return card("SISA: what ten forgotten digits do to shards and slices", about, parts)


def cell(it: Plan, shard: int, slice_: int) -> str:
    first = it.first.get(shard)
    if first is None or slice_ < first - 1:
        return "kept"
    return "restored" if slice_ == first - 1 else "retrained"


def newton(result: Result) -> tuple[str, str]:
    """The gradient norm by Newton step on a logarithmic axis, and what noise may hide."""
    norms = [p.step.measured["gradient_norm"] for p in result.curve[1:]][:-1]
    allowed = result.statement["residual_allowed"]
    lowest, highest = (math.floor(math.log10(min(*norms, allowed))),
                       math.ceil(math.log10(max(norms))))
    x, y = scale(0, len(norms) - 1, LEFT, RIGHT), scale(lowest, highest, BOTTOM, TOP)
    places = [(x(step), y(math.log10(norm))) for step, norm in enumerate(norms)]
    hidden = y(math.log10(allowed))
    parts = [*axes("Newton step", "Gradient norm", whole_ticks(len(norms) - 1, x),
                   [(y(power), f"1e{power}") for power in range(lowest, highest + 1, 2)]),
             line([(LEFT, hidden), (RIGHT, hidden)], COLOURS[RETRAINED], "3 4"),
             text(LEFT + 10, hidden + 17, f"the noise hides all below {allowed:.1g}"),
             line(places, COLOURS[UNLEARNED]), *dots(places, COLOURS[UNLEARNED])]
    about = (f"The gradient norm falls from {norms[0]:.1g} to {norms[-1]:.1g} in "
             f"{len(norms) - 1} steps; noise hides all below {allowed:.1g}.")
    return card("Certified: on the way to what retraining gives", about, parts)


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From a value to a place on the picture."""
    return lambda value: start + (end - start) * (value - low) / ((high - low) or 1)


def whole_ticks(most: int, x: Callable[[float], float]) -> list[tuple[float, str]]:
    """At most seven round numbers along an axis of counts."""
    every = next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power)
                 if most / step <= 6)
    return [(x(value), f"{value:,}") for value in range(0, most + 1, every)]


def axes(across: str, up: str, x: Iterable[tuple[float, str]],
         y: Iterable[tuple[float, str]]) -> list[str]:
    """Two axes with their ticks and what they show."""
    middle = (TOP + BOTTOM) / 2
    parts = [line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], INK),
             text((LEFT + RIGHT) / 2, BOTTOM + 42, across, "middle"),
             f'<g transform="rotate(-90 16 {middle})">{text(16, middle, up, "middle")}</g>']
    for place, said in x:
        parts.append(text(place, BOTTOM + 20, said, "middle"))
    for place, said in y:
        parts += [line([(LEFT, place), (RIGHT, place)], FAINT, thick=1),
                  text(LEFT - 8, place + 4, said, "end")]
    return parts


def legend(entries: Sequence[tuple[str, str, str]]) -> list[str]:
    parts = []
    for place, (name, colour, dash) in enumerate(entries):
        left = RIGHT - 130 * (len(entries) - place)
        parts += [line([(left, BOTTOM - 22), (left + 34, BOTTOM - 22)], colour, dash),
                  text(left + 42, BOTTOM - 18, name)]
    return parts


def line(places: Sequence[Place], colour: str, dash: str = "", thick: float = 2.5) -> str:
    shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<polyline points="{shown}" fill="none" stroke="{colour}" '
            f'stroke-width="{thick}"{dashed}/>')


def dots(places: Iterable[Place], colour: str) -> list[str]:
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]


def text(x: float, y: float, said: str, anchor: str = "start", colour: str = INK) -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
            f'{escape(said)}</text>')


def card(title: str, about: str, parts: Iterable[str]) -> tuple[str, str]:
    """The whole file, with what it shows in words for those who cannot see it; and these words."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>", f"<desc>{escape(about)}</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{GROUND}" stroke="{FAINT}"/>',
        f'<text x="20" y="30" font-size="16" fill="{INK}">{escape(title)}</text>',
        *parts, "</svg>", ""]), about


if __name__ == "__main__":
    main()
