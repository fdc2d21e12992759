"""What a tab sends, before Streamlit reads it: whatever it would fail over is taken out.

Streamlit reads the values of a page's widgets before the page runs, where no page can catch what
goes wrong. The browser writes them as JSON; whoever has a WebSocket can write anything.
"""

import json
import math
import re
from typing import Any
from urllib.parse import unquote_plus

from google.protobuf.message import DecodeError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from ui.shell.values import believe_what_fits

LONGEST = 1 << 20
"""Letters of one value. A drawing of a minute has a fifth of that."""

MOST_PARTS = 50_000
"""Lists and dictionaries in one value, which are what takes time; a drawing has one for each place
that the browser saw the pen at."""

DEEPEST = 20
"""Lists and dictionaries in each other. A drawing has six."""

CANVAS = re.compile(r"\.canvas\.\d+$")
"""How the name of a canvas ends."""

JSON = ("json_value", "json_trigger_value")


class Messages:
    """ASGI middleware in front of Streamlit that lets no unreadable message through."""

    def __init__(self, app: ASGIApp):
        self._app = app
        believe_what_fits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return

        async def checked() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            harmless = without_unreadable(message.get("bytes"))
            if harmless is None:
                await send({"type": "websocket.close", "code": 1002})
                return {"type": "websocket.disconnect", "code": 1002}
            return {"type": "websocket.receive", "bytes": harmless}

        await self._app(scope, checked, send)


def without_unreadable(data: bytes | None) -> bytes | None:
    """A message of Streamlit's protocol without values that cannot be read; None for no message."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except (DecodeError, TypeError):
        return None
    if message.WhichOneof("type") != "rerun_script":
        return data
    asked = message.rerun_script
    kept = [one for one in asked.widget_states.widgets if _readable(one)]
    query = _without_endless(asked.query_string)
    if len(kept) == len(asked.widget_states.widgets) and query == asked.query_string:
        return data
    del asked.widget_states.widgets[:]
    asked.widget_states.widgets.extend(kept)
    asked.query_string = query
    return message.SerializeToString()


def _without_endless(query: str) -> str:
    """What stands behind an address's question mark, without numbers that are not finite.

    >>> _without_endless("compare.seeds=1e309&compare.data=faces&compare.class=s%207")
    'compare.data=faces&compare.class=s%207'
    """
    return "&".join(part for part in query.split("&")
                    if _is_finite(unquote_plus(part.partition("=")[2])))


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return True


def _readable(one: WidgetState) -> bool:
    kind = one.WhichOneof("value")
    if kind not in JSON:
        return not CANVAS.search(one.id)
    text = getattr(one, kind)
    if len(text) > LONGEST or text.count("[") + text.count("{") > MOST_PARTS:
        return False
    try:
        value = json.loads(text)
        return not isinstance(value, str) and _is_flat(value)  # a text would be read once more
    except (ValueError, RecursionError):
        return False


def _is_flat(value: Any) -> bool:
    """Whether nothing is deeper than Streamlit can copy."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level if isinstance(one, dict | list)
                 for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return True
    return False
