"""What was wrong with the files that somebody gave, in brief, and in full where one asks."""

from collections.abc import Sequence

import streamlit as st

from forget.findings import in_brief

LINES = 4
"""Kinds of fault that are shown unasked."""

ROOM = 8
"""Findings that a fold has room for without scrolling."""


def show_findings(findings: Sequence[str]) -> None:
    """A line for each kind of fault, and all of them in a fold where there are more: Markdown."""
    brief = in_brief(findings)[:LINES]
    if brief:
        st.warning(brief[0] if len(brief) == 1 else _listed(brief), icon=":material/info:")
    if len(findings) > len(brief):
        folded(findings)


def folded(findings: Sequence[str]) -> None:
    """All of them in a fold, a line each."""
    if not findings:
        return
    label = ("1 note on the files" if len(findings) == 1 else
             f"All {len(findings)} notes on the files")
    height = 240 if len(findings) > ROOM else "content"
    with st.expander(label), st.container(height=height, border=False):
        st.markdown(_listed(findings))


def _listed(findings: Sequence[str]) -> str:
    return "\n".join(f"- {finding}" for finding in findings)
