"""Ledger: what was asked and done, in a chain that shows any later change."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from forget.records import requests
    from ui.erase.work import Working
    from ui.jobs.shared import resumed
    from ui.ledger.book import entries, intact, keep_a_copy, open_book, unproven
    from ui.ledger.charts import over_time
    from ui.ledger.queue import queue, resuming
    from ui.shell.access import enrolment_off, who
    from ui.shell.erased import watch_for_erasures

    resuming(resumed())
    held = st.session_state.setdefault("ledger.work", Working())
    held.collect()
    st.markdown("**Each request, what was done, and its certificate**, one entry after the other. "
                "Every entry carries the hash of the one before, so that none can be altered, "
                "removed or reordered unseen. No data and no names stand in it.")
    if not who().may_enrol:
        enrolment_off()
    book = open_book()
    st.header("Is it intact?", divider="gray")
    intact(book)
    keep_a_copy(book)
    st.header("What this does not prove", divider="gray")
    unproven()
    st.header("Entries", divider="gray")
    entries(book)
    st.header("Requests that wait", divider="gray")
    queue(held)
    waiting = {one.id for one in requests.waiting()}
    watch_for_erasures(lambda: waiting <= {one.id for one in requests.waiting()})
    st.header("Over time", divider="gray")
    over_time(book)


page("Ledger", body)
