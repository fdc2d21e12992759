"""Hostile messages to a running server: what a canvas sends, and addresses with a question mark.

Each is sent by a tab of its own. What it took is the server's processor time and the peak of its
memory over what it had; whatever the server's log calls a traceback is a fault.
"""

import contextlib
import functools
import os
import random
from collections.abc import Iterator
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
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


def attack(folder: Path, canvases: list[str], asked: list[str]) -> list[Fed]:
    """Send canvases, by what is wrong with them, and queries, each to a page of one server."""
    tricks = {hostile.words(make): make for make in hostile.TRICKS["canvas"]}
    with server(copy_home(folder / "home")) as address:
        _draw(address, plain("canvas"))  # what the first visit takes is no visitor's doing
        _ask(address, "")
        watch, draw = Watch(folder / "home/server.log"), random.Random(0)
        found = [watch.fed(f"sent-{number:03}", how, functools.partial(
            _draw, address, tricks[how](draw))) for number, how in enumerate(canvases)]
        return found + [watch.fed(f"query-{number:03}", query[:40], functools.partial(
            _ask, address, query)) for number, query in enumerate(asked)]


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
        boxes = " ".join(tab.page.boxes())
        log = self._log.read_bytes()[logged:].decode(errors="replace")
        wrong = ("Traceback" in log or "went wrong" in boxes or tab.page.all("exception"))
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
