"""The table of a comparison: a row a method, filters, downloads, and the record behind a row."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from forget.core.words import agreeing, counted, in_percent, points_between
from forget.evaluation.compare import csv_text
from forget.metrics.verdict import (
    DAMAGED,
    MATCHES,
    MATCHES_ALL,
    OVER,
    UNCHANGED,
    UNDER,
    UNLEARNT,
)
from forget.unlearning.measure import SPLITS
from ui.compare.models import kind_of
from ui.compare.run import Comparing, Shown
from ui.shell.words import plain
from ui.study.request import asked
from ui.widgets.charts import percent

SIGNS = {MATCHES_ALL: "✔✔", MATCHES: "✔", UNDER: "▲", OVER: "▼", DAMAGED: "✖",
         UNCHANGED: "○", UNLEARNT: "?"}
ACCURACY, SPREAD, TRACES, COST = "Accuracy", "Spread", "Traces", "Cost"
GROUPS = (ACCURACY, SPREAD, TRACES, COST)

SHORT = {"forget_accuracy": "Forget", "retain_accuracy": "Keep",
         "test_forget_accuracy": "Forget, unseen", "test_retain_accuracy": "Keep, unseen"}
LONG = {"forget_accuracy": "what was to be forgotten (training samples)",
        "retain_accuracy": "what was to be kept (training samples)",
        "test_forget_accuracy": "unseen samples of what was to be forgotten",
        "test_retain_accuracy": "unseen samples of everything else"}

METHOD_WIDTH = 190
"""Pixels: the longest title fits, and a phone keeps room for what scrolls beside it."""

TICKED = "compare.table"
"""Begins the table's key; under it stands how often a record was opened in another way."""

