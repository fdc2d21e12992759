"""What a tab sends, before Streamlit reads it: whatever it would fail over is taken out.

Streamlit reads the values of a page's widgets before the page runs, where no page can catch what
goes wrong. The browser writes them as JSON; whoever has a WebSocket can write anything.
"""

import json
import re
from typing import Any

from google.protobuf.message import DecodeError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

LONGEST = 2 << 20
"""Bytes of one value. A drawing of minutes has a tenth of that."""

DEEPEST = 20
"""Lists and dictionaries in each other. A drawing has six."""

CANVAS = re.compile(r"\.canvas\.\d+$")
"""How the name of a canvas ends."""

JSON = ("json_value", "json_trigger_value")


class Messages:
    """ASGI middleware in front of Streamlit that lets no unreadable message through."""

    def __init__(self, app: ASGIApp):
        self._app = app

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
    widgets = message.rerun_script.widget_states.widgets
    kept = [one for one in widgets if _readable(one)]
    if len(kept) == len(widgets):
        return data
    del widgets[:]
    widgets.extend(kept)
    return message.SerializeToString()


def _readable(one: WidgetState) -> bool:
    kind = one.WhichOneof("value")
    if kind not in JSON:
        return not CANVAS.search(one.id)
    text = getattr(one, kind)
    if len(text) > LONGEST:
        return False
    try:
        return _is_flat(json.loads(text))
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
