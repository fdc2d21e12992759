"""Audit: is it forgotten, or only hidden? A method on trial against models that never saw it."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.audit.trial import put_on_trial, trial
    from ui.audit.verdict import verdict
    from ui.jobs.progress import watch_job

    held = trial()
    held.collect()
    st.markdown("**Is it forgotten, or only hidden?** Accuracy alone cannot tell. An audit attacks "
                "what a method leaves behind and asks whether it can be told from models that "
                "**never saw the data**. If it can, a trace is left.")
    st.header("1 Who is on trial", divider="gray")
    put_on_trial(held)
    if not (held.job or held.result or held.notice):
        return
    st.header("2 The verdict", divider="gray")
    if held.job is not None:
        watch_job(held)
    if held.notice:
        st.warning(held.notice, icon=":material/info:")
    if held.result is not None:
        verdict(held.result)


page("Audit", body)
