"""What was wrong with files that were given: in a few lines, and each in full a click away."""

from collections.abc import Sequence

import streamlit as st

from forget.core.words import counted
from forget.data.findings import Finding, grouped, in_short, what_is_used
from ui.shell.words import told

IN_FULL = "Each of them in full"


def fold(findings: Sequence[Finding], used: int) -> None:
    """A line on a dataset of so many photos, and behind it what there is to say of them; nothing
    where that is nothing."""
    if findings:
        line = what_is_used(used, findings)
        if not any(one.photos for one in findings):
            line += f"; {counted(len(findings), 'note')} on them"
        with st.expander(told(line), icon=":material/info:"):
            st.markdown(_bullets(map(in_short, grouped(findings))))
            _in_full(findings)


def warn_of(findings: Sequence[Finding], line: str = "") -> None:
    """The same in sight, a line a kind of problem."""
    if not findings:
        return
    short = [in_short(group) for group in grouped(findings)]
    said = told(short[0]) if len(short) == 1 and not line else _bullets(short)
    st.warning("\n\n".join([*([told(line)] if line else []), said]),
               icon=":material/info:")
    _in_full(findings)


def _in_full(findings: Sequence[Finding]) -> None:
    """Every finding, where :func:`in_short` does not say all of it."""
    if any(len(group) > 1 for group in grouped(findings)):
        with st.expander(f"{IN_FULL} ({len(findings):,})"):
            st.markdown(_bullets(map(str, findings)))


def _bullets(sentences) -> str:
    return "\n".join(f"- {told(one)}" for one in sentences)
