"""What came of a request: verdict, figures beside the retrained model, views, downloads."""

from collections.abc import Sequence

import streamlit as st

from forget import export
from forget.measure import SPLITS
from forget.methods.gradient_ascent import CLASS_ACCURACY
from forget.metrics.verdict import DAMAGED, MATCHES, OVER, UNDER
from forget.request import Request
from forget.result import Result
from ui import charts
from ui.charts import ORIGINAL, RETRAINED, UNLEARNED, percent

ROWS = {
    "forget_accuracy": "To forget, trained on",
    "retain_accuracy": "To keep, trained on",
    "test_forget_accuracy": "To forget, unseen",
    "test_retain_accuracy": "To keep, unseen",
}

SHOWN = {
    MATCHES: ("Matches retraining on accuracy", st.success, ":material/check_circle:"),
    UNDER: ("Under-forgot", st.warning, ":material/warning:"),
    OVER: ("Over-forgot", st.warning, ":material/warning:"),
    DAMAGED: ("Damaged the rest", st.error, ":material/dangerous:"),
}

DISTANCES = {
    "agreement_forget": ("Same answer on what was forgotten",
                         "Share of the forget set for which the unlearned and the retrained model "
                         "give the same answer."),
    "agreement_test": ("Same answer on the test set",
                       "Share of all unseen samples for which both give the same answer."),
    "kl_forget": ("KL on what was forgotten",
                  "Kullback-Leibler divergence of the unlearned model's probabilities from the "
                  "retrained model's, in nats; 0 means the same."),
    "jensen_shannon_test": ("Jensen-Shannon on the test set",
                            "A symmetric distance between both models' probabilities, 0 to 0.69 "
                            "nats; 0 means the same."),
}

PER_CLASS, WHERE, HOW, FILES = "Per digit", "Where predictions went", "How it worked", "Download"


def outcome(result: Result, busy: bool) -> None:
    """Everything about one result; parts that need the retrained model say so until it is there."""
    _verdict(result, busy)
    _accuracies(result)
    _seconds(result)
    view = st.segmented_control("View", (PER_CLASS, WHERE, HOW, FILES), default=PER_CLASS,
                                required=True, key="digits.view", label_visibility="collapsed",
                                persist_state="session", wrap=True)
    {PER_CLASS: charts.per_class, WHERE: _where, HOW: _how, FILES: _files}[view](result)


def asked(request: Request, classes: Sequence[str]) -> str:
    """The request in words."""
    count = f"{len(request):,} training {'sample' if len(request) == 1 else 'samples'}"
    if request.class_index is not None:
        return f"Forget {classes[request.class_index]} ({count})"
    return f"Forget {count}"


def _verdict(result: Result, busy: bool) -> None:
    verdict = result.verdict
    if verdict is None:
        waiting = ("The retrained model to compare with is still being trained." if busy else
                   "There is no retrained model to compare with yet, so no verdict.")
        st.info(waiting, icon=":material/hourglass_top:")
        return
    words, box, icon = SHOWN[verdict.words]
    box(f"**{words}.** {verdict.reason}", icon=icon)


def _accuracies(result: Result) -> None:
    """Accuracy on each split for the three models, with the reference's spread."""
    before, after = result.measured_original.accuracies, result.measured_unlearned.accuracies
    reference, spread = result.reference_accuracies, result.spread
    rows = []
    for split in SPLITS:
        gap = (None if reference[split] is None or after[split] is None
               else 100 * (after[split] - reference[split]))
        rows.append({
            "Accuracy on": ROWS[split],
            ORIGINAL: percent(before[split]),
            UNLEARNED: percent(after[split]),
            RETRAINED: percent(reference[split])
            + (f" ± {100 * spread[split]:.1f}" if spread[split] is not None else ""),
            "Gap": "–" if gap is None else f"{gap:+.1f}",
        })
    st.table(rows, hide_index=True, border="horizontal",
             alt="Accuracies of the original, unlearned and retrained model on each split")
    count = len(result.measured_references)
    spread_note = (f" Retrained: mean of {count} models ± their standard deviation." if count > 1
                   else "")
    st.caption("Trained on: samples that the original model learnt from. Unseen: the test set. "
               f"Gap: unlearned minus retrained, in percentage points.{spread_note}")
    if result.request.class_index is None:
        st.caption("A request for single samples has no unseen part. Retraining, too, gets most "
                   "of them right: they look like the rest.")


