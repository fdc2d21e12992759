"""Teach: give the model drawings or photos of your own, and see it learn them."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.ledger.book import not_intact
    from ui.shell.access import enrolment_off, who
    from ui.shell.erased import watch_for_erasures
    from ui.teach.give import choose_base, contributor, get_ready, give
    from ui.teach.learn import learn
    from ui.teach.result import before_and_after, try_the_next

    if not who().may_enrol:
        enrolment_off()
        return
    st.markdown("**Teach the model something of yours**: “this is my 7”, “this is Ana”. It learns "
                "it with all that it knows already, and you see what that changed. Whatever is "
                "given here goes by a name, and can be forgotten again by that name.")
    not_intact()
    held = choose_base()
    held.collect()
    if not get_ready(held):
        return
    st.header("1 Give it something", divider="gray")
    give(held)
    name = contributor(held)
    st.header("2 Let it learn", divider="gray")
    learn(held, name)
    if held.result is not None:
        st.header("3 Before and after", divider="gray")
        before_and_after(held)
        try_the_next(held)
        watch_for_erasures(held.still_held)


page("Teach", body)
