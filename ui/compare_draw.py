"""Figures of a comparison or an audit on a page."""

import streamlit as st

from forget.figures import Drawn


def draw(drawn: Drawn, key: str) -> None:
    """Show a figure with its sentence for those who cannot see it, without the toolbar."""
    st.plotly_chart(drawn.figure, alt=drawn.alt, key=key,
                    config={"displayModeBar": False, "scrollZoom": False})
