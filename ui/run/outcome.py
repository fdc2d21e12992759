"""What came of a request: verdict, figures beside the retrained model, views, downloads."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from forget.core.times import PROCESSOR
from forget.core.words import counted, points_between, signed
from forget.data import find_dataset
from forget.io.paths import downloads
from forget.learners import learner_for
from forget.metrics.unknown import places
from forget.metrics.verdict import DAMAGED, MATCHES, OVER, UNCHANGED, UNDER, UNLEARNT
from forget.report import export
from forget.unlearning.measure import SPLIT_NAMES, SPLITS
from forget.unlearning.request import Request
from forget.unlearning.result import Result
from ui.run.certificate import newton_view
from ui.run.session import Session
from ui.run.shards import shards_view
from ui.run.subject import Subject
from ui.shell.words import plain
from ui.widgets import charts
from ui.widgets.charts import ORIGINAL, RETRAINED, UNLEARNED, percent

Accuracies = Mapping[str, float | None]
"""Shares by split, None where a split is empty."""

SHOWN = {
    MATCHES: ("Matches retraining on accuracy", st.success, ":material/check_circle:"),
    UNDER: ("Under-forgot", st.warning, ":material/warning:"),
    OVER: ("Over-forgot", st.warning, ":material/warning:"),
    DAMAGED: ("Damaged the rest", st.error, ":material/dangerous:"),
    UNLEARNT: (UNLEARNT.capitalize(), st.info, ":material/help:"),
    UNCHANGED: (UNCHANGED.capitalize(), st.info, ":material/do_not_disturb_on:"),
}

DISTANCES = {
    "Same answer": ("agreement_forget", "agreement_test"),
    "KL divergence, nats": ("kl_forget", "kl_test"),
    "Jensen-Shannon divergence, nats": ("jensen_shannon_forget", "jensen_shannon_test"),
}
"""Rows of the table of distances: the measure on the forget set and on the test set."""

def outcome(held: Session) -> None:
    """Everything about one result; parts that need the retrained model say so until it is there."""
    result, subject = held.result, held.subject
    _verdict(result, held.busy)
    _accuracies(result)
    _seconds(result)
    _distances(held)
    views = dict(subject.views) | {
        f"Per {subject.one}": _per_class, "Where predictions went": _where,
        "How it worked": _how, "Download": _files}
    view = st.segmented_control("View", list(views), default=next(iter(views)), required=True,
                                key=f"{subject.key}.view", label_visibility="collapsed",
                                persist_state="session", wrap=True)
    views[view](held)


def _per_class(held: Session) -> None:
    charts.per_class(held.result, held.subject.one)


def asked(subject: Subject, request: Request, classes: Sequence[str]) -> str:
    """The request in words, for Markdown."""
    count = counted(len(request), f"training {subject.sample}", f"training {subject.samples}")
    if request.class_index is not None:
        return f"Forget {plain(classes[request.class_index])} ({count})"
    return f"Forget {count}"


def _verdict(result: Result, busy: bool) -> None:
    verdict = result.verdict
    if verdict is None:
        waiting = ("The retrained model to compare with is still being trained." if busy else
                   "There is no retrained model to compare with yet, so no verdict.")
        st.info(waiting, icon=":material/hourglass_top:")
        return
    verdict_box(verdict.words, verdict.reason)


def verdict_box(verdict: str, reason: str) -> None:
    """A verdict as the library words it, and why, in a box of its colour."""
    words, box, icon = SHOWN[verdict]
    box(f"**{words}.** {reason}", icon=icon)


def _accuracies(result: Result) -> None:
    accuracy_table({"original": result.measured_original.accuracies,
                    "unlearned": result.measured_unlearned.accuracies,
                    "retrained": result.reference_accuracies},
                   len(result.measured_references), result.request.class_index is not None,
                   result.spread)


def accuracy_table(metrics: Mapping[str, Accuracies], references: int, whole_class: bool,
                   spread: Accuracies | None = None) -> None:
    """Accuracy on each split for the three models, with the references' spread where it is known.

    ``metrics``: "original", "unlearned" and "retrained", as a result's JSON has them.
    """
    before, after, reference = (metrics[name] for name in ("original", "unlearned", "retrained"))
    spread = spread or dict.fromkeys(SPLITS)
    rows = []
    for split in SPLITS:
        rows.append({
            "Accuracy on": SPLIT_NAMES[split].capitalize(),
            ORIGINAL: percent(before[split]),
            UNLEARNED: percent(after[split]),
            RETRAINED: percent(reference[split])
            + (f" ± {100 * spread[split]:.1f}" if spread[split] is not None else ""),
            "Gap": signed(points_between(after[split], reference[split])),
        })
    st.table(rows, hide_index=True, border="horizontal",
             alt="Accuracies of the original, unlearned and retrained model on each split")
    known = "" if set(spread.values()) == {None} else " ± their standard deviation"
    spread_note = f" Retrained: mean of {references} models{known}." if references > 1 else ""
    st.caption("Trained on: samples that the original model learnt from. Unseen: the test set. "
               f"Gap: unlearned minus retrained, in percentage points.{spread_note}")
    if not whole_class:
        st.caption("A request for single samples has no unseen part. Retraining, too, gets most "
                   "of them right: they look like the rest.")


def _seconds(result: Result) -> None:
    seconds_row({"seconds": result.seconds, "processor_seconds": result.processor_seconds}
                | result.faster.to_json())


def seconds_row(told: Mapping[str, Any]) -> None:
    """What forgetting and retraining took, and how many times faster the one was.

    ``told``: by the names of a result's JSON, as a ledger's entry has them. Entries of earlier
    versions do not say by which seconds their speed-up was, which may have been those of two runs:
    it is left out.
    """
    seconds, of = told["seconds"], told.get("speed_up_of", "")
    speed_up = told["speed_up"] if of else None
    with_preparation = told.get("speed_up_with_preparation") if of else None
    with st.container(horizontal=True):
        st.metric("Forgetting took", f"{seconds['forget']:.2f} s", width="content",
                  help="Wall time of the method alone, without drawing and measuring.")
        if seconds["retrain"] is not None:
            st.metric("Retraining took", f"{seconds['retrain']:.2f} s", width="content",
                      help="Wall time to train a model from scratch without the data; from its "
                      "record where such a model was there already.")
        if speed_up is not None:
            st.metric("Speed-up", f"{speed_up:.1f}x", width="content",
                      help=f"{of.capitalize()} of retraining over those of forgetting.")
        if with_preparation is not None:
            st.metric("With preparation", f"{with_preparation:.1f}x", width="content",
                      help=f"{of.capitalize()} of retraining over those of making the original "
                      "and then forgetting.")
    if seconds["retrain"] is None or not of:
        return
    if speed_up is None:
        st.caption(f"No speed-up: {of}.")
        return
    shown = told["processor_seconds"] if of == PROCESSOR else seconds
    st.caption(f"Speed-up by {of}: {shown['retrain']:.2f} s of retraining over "
               f"{shown['forget']:.2f} s of forgetting." + (NOT_WALL if of == PROCESSOR else ""))


NOT_WALL = " What else the machine does hardly changes them; it does change the seconds above."


def _distances(held: Session) -> None:
    """How far the unlearned model's outputs are from the retrained model's."""
    result = held.result
    if not result.measured_references:
        return
    distance = result.distance
    rows = [{"Unlearned against retrained": name,
             "On what was forgotten": _distance_text(forget, distance[forget]),
             "On the test set": _distance_text(test, distance[test])}
            for name, (forget, test) in DISTANCES.items()]
    st.table(rows, hide_index=True, border="horizontal",
             alt="Distances between the outputs of the unlearned and the retrained model")
    st.caption("Same answer: share of samples for which both give the same answer. The two "
               "divergences compare their probabilities; 0 means the same, and two retrained "
               "models are not at 0 either.")


def _distance_text(name: str, value: float | None) -> str:
    return percent(value) if name.startswith("agreement") or value is None else f"{value:.3f}"


def _where(held: Session) -> None:
    """Predictions on the forget set, and the whole test set's matrix."""
    result, subject = held.result, held.subject
    if len(result.measured_references) > 1:
        st.caption("Retrained: the first of the retrained models.")
    measured = {ORIGINAL: result.measured_original, UNLEARNED: result.measured_unlearned}
    if result.measured_references:
        measured[RETRAINED] = result.measured_references[0]
    answers = places(result.classes, result.measured_original.test.answers)
    charts.destinations(answers, {name: m.forget.counts.tolist()
                                  for name, m in measured.items()}, "the forget set")
    st.caption(f"Above: the {subject.samples} to forget, by what each model takes them for. Below: "
               f"all unseen {subject.samples}; each row is a true {subject.one}, each column what "
               "the model says.")
    for where, (name, m) in zip(st.columns(len(measured)), measured.items(), strict=True):
        with where:
            charts.matrix(result.classes, m.test.matrix.tolist(), name)


