"""Hostile messages to a running server: what a canvas and every other widget sends, addresses with
a question mark, frames that are no message, requests for what is not there, and files that lie in
the data folder under odd names.

Each is sent by a tab of its own. What it took is the server's processor time and the peak of its
memory over what it had; whatever the server's log calls a traceback is a fault.
"""

import contextlib
import functools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed

from tests import hostile
from tests.browser import copy_home, server
from tests.hostile_words import plain
from tests.protocol import Tab, connected
from tests.sandbox import Fed

READY = {"digits": "digits.canvas.0", "compare": "compare.go"}
"""A widget of each page that is there when the page is."""

KEYS = ("compare.seeds", "compare.data", "compare.methods", "compare.class", "audit.data",
        "audit.class", "digits.way", "page", "")  # fmt: skip
VALUES = ("1e309", "-1", "0", "NaN", "Infinity", "9" * 5_000, "null", "true", "[]", "[" * 5_000, "",
          "%00", "%ff%fe", "%ed%a0%80", "<script>alert(1)</script>", "../../etc/passwd",
          "{{7*7}}", "a" * 60_000, "%0d%0aSet-Cookie:a=b", "\u202e\ufeff")  # fmt: skip


def queries() -> Iterator[str]:
    """What may stand behind the question mark of an address."""
    for key in KEYS:
        for value in VALUES:
            yield f"{key}={value}"
    yield "&".join(f"compare.seeds={number}" for number in range(10_000))
    yield "&" * 50_000
    yield "compare.methods=" + "&compare.methods=".join(["retrain"] * 5_000)


PAGES = {"": READY["digits"], "compare": READY["compare"], "audit": "", "teach": "",
         "forget_me": "", "ledger": "", "models": ""}
"""Every page that needs no photos, and a widget that is there when it is."""

NOT_A_NUMBER, ENDLESS = float("nan"), float("inf")
WRONG: tuple[tuple[str, object], ...] = (
    ("bool_value", True), ("int_value", 2**63 - 1), ("int_value", -1),
    ("double_value", NOT_A_NUMBER), ("double_value", ENDLESS), ("double_value", -1e308),
    ("double_value", 0.5), ("string_value", ""), ("string_value", "\u202e\0<script>"),
    ("string_value", "9" * 900_000), ("string_value", '{"selection": {"rows": [1e9, -1, "x"]}}'),
    ("string_value", '{"selection": []}'), ("string_value", "[" * 900), ("string_value", "null"),
    ("double_array_value", [NOT_A_NUMBER, ENDLESS]), ("int_array_value", [2**63 - 1, -1, 10**9]),
    ("string_array_value", ["x"] * 5_000), ("string_array_value", []), ("bytes_value", b"\xff"),
    ("json_value", '{"drawing": []}'), ("json_value", '"x"'), ("json_value", "1e309"),
    ("file_uploader_state_value", "../../../etc/passwd"), ("arrow_value", b"\xff" * 99),
    ("string_trigger_value", "x"), ("json_trigger_value", "[[]]"), ("chat_input_value", "x"),
)
"""What a widget's value can be called in the protocol, and a value that it should not have."""


def frames() -> dict[str, bytes | str]:
    """What may come through a WebSocket."""
    good = plain("canvas")
    fields = [field.name for field in BackMsg.DESCRIPTOR.fields]
    found = {"text": "hello", "nothing": b"", "cut short": good[:-9], "one byte": b"\x5a",
             "a length beyond the end": b"\x5a\xff\xff\xff\xff\x0f", "a length below none":
             b"\x5a" + b"\xff" * 9 + b"\x01", "groups in each other": b"\x0b" * 100_000,
             "fields that are none": b"\xfa\xff\xff\xff\x0f\1x" * 1_000, "ones": b"\xff" * 9_999,
             "the message twice": good * 2, "thirty megabytes": good + bytes(30 << 20),
             "text that is no UTF-8": b"\x5a\4\x0a\2\xff\xfe", "a page that is none": _rerun(
                 page_script_hash="../canary", page_name="../../etc"), "a page without end": _rerun(
                 page_name="a/" * 90_000), "a fragment that is none": _rerun(fragment_id="x" * 999),
             "a query of brackets": _rerun(query_string="[" * 90_000), "hashes without number":
             _rerun(cached_message_hashes=["x"] * 50_000)}
    for name in fields:
        message, field = BackMsg(), BackMsg.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None:
            getattr(message, name).SetInParent()
        else:
            setattr(message, name, "x" if field.cpp_type == field.CPPTYPE_STRING else True)
        found[f"a message of {name}"] = message.SerializeToString()
    return found


