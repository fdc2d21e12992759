"""Ask to have everything of a contributor forgotten: methods, budget, policy, and the button."""

import dataclasses

import streamlit as st

from forget.core.words import counted
from forget.learners import LEARNERS, Learner
from forget.methods import METHODS, Method
from forget.methods.retrain import Retrain
from forget.records import bases, composition, lineage, requests
from forget.records.bases import Base
from forget.records.requests import Asked
from forget.records.trace import Held
from ui.erase.forecast import announced
from ui.erase.held import base_of, day
from ui.erase.work import Question, Working, forgetting
from ui.run.forget_form import choose_references
from ui.run.method_form import knob_form
from ui.shell.words import plain

FORGET = "forget"
SURE = ("I know that this cannot be undone: the samples, what was made from them, and the key by "
        "which the ledger's entries are known to be about them are destroyed. Nobody can bring "
        "them back, and they do not come back with an earlier model either.")


@dataclasses.dataclass(frozen=True)
class Part:
    """One base that they gave to: how many samples it holds of them, the kind of its model and
    whether that learnt from them, the request that waits already, and all that wait in it."""

    base: Base
    samples: int
    learner: Learner | None
    learnt: bool
    mine: Asked | None
    queue: tuple[Asked, ...]
    batch: int

    @property
    def due(self) -> bool:
        """Whether it is carried out when it is asked for now."""
        return len(self.queue) + (self.mine is None) >= self.batch

    @property
    def any_method(self) -> Method:
        """One that suits, where it does not matter which."""
        return METHODS[requests.EXACT[self.learner.name]]() if self.learner else Retrain()


def ask(held: Working, there: Held) -> None:
    """The whole form, from methods to the button."""
    parts = [_part(base, there) for base in bases.BASES.values()
             if any(one.base == base.name for one in there.samples)]
    methods = {}
    for part in parts:
        with st.container(border=True):
            st.markdown(f"**{part.base.title}** ({counted(part.samples, part.base.one)})")
            methods[part.base.name] = _method(part)
            st.caption(f":material/schedule: {_policy(part)}")
    if not parts:
        st.caption("Nothing but the files that are kept on disk: they are deleted at once.")
    if not (there.photos or any(part.mine is None or part.due for part in parts)):
        st.info("All of it is asked for and waits. The page Ledger shows the queue and can carry "
                "it out now.", icon=":material/hourglass_top:")
        return
    references = 1
    if any(part.learnt for part in parts):
        with st.container(width=420):
            references = choose_references("forget_me")
    questions = [_question(part, methods[part.base.name], there.name) for part in parts
                 if part.learnt and requests.spends(part.base, part.learner)]
    ready = announced(held, questions, "forget_me")
    _press(held, there, methods, references, ready)


def _part(base: Base, there: Held) -> Part:
    queue = tuple(requests.waiting(base))
    learnt = any(base_of(file) == base.name for file in there.models)
    mine = [one for one in queue if one.contributor == there.name]
    return Part(base, sum(one.base == base.name for one in there.samples),
                lineage.learner_of(base), learnt, mine[0] if mine else None, queue,
                requests.policy(base))


def _method(part: Part) -> Method:
    """The method that is chosen; every one is named, and why it cannot be taken here."""
    if part.mine is not None:
        st.markdown(f"Asked for on {day(part.mine.asked_at)}, by “{part.mine.how}”. It "
                    "keeps its place in the queue.")
        method = part.mine.method
        suits = part.learner and method is not None and method.learner == part.learner.name
        return method if suits else part.any_method
    if not part.learnt:
        st.markdown("No model has learnt from them: they are deleted, and nothing is to be "
                    "unlearned.")
        return part.any_method
    suits = [name for name, cls in METHODS.items() if cls.learner == part.learner.name]
    key = f"forget_me.method.{part.base.name}.{part.learner.name}"
    name = st.radio("Method", suits, suits.index(requests.EXACT[part.learner.name]), key=key,
                    format_func=lambda one: METHODS[one].title, persist_state="session",
                    captions=[METHODS[one].summary for one in suits])
    rest = [one for one in METHODS if one not in suits]
    st.radio("Not for this model", rest, None, format_func=lambda one: METHODS[one].title,
             key=f"{key}.not", disabled=True, horizontal=True)
    st.caption(_because(rest, part.learner))
    cls = METHODS[name]
    return cls(**(knob_form(cls, f"{key}.{name}") if cls.knobs() else {}))


def _because(names: list[str], present: Learner) -> str:
    """Why methods do not suit the present model, and what to do to use them: a line a learner."""
    lines = [f"This model is of the kind “{present.title}”. To use one of these, teach with the "
             "kind of model that it needs:"]
    for learner in dict.fromkeys(METHODS[name].learner for name in names):
        those = [METHODS[name] for name in names if METHODS[name].learner == learner]
        why = f": {those[0].because}" if those[0].because else ""
        lines.append(f"- {' / '.join(cls.title for cls in those)}: “{LEARNERS[learner].title}”"
                     f"{why}.")
    return "\n".join(lines)


def _policy(part: Part) -> str:
    """When it is carried out."""
    if part.batch == requests.AT_ONCE:
        return "Requests are carried out at once."
    waiting = len(part.queue)
    now = " With this one they are carried out." if part.mine is None and part.due else ""
    return (f"Requests wait until {part.batch} are there, and are carried out together: "
            f"{counted(waiting, 'waits', 'wait')}.{now}")


def _question(part: Part, method: Method, name: str) -> Question:
    """All that goes with it is counted: who waits goes first, or together with it."""
    names = {*(one.contributor for one in part.queue), name}
    return Question(part.base.name, lineage.live_row(part.base), method, tuple(sorted(names)),
                    composition.limit(part.base))


def _press(held: Working, there: Held, methods: dict[str, Method], references: int,
           ready: bool) -> None:
    sure = st.checkbox(SURE, key=f"forget_me.sure.{held.round}")
    if not ready:
        st.caption("The button can be pressed when it is worked out what the request spends.")
    if st.button(f"Forget everything of {plain(there.name)}", type="primary",
                 icon=":material/delete_forever:", key=f"forget_me.go.{held.round}",
                 disabled=held.busy or not sure or not ready):
        asked = requests.ask(there.name, methods) if there.samples else []
        held.result = None
        held.another()
        held.submit(forgetting(there, asked, references), FORGET)
        st.rerun()
