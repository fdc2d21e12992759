"""What was erased elsewhere goes from every open page, also from one that nobody touches."""

from collections.abc import Callable

import streamlit as st

EVERY = 3
"""Seconds after which an open page has noticed at the latest."""


@st.fragment(run_every=EVERY)
def watch_for_erasures(still_held: Callable[[], bool]) -> None:
    """Run the page again as soon as something on it was erased, by another tab or program."""
    if not still_held():
        st.rerun()
