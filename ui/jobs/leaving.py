"""What lies only in this tab goes with a reload: the browser asks before it does."""

import streamlit as st

from ui.jobs.queue import Holder

SCRIPT = """
const ask = (event) => event.preventDefault();
export default function () {
  window.addEventListener("beforeunload", ask);
  return () => window.removeEventListener("beforeunload", ask);
}
"""


def ask_before_leaving() -> None:
    """Have the browser ask before this tab is reloaded or closed, while a page of it holds what is
    nowhere else."""
    if any(held.unsaved for held in map(st.session_state.get, list(st.session_state))
           if isinstance(held, Holder)):
        st.components.v2.component("forget_leaving", js=SCRIPT)(key="leaving")
