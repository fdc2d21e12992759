"""Forget me: what is held about a contributor, and getting rid of all of it."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from forget.records.trace import held as held_of
    from ui.erase.ask import ask
    from ui.erase.held import choose_contributor, nobody, show_held, still_held
    from ui.erase.work import Working
    from ui.jobs.shared import resumed
    from ui.ledger.book import not_intact
    from ui.shell.access import enrolment_off, who
    from ui.shell.erased import watch_for_erasures

    resumed()
    held = st.session_state.setdefault("forget_me.work", Working())
    held.collect()
    st.markdown("**Everything that somebody gave, forgotten**: their samples, what was made from "
                "them, and what the models learnt from them. Each step shows what there is, so "
                "that nobody has to believe it.")
    if not who().may_enrol:
        enrolment_off()
        return
    not_intact()
    st.header("1 What is held", divider="gray")
    name = choose_contributor(held)
    there = None if name is None else held_of(name)
    if there is None or there.empty:
        nobody(held, name)
    else:
        show_held(held, there)
        st.header("2 Forget", divider="gray")
        ask(held, there)
    _outcome(held)
    watch_for_erasures(lambda: still_held(held, there))


def _outcome(held) -> None:
    """The job while it runs, what is said about it, and what came of it."""
    from ui.erase.ask import FORGET
    from ui.erase.came import show_forgotten
    from ui.erase.work import show_work

    asked = held.place == FORGET and (held.job is not None or held.notice)
    if not (asked or held.result):
        return
    st.header("3 What came of it", divider="gray")
    show_work(held, FORGET)
    if held.result is not None:
        show_forgotten(held.result)


page("Forget me", body)