def _how(held: Session) -> None:
    """The picture that suits the method, drawn from this run."""
    views = {"curve": _learning_curve, "layers": _layers, "path": _path, "shards": shards_view,
             "newton": newton_view}
    result = held.result
    views[result.method.picture](held)
    if result.method.picture in ("layers", "path"):
        charts.curve(result.curve, "Accuracy by step", key="curve of the run")


def _learning_curve(held: Session) -> None:
    charts.curve(held.result.curve, "Learning from scratch", key="learning curve")
    st.caption("Every weight was drawn anew and trained on the samples to keep only. What it knows "
               "of the forgotten ones it owes to the others.")


def _layers(held: Session) -> None:
    charts.layers(held.result.layers)
    st.caption("How far the method moved each layer. A layer that did not move at all still holds "
               "what it learnt from the forgotten samples.")


def _path(held: Session) -> None:
    result = held.result
    points = result.curve
    line, rule = result.method.stop_line(result.request.class_index is not None)
    charts.path(points, line)
    last = points[-1].step
    losses = {name: value for name, value in last.measured.items() if name.endswith("loss")}
    shown = "".join(f" {name.replace('_', ' ').capitalize()} at the end: {value:.3f}."
                    for name, value in losses.items())
    st.caption(f"Stop rule: {rule}. Last step: {last.doing}.{shown} The path is measured on up to "
               "400 samples of each part.")


