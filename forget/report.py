"""A comparison as one HTML file that explains itself and needs no network.

Every value is escaped on its way into the page; only what :func:`_tag` made counts as markup.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plotly.offline import get_plotlyjs

from forget import report_text as words
from forget.audit import Audit
from forget.export import SPLIT_NAMES
from forget.figures import KINDS, Drawn, klom_histogram, percent, relearning, roc_curves, trade_off

MODELS = ("original", "reference")
"""What an unlearned model's figure stands beside."""

OUTCOMES = {True: "Passed", False: "Convicted", None: "Does not apply"}
FONT = "system-ui, sans-serif"


class Html(str):
    """Markup; any other string is escaped where it is put into markup."""


def html_text(shown: Mapping[str, Any], audits: Mapping[str, Audit] | None = None) -> str:
    """The whole file, with plotly.js inside (5 MB).

    ``shown``: plain data of :meth:`forget.compare.Comparison.to_json`.  ``audits``: method name to
    audit, for the figures of the attack; what an audit found stands in ``shown`` already.
    """
    title, rows = _asked(shown), shown["rows"]
    main = _tag(
        "main", _tag("h1", title), _tag("p", words.MODELS), _tag("p", _seeds_text(shown)),
        _tag("h2", "Verdicts"), _verdicts(shown),
        _tag("h2", "Every method beside retraining"), *_table(shown),
        _tag("h2", "What is forgotten, what is kept, and how fast"),
        _figure(trade_off(shown), "trade-off"),
        _tag("h2", "Method by method"),
        *(_details(row, (audits or {}).get(row["method"]), number)
          for number, row in enumerate(rows)),
        _tag("h2", "Settings"), *map(_settings, rows),
        _tag("h2", "How it was made"), _made(shown),
        _tag("h2", "How to read the numbers"), _terms(words.GLOSSARY.items()))
    head = _joined([_tag("title", title), _tag("style", Html(words.STYLE)),
                    _tag("script", Html(get_plotlyjs()))])
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{words.META}{head}'
            f"</head>\n<body>{main}</body></html>\n")


def _tag(name: str, *inside: object, **attributes: object) -> Html:
    """An element; attributes may end in an underscore.

    >>> _tag("p", "1 < 2", _tag("br"), class_='"')
    '<p class="&quot;">1 &lt; 2<br></br></p>'
    """
    written = "".join(f' {key.rstrip("_")}="{html.escape(str(value))}"'
                      for key, value in attributes.items())
    return Html(f"<{name}{written}>{_joined(inside)}</{name}>")


def _joined(parts: Sequence[object]) -> Html:
    return Html("".join(part if isinstance(part, Html) else html.escape(str(part))
                        for part in parts))


def _terms(pairs) -> Html:
    """Names with what belongs to them."""
    return _tag("dl", *(_joined([_tag("dt", name), _tag("dd", what)]) for name, what in pairs))


def _asked(shown: Mapping[str, Any]) -> str:
    """The request in words."""
    forget, count = shown["forget"], f"{shown['forget']['train_samples']:,}"
    samples = f"{count} training sample{'' if count == '1' else 's'}"
    if forget["class"] is None:
        return f"Forget {samples} of {shown['dataset']}"
    return f"Forget “{forget['class']}” in {shown['dataset']} ({samples})"


def _seeds_text(shown: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, shown["seeds"]))
    if len(shown["seeds"]) == 1:
        return f"Everything was run once, with seed {seeds}. {words.ONE_SEED}"
    return (f"Everything was run {len(shown['seeds'])} times, with seeds {seeds}. Figures are "
            "means; ± is the standard deviation over the seeds.")


def _verdicts(shown: Mapping[str, Any]) -> Html:
    """A sentence a method."""
    rows = shown["rows"]
    if not rows:
        return _tag("p", "No run is finished yet.")
    return _tag("ul", *(
        _tag("li", _tag("b", f"{row['title']}: {row['verdict']}."), " ", row["reason"])
        for row in rows))


def _table(shown: Mapping[str, Any]) -> Iterator[Html]:
    """A row a method, in a box that scrolls by itself, and below it why a figure is missing."""
    notes: list[str] = []
    rows = [(row, _cells(row, shown, notes)) for row in shown["rows"]]
    if not rows:
        return
    heads = _tag("tr", *(_tag("th", name, scope="col") for name in ("Method", *rows[0][1])))
    body = [_tag("tr", _tag("th", row["title"], _done(row, shown), scope="row"), *cells.values())
            for row, cells in rows]
    yield _tag("div", _tag("table", _tag("thead", heads), _tag("tbody", *body)),
               class_="scroll", tabindex=0, role="region", aria_label="Table of all figures")
    yield _tag("p", words.CELLS, class_="small")
    yield _tag("ol", *(_tag("li", note, id=f"note-{n}") for n, note in enumerate(notes, 1)),
               class_="small")


def _done(row: Mapping[str, Any], shown: Mapping[str, Any]) -> Html:
    done, of = len(row["records"]), len(shown["seeds"])
    return _tag("span", f"{done} of {of} seeds finished") if done < of else Html()


def _cells(row: Mapping[str, Any], shown: Mapping[str, Any], notes: list[str]) -> dict[str, Html]:
    """Column to cell."""
    seconds, done = row["seconds"], len(row["records"])
    with_preparation = row["speed_up_with_preparation"]
    return {
        "Verdict": _cell(row["verdict"], f"{row['matching']} of {done} seeds match on accuracy"),
        **{f"Accuracy, {SPLIT_NAMES[split]}": _accuracy(
            row["accuracy"][split],
            words.EMPTY if shown["forget"]["class"] is not None else words.NO_UNSEEN, notes)
           for split in SPLIT_NAMES},
        "Tug-of-war": _cell(_spread(row["tug_of_war"])),
        "Membership attack": _membership(row["membership"], notes),
        "Relearning": _relearn(row["relearn"], notes),
        "Linear probe": _missing(row["probe_why"], notes) if row["probe"] is None else _cell(
            _share(row["probe"]["unlearned"]), *_beside(row["probe"], _share)),
        "Seconds": _cell(f"forget {_spread(seconds['forget'], _short)}",
                         f"retrain {_spread(seconds['retrain'], _short)}",
                         f"prepare {_spread(seconds['prepare'], _short)}"),
        "Speed-up": _missing(words.NO_SECONDS, notes) if row["speed_up"] is None else _cell(
            f"{_short(row['speed_up'])}x", "with preparation ",
            _mark(words.NO_SECONDS, notes) if with_preparation is None
            else f"{_short(with_preparation)}x"),
        "Certificate": _certificate(row["certificate"], notes),
    }


def _cell(first: object, *rest: object) -> Html:
    """What counts, and lines below it."""
    return _tag("td", _tag("b", first), *(_tag("span", line) for line in rest))


def _mark(why: str, notes: list[str]) -> Html:
    """A dash with a number that leads to the reason below the table."""
    if why not in notes:
        notes.append(why)
    number = notes.index(why) + 1
    return _joined(["–", _tag("sup", _tag("a", number, href=f"#note-{number}"))])


def _missing(why: str, notes: list[str]) -> Html:
    return _tag("td", _mark(why, notes))
