"""The canvas to draw a digit on, with Undo and Clear below it.

The component's own Python part opens whatever picture the browser sends, so only its part in the
browser is used; without its toolbar, which would lie over the paper and swallow strokes.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import streamlit as st

from forget.core.errors import BadImage, EmptyDrawing
from forget.data import canvas
from forget.io.images import digit_from_drawing
from ui.shell.words import told

SIDE = 260
PEN = 18
PAPER = "#ffffff"


@dataclasses.dataclass
class Pad:
    """A canvas: ``digit``: the drawing on it, (28, 28) uint8 or None.  ``strokes``: the same as the
    canvas has it.  ``shown``: the strokes that it began with, or went back to.  ``generation``:
    counts the times that it was cleared, ``undone`` those that it went back."""

    digit: np.ndarray | None = None
    strokes: list[dict[str, Any]] | None = None
    shown: list[dict[str, Any]] | None = None
    generation: int = 0
    undone: int = 0

    def clear(self) -> None:
        self.digit = self.strokes = self.shown = None
        self.generation += 1

    def undo(self) -> None:
        """Take back the last stroke."""
        self.shown = self.strokes = (self.strokes or [])[:-1]
        self.undone += 1  # the canvas must go back to the same strokes a second time too


def draw_on(pad: Pad, name: str) -> np.ndarray | None:
    """A canvas that keeps its strokes; the digit on it, (28, 28) uint8, None while there is none.

    ``name`` begins the keys of its widgets.
    """
    key = f"{name}.canvas.{pad.generation}"
    if key not in st.session_state:
        pad.shown = pad.strokes
    state = _mount(pad, key)
    _take(pad, state)
    with st.container(horizontal=True):
        st.button("Undo", icon=":material/undo:", key=f"{name}.stroke_back", on_click=pad.undo,
                  disabled=not pad.strokes)
        st.button("Clear", icon=":material/ink_eraser:", key=f"{name}.clear", on_click=pad.clear)
    return pad.digit


@functools.cache
def _component() -> Any:
    """The component, once: it can be had only while a page runs."""
    return st.components.v2.component(
        "streamlit-drawable-canvas.streamlit_drawable_canvas", js="index-*.js", css="index-*.css",
        html="<style>.dc-toolbar { display: none !important; }</style>"
             "<div class='canvas-root'></div>")


def _mount(pad: Pad, key: str) -> Any:
    first = {"objects": pad.shown or [], "background": PAPER, "undone": pad.undone}
    return _component()(
        key=key, default={"drawing": None}, on_drawing_change=lambda: None,
        on_backgroundFit_change=lambda: None, width="content", height="content",
        data={"canvasWidth": SIDE, "canvasHeight": SIDE, "drawingMode": "freedraw",
              "strokeWidth": PEN, "strokeColor": "#000000", "fillColor": "#eee",
              "backgroundColor": PAPER, "backgroundImageURL": None,
              "backgroundImageFit": "stretch", "initialDrawing": first,
              "realtimeUpdateStreamlit": True, "returnImageData": True, "disabled": False,
              "displayRadius": 3, "maxDisplayHeight": None, "fontSize": 20, "label": ""})


def _take(pad: Pad, state: Any) -> None:
    """What the browser says is on the canvas, where it is a drawing."""
    try:
        rgba = canvas.drawing(state, SIDE)
        if rgba is None:  # it shows the last drawing and has not said so yet
            return
        pad.digit, pad.strokes = None, canvas.strokes(state)
        pad.digit = digit_from_drawing(rgba)
    except EmptyDrawing:
        pass
    except BadImage as error:
        pad.digit = None
        st.error(told(error), icon=":material/error:")
