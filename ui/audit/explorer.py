"""The attack, sample by sample: a threshold over the real scores, and the pictures it exposes."""

import streamlit as st
import torch
from torch import Tensor

from forget.data import evenly
from forget.evaluation.audit import Exposure, shown
from forget.report import figures
from ui.audit.trial import Tried
from ui.jobs import shared
from ui.study.request import subject_of
from ui.widgets.charts import draw
from ui.widgets.portrait import show_picture

STOPS = 100
"""Places of the slider: thinned evenly, so that each takes in about as many samples."""

GALLERY = 24
SIDE = 72


def explorer(tried: Tried) -> None:
    """A slider over the scores of two shadow models, and what its threshold does."""
    exposure = tried.audit.exposure
    st.markdown("Be the attacker: whoever scores at or above your threshold is accused of having "
                "been learnt and unlearned. Lower it to find more, and see who is wrongly accused.")
    stops = _stops(exposure.ratios)
    threshold = st.select_slider(
        "Threshold", list(stops), value=0.0, key=f"audit.threshold.{'.'.join(tried.key)}",
        format_func=lambda value: stops.get(value, ""),
        help="Log-likelihood ratio in nats: above 0 a sample's score is more likely in a model "
        "that unlearned it than in one that never saw it. The steps lie on real scores.")
    accused = exposure.ratios >= threshold
    _counts(exposure, accused)
    draw(figures.scores(exposure.ratios.flatten(), exposure.member.flatten(), threshold),
         "audit.scores")
    _gallery(tried, accused & exposure.member, "Rightly exposed")
    _gallery(tried, accused & ~exposure.member, "Wrongly accused")
    st.caption("Scores of one pair of shadow models, judged by others: what one of them "
               "unlearned, its twin never saw. If forgetting works, the two lie on top of each "
               "other, and no threshold exposes more than it wrongly accuses.")


def _stops(ratios: Tensor) -> dict[float, str]:
    """Thresholds, rising, from one that accuses everybody to one that accuses nobody, 0 among them;
    each as it is written, with as many digits as tell them all apart."""
    values = ratios.double().flatten().sort().values
    beyond = values[-1].item() + max(0.01 * (values[-1] - values[0]).abs().item(), 1.0)
    stops = sorted({*values[evenly(len(values), STOPS)].tolist(), 0.0, beyond})
    for digits in range(3, 18):
        written = [_written(stop, digits) for stop in stops]
        if len(set(written)) == len(stops):
            break
    return dict(zip(stops, written, strict=True))


def _written(score: float, digits: int = 3) -> str:
    return f"{score:+.{digits}g}" if score else "0"


def _counts(exposure: Exposure, accused: Tensor) -> None:
    member = exposure.member
    right, wrong = int((accused & member).sum()), int((accused & ~member).sum())
    learnt, never = int(member.sum()), int((~member).sum())
    with st.container(horizontal=True):
        st.metric("Rightly exposed", f"{right:,} of {learnt:,}", width="content",
                  help="Samples that were learnt and unlearned, and are found out.")
        st.metric("Wrongly accused", f"{wrong:,} of {never:,}", width="content",
                  help="The same samples in the twin model that never saw them.")


def _gallery(tried: Tried, chosen: Tensor, title: str) -> None:
    """Pictures of the samples (2, m) that are chosen, the highest scores first."""
    exposure, subject = tried.audit.exposure, subject_of(tried.data)
    here = chosen.any(0)
    if not here.any():
        st.caption(f"{title}: nobody.")
        return
    score = exposure.ratios.masked_fill(~chosen, -torch.inf).max(0).values
    best = score.argsort(descending=True)[: min(int(here.sum()), GALLERY)]
    samples = shown(shared.dataset(tried.data), exposure, best)
    of = f", the {GALLERY} with the highest scores" if int(here.sum()) > GALLERY else ""
    st.markdown(f"**{title}**: {int(here.sum()):,} {subject.samples}{of}")
    with st.container(horizontal=True, gap="small"):
        for row, (number, value) in enumerate(zip(samples.ids.tolist(), score[best].tolist(),
                                                  strict=True)):
            show_picture(subject.picture(samples.shown(row), SIDE), width=SIDE,
                         caption=_written(value), alt=f"Training {subject.sample} {number}")
