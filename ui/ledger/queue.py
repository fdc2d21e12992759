"""Requests that wait, when they are carried out, and carrying them out now."""

import streamlit as st

from forget.core.words import counted
from forget.data.people import spelling
from forget.records import bases, composition, lineage, requests
from forget.records.bases import Base
from forget.records.requests import Asked
from ui.erase.came import show_came
from ui.erase.forecast import announced
from ui.erase.held import day
from ui.erase.work import Question, Working, carrying_out, show_work
from ui.jobs.queue import Job, State
from ui.shell.access import Access, who
from ui.shell.words import plain

CARRY = "carry"


def queue(held: Working) -> None:
    """Every base's requests and policy, and what came of those that were carried out."""
    access = who()
    for base in bases.BASES.values():
        with st.container(border=True):
            st.markdown(f"**{base.title}**")
            waiting = requests.waiting(base)
            _waiting(waiting, access)
            _policy(base, waiting, access)
            _limit(base, access)
            if waiting and access.may_enrol:
                _carry_out(held, base, waiting)
    show_work(held, CARRY)
    if held.result is not None:
        show_came(held.result.came)


def resuming(job: Job | None) -> None:
    """What is said of requests that a server that was stopped had left."""
    if job is None:
        return
    if not job.over:
        st.info("This server found requests that were due when it started, and is carrying them "
                "out.", icon=":material/hourglass_top:")
    elif job.state is not State.DONE:
        st.warning("Requests were due when this server started and could not all be carried out. "
                   f"{job.message}", icon=":material/warning:")


def _waiting(waiting: list[Asked], access: Access) -> None:
    if not waiting:
        st.caption("No request waits.")
        return
    st.markdown("\n".join(
        f"{place}. {_whose(one, access)}asked {day(one.asked_at)}: "
        f"{counted(one.samples, one.base.one)}, {one.taught:,} of them learnt, by "
        f"“{one.how}”" for place, one in enumerate(waiting, 1)))


def _whose(one: Asked, access: Access) -> str:
    """The name is for this machine; who signed in sees which one is theirs."""
    if access.user is not None:
        return "**Yours**, " if spelling(access.user) == one.contributor else ""
    return f"**{plain(one.contributor)}**, " if access.local else ""


def _policy(base: Base, waiting: list[Asked], access: Access) -> None:
    batch = requests.policy(base)
    when = ("Requests are carried out at once." if batch == requests.AT_ONCE else
            f"Requests are carried out together when {batch} wait: "
            f"{counted(len(waiting), 'waits', 'wait')} now.")
    st.caption(f":material/schedule: {when}")
    if not access.local:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.number_input("Carry out when so many wait (1: at once)", requests.AT_ONCE,
                                 requests.MOST_AT_A_TIME, batch, width=320,
                                 key=f"ledger.batch.{base.name}.{batch}")
        if st.button("Set", key=f"ledger.set.{base.name}", icon=":material/check:",
                     disabled=wanted == batch):
            requests.set_policy(base, wanted)
            st.rerun()


def _limit(base: Base, access: Access) -> None:
    """How much publications with noise of their own may allow together."""
    most = composition.limit(base)
    if not composition.composes(lineage.learner_of(base)) and most is None:
        return
    st.caption(":material/join: " + (
        "Publications of the certified model may allow any ε together." if most is None else
        f"Publications of the certified model may allow ε = {most:g} together, counted since it "
        "was last trained. The request that would go beyond has it trained anew."))
    if not access.local:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.number_input("Most ε of publications together (0: no limit)", 0.0, 1e6,
                                 most or 0.0, width=320, key=f"ledger.most.{base.name}.{most}",
                                 help="Whoever keeps every published model learns more from all "
                                 "than from one. Beyond this the model is trained anew, and is "
                                 "counted from the start.")
        if st.button("Set", key=f"ledger.set_most.{base.name}", icon=":material/check:",
                     disabled=wanted == (most or 0.0)):
            composition.set_limit(base, wanted or None)
            st.rerun()


def _carry_out(held: Working, base: Base, waiting: list[Asked]) -> None:
    if requests.due(base):
        st.caption("They are due.")
    ready = announced(held, _questions(base, waiting), f"ledger.{base.name}")
    if st.button("Carry out now", type="primary", key=f"ledger.carry.{base.name}",
                 icon=":material/play_arrow:", disabled=held.busy or not ready,
                 help="All that waits here, one after the other, whatever the policy says."):
        held.result = None
        held.submit(carrying_out(base), CARRY)
        st.rerun()


def _questions(base: Base, waiting: list[Asked]) -> list[Question]:
    """What all of them together spend, where the model has a budget."""
    learner, method = lineage.learner_of(base), waiting[0].method
    if (not requests.spends(base, learner) or method is None
            or method.learner != learner.name):
        return []
    names = tuple(sorted(one.contributor for one in waiting))
    return [Question(base.name, lineage.live_row(base), method, names, composition.limit(base))]
