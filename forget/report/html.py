"""A comparison as one HTML file that explains itself and needs no network.

Every value is escaped on its way into the page: only what this module made counts as markup.
"""

import html
import math
from collections.abc import Iterator, Mapping
from typing import Any

from plotly.offline import get_plotlyjs

from forget.core.words import agreeing, counted, percent, points_between, signed
from forget.evaluation.audit import Audit
from forget.report.figures import KINDS, Drawn, klom_histogram, relearning, roc_curves, trade_off
from forget.unlearning.measure import SPLIT_NAMES

THREE = ("The original model learnt from all the data, and the unlearned model is what a method "
         "made of it when it was asked to forget. The retrained model never saw what was to be "
         "forgotten: the closer the unlearned model is to it in every respect, the better.")
CELLS = ("Bold: the unlearned model. In brackets: the interval that holds the true value in 99 of "
         "100 cases. A dash has its reason below the table.")
EMPTY = "There is no sample in this part."
NO_UNSEEN = "A request for single samples has no unseen part."
NO_ATTACK = "Not audited: the likelihood-ratio attack runs only in an audit."
NO_SECONDS = "How long the work took was not recorded, or cannot be compared."
NO_CERTIFICATE = "This method certifies nothing."

GLOSSARY = {
    "Accuracy": "The share of samples that a model gets right: trained on means samples that the "
                "original learnt from, unseen means samples of the test set.",
    "Gap": "Unlearned minus retrained, in percentage points; 0 is ideal.",
    "±": "The standard deviation over the seeds: how much of a difference is only chance.",
    "Tug-of-war": "The product of 1 − |gap| over what was to forget, what was to keep and unseen "
                  "samples to keep; 1 is as good as retraining.",
    "Membership attack, AUC": "How often an attack that knows many models trained in the same way "
                              "ranks a forgotten sample above one never seen; 0.5 is guessing.",
    "Membership attack, true at 1 % false": (
        "The share of forgotten samples that the attack finds when it takes one in 100 samples "
        "never seen for a forgotten one; 1 % is guessing."),
    "Weak attack": "An attack that looks at one model only; it finds little even where much is "
                   "left, so its 0.5 proves nothing.",
    "Relearning": "Steps until what was forgotten is learnt again, unlearned over retrained; 1 is "
                  "ideal, below 1 memory is left, far above 1 a scar is left.",
    "Linear probe": "The share of the class that a fresh last layer finds from what lies under the "
                    "model's output; more than in the retrained model means hidden, not forgotten.",
    "KLoM": "How far a sample's scores over many unlearned models lie from those over many "
            "retrained ones, in nats; read it beside that of retrained models themselves.",
    "Seconds": "Wall time to forget, to retrain from scratch without the data, and to prepare the "
               "original.",
    "Speed-up": "Seconds of retraining over seconds of forgetting; with preparation, over "
                "preparing and forgetting together. Of processor seconds, or of wall seconds of "
                "the same run: those of different runs also measure what else the machine did.",
    "Certificate": "A proof that nobody can tell the published model from a retrained one by more "
                   "than a factor of e to the ε, but for a chance of δ; it covers the part named.",
    "Verdict": "One rule for all: under-forgot, over-forgot, damaged the rest, or matches "
               "retraining; on accuracy only, unless an audit found no trace either. Where every "
               "weight is still the original's, nothing was changed, and nothing matches.",
}

META = """<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none';
 form-action 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">"""

FITTED = """addEventListener("load", () => dispatchEvent(new Event("resize")))"""
"""Figures are drawn while the page is still being laid out: in the end they take its width."""

STYLE = """
:root { --ink: #16202b; --soft: #4d5966; --ground: #fff; --raised: #f3f5f8; --line: #c9d1d9;
  --link: #0b5fa5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #aab6c2; --ground: #11161d;
  --raised: #1b2430; --line: #3a4654; --link: #79b8f0 } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
main { max-width: 1500px; margin: auto; padding: 1rem }
h1, h2, h3 { line-height: 1.25 } h2 { margin-top: 2.5rem } a { color: var(--link) }
p, ul, ol, dl { max-width: 75ch } li { margin: .3rem 0 }
dt { font-weight: 600; margin-top: .6rem } dd { margin: 0 }
.small, figcaption, td span, th span { color: var(--soft); font-size: .85rem }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal }
th, td { padding: .5rem .7rem; text-align: left; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
tbody tr:last-child > * { border-bottom: 0 }
thead th, td:nth-child(2) { white-space: normal; min-width: 8.5rem }
thead th { background: var(--raised); vertical-align: bottom; font-weight: 600 }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--raised);
  white-space: normal; min-width: 5.5rem; z-index: 1 }
td span, th span { display: block; font-weight: 400 } sup { line-height: 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr));
  gap: 1.5rem }
figure { margin: .5rem 0; min-width: 0; max-width: 60rem } figcaption { margin-top: .6rem }
h4 { margin: .5rem 0 } .figures > div { min-width: 0 }
.cartesianlayer text, .infolayer text { fill: var(--ink) !important }
"""


