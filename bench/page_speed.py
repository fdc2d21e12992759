"""How quickly the page answers: from a stroke to the probabilities, and from a link to the page.

    python -m bench.page_speed [--strokes N] [--opens N]

Server time of a stroke is one whole run of the page's script with a new drawing, measured without
a browser. The browser's times are what a person waits, its own drawing included.
"""

import argparse
import base64
import io
import re
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright
from streamlit.testing.v1 import AppTest

from tests.browser import FLAGS, ROOT, STROKES, chromium, copy_home, draw, open_digits, server
from ui.frame import warm_up


def drawing(digit: str, shift: int) -> dict:
    """A digit as the canvas hands it over, moved a little so that no two are the same."""
    image = Image.new("RGBA", (260, 260), "white")
    pen = ImageDraw.Draw(image)
    for stroke in STROKES[digit]:
        pen.line([(x + shift, y + shift) for x, y in stroke], fill="black", width=18, joint="curve")
    out = io.BytesIO()
    image.save(out, "PNG")
    data = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return {"drawing": {"raw": {"objects": [shift]}, "data": data}, "backgroundFit": None}


def server_seconds(strokes: int) -> list[float]:
    """Seconds of one run of the page for each of many drawings."""
    warm_up().done.wait()
    app = AppTest.from_file(ROOT / "app.py", default_timeout=30).run()
    times = []
    for number in range(strokes):
        digit = list(STROKES)[number % len(STROKES)]
        app.session_state["digits.canvas.0"] = drawing(digit, number % 20 - 10)
        started = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - started)
    return times


def browser_seconds(opens: int, strokes: int) -> dict[str, list[float]]:
    """Seconds until a cold page's title, a warm page's title and canvas, and a stroke's answer."""
    times = {"cold: link to title": [], "warm: link to title": [], "warm: link to canvas": [],
             "stroke to answer": []}
    with (tempfile.TemporaryDirectory() as folder, sync_playwright() as play,
          server(copy_home(Path(folder) / "home")) as url):
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        for number in range(opens + 1):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            started = time.perf_counter()
            page.goto(url, wait_until="commit")
            page.get_by_role("heading", name="Digits").wait_for()
            kind = "cold" if number == 0 else "warm"
            times[f"{kind}: link to title"].append(time.perf_counter() - started)
            page.locator("canvas.upper-canvas").wait_for(timeout=60_000)
            if number:
                times["warm: link to canvas"].append(time.perf_counter() - started)
            page.context.close()
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        open_digits(page, url)
        for _ in range(strokes):
            draw(page, "1")
            started = time.perf_counter()
            said = page.get_by_text(re.compile("^Original says"))
            said.wait_for()
            times["stroke to answer"].append(time.perf_counter() - started)
            page.get_by_role("button", name="Clear").click()
            said.wait_for(state="detached")
            page.wait_for_timeout(800)
        browser.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--strokes", type=int, default=100)
    parser.add_argument("--opens", type=int, default=10)
    options = parser.parse_args()
    rows = {"server: one stroke's run": server_seconds(options.strokes)}
    rows |= browser_seconds(options.opens, options.strokes // 5)
    print(f"{'':28}{'n':>5}{'median ms':>12}{'95th ms':>12}")
    for name, times in rows.items():
        print(f"{name:28}{len(times):5}{1e3 * statistics.median(times):12.0f}"
              f"{1e3 * np.percentile(times, 95):12.0f}")


if __name__ == "__main__":
    main()
