"""What a browser says of the canvas: whoever has a WebSocket can say anything, so it is checked
before anything is decoded.

A state is a dictionary; ``state["drawing"]["data"]`` is a data URL of what the canvas shows, and
``state["drawing"]["raw"]`` its strokes, for the canvas to draw them again.
"""

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from forget.core.errors import BadImage
from forget.io.images import read_png

PREFIX = "data:image/png;base64,"
BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
COLOURS = (2, 6)
"""A PNG's numbers for RGB and RGBA, one of which browsers write, with 8 bits a channel."""

ROOM = 1 << 16
"""Bytes that a PNG may have beside its pixels."""

MOST_STROKES = 1_000
MOST_STEPS = 30_000
"""Parts of all strokes together, one for each place that the browser saw the pen at."""

MOST_LETTERS = 40
LARGEST = 1e6


def drawing(state: object, side: int) -> np.ndarray | None:
    """The drawing as (side, side, 4) uint8, or None where the canvas has sent none yet.

    Raises :class:`~forget.core.errors.BadImage` for what no canvas of this size sends.
    """
    sent = state.get("drawing") if isinstance(state, Mapping) else state
    data = sent.get("data") if isinstance(sent, Mapping) else sent
    if data is None:
        return None
    return np.asarray(read_png(_png(data, side)))


def _png(data: object, side: int) -> bytes:
    most = len(PREFIX) + 4 * -(-(side * (4 * side + 1) + ROOM) // 3)
    if not isinstance(data, str) or len(data) > most or not data.startswith(PREFIX):
        raise _no_drawing()
    try:
        png = base64.b64decode(data[len(PREFIX):], validate=True)
    except ValueError as error:
        raise _no_drawing() from error
    if not png.startswith(BEGINNING) or len(png) < 29 or png.count(b"IHDR") > 1:
        raise _no_drawing()  # of two headers Pillow would believe the second
    *size, depth, colour, packing, filters, interlaced = struct.unpack_from(">IIBBBBB", png, 16)
    if size != [side, side] or depth != 8 or colour not in COLOURS:
        raise _no_drawing()
    if packing or filters or interlaced:
        raise _no_drawing()
    return png


def _no_drawing() -> BadImage:
    return BadImage("what the browser sent is no drawing of this canvas: clear it and draw again")


def strokes(state: object) -> list[dict[str, Any]] | None:
    """The strokes as the canvas can draw them again; None where it has sent none, or anything else.

    Only pen strokes are taken, and of each only plain values: nothing in them says what to load.
    """
    sent = state.get("drawing") if isinstance(state, Mapping) else None
    raw = sent.get("raw") if isinstance(sent, Mapping) else None
    found = raw.get("objects") if isinstance(raw, Mapping) else None
    if not isinstance(found, list) or len(found) > MOST_STROKES or not all(map(_is_stroke, found)):
        return None
    if sum(len(stroke["path"]) for stroke in found) > MOST_STEPS:
        return None
    return [{name: value for name, value in stroke.items() if _plain(name) and _plain(value)}
            | {"path": stroke["path"]} for stroke in found]


def _is_stroke(one: object) -> bool:
    """Whether it is what the canvas calls a path: steps of a letter and up to six numbers each."""
    if not isinstance(one, Mapping) or str(one.get("type")).lower() != "path":
        return False
    path = one.get("path")
    return isinstance(path, list) and all(
        isinstance(step, list) and 1 <= len(step) <= 7 and all(map(_plain, step)) for step in path)


def _plain(value: object) -> bool:
    """Whether it is a short text, a number of usual size, yes or no, or nothing."""
    if isinstance(value, str):
        return len(value) <= MOST_LETTERS
    if isinstance(value, int | float):
        return math.isfinite(value) and abs(value) <= LARGEST
    return value is None