class Html(str):
    """Markup; any other string is escaped where it is put into markup."""


def html_text(shown: Mapping[str, Any], audits: Mapping[str, Audit] | None = None) -> str:
    """The whole file, with plotly.js inside (5 MB).

    ``shown``: what :meth:`forget.evaluation.compare.Comparison.to_json` gives.  ``audits``: a
    method's name to its audit, for the figures of the attack; what it found stands in ``shown``
    already.
    """
    title, rows = _asked(shown), shown["rows"]
    main = _tag(
        "main", _tag("h1", title), _tag("p", THREE), _tag("p", _seeds(shown)),
        _tag("h2", "Verdicts"), _verdicts(rows),
        _tag("h2", "Every method beside retraining"), *_table(shown),
        _tag("h2", "Forgetting against keeping"), _figure(trade_off(shown), "trade-off"),
        _tag("h2", "Method by method"),
        *(_details(row, (audits or {}).get(row["method"]), f"plot-{number}")
          for number, row in enumerate(rows, 1)),
        _tag("h2", "How it was made"), _made(shown),
        _tag("h2", "How to read the numbers"), _terms(GLOSSARY))
    return (f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n{META}'
            f"{_tag('title', title)}<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>"
            f"<script>{FITTED}</script></head>\n<body>\n{main}\n</body>\n</html>\n")


