"""A page with one widget of every kind that the program's pages have, and what it holds below it.

``streamlit run`` starts it behind the same checks as the program.
"""

import json

import pandas as pd
import streamlit as st
from starlette.middleware import Middleware
from streamlit.starlette import App

from ui.shell.messages import Messages


def _kind(sent) -> str | None:
    return sent and sent.type


def widgets() -> dict:
    """One of every kind, under its name and what it holds."""
    held = {
        "number_input": st.number_input("Whole", 1, 9, 2),
        "number_input float": st.number_input("Any", 0.0, 9.0, 2.0),
        "text_input": st.text_input("Line", "before"),
        "checkbox": st.checkbox("Tick"),
        "toggle": st.toggle("Switch"),
        "radio": st.radio("One of two", ["a", "b"]),
        "selectbox": st.selectbox("From a list", ["a", "b"]),
        "multiselect": st.multiselect("Some of a list", ["a", "b"]),
        "select_slider": st.select_slider("Along a line", [1, 2, 4]),
        "pills": st.pills("Some of two", ["a", "b"], selection_mode="multi"),
        "segmented_control": st.segmented_control("Of a row", ["a", "b"], default="a",
                                                  required=True),
        "button": st.button("Press"),
        "download_button": st.download_button("Take", "data", "data.txt"),
        "file_uploader": _kind(st.file_uploader("A file")),
        "camera_input": _kind(st.camera_input("A photo")),
    }
    with st.form("form"):
        held["form_submit_button"] = st.form_submit_button("Send")
    chosen = st.dataframe(pd.DataFrame({"n": [1, 2]}), on_select="rerun",
                          selection_mode="single-row", key="table")
    held["dataframe"] = chosen.selection.rows
    return held


def page() -> None:
    """Whether a button was pressed is remembered: it is over with the next run."""
    seen = st.session_state.setdefault("seen", {})
    for name, value in widgets().items():
        if value or name not in seen:
            seen[name] = value
    st.code(json.dumps(seen))


if __name__ == "__main__":
    page()
else:
    app = App(__file__, middleware=[Middleware(Messages)])
