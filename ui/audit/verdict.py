"""What an audit found: the checks, and the evidence behind each."""

import json

import streamlit as st
from torch import Tensor

from forget.evaluation.audit import KINDS, NO_CLASS, NO_FEATURES, Audit
from forget.metrics.interval import Interval
from forget.metrics.membership import Roc
from forget.metrics.verdict import CONVICTED, PASSED, UNSUITED, UNTOLD
from forget.report import figures
from forget.report.figures import KINDS as NAMES
from ui.audit.explorer import explorer
from ui.audit.trial import Tried
from ui.shell.words import plain
from ui.widgets.charts import draw, percent

SHOWN = {
    PASSED: (st.success, ":material/check_circle:"),
    CONVICTED: (st.error, ":material/gavel:"),
    UNTOLD: (st.warning, ":material/help:"),
    UNSUITED: (st.info, ":material/do_not_disturb_on:"),
}


def verdict(tried: Tried) -> None:
    """The headline, every check, and one view of the evidence."""
    audit = tried.audit
    st.subheader(tried.title)
    st.caption("Kept in this tab only: after a reload, put the method on trial again. The small "
               "models are kept, so that takes moments.")
    convicted = [check.name.lower() for check in audit.checks if check.passed is False]
    if convicted:
        st.markdown(f"### :material/gavel: Convicted: {', '.join(convicted)}")
    elif not audit.told:
        st.markdown("### :material/help: Cannot be told here")
    else:
        st.markdown("### :material/check_circle: No trace found")
    for check in audit.checks:
        box, icon = SHOWN[check.outcome]
        box(f"**{check.name}: {check.outcome}.** {check.text}", icon=icon)
    st.caption("A check convicts only where a figure lies outside what chance allows (99 % "
               "intervals, in brackets) and differs by enough to matter. It passes only where it "
               "would have found, 4 times in 5, what convicts or half of what the original "
               "shows. No trace found means that these checks found none.")
    _views(tried)


def _views(tried: Tried) -> None:
    views = {"Membership attack": _attack, "Sample by sample": _klom, "Relearning": _relearning,
             "Linear probe": _probe, "Attack explorer": explorer, "Download": _files}
    view = st.segmented_control("Evidence", list(views), default=next(iter(views)), required=True,
                                key="audit.view", persist_state="session", wrap=True)
    views[view](tried)


def _attack(tried: Tried) -> None:
    audit = tried.audit
    rocs = {NAMES[kind]: getattr(audit, kind) for kind in KINDS}
    draw(figures.roc_curves(rocs), "audit.roc")
    st.table([{"Attack on": NAMES[kind], **_figures(getattr(audit, kind)),
               "Weak attack, AUC": f"{audit.population[kind]:.3f}"} for kind in KINDS],
             hide_index=True, border="horizontal", alt="Figures of the membership attack")
    st.caption(
        f"An attacker sees a model's answers and bets, for each sample, on whether the model once "
        f"learnt it. {audit.models} shadow models on {audit.samples:,} training samples taught "
        "it the difference. **AUC**: how often a learnt sample looks more learnt than one never "
        "seen; 0.5 is guessing, 1 is certainty. **Balanced accuracy**: how often its bet is "
        "right; 50 % is guessing. **Found at 1 % false**: the share of learnt samples that it "
        "finds while it wrongly accuses one in a hundred; 1 % is guessing. In brackets: 99 % "
        "intervals.")
    st.caption("Retrained: the same attack on models that never saw the data. It has nothing to "
               "find there, so it shows what chance gives. **Weak attack**: one threshold on how "
               "sure the models are, for all samples alike. Some samples are easy and some hard "
               "whoever learnt them, so it misses what the other finds: near 0.5 it says little.")


