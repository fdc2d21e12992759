"""Compare: any methods on one request over several seeds, beside retraining."""

import streamlit as st

from ui.frame import page


def body() -> None:
    """The page, from top to bottom."""
    from ui.compare.pair import pair
    from ui.compare.run import comparing, set_up
    from ui.compare.table import table
    from ui.jobs.progress import watch_job

    held = comparing()
    held.collect()
    st.markdown("**Which method forgets best?** Each one forgets the same data, and each is "
                "measured beside a model that was **retrained without them**: the closer to that "
                "one, the better, and how fast it got there.")
    st.header("1 What to compare", divider="gray")
    set_up(held)
    if not (held.job or held.result or held.notice):
        return
    st.header("2 Every method beside retraining", divider="gray")
    if held.job is not None:
        watch_job(held)
    if held.notice:
        st.warning(held.notice, icon=":material/info:")
    if held.result is None:
        return
    table(held)
    if held.result[1]["rows"]:
        st.header("3 Two side by side", divider="gray")
        pair(held)


page("Compare", body)
