"""A session without a browser: Streamlit's own protocol over a websocket.

    with connected("http://localhost:8501") as tab:
        tab.wait_for(lambda page: page.widget("digits.forget"))
        tab.click("digits.forget")
"""

import base64
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Selectbox_pb2 import Selectbox
from websockets.sync.client import ClientConnection, connect

WIDGETS = ("button", "button_group", "number_input", "selectbox", "checkbox", "download_button",
           "bidi_component")
MAX_BYTES = 200 << 20


@dataclass
class Node:
    """An element or a block: its kind and message, and the run and fragment that drew it."""

    kind: str
    proto: Any
    run: str
    fragment: str


@dataclass
class Page:
    """What a browser would show: ``nodes``, by where they stand, drawn by the runs so far.

    ``hash``: the page's name in the protocol.  ``run``: the run under way, or the last one.
    ``running``: whether its script runs.
    ``alarms``: seconds between the reruns that a fragment wants, by fragment.
    ``ended``: how many runs of each fragment have ended, and of the whole page, under "".
    ``draws``: how many elements came.
    """

    nodes: dict[tuple[int, ...], Node] = field(default_factory=dict)
    hash: str = ""
    run: str = ""
    running: bool = True
    alarms: dict[str, float] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    draws: int = 0

    def take(self, message: ForwardMsg) -> None:
        """One message of the server."""
        kind = message.WhichOneof("type")
        run = message.metadata.run
        if kind == "new_session":
            self.hash, self.run = message.new_session.page_script_hash, run.script_run_id
            if not run.fragment_ids:
                self.alarms.clear()
        elif kind == "delta":
            self._draw(message)
        elif kind == "script_finished":
            self._finish(message)
        elif kind == "session_status_changed":
            self.running = message.session_status_changed.script_is_running
        elif kind == "auto_rerun":
            self.alarms[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self.alarms.pop(fragment, None)

    def _draw(self, message: ForwardMsg) -> None:
        delta, path = message.delta, tuple(message.metadata.delta_path)
        self.draws += 1
        if delta.WhichOneof("type") == "new_element":
            for below in [other for other in self.nodes if other[:len(path)] == path]:
                del self.nodes[below]
            kind = delta.new_element.WhichOneof("type")
            proto = getattr(delta.new_element, kind) if kind else None
            self.nodes[path] = Node(kind or "empty", proto, self.run, delta.fragment_id)
        elif delta.WhichOneof("type") == "add_block":
            self.nodes[path] = Node("block", delta.add_block, self.run, delta.fragment_id)

    def _finish(self, message: ForwardMsg) -> None:
        """Take away what the run that ended has not drawn again."""
        run, fragments = message.metadata.run.script_run_id, set(message.metadata.run.fragment_ids)
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        self.ended.update(fragments or {""})
        stale = [path for path, node in self.nodes.items() if node.run != run
                 and (not fragments or node.fragment in fragments)]
        for path in stale:
            for below in [other for other in self.nodes if other[:len(path)] == path]:
                del self.nodes[below]

    def all(self, *kinds: str) -> list[Any]:
        """The messages of all elements of these kinds, from top to bottom."""
        return [node.proto for _, node in sorted(self.nodes.items(), key=lambda item: item[0])
                if node.kind in kinds]

    def text(self) -> str:
        """What the page says in its headings, sentences, boxes and bars."""
        said = [getattr(proto, "body", "") or getattr(proto, "text", "")
                for proto in self.all("heading", "markdown", "alert", "progress")]
        return "\n".join(said)

    def boxes(self) -> list[str]:
        """The sentences in coloured boxes."""
        return [alert.body for alert in self.all("alert")]

    def bars(self) -> list[str]:
        """What progress bars say."""
        return [bar.text for bar in self.all("progress")]

    def headings(self) -> list[str]:
        return [heading.body for heading in self.all("heading")]

    def widget(self, key: str) -> Any:
        """The widget with this key, or whose key begins so where it ends in a star; or None."""
        for node in self.nodes.values():
            if node.kind in WIDGETS:
                own = node.proto.id.split("-", 2)[-1]
                if own == key or (key.endswith("*") and own.startswith(key[:-1])):
                    return node.proto
        return None


class Tab:
    """One session: its :class:`Page`, what was set on it, and the connection to the server."""

    def __init__(self, connection: ClientConnection):
        self.page = Page()
        self._connection = connection
        self._values: dict[str, tuple[str, Any]] = {}
        self._due: dict[str, float] = {}
        self._asked: tuple[str, Counter[str]] = ("", Counter())
        self.rerun()

    def rerun(self, fragment: str = "", trigger: str = "", alarm: bool = False) -> None:
        """Ask for a run, of a fragment or of the whole page, with all values that were set.

        ``trigger``: the button that was pressed.  ``alarm``: the fragment's time has come.
        """
        message = BackMsg()
        state = message.rerun_script
        state.page_script_hash, state.fragment_id = self.page.hash, fragment
        state.is_auto_rerun = alarm
        if not alarm:
            self._asked = (fragment, self.page.ended.copy())
        for identity, (kind, value) in self._values.items():
            _put(state.widget_states.widgets.add(id=identity), kind, value)
        if trigger:
            _put(state.widget_states.widgets.add(id=trigger), "trigger_value", True)
        self.send(message)

    def send(self, message: BackMsg) -> None:
        """Send a message as it is."""
        self._connection.send(message.SerializeToString())

    def click(self, key: str) -> None:
        """Press the button with this key; one that is not there or is disabled is an error."""
        button = self._widget(key)
        if button.disabled:
            raise AssertionError(f"the button {key} is disabled")
        self.rerun(self._fragment_of(button.id), trigger=button.id)

    def choose(self, key: str, option: str) -> None:
        """Press one option of a row of buttons, or pick it from a list."""
        widget = self._widget(key)
        is_list = isinstance(widget, Selectbox)
        options = widget.options if is_list else [one.content for one in widget.options]
        if option not in options:
            raise AssertionError(f"{key} has no option {option}, only {list(options)}")
        self._set(widget, "string_value" if is_list else "string_array_value",
                  option if is_list else [option])

    def enter(self, key: str, number: float) -> None:
        """Write a number into its field."""
        self._set(self._widget(key), "double_value", number)

    def submit(self, form: str, fields: dict[str, float | str]) -> None:
        """Fill in numbers and lists, by their keys, and send a form off with them."""
        for key, value in fields.items():
            kind = "string_value" if isinstance(value, str) else "double_value"
            self._values[self._widget(key).id] = (kind, value)
        self.click(f"FormSubmitter:{form}.form-*")

    def draw(self, key: str, rgba: np.ndarray) -> None:
        """Hand over a drawing, (H, W, 4) uint8, as the canvas does."""
        self._set(self._widget(key), "json_value", json.dumps(canvas_state(rgba)))

    def picture(self, alt: str) -> np.ndarray | None:
        """The pixels of the picture whose description begins so, or None where there is none."""
        urls = [images.imgs[0].url for images in self.page.all("imgs")
                if images.imgs[0].alt.startswith(alt)]
        if not urls:
            return None
        png = base64.b64decode(urls[0].removeprefix("data:image/png;base64,"), validate=True)
        return np.asarray(Image.open(io.BytesIO(png)).convert("L"))

    def listen(self, seconds: float) -> None:
        """Take what comes for so long, and run the fragments whose time has come."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            alarms = self.page.alarms
            self._due = {fragment: self._due.get(fragment, now + alarms[fragment])
                         for fragment in alarms}
            for fragment in [one for one, due in self._due.items() if due <= now]:
                self._due[fragment] = now + alarms[fragment]
                self.rerun(fragment, alarm=True)
            wake = min([end, *self._due.values()])
            try:
                content = self._connection.recv(max(0.0, wake - now))
            except TimeoutError:
                continue
            message = ForwardMsg()
            message.ParseFromString(content)
            self.page.take(message)
            self._forget_values()

    def wait_for(self, there: Callable[[Page], Any], seconds: float = 120.0) -> Any:
        """Listen until the page shows something; returns it, or fails with what the page says."""
        end = time.monotonic() + seconds
        while True:
            found = there(self.page)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"not there after {seconds:.0f} s; the page says: "
                                     f"{self.page.text()[:2000]}")
            self.listen(0.05)

    def settle(self, seconds: float = 120.0) -> None:
        """Listen until the answer to what was asked last is there and no script runs."""
        draws = -1
        while draws != self.page.draws:  # a run that was under way before may have ended first
            self.wait_for(lambda page: self.answered(), seconds)
            draws = self.page.draws
            self.listen(0.2)

    def answered(self) -> bool:
        """Whether a run has ended since something was asked last, and no script runs."""
        fragment, before = self._asked
        ended = self.page.ended
        return not self.page.running and any(ended[one] > before[one] for one in {fragment, ""})

    def _widget(self, key: str) -> Any:
        widget = self.page.widget(key)
        if widget is None:
            raise AssertionError(f"no widget {key}; the page says: {self.page.text()[:2000]}")
        return widget

    def _set(self, widget: Any, kind: str, value: Any) -> None:
        self._values[widget.id] = (kind, value)
        self.rerun(self._fragment_of(widget.id))

    def _fragment_of(self, identity: str) -> str:
        return next(node.fragment for node in self.page.nodes.values()
                    if node.kind in WIDGETS and node.proto.id == identity)

    def _forget_values(self) -> None:
        """Give up what was set where the server has set another value since."""
        for node in self.page.nodes.values():
            if node.kind in WIDGETS and getattr(node.proto, "set_value", False):
                self._values.pop(node.proto.id, None)


@contextmanager
def connected(address: str) -> Iterator[Tab]:
    """A new tab on the server at ``address``, as http://HOST:PORT; it is closed at the end."""
    url = address.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(url, subprotocols=["streamlit"], origin=address, max_size=MAX_BYTES,
                 max_queue=None, compression=None, proxy=None, ping_interval=None,
                 open_timeout=60, legacy=True) as connection:
        yield Tab(connection)


def canvas_state(rgba: np.ndarray) -> dict[str, Any]:
    """The canvas's state after a drawing."""
    out = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(out, "PNG")
    data = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return {"drawing": {"raw": {"objects": [1]}, "data": data}, "backgroundFit": None}


def _put(state: Any, kind: str, value: Any) -> None:
    if kind.endswith("array_value"):
        getattr(state, kind).data.extend(value)
    else:
        setattr(state, kind, value)