def _figures(roc: Roc) -> dict[str, str]:
    shown = {
        "AUC": _interval(roc.auc, lambda value: f"{value:.3f}"),
        "Balanced accuracy": _interval(roc.balanced_accuracy, percent),
        "Found at 1 % false": _interval(roc.tpr_at_1, percent),
    }
    if roc.tpr_at_01 is not None:
        shown["Found at 0.1 % false"] = _interval(roc.tpr_at_01, percent)
    return shown


def _interval(value: Interval, written) -> str:
    if value.low is None:
        return written(value.value)
    return f"{written(value.value)} ({written(value.low)} to {written(value.high)})"


def _klom(tried: Tried) -> None:
    audit = tried.audit
    draw(figures.klom_histogram(audit.klom, audit.klom_floor), "audit.klom")
    st.caption(
        "KLoM: for each sample, how far the unlearned models' certainty about it is spread "
        "differently from the retrained models' (Kullback-Leibler divergence of margins, in nats, "
        f"10 bins). Median {_median(audit.klom)}, where models that never saw the samples have "
        f"{_median(audit.klom_floor)}: no method can be expected below that. It convicts nobody; "
        "it shows which samples are treated differently.")


def _median(values: Tensor) -> str:
    known = values[values.isfinite()]
    return f"{known.median().item():.2f}" if len(known) else "–"


def _relearning(tried: Tried) -> None:
    audit = tried.audit
    if not any(audit.steps.values()):
        st.info(NO_CLASS, icon=":material/do_not_disturb_on:")
        return
    draw(figures.relearning(audit.relearned, None), "audit.relearning")
    rows = [{"Model": NAMES[kind], "Steps until it is back": _mean(audit.steps[kind], "{:.1f}"),
             "Models": str(len(audit.steps[kind]))} for kind in KINDS]
    st.table(rows, hide_index=True, border="horizontal", alt="Steps of relearning by model")
    ratio = audit.ratio
    figures_of = "" if ratio is None else (
        f" Unlearned over retrained: {_interval(ratio, lambda value: f'{value:.2f}')}; 1 is ideal, "
        "below it memory is left, far above it is a scar.")
    st.caption("Each model is shown the forgotten class again, a small step at a time. What only "
               f"hid it knows it again sooner.{figures_of} Bands reach from the lowest to the "
               "highest model; a model that is back stops learning.")


def _mean(values: list[float], written: str) -> str:
    return written.format(sum(values) / len(values)) if values else "–"


def _probe(tried: Tried) -> None:
    audit = tried.audit
    if not any(audit.probed.values()):
        whole = tried.request.class_index is not None
        st.info(NO_FEATURES if whole else NO_CLASS, icon=":material/do_not_disturb_on:")
        return
    rows = [{"Model": NAMES[kind],
             "Unseen samples of the class found": _mean(
                 [100 * value for value in audit.probed[kind]], "{:.1f} %"),
             "Models": str(len(audit.probed[kind]))} for kind in KINDS]
    st.table(rows, hide_index=True, border="horizontal", alt="What a linear probe finds, by model")
    difference = "" if audit.probe is None else (
        f" Unlearned minus retrained: "
        f"{_interval(audit.probe, lambda value: f'{100 * value:+.1f}')} points.")
    st.caption("The model's last layer is thrown away and a fresh one is taught, on few samples, "
               "to name the classes from what lies under it. If it finds the forgotten class "
               f"better than under a retrained model, the class was hidden.{difference}")


def _files(tried: Tried) -> None:
    audit: Audit = tried.audit
    name = f"audit-{tried.data}-{audit.method.name}"
    shown = {"dataset": tried.data, "forget": {"spec": tried.request.spec,
                                               "train_samples": len(tried.request)}}
    st.download_button("Audit (JSON)", json.dumps(shown | audit.to_json(), indent=2) + "\n",
                       f"{name}.json", "application/json", on_click="ignore",
                       icon=":material/download:", key="audit.json")
    settings = ", ".join(f"{plain(knob)} = {value}" for knob, value in
                         audit.to_json()["params"].items())
    st.caption(f"All figures and settings, without the scores of single samples. Settings: "
               f"{settings or 'none'}.")