NO_BREAK = "\u00a0"

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: which group of them it belongs to (empty: always there), what stands in a row,
    and its help; ``form`` is how a number is written, empty for text."""

    name: str
    group: str
    value: Callable[[Row], Any]
    help: str
    form: str = ""


def _accuracy(split: str, model: str, what: str = "mean") -> Callable[[Row], float | None]:
    def value(row: Row) -> float | None:
        found = row["accuracy"][split][model][what]
        return None if found is None else in_percent(found, 2 if what == "spread" else 1)
    return value


def _of_splits() -> list[Column]:
    columns = []
    for split in SPLITS:
        name, what = SHORT[split], LONG[split]
        columns += [
            Column(name, ACCURACY, _accuracy(split, "unlearned"),
                   f"Accuracy of the unlearned model on {what}: mean over the seeds.", "%.1f %%"),
            Column(f"{name}, retrained", ACCURACY, _accuracy(split, "reference"),
                   f"The same for models retrained without the data: what is right for {what}.",
                   "%.1f %%"),
            Column(f"{name} ±", SPREAD, _accuracy(split, "unlearned", "spread"),
                   f"Standard deviation over the seeds, in points, on {what}.", "± %.2f"),
            Column(f"{name}, retrained ±", SPREAD, _accuracy(split, "reference", "spread"),
                   "The same for the retrained models: how much is only chance.", "± %.2f"),
        ]
    return columns


def _gap(row: Row) -> float | None:
    """The gap furthest from 0, in points, of accuracies as the table shows them."""
    gaps = [points_between(*(row["accuracy"][split][model]["mean"]
                             for model in ("unlearned", "reference"))) for split in SPLITS]
    return max((gap for gap in gaps if gap is not None), key=abs, default=None)


def _inside(*path: str) -> Callable[[Row], Any]:
    """The value at a path of keys; None where the path ends early."""
    def value(row: Row) -> Any:
        for key in path:
            row = row and row[key]
        return row
    return value


def _in_percent(value: Callable[[Row], float | None]) -> Callable[[Row], float | None]:
    def scaled(row: Row) -> float | None:
        found = value(row)
        return None if found is None else in_percent(found)
    return scaled


def _certificate(row: Row) -> str:
    found = row["certificate"]
    return "–" if found is None else (f"ε = {found['epsilon']:g}, δ = {found['delta']:g}; covers "
                                      f"{found['covers']}")


COLUMNS = [
    Column("Method", "", lambda row: row["title"], "What made the model forget."),
    Column("Verdict", "", lambda row: f"{SIGNS[row['verdict']]} {row['verdict']}",
           "One rule for all, beside retraining. ✔ matches on accuracy, ✔✔ an audit found nothing "
           "either, ▲ still knows too much, ▼ knows suspiciously little, ✖ damaged the rest, ○ "
           "changed nothing, ? the original knew nothing."),
    Column("Seeds that match", "", lambda row: f"{row['matching']} of {row['finished']}",
           "Finished seeds whose own figures match retraining on accuracy."),
    Column("Largest gap", ACCURACY, _gap,
           "Accuracy, unlearned minus retrained, where they are furthest apart; in percentage "
           "points.", "%+.1f"),
    Column("Tug-of-war", ACCURACY, _inside("tug_of_war", "mean"),
           "One number for all gaps: the product of (1 - |gap|) over forget, keep and test. "
           "1 is as if retrained.", "%.3f"),
    *_of_splits(),
    Column("Attack AUC", TRACES, _inside("membership", "unlearned", "auc", "value"),
           "Likelihood-ratio attack: how well it tells models that unlearned from such as never "
           "saw the data; 0.5 is guessing. Filled in by an audit of the method in this tab.",
           "%.3f"),
    Column("Weak attack AUC", TRACES, _inside("population_auc", "unlearned", "mean"),
           "A simple attack on all samples at once. It is weak: near 0.5 says little.", "%.3f"),
    Column("Relearn ratio", TRACES, _inside("relearn", "ratio", "value"),
           "Steps until the forgotten class is back, unlearned over retrained. 1 is ideal; below "
           "it memory is left; far above it is a scar. Empty: does not apply.", "%.2f"),
    Column("Probe", TRACES, _in_percent(_inside("probe", "unlearned", "mean")),
           "Unseen samples of the class that a fresh last layer finds in the unlearned model's "
           "features. Above retraining's: hidden, not forgotten. Empty: does not apply.",
           "%.1f %%"),
    Column("Probe, retrained", TRACES, _in_percent(_inside("probe", "reference", "mean")),
           "The same on the retrained model's features.", "%.1f %%"),
    Column("Forgetting", COST, _inside("seconds", "forget", "mean"),
           "Seconds that the method took: wall time on one thread.", "%.2f s"),
    Column("Retraining", COST, _inside("seconds", "retrain", "mean"),
           "Seconds to train a model from scratch without the data.", "%.2f s"),
    Column("Speed-up", COST, _inside("speed_up"),
           "Seconds of retraining over seconds of forgetting. Empty where nothing was changed, or "
           "no seconds can be compared.", "%.1fx"),
    Column("Speed-up of", COST, _inside("speed_up_of"),
           "Processor seconds where they are known, else wall seconds of the same run: wall "
           "seconds of two runs also measure what else the machine did. Or why there is none."),
    Column("With preparation", COST, _inside("speed_up_with_preparation"),
           "Seconds of retraining over seconds of making the original and then forgetting: what "
           "is saved in all, if there is only one request.", "%.2fx"),
    Column("Certificate", COST, _certificate,
           "What the method proves, and of which part of the model."),
]


def table(held: Comparing) -> None:
    """The rows with filters, why each verdict was given, the models to compare with, downloads."""
    shown = held.shown
    spec, count = shown["forget"]["spec"], shown["forget"]["train_samples"]
    st.subheader(asked(shown["dataset"], spec, count))
    finished = sum(row["finished"] for row in shown["rows"])
    total = len(shown["seeds"]) * len(held.result[0].entries)
    if finished < total:
        st.caption(f"{finished} of {counted(total, 'run')} {agreeing(finished, 'is', 'are')} "
                   "finished; the figures are of what is.")
    for name, why in shown["refused"].items():
        st.warning(f"{plain(name)} could not be run: {why}.", icon=":material/block:")
    if not shown["rows"]:
        return
    rows, groups = _filtered(shown["rows"])
    _rows(rows, groups, held.result[0].key)
    _reasons(rows)
    _anchors(shown["rows"])
    _downloads(held, shown)
    _record(held, shown)


def _filtered(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """The rows that the person wants to see, and the groups of columns."""
    verdicts = list(dict.fromkeys(row["verdict"] for row in rows))
    titles = [row["title"] for row in rows]
    left, middle, right = st.columns(3)
    with left:
        groups = st.pills("Columns", GROUPS, selection_mode="multi", key="compare.columns",
                          default=(ACCURACY, TRACES, COST), persist_state="session", wrap=True)
    with middle:
        words = st.multiselect("Verdict", verdicts, key="compare.verdicts", placeholder="All")
    with right:
        wanted = st.multiselect("Method", titles, key="compare.titles", placeholder="All")
    kept = [row for row in rows if (not words or row["verdict"] in words)
            and (not wanted or row["title"] in wanted)]
    return kept, groups


def _rows(rows: list[Row], groups: list[str], comparison: str) -> None:
    """The table itself; its columns sort by a click on their heads."""
    columns = [column for column in COLUMNS if not column.group or column.group in groups]
    cells = pd.DataFrame({column.name: pd.Series(
        [column.value(row) for row in rows], dtype=float if column.form else str)
        for column in columns}).dropna(axis="columns", how="all")
    config = {column.name: (
        st.column_config.NumberColumn(help=column.help, format=column.form) if column.form else
        st.column_config.TextColumn(help=column.help, pinned=column.name == "Method",
                                    width=METHOD_WIDTH if column.name == "Method" else None))
        for column in columns}

    key = "/".join([TICKED, comparison, str(st.session_state.get(TICKED, 0)),
                    *(row["method"] for row in rows)])  # of other rows: without the old tick

    def opened() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        st.session_state["compare.record"] = rows[picked[0]]["method"] if picked else None

    st.dataframe(cells, hide_index=True, column_config=config, height="content",
                 key=key, on_select=opened, selection_mode="single-row",
                 alt="Every method with its verdict and figures: " + "; ".join(
                     f"{row['title']} {row['verdict']}" for row in rows))
    st.caption("A click on a column's name sorts by it; rest the pointer on the name to read what "
               "it means. A tick on a row opens its records below. What does not apply to "
               "this request is left out; the likelihood-ratio attack comes in when a method was "
               "put on trial on Audit with this request.")


def _reasons(rows: list[Row]) -> None:
    with st.expander("Why: the verdicts in sentences", icon=":material/gavel:"):
        for row in rows:
            st.markdown(f"**{row['title']}: {row['verdict']}.** {row['reason']}")


def _anchors(rows: list[Row]) -> None:
    """Original and retrained accuracies of each learner: what the rows stand between."""
    lines = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        row = next(row for row in rows if row["learner"] == learner)
        for model, name in (("original", "Original"), ("reference", "Retrained")):
            lines.append({"Model": f"{name}, {kind_of(learner)}"} | {
                SHORT[split]: _with_spread(row["accuracy"][split][model]) for split in SPLITS})
    st.table(lines, hide_index=True, border="horizontal",
             alt="Accuracies of the original and the retrained models")
    st.caption("Before and the goal: models that learnt everything, and models trained from the "
               "start without the data; mean ± standard deviation over the seeds. Methods that "
               "need another kind of model have an original and a retrained model of that kind.")


def _with_spread(value: Row) -> str:
    mean = percent(value["mean"]).replace(" ", NO_BREAK)
    if value["mean"] is None or value["spread"] is None:
        return mean
    return f"{mean} ±{NO_BREAK}{100 * value['spread']:.2f}"


def _downloads(held: Comparing, shown: Shown) -> None:
    comparison = held.comparison
    name = f"compare-{shown['dataset']}-{shown['forget']['spec'].replace(':', '-')[:40]}"

    def report() -> str:
        from forget.report.html import html_text

        return html_text(shown, dict(comparison.audits))

    # Made when they are asked for: a table that fills would leave links to files that are gone.
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", lambda: csv_text(comparison), f"{name}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:", key="compare.csv")
        st.download_button("Everything (JSON)", lambda: json.dumps(shown, indent=1) + "\n",
                           f"{name}.json", "application/json", on_click="ignore",
                           icon=":material/download:", key="compare.json")
        st.download_button("Report (HTML)", report, f"{name}.html", "text/html",
                           on_click="ignore", icon=":material/description:",
                           key="compare.report",
                           help="One file with tables, figures, settings, versions and hashes. "
                           "It needs nothing else, and takes some seconds to write.")


def _record(held: Comparing, shown: Shown) -> None:
    """The record of one run, as it lies on disk."""
    titles = {row["method"]: row["title"] for row in shown["rows"]}
    if st.session_state.get("compare.record") not in (None, *titles):
        st.session_state["compare.record"] = None

    def without_tick() -> None:
        st.session_state[TICKED] = st.session_state.get(TICKED, 0) + 1

    which, seeds = st.columns(2)
    with which:
        method = st.selectbox("Open the record of", list(titles), index=None,
                              format_func=titles.get, key="compare.record",
                              placeholder="A method", on_change=without_tick)
    if method is None:
        return
    with seeds:
        seed = st.selectbox("Seed", shown["seeds"], key="compare.record.seed")
    record = held.comparison.record(method, seed)
    if record is None:
        st.caption("This run is not finished yet.")
        return
    st.json(record, expanded=1)
