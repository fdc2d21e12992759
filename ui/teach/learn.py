"""Let the model learn what was given: the way, the kind of model, their cost, and the button."""

import dataclasses

import streamlit as st

from forget.core.errors import BadInput
from forget.core.words import agreeing, counted
from forget.data.people import person_name
from forget.learners import Learner, learner_for
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.learners.sisa import Sisa
from forget.methods.finetune import FineTune
from forget.records import lineage
from forget.records.bases import Base, Digits
from forget.records.contributions import Kept
from forget.records.taught import FINETUNE, RETRAIN, WAYS
from ui.jobs.progress import watch_job
from ui.shell.access import who
from ui.shell.words import plain, told
from ui.teach.work import Learning, Lesson


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of model, and what it is good for when something is to be forgotten later."""

    title: str
    learner: Learner
    later: str


def kinds(base: Base) -> list[Kind]:
    """Those that a base can be retrained as."""
    def made(name: str, **settings) -> Learner:
        return learner_for(base.source, name, settings)

    several = [
        Kind(Network.title, made("network"),
             "To forget, it is trained anew without the data, or changed approximately."),
        Kind(Sisa.title, made("sisa"),
             "Forgets exactly, and faster than training anew: only the parts that saw the data "
             "are trained again."),
        Kind(Convex.title, made("convex"),
             "Forgets in moments, and proves with a certificate that it forgot."),
    ]
    if isinstance(base, Digits):
        several.append(Kind(
            f"{Convex.title}, single step (Guo)", made("convex", mode="guo", lam=1e-4, sigma=1.0),
            "Forgets in one step and proves it too; each time spends part of a budget, and when "
            "that is gone it is trained anew."))
    return several


def learn(held: Lesson, contributor: str) -> None:
    """Choose how, see what it costs, and press the button."""
    waiting = _waiting(held)
    present = lineage.learner_of(held.base)
    how, learner = _recipe(held, present)
    other = how == RETRAIN and present is not None and learner != present
    if isinstance(held.job, Learning):
        watch_job(held)
    if held.notice:
        st.warning(held.notice, icon=":material/info:")
    if st.button("Teach", type="primary", icon=":material/school:",
                 key=f"teach.{held.base.name}.go",
                 disabled=held.busy or not (held.pile or waiting or other)):
        _start(held, contributor, how, learner)
    if not (held.pile or waiting or held.busy):
        st.caption("There is nothing new to learn"
                   + (": Teach only makes the other kind of model." if other else
                      ". Add something to the pile first."))


def _start(held: Lesson, contributor: str, how: str, learner: Learner) -> None:
    try:
        name = person_name(contributor) if held.pile else ""
    except BadInput as error:
        st.error(f"Who gives this? {told(error)}", icon=":material/error:")
        return
    held.learn(name, how, learner, only_own=who().user is not None)
    st.rerun()


def _waiting(held: Lesson) -> list[Kept]:
    """What was given before and is not learnt yet; of a person who signed in, only their own."""
    user = who().user
    those = [one for one in held.waiting() if user in (None, one.contributor)]
    if those and not held.busy:
        names = ", ".join(plain(name) for name in dict.fromkeys(one.contributor for one in those))
        noun = held.base.one
        st.info(f"{counted(len(those), f'{noun} given before is', f'{noun}s given before are')} "
                f"not learnt yet (from {names}): Teach learns "
                f"{agreeing(len(those), 'it', 'them')} too.", icon=":material/pending:")
    return those


def _recipe(held: Lesson, present: Learner | None) -> tuple[str, Learner]:
    """Train a new model of some kind or go on with the present one, each with what it costs."""
    goes_on = present is None or present.name == FineTune.learner
    there = present or learner_for(held.base.source, FineTune.learner, {})
    several = _kinds_with(held.base, present)
    key = f"teach.{held.base.name}.kind"
    kind = several.get(st.session_state.get(key)) or next(
        kind for kind in several.values() if kind.learner == there)
    costs = {RETRAIN: ("From nothing, as the kind of model chosen below", kind.learner),
             FINETUNE: ("A short training from where it stands", there)}
    ways = [RETRAIN, FINETUNE] if goes_on else [RETRAIN]
    how = st.radio("How", ways, format_func=WAYS.get, key=f"teach.{held.base.name}.how.{goes_on}",
                   captions=[f"{about}: {_seconds(held.cost(way, learner))}."
                             for way, (about, learner) in costs.items() if way in ways],
                   persist_state="session")
    if not goes_on:
        st.caption("The present model cannot go on training: it is of another kind than the "
                   "ordinary network.")
    if how == FINETUNE:
        return how, there
    st.radio("Kind of model", list(several), index=list(several).index(kind.title), key=key,
             captions=[one.later for one in several.values()], persist_state="session")
    return how, kind.learner


def _kinds_with(base: Base, present: Learner | None) -> dict[str, Kind]:
    """The kinds by title; that of the present model is as that one was made."""
    several = kinds(base)
    if present is not None:
        several = [dataclasses.replace(kind, learner=present)
                   if _sort(kind.learner) == _sort(present) else kind for kind in several]
        if present not in [kind.learner for kind in several]:
            several.append(Kind("As the present model", present, "The recipe that it was made by."))
    return {kind.title: kind for kind in several}


def _sort(learner: Learner) -> tuple[str, str]:
    """What tells kinds of models apart."""
    return learner.name, getattr(learner, "mode", "")


def _seconds(seconds: float | None) -> str:
    """
    >>> _seconds(8.6), _seconds(0.2), _seconds(None)
    ('about 9 s', 'about 1 s', 'how long it takes is not known yet')
    """
    if seconds is None:
        return "how long it takes is not known yet"
    return f"about {max(round(seconds), 1)} s"