def _seconds(result: Result) -> None:
    seconds, distance = result.seconds, result.distance
    with st.container(horizontal=True):
        st.metric("Forgetting took", f"{seconds['forget']:.2f} s", width=160,
                  help="Wall time of the method alone, without drawing and measuring.")
        if seconds["retrain"] is not None:
            st.metric("Retraining took", f"{seconds['retrain']:.2f} s", width=160,
                      help="Wall time to train a model from scratch without the data.")
            st.metric("Speed-up", f"{result.speed_up:.1f}x", width=120,
                      help="Seconds of retraining over seconds of forgetting.")
        for name, (label, help) in DISTANCES.items():
            if distance[name] is not None:
                shown = (percent(distance[name]) if name.startswith("agreement")
                         else f"{distance[name]:.3f}")
                st.metric(label, shown, help=help, width=280)


def _where(result: Result) -> None:
    """Predictions on the forget set, and the whole test set's matrix."""
    measured = {ORIGINAL: result.measured_original, UNLEARNED: result.measured_unlearned}
    if result.measured_references:
        measured[RETRAINED] = result.measured_references[0]
    n = len(result.classes)
    charts.destinations(result, {name: m.forget.guess.bincount(minlength=n).tolist()
                                 for name, m in measured.items()})
    st.caption("Above: the samples to forget, by what each model takes them for. Below: all unseen "
               "samples; each row is a true digit, each column what the model says.")
    for where, (name, m) in zip(st.columns(len(measured)), measured.items(), strict=True):
        with where:
            charts.matrix(result.classes, m.test.matrix.tolist(), name)


def _how(result: Result) -> None:
    """The picture that suits the method, drawn from this run."""
    points = result.curves["unlearned"]
    {"curve": _learning_curve, "layers": _layers, "path": _path}[result.method.picture](result)
    if result.method.picture != "curve":
        charts.curve(points, "Accuracy by step", key="curve of the run")


def _learning_curve(result: Result) -> None:
    charts.curve(result.curves["unlearned"], "Learning from scratch", key="learning curve")
    st.caption("Every weight was drawn anew and trained on the samples to keep only. What it knows "
               "of the forgotten ones it owes to the others.")


def _layers(result: Result) -> None:
    charts.layers(result.layers)
    st.caption("How far each layer moved. Layers at 0 % are exactly the original's, and still hold "
               "what they learnt from the forgotten samples.")


def _path(result: Result) -> None:
    points = result.curves["unlearned"]
    whole = result.request.class_index is not None
    charts.path(points, CLASS_ACCURACY if whole else None)
    losses = [point.step.measured["forget_loss"] for point in points[1:]]
    rule = (f"accuracy of {percent(CLASS_ACCURACY)} or less on what is to be forgotten" if whole
            else "a loss on what is to be forgotten as high as on held-out samples")
    st.caption(f"Stop rule: {rule}. Last step: {points[-1].step.doing}. Loss on what is to be "
               f"forgotten: {losses[0]:.3f} after the first step, {losses[-1]:.3f} at the end. The "
               "path is measured on up to 400 samples of each part.")


def _files(result: Result) -> None:
    name = f"{result.dataset}-{result.method.name}-{result.request.spec.replace(':', '-')[:40]}"
    with st.container(horizontal=True):
        st.download_button("Result (JSON)", export.json_text(result), f"{name}.json",
                           "application/json", on_click="ignore", icon=":material/download:")
        st.download_button("Figures (CSV)", export.csv_text(result), f"{name}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:")
        st.download_button("Unlearned model (safetensors)", export.model_bytes(result),
                           f"{name}.safetensors", "application/octet-stream", on_click="ignore",
                           icon=":material/download:")
    settings = "".join(f" --set {knob}={value}" for knob, value in result.method.settings().items())
    if not result.start.forgotten.requests:
        st.caption("The same numbers from the command line:")
        st.code(f"python -m forget run {result.dataset} --forget {result.request.spec} "
                f"--method {result.method.name} --seed {result.seed}{settings}", language="bash")
    st.caption(f"Made on {result.device} with one thread; prepared in "
               f"{_seconds_text(result.seconds['prepare'])}.")


def _seconds_text(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.1f} s"

