"""Many people on one server: whether anything is mixed up, who waits, and what memory does.

    python -m bench.sessions [--minutes 10] [--clients 18] [--browsers 2]

Every client has a tab of its own, by Streamlit's protocol, with a model of its own: it shows the
model test digits and drawings, asks to forget its own digit by its own method, cancels now and
then, and closes its tab and comes again. Browsers do the same, from one model. All of them
note whatever on their page is not their own. The clock begins when the first page stands.
"""

import argparse
import datetime
import os
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect, sync_playwright

from tests.browser import FLAGS, STROKES, chromium, copy_home, draw, open_digits, server, settle
from tests.protocol import connected
from tests.visitors import (
    FOR_EVER,
    SAID_WITHIN,
    TITLE,
    Notes,
    Silence,
    Visitor,
    test_digits,
    usable_page,
)

EVERY = 5.0
"""Seconds between two looks at the server's memory."""

LAST = 30.0
TO_LEAVE = 150.0
"""Seconds in which everybody's last request must have been cancelled or finished."""

OVER = ".st-key-digits-over button"
MODEL = "Fully connected 784-64-64-10"


class Browser(Visitor):
    """A visitor with a real browser; all browsers start from the same model."""

    def stay(self, until: float) -> None:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
            while time.monotonic() < until:
                context = browser.new_context(viewport={"width": 1280, "height": 1600})
                try:
                    self.notes.sessions += 1
                    self._browse(context.new_page(), until)
                except Exception as error:  # noqa: BLE001 - noted, and the visitor comes again
                    self.notes.faults.append(f"browser {self.number}: {error!r}"[:200])
                finally:
                    context.close()
            browser.close()

    def _browse(self, tab: Tab, until: float) -> None:
        open_digits(tab, self.address)
        choices = [tab.locator(f".st-key-digits-{key}").get_by_role("radio", name=name, exact=True)
                   for key, name in (("class-0", self.digit), ("method", self.method))]
        for one in choices:
            one.click()
            expect(one).to_be_checked(timeout=60_000)
            settle(tab)
        tab.get_by_test_id("stPopoverButton").click()
        tab.locator(".st-key-digits-model input").click()
        tab.get_by_role("option", name=MODEL).click()
        tab.keyboard.press("Escape")
        tab.locator("canvas.upper-canvas").wait_for(timeout=300_000)
        settle(tab)
        while time.monotonic() < until:
            for one in choices:  # they stay what they were, whatever came between
                expect(one).to_be_checked(timeout=60_000)
            draw(tab, self.draw.choice(list(STROKES)))
            said = tab.get_by_text(re.compile("^Original says"))
            said.wait_for(timeout=60_000)
            settle(tab)
            before = said.inner_text()
            self._request(tab, until)
            if said.inner_text() != before:
                self.notes.mixed_up.append(f"browser {self.number} has another drawing than before")
            over = tab.locator(OVER).first
            if over.count():
                over.click()
                over.wait_for(state="detached", timeout=60_000)
            tab.get_by_role("button", name="Clear").click()
            tab.get_by_text("Draw a digit, upload").wait_for(timeout=60_000)
            settle(tab)

    def _request(self, tab: Tab, until: float) -> None:
        """Ask to forget, wait for the end, and cancel every fourth time and at the end."""
        began = time.monotonic()
        stop = min(until, began + self.draw.choice([1e9, 1e9, 1e9, self.draw.uniform(0, 20)]))
        tab.get_by_role("button", name="Forget", exact=True).click()
        silence, cancelled = Silence(), False
        over, notice = tab.locator(OVER).first, tab.get_by_text("Cancelled.").first
        cancel = tab.get_by_role("button", name="Cancel", exact=True)
        cancel.or_(over).first.wait_for(timeout=60_000)  # an old notice stands there until then
        drawn = 0
        while cancel.count() or not ((over.count() and over.is_enabled()) or notice.count()):
            if time.monotonic() - began > FOR_EVER:
                raise AssertionError("waited for ever")
            if time.monotonic() > stop and not cancelled and cancel.count():
                cancel.click(timeout=30_000)
                cancelled = True
            bars = tab.locator("[data-testid=stProgress]").all_inner_texts()
            running = tab.locator("[data-testid=stStatusWidget]").count()
            drawn += 1
            silence.hear(bool(bars or running), drawn)
            self._read(tab)
            tab.wait_for_timeout(250)
        self._read(tab)
        self.notes.waits.append(time.monotonic() - began)
        self.notes.silent.append(silence.silent)
        if notice.count():
            self.notes.cancelled += 1
        else:
            self.notes.finished += 1

    def _read(self, tab: Tab) -> None:
        self.notes.checks += 1
        for digit, _, method in TITLE.findall(tab.locator("body").inner_text()):
            if (digit, method) != (self.digit, self.method):
                self.notes.mixed_up.append(f"browser {self.number} sees {digit} by {method}")