def _files(held: Session) -> None:
    result = held.result
    name = f"{result.dataset}-{result.method.name}-{result.request.spec.replace(':', '-')[:40]}"
    with st.container(horizontal=True):
        st.download_button("Result (JSON)", export.json_text(result), f"{name}.json",
                           "application/json", on_click="ignore", icon=":material/download:")
        st.download_button("Figures (CSV)", export.csv_text(result), f"{name}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:")
        st.download_button("Unlearned model (safetensors)", export.model_bytes(result),
                           f"{name}.safetensors", "application/octet-stream", on_click="ignore",
                           icon=":material/download:")
        if result.statement is not None:
            st.download_button("Certificate (JSON)", export.certificate_text(result),
                               "certificate.json", "application/json", on_click="ignore",
                               icon=":material/verified:")
        if result.files.secret is not None:
            st.download_button("What the server keeps (safetensors)", result.files.secret,
                               f"{name}.secret.safetensors", "application/octet-stream",
                               on_click="ignore", icon=":material/lock:",
                               help="Checkpoints or un-noised weights, and what was forgotten. "
                               "Needed to forget more and to verify a certificate; never hand it "
                               "out.")
    command = None if held.dataset.private is not None else _command(result)
    if command:
        st.caption("The same numbers from the command line:")
        st.code(command, language="bash")
    st.caption(f"Made on {result.device} with one thread; prepared in "
               f"{_seconds_text(result.seconds['prepare'])}.")


def _command(result: Result) -> str | None:
    """The command that gives this result; None for a chain of different methods."""
    if not result.repeatable:
        return None
    record, learner = result.start.origin, result.start.learner
    usual = learner_for(find_dataset(result.dataset), learner.name, {})
    changed = [f"learner.{name}={value}" for name, value in learner.settings().items()
               if value != getattr(usual, name)]
    knobs = [f"{name}={value}" for name, value in result.method.settings().items()
             if value != getattr(type(result.method)(), name)]
    words = ["python -m forget run", result.dataset,
             *(f"--forget {shlex.quote(request.spec)}" for request in
               (result.start.forgotten + result.request).requests),
             f"--method {result.method.name}", f"--seed {result.seed}",
             *(f"--set {knob}" for knob in (*changed, *knobs)),
             *([f"--model {downloads().name}/{record['file']}"] if "file" in record else []),
             *([f"--references {len(result.references)}"] if len(result.references) > 1 else [])]
    return " ".join(words)


def _seconds_text(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.1f} s"