def _rerun(**changes) -> bytes:
    message = BackMsg()
    for name, value in changes.items():
        if isinstance(value, list):
            getattr(message.rerun_script, name).extend(value)
        else:
            setattr(message.rerun_script, name, value)
    return message.SerializeToString()


PATHS = (
    "/%00", "/%ff%fe", "/..%2f..%2fetc/passwd", "/../../etc/passwd", "//example.org/",
    "/%2e%2e/%2e%2e", "/\\etc\\passwd", "/_stcore/upload_file/x/y", "/media/../app.py",
    "/media/%2e%2e/%2e%2e/app.py", "/static/../../app.py", "/component/x/../../../etc/passwd",
    "/_stcore/bidi-components/x/../../etc/passwd", "/app/static/..%2fapp.py",
    "/oauth2callback?code=x", "/_stcore/upload_file/../../x", "/compare/compare",
    "/auth/login?provider=%00", "/" + "a" * 60_000, "/?" + "a=b&" * 15_000, "/_stcore/stream",
    "/_stcore/health?x=%00", "/_stcore/host-config", "/models%0d%0aSet-Cookie:a=b",
)  # fmt: skip
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "X" * 99)

NAMES = (b"\xff\xfe.pt", b"a\nb.safetensors", b"\x1b[2J.pth", "\u202etp.a.pt".encode(), b"$x$*_.pt",
         b"<img src=x onerror=alert(1)>.pt", b"x" * 250 + b".pt", b".pt", b" .pt", b"[a](b).ckpt")


def attack(folder: Path, canvases: list[str], asked: list[str], more: bool = False) -> list[Fed]:
    """Send canvases, by what is wrong with them, and queries, each to a page of one server.

    ``more``: also frames, values of every widget, requests and files with odd names.
    """
    tricks = {hostile.words(make): make for make in hostile.TRICKS["canvas"]}
    with server(copy_home(folder / "home")) as address:
        _draw(address, plain("canvas"))  # what the first visit takes is no visitor's doing
        _ask(address, "")
        watch, draw = Watch(folder / "home/server.log"), random.Random(0)
        found = [watch.fed(f"sent-{number:03}", how, functools.partial(
            _draw, address, tricks[how](draw))) for number, how in enumerate(canvases)]
        found += [watch.fed(f"query-{number:03}", query[:40], functools.partial(
            _ask, address, query)) for number, query in enumerate(asked)]
        return found + (list(_more(address, watch, folder / "home")) if more else [])


def _more(address: str, watch: "Watch", home: Path) -> Iterator[Fed]:
    for number, (how, frame) in enumerate(frames().items()):
        yield watch.fed(f"frame-{number:03}", how, functools.partial(_frame, address, frame))
    for page, ready in PAGES.items():
        _open(address, page, ready)  # what its first visit takes is no visitor's doing
        for number, (kind, value) in enumerate(WRONG):
            yield watch.fed(f"widget-{number:03}", f"{page or 'digits'}: {kind} {value!r:.30}",
                            functools.partial(_set, address, page, ready, kind, value))
    for number, path in enumerate(PATHS):
        for method in METHODS:
            yield watch.fed(f"request-{number:03}", f"{method[:9]} {path[:50]}",
                            functools.partial(_request, address, method, path))
    for number, name in enumerate(NAMES):
        (home / os.fsdecode(name)).write_bytes(b"no weights")
        for page in ("", "models"):
            yield watch.fed(f"dropped-{number:03}", f"{name[:30]!r} on {page or 'digits'}",
                            functools.partial(_open, address, page, PAGES[page]))
        (home / os.fsdecode(name)).unlink()


def _open(address: str, page: str, ready: str) -> Tab:
    with connected(address) as tab:
        _go(tab, page, ready)
        return tab