def _tag(name: str, *inside: object, **attributes: object) -> Html:
    """
    >>> _tag("p", "1 < 2, ", _tag("b", "really"), id='"')
    '<p id="&quot;">1 &lt; 2, <b>really</b></p>'
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
                      for key, value in attributes.items())
    return Html(f"<{name}{written}>{_joined(*inside)}</{name}>")


def _joined(*parts: object) -> Html:
    return Html("".join(part if isinstance(part, Html) else html.escape(str(part))
                        for part in parts))


def _terms(terms: Mapping[str, object]) -> Html:
    return _tag("dl", *(_joined(_tag("dt", name), _tag("dd", what))
                        for name, what in terms.items()))


def _asked(shown: Mapping[str, Any]) -> str:
    """The request in words."""
    count, name = shown["forget"]["train_samples"], shown["forget"]["class"]
    samples = counted(count, "training sample")
    if name is None:
        return f"Forget {samples} of {shown['dataset']}"
    return f"Forget “{name}” of {shown['dataset']} ({samples})"


def _seeds(shown: Mapping[str, Any]) -> str:
    seeds = shown["seeds"]
    if len(seeds) == 1:
        return (f"Everything was run once, with seed {seeds[0]}: how much of a difference is only "
                "chance is unknown.")
    return (f"Everything was run {len(seeds)} times, with the seeds {', '.join(map(str, seeds))}. "
            "Figures are means; ± is the standard deviation over the seeds.")


def _verdicts(rows: list[Mapping[str, Any]]) -> Html:
    """A line a method."""
    return _tag("ul", *(_tag("li", _tag("b", f"{row['title']}: {row['verdict']}."), " ",
                             row["reason"]) for row in rows)) if rows else _tag(
        "p", "No run is finished yet.")


def _table(shown: Mapping[str, Any]) -> Iterator[Html]:
    """A row a method, in a box that scrolls by itself; below it why figures are missing."""
    notes: list[str] = []
    rows = [(row, _cells(row, shown, notes)) for row in shown["rows"]]
    if not rows:
        return
    heads = (_tag("th", name, scope="col") for name in ("Method", *rows[0][1]))
    body = (_tag("tr", _tag("th", row["title"], _tag("span", f"{len(row['records'])} of "
                            f"{counted(len(shown['seeds']), 'seed')}"), scope="row"),
                 *cells.values())
            for row, cells in rows)
    yield _tag("div", _tag("table", _tag("thead", _tag("tr", *heads)), _tag("tbody", *body)),
               class_="scroll", tabindex=0, role="region", aria_label="Table of all figures")
    yield _tag("p", CELLS, class_="small")
    yield _tag("ol", *(_tag("li", note, id=f"note-{n}") for n, note in enumerate(notes, 1)),
               class_="small")


def _cells(row: Mapping[str, Any], shown: Mapping[str, Any], notes: list[str]) -> dict[str, Html]:
    """Column to cell; why a figure is missing joins ``notes``."""
    seconds, certificate, back = row["seconds"], row["certificate"], row["relearn"]
    empty = NO_UNSEEN if shown["forget"]["class"] is None else EMPTY
    return {
        "Verdict": _cell(row["verdict"],
                         f"{row['matching']} of {counted(len(row['records']), 'seed')} "
                         f"{agreeing(row['matching'], 'matches', 'match')} on accuracy"),
        **{f"Accuracy, {name}": _accuracy(row["accuracy"][split], empty, notes)
           for split, name in SPLIT_NAMES.items()},
        "Tug-of-war": _cell(_mean(row["tug_of_war"])),
        "Membership attack, AUC": _attack(row["membership"], "auc", "{:.2f}".format, notes),
        "Membership attack, true at 1 % false": _attack(row["membership"], "tpr_at_1", percent,
                                                        notes),
        "Relearning": _cell(_dash(back["why"], notes)) if back["ratio"] is None else _cell(
            _interval(back["ratio"]), *(f"{KINDS[kind].lower()} "
                                             f"{', '.join(f'{one:.3g}' for one in steps)} "
                                             f"{agreeing(steps[-1], 'step', 'steps')}"
                                             for kind, steps in back["steps"].items())),
        "Linear probe": _cell(_dash(row["probe_why"], notes)) if row["probe"] is None else _cell(
            _share(row["probe"]["unlearned"]), *_beside(row["probe"], _share)),
        "Seconds": _cell(f"forget {_time(seconds['forget'])}",
                         f"retrain {_time(seconds['retrain'])}",
                         _joined("prepare ", _dash(NO_SECONDS, notes)
                                 if seconds["prepare"]["mean"] is None
                                 else _time(seconds["prepare"]))),
        "Speed-up": _speed_up(row, notes),
        "Certificate": _cell(_dash(NO_CERTIFICATE, notes)) if certificate is None else _cell(
            f"ε {certificate['epsilon']:g}, δ {certificate['delta']:g}",
            f"covers the {certificate['covers']}"),
    }


def _cell(first: object, *rest: object) -> Html:
    """What counts, and lines below it."""
    return _tag("td", _tag("b", first), *(_tag("span", line) for line in rest))


def _dash(why: str, notes: list[str]) -> Html:
    """For a figure that is missing, with a link to the reason."""
    if why not in notes:
        notes.append(why)
    number = notes.index(why) + 1
    return _joined("–", _tag("sup", _tag("a", number, href=f"#note-{number}")))


def _accuracy(values: Mapping[str, Any], why: str, notes: list[str]) -> Html:
    if values["unlearned"]["mean"] is None:
        return _cell(_dash(why, notes))
    gap = points_between(*(values[kind]["mean"] for kind in ("unlearned", "reference")))
    return _cell(_share(values["unlearned"]), *_beside(values, _share),
                 "gap –" if gap is None else f"gap {signed(gap)} points")


def _attack(found: Mapping[str, Any] | None, what: str, written, notes: list[str]) -> Html:
    if found is None:
        return _cell(_dash(NO_ATTACK, notes))

    def one(attack: Mapping[str, Any]) -> str:
        return _interval(attack[what], written)

    return _cell(one(found["unlearned"]), *_beside(found, one))


def _beside(values: Mapping[str, Any], written) -> list[str]:
    """The same figure of the original and the retrained model."""
    return [f"{KINDS[kind].lower()} {written(values[kind])}" for kind in ("original", "reference")]


def _mean(value: Mapping[str, Any], written="{:.2f}".format) -> str:
    if value["mean"] is None:
        return "–"
    spread = "" if value["spread"] is None else f" ± {written(value['spread'])}"
    return f"{written(value['mean'])}{spread}"


def _share(value: Mapping[str, Any]) -> str:
    return "–" if value["mean"] is None else _mean(value, lambda one: f"{100 * one:.1f}") + " %"


def _time(value: Mapping[str, Any]) -> str:
    return _mean(value, lambda one: _short(one, value["mean"])) + " s"


def _speed_up(row: Mapping[str, Any], notes: list[str]) -> Html:
    """How many times faster, and by which seconds."""
    if row["speed_up"] is None:
        return _cell(_dash(f"No speed-up: {row['speed_up_of']}.", notes))
    prepared = row["speed_up_with_preparation"]
    return _cell(f"{_short(row['speed_up'])}x", f"by {row['speed_up_of']}", _joined(
        "with preparation ",
        _dash(NO_SECONDS, notes) if prepared is None else f"{_short(prepared)}x"))


def _short(value: float, like: float | None = None) -> str:
    """Three figures, or as many decimals as ``like`` has then.

    >>> _short(1234.5), _short(0.01234), _short(0.5, like=30.0)
    ('1,234', '0.0123', '0.5')
    """
    size = abs(value if like is None else like)
    decimals = min(max(2 - math.floor(math.log10(size)), 0), 6) if size else 0
    return f"{value:,.{decimals}f}"


def _interval(value: Mapping[str, float | None], written="{:.2f}".format) -> str:
    ends = "" if value["low"] is None else f" ({written(value['low'])} to {written(value['high'])})"
    return written(value["value"]) + ends


def _details(row: Mapping[str, Any], audit: Audit | None, name: str) -> Html:
    """What is known of one method beyond the table."""
    drawn = {"Learning it again": relearning(row["relearn"]["curves"], None)} \
        if row["relearn"]["curves"] else {}
    if audit is not None:
        drawn |= {
            "Membership attack": roc_curves({title: getattr(audit, kind)
                                             for kind, title in KINDS.items()}),
            "KLoM": klom_histogram(audit.klom, audit.klom_floor)}
        if any(audit.relearned.values()):
            drawn["Learning it again, models of the audit"] = relearning(audit.relearned, None)
    weak = row["population_auc"]
    found = [_tag("li", _tag("b", f"{check['name']}: {check['outcome']}."), " ",
                  check["text"]) for check in (row["audit"] or {"checks": []})["checks"]]
    found.append(_tag("li", _tag("b", "Weak attack, which proves nothing:"),
                      f" AUC {_mean(weak['unlearned'])} ({', '.join(_beside(weak, _mean))})."))
    return _tag("section", _tag("h3", row["title"]), _settings(row), _tag("ul", *found),
                _tag("div", *(_tag("div", _tag("h4", title), _figure(one, f"{name}-{place}"))
                              for place, (title, one) in enumerate(drawn.items())),
                     class_="figures"))


def _settings(row: Mapping[str, Any]) -> Html:
    written = ", ".join(f"{name} = {value}" for name, value in row["params"].items())
    return _tag("p", f"Starts from the learner {row['learner']}. Settings: {written or 'none'}.",
                class_="small")


def _figure(drawn: Drawn, name: str) -> Html:
    """A figure with its numbers in words; a finger on it scrolls the page."""
    drawn.figure.update_layout(dragmode=False, font={"family": "system-ui, sans-serif"})
    plot = drawn.figure.to_html(full_html=False, include_plotlyjs=False, div_id=name,
                                config={"displayModeBar": False, "responsive": True})
    return _tag("figure", Html(plot), _tag("figcaption", drawn.alt))


def _made(shown: Mapping[str, Any]) -> Html:
    """With what the figures were made, and where the records behind them are."""
    files = [name for row in shown["rows"] for name in row["records"]]
    audited = [f"{row['title']}: {counted(row['membership']['shadows'], 'model')} on "
               f"{counted(row['membership']['samples'], 'sample')}"
               for row in shown["rows"] if row["membership"]]
    return _terms({
        "Data": f"{shown['dataset']}, with the classes {', '.join(shown['classes'])}",
        "SHA-256 of the data": shown["data_sha256"],
        "Request": shown["forget"]["spec"],
        "Seeds": ", ".join(map(str, shown["seeds"])),
        "Device": f"{shown['device']}, threads: {shown['threads']}",
        "Versions": ", ".join(f"{name} {number}" for name, number in shown["versions"].items()),
        "Audits": "; ".join(audited) or "none",
        "Records, in the folder of downloads": _tag("ul", *(_tag("li", name) for name in files)),
    })
