"""Side by side: the forgotten person's photos, who looks like them, everybody else, strangers."""

import dataclasses

import streamlit as st
import torch

from forget.metrics.accuracy import Predictions
from forget.metrics.unknown import NOBODY, evidence, places
from forget.unlearning.result import Result
from ui.run.session import Session
from ui.shell.words import plain
from ui.widgets import charts
from ui.widgets.charts import ORIGINAL, RETRAINED, UNLEARNED, percent
from ui.widgets.portrait import portrait, show_picture

LOOK_ALIKES = 5
SHOWN = 10
"""Photos in a row."""


def side_by_side(held: Session) -> None:
    """What each model makes of the forgotten person, of who looks like them, and of the rest."""
    result = held.result
    tests = {ORIGINAL: result.measured_original.test, UNLEARNED: result.measured_unlearned.test}
    if result.measured_references:
        tests[RETRAINED] = result.measured_references[0].test
    index = result.request.class_index
    if index is None:
        _single_photos(held, result)
        return
    rows = (held.dataset.test.y.cpu() == index).nonzero().flatten()
    st.markdown(f"**Photos of {plain(result.classes[index])} that no model has seen**")
    _table(held, held.dataset.test, rows[:SHOWN],
           {name: test.take(rows[:SHOWN]) for name, test in tests.items()})
    _unknown(held)
    charts.destinations(
        places(result.classes, tests[ORIGINAL].answers),
        {name: test.take(rows).counts.tolist() for name, test in tests.items()},
        "these photos")
    _look_alikes(held, index, tests)


def _single_photos(held: Session, result: Result) -> None:
    """The forgotten photos themselves; their person stays known by the others."""
    st.markdown("**The photos that were forgotten**")
    rows = result.request.ids[:SHOWN]
    forget = {ORIGINAL: result.measured_original.forget,
              UNLEARNED: result.measured_unlearned.forget}
    if result.measured_references:
        forget[RETRAINED] = result.measured_references[0].forget
    _table(held, held.dataset.train, rows,
           {name: said.take(slice(SHOWN)) for name, said in forget.items()})
    st.caption("The person stays known by their other photos, and so a retrained model knows them "
               "in these too. Forget the person to make them a stranger.")


def _table(held: Session, samples, rows: torch.Tensor, said: dict[str, Predictions]) -> None:
    """A column a photo: the photo, and below it whom each model sees in it."""
    columns = {name: _words(held, predictions) for name, predictions in said.items()}
    with st.container(horizontal=True, gap="small"):
        for place, row in enumerate(rows.tolist()):
            with st.container(width=128, gap=None):
                show_picture(portrait(samples.shown(row), 96), alt=f"Photo {place + 1}")
                for name, words in columns.items():
                    st.caption(f"{name}: {words[place]}")


def _words(held: Session, said: Predictions) -> list[str]:
    """Whom a model sees in each photo."""
    people = held.dataset.classes
    return [f"{plain(people[index])} ({p:.0%})" if index < len(people) else NOBODY
            for index, p in zip(said.guess.tolist(), evidence(said).tolist(), strict=True)]


def _unknown(held: Session) -> None:
    """How often each model knows nobody in the person's photos, beside strangers."""
    result, known = held.result, held.result.threshold
    if known is None:
        return
    with st.container(horizontal=True):
        for name, share in zip((ORIGINAL, UNLEARNED, RETRAINED), result.rejected.values(),
                               strict=True):
            st.metric(f"{name}: nobody known", percent(share), width="content",
                      help="Share of the forgotten person's unseen photos in which this model "
                      "knows nobody.")
        st.metric("Strangers: nobody known", percent(1 - known.false_accept), width="content",
                  help="The same for people who were left out of training from the start: what "
                  "the forgotten person should be like.")


@dataclasses.dataclass(frozen=True)
class LookAlike:
    """A person near another one: ``likeness`` is the cosine between their mean rows."""

    index: int
    likeness: float


def look_alikes(held: Session, index: int) -> list[LookAlike]:
    """The people whose training photos lie nearest to one person's, the nearest first."""
    train = held.dataset.train
    rows = torch.nn.functional.normalize(train.x.cpu(), dim=1)
    y = train.y.cpu()
    people = len(held.dataset.classes)
    means = torch.zeros(people, rows.shape[1]).index_add_(0, y, rows)
    means = torch.nn.functional.normalize(means, dim=1)
    likeness = means @ means[index]
    likeness[index] = -1.0
    best = likeness.topk(min(LOOK_ALIKES, people - 1))
    return [LookAlike(i, value) for i, value in
            zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def _look_alikes(held: Session, index: int, tests: dict[str, Predictions]) -> None:
    """The nearest people, and how well each model knows them before and after; then all others."""
    st.markdown("**Who looks like them, and everybody else**")
    near = look_alikes(held, index)
    with st.container(horizontal=True, gap="small"):
        for one in near:
            row = int((held.dataset.train.y.cpu() == one.index).nonzero()[0])
            with st.container(width=110, gap=None):
                name = held.dataset.classes[one.index]
                show_picture(portrait(held.dataset.train.shown(row), 96), alt=f"A photo of {name}")
                st.caption(f"{plain(name)}: {one.likeness:.2f}")
    gone = set(held.result.forgotten.classes)
    y = held.dataset.test.y.cpu()
    groups = {plain(held.dataset.classes[one.index]): y == one.index for one in near
              if one.index not in gone}
    groups["All who stay"] = ~torch.isin(y, torch.tensor(sorted(gone)))
    rows = [{"Right on unseen photos of": group}
            | {name: percent(test.take(mask).accuracy) for name, test in tests.items()}
            for group, mask in groups.items()]
    st.table(rows, hide_index=True, border="horizontal",
             alt="Accuracy on look-alikes and on everybody who stays")
    st.caption("The number under a face says how alike it is to the forgotten one: the cosine of "
               "the mean rows of both, 1 for the same. The network that makes the rows is public "
               "and is not changed by forgetting, so these neighbours are the same before and "
               "after; what changes is what the head makes of them.")
