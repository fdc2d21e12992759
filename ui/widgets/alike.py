"""A hint where a name is nearly one that is known, and the way to mean that one."""

from collections.abc import Iterable

import streamlit as st

from forget.core.spelling import alike, another, spelling
from ui.shell.words import plain, told


def hint(key: str, known: Iterable[str]) -> None:
    """Below the text input of a key: whose name nearly stands in it, and a button to take that."""
    name = spelling(st.session_state.get(key) or "")
    for one in alike(name, known):
        with st.container(border=True):
            st.caption(f":material/group: {told(another(name, one))}")
            st.button(f"I mean {plain(one)}", key=f"{key}.alike.{one}", on_click=_take,
                      args=(key, one), type="secondary")


def _take(key: str, name: str) -> None:
    st.session_state[key] = name