class Memory(threading.Thread):
    """Looks at the server's resident memory until it is told to stop; ``seen``: (when, MB)."""

    def __init__(self):
        super().__init__(daemon=True)
        self._server = next(child for child in psutil.Process().children()
                            if "streamlit" in child.cmdline())
        self._enough = threading.Event()
        self.seen: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._enough.wait(EVERY):
            self.seen.append((time.monotonic(), self._server.memory_info().rss / 1e6))

    def stop(self) -> None:
        self._enough.set()

    def plateau(self) -> float:
        third = len(self.seen) // 3
        return statistics.median(mb for _, mb in self.seen[third : 2 * third])

    def end(self) -> float:
        newest = self.seen[-1][0]
        return statistics.median(mb for when, mb in self.seen if newest - when <= LAST)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=18)
    parser.add_argument("--browsers", type=int, default=2)
    options = parser.parse_args()
    print(f"python -m bench.sessions --minutes {options.minutes:g} --clients {options.clients} "
          f"--browsers {options.browsers}\n{datetime.date.today()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f} before", flush=True)
    pictures = test_digits()
    with (tempfile.TemporaryDirectory() as folder,
          server(copy_home(Path(folder) / "home")) as url):
        visitors = [(Visitor if number < options.clients else Browser)(url, number, pictures)
                    for number in range(options.clients + options.browsers)]
        with connected(url) as tab:
            visitors[0].wait(tab, usable_page)
        memory = Memory()
        until = time.monotonic() + 60 * options.minutes
        memory.start()
        threads = [threading.Thread(target=one.stay, args=(until,), daemon=True)
                   for one in visitors]
        for thread in threads:
            thread.start()
        time.sleep(max(0.0, until - time.monotonic()))
        memory.stop()
        closed = time.monotonic() + TO_LEAVE
        for thread in threads:
            thread.join(max(0.0, closed - time.monotonic()))
        report([one.notes for one in visitors], memory, sum(one.is_alive() for one in threads))


def report(notes: list[Notes], memory: Memory, hanging: int) -> None:
    """The table."""
    def together(name: str) -> list:
        return [one for note in notes for one in getattr(note, name)]

    waits, silent, still = together("waits"), together("silent"), together("still")
    plateau, end = memory.plateau(), memory.end()
    rows = {
        "sessions at once": len(notes),
        "tabs opened": sum(note.sessions for note in notes),
        "requests finished": sum(note.finished for note in notes),
        "requests cancelled": sum(note.cancelled for note in notes),
        "requests left behind by closing the tab": sum(note.left for note in notes),
        "looks at a page": f"{sum(note.checks for note in notes):,}",
        "mixed up (0 wanted)": len(together("mixed_up")),
        "other faults (0 wanted)": len(together("faults")),
        "visitors that never came back (0 wanted)": hanging,
        "longest wait, s": f"{max(waits, default=0):.0f}",
        "median wait, s": f"{statistics.median(waits or [0]):.0f}",
        "most jobs before one's own": max(note.most_before for note in notes),
        f"waits with over {SAID_WITHIN:.0f} s without a message (0 wanted)":
            sum(one > SAID_WITHIN for one in silent),
        "longest time without a message, s": f"{max(silent, default=0):.1f}",
        "longest time without an update, s": f"{max(still, default=0):.1f}",
        "server memory: first, MB": f"{memory.seen[0][1]:.0f}",
        "server memory: plateau, median of the middle third, MB": f"{plateau:.0f}",
        "server memory: end, median of the last 30 s, MB": f"{end:.0f}",
        "end over plateau (within 0.90 to 1.10 wanted)": f"{end / plateau:.3f}",
        "load of the machine at the end": f"{os.getloadavg()[0]:.1f}",
    }
    for name, value in rows.items():
        print(f"{name:60}{value:>10}")
    print("memory each minute, MB:", *(f"{mb:.0f}" for _, mb in memory.seen[::12]))
    for line, count in Counter([*together("mixed_up"), *together("faults")]).items():
        print(f"{count} x {line}")


if __name__ == "__main__":
    main()