def _go(tab: Tab, page: str, ready: str) -> None:
    message = BackMsg()
    message.rerun_script.page_name = page
    tab.send(message)
    tab.wait_for(lambda page: page.widget(ready) if ready else page.headings(), 180)
    tab.settle(30)


def _set(address: str, page: str, ready: str, kind: str, value: object) -> Tab:
    """Set all widgets of a page, but for the canvas, to a value of this kind."""
    with connected(address) as tab:
        _go(tab, page, ready)
        message = BackMsg()
        message.rerun_script.page_script_hash = tab.page.hash
        states = message.rerun_script.widget_states
        for node in list(tab.page.nodes.values()):
            if identity := getattr(node.proto, "id", ""):
                _give(states.widgets.add(id=str(identity)), kind, value)
        with contextlib.suppress(ConnectionClosed):
            tab.send(message)
            tab.settle(30)
        return tab


def _give(one: WidgetState, kind: str, value: object) -> None:
    if kind.endswith("array_value"):
        getattr(one, kind).data.extend(value)
        getattr(one, kind).SetInParent()
    elif kind == "file_uploader_state_value":
        one.file_uploader_state_value.uploaded_file_info.add(name=value, file_id=value,
                                                             size=1 << 40)
    elif kind in ("arrow_value", "string_trigger_value", "chat_input_value"):
        getattr(one, kind).data = value
    else:
        setattr(one, kind, value)


def _frame(address: str, frame: bytes | str) -> Tab:
    with connected(address) as tab:
        tab.wait_for(lambda page: page.widget(READY["digits"]), 180)
        tab.settle()
        with contextlib.suppress(ConnectionClosed, AssertionError):  # it may be closed, or silent
            tab._connection.send(frame)
            tab.wait_for(lambda page: False, 0.5)
        return tab


def _request(address: str, method: str, path: str) -> None:
    """As it is, by a socket: libraries tidy up what they are given."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as line:
        line.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 3\r\n"
                     "Connection: close\r\n\r\nabc".encode())
        line.settimeout(20)
        answer = line.recv(1 << 16)
    if not answer.startswith(b"HTTP/1.1 ") or answer[9:10] == b"5":
        raise AssertionError(f"answered {answer[:99]!r}")


def _draw(address: str, data: bytes) -> Tab:
    with connected(address) as tab:
        tab.wait_for(lambda page: page.widget(READY["digits"]), 400)
        tab.settle()
        message = BackMsg.FromString(data)
        for one in message.rerun_script.widget_states.widgets:
            one.id = tab.page.widget(READY["digits"]).id
        message.rerun_script.page_script_hash = tab.page.hash
        with contextlib.suppress(ConnectionClosed):
            tab.send(message)
            tab.settle(20)
        return tab


def _ask(address: str, query: str) -> Tab:
    with connected(address) as tab:
        message = BackMsg()
        message.rerun_script.page_name = "compare"
        message.rerun_script.query_string = query
        with contextlib.suppress(ConnectionClosed):
            tab.send(message)
            tab.wait_for(lambda page: page.widget(READY["compare"]) or page.all("exception")
                         or page.boxes(), 180)
            tab.settle(20)
        return tab


class Watch:
    """The server that was started last: its log, its processor time and its memory."""

    def __init__(self, log: Path):
        self._log = log
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        self._process = Path("/proc") / children[-1]

    def fed(self, name: str, how: str, send) -> Fed:
        logged, busy, memory = self._log.stat().st_size, self._busy(), self._memory("VmRSS")
        (self._process / "clear_refs").write_text("5")  # its peak is what it has now
        tab = send()
        boxes = " ".join(tab.page.boxes()) if tab else ""
        log = self._log.read_bytes()[logged:].decode(errors="replace")
        wrong = ("Traceback" in log or "went wrong" in boxes or (tab and tab.page.all("exception")))
        refused = any(word in boxes for word in ("no drawing of this", "damaged", "pixels; give"))
        took = self._busy() - busy
        return Fed(name, how, "traceback" if wrong else "refused" if refused else "read",
                   log[-300:] if wrong else "", took, took, self._memory("VmHWM") - memory, ())

    def _busy(self) -> float:
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, which: str) -> float:
        status = (self._process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith(which)) / 1024
