"""A real server and a real browser for the tests that do what people do."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]

STROKES = {
    "0": [[(130, 45), (85, 75), (72, 130), (90, 195), (130, 215), (172, 190), (188, 130),
           (172, 75), (130, 45)]],
    "1": [[(130, 40), (130, 220)]],
    "2": [[(78, 90), (100, 50), (150, 45), (180, 80), (165, 125), (120, 165), (78, 215),
           (185, 215)]],
    "3": [[(80, 60), (130, 40), (175, 70), (165, 110), (120, 128), (170, 150), (178, 200),
           (130, 225), (80, 205)]],
    "4": [[(110, 45), (75, 140), (185, 140)], [(155, 60), (155, 220)]],
    "5": [[(175, 45), (95, 45), (88, 120), (140, 112), (178, 145), (170, 195), (125, 218),
           (80, 200)]],
    "7": [[(75, 60), (180, 60), (120, 220)]],
}
"""Pen strokes on the 260-pixel canvas, a list of corner points each."""


def chromium() -> str:
    """The browser's path; without one the test is skipped, or fails where one is required."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("FORGET_BROWSER_REQUIRED"):
            pytest.fail("FORGET_BROWSER_REQUIRED is set and there is no chromium on the path")
        pytest.skip("no chromium on the path")
    return path


@contextmanager
def server(home: Path, *flags: str, script: str = "app.py") -> Iterator[str]:
    """The app on a free port with its own folder of files; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true",
             f"--server.port={port}", *flags],
            cwd=ROOT, env=os.environ | {"FORGET_HOME": str(home)}, stdout=output, stderr=output)
    address = f"http://localhost:{port}"
    try:
        for _ in range(300):
            try:
                if requests.get(f"{address}/_stcore/health", timeout=1).ok:
                    break
            except requests.RequestException:
                time.sleep(0.2)
        else:
            pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def copy_home(folder: Path) -> Path:
    """A folder of files with the shipped model and the digits that are downloaded already."""
    source = ROOT / "forget_downloads"
    folder.mkdir(parents=True)
    for path in [source / "manifest.json", *source.glob("mnist-*.safetensors")]:
        shutil.copy(path, folder)
    (folder / "mnist").symlink_to(source / "mnist")
    return folder


def copy_faces(folder: Path) -> Path:
    """A folder of files with the faces, the network that reads them, and what is known of them.

    What is known is copied: forgetting deletes it.
    """
    source = ROOT / "forget_downloads"
    folder.mkdir(parents=True)
    for name in ("faces", "dlib_resnet"):
        if (source / name).is_dir():
            (folder / name).symlink_to(source / name)
    if (source / "embeddings").is_dir():
        shutil.copytree(source / "embeddings", folder / "embeddings")
    return folder


def open_digits(page, address: str) -> None:
    """Open the page and wait until a digit can be drawn."""
    page.goto(f"{address}/")
    page.locator("canvas.upper-canvas").wait_for(timeout=90_000)
    settle(page)


def open_faces(page, address: str) -> None:
    """Open the page and wait until the gallery and the first answer are there."""
    page.goto(f"{address}/faces")
    page.get_by_text("Not someone I know” means").wait_for(timeout=120_000)
    settle(page)


def settle(page) -> None:
    """Wait until the page has stopped running and drawing."""
    page.wait_for_function(
        "!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_timeout(700)


def draw(page, digit: str) -> None:
    """Draw a digit on the canvas with the mouse, stroke by stroke."""
    canvas = page.locator("canvas.upper-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for (x0, y0), *rest in STROKES[digit]:
        page.mouse.move(box["x"] + x0, box["y"] + y0)
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=15)
        page.mouse.up()


def forget(page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Forget", exact=True).click()


def text(page) -> str:
    """All that the page says."""
    return page.locator("body").inner_text()


HARMLESS = ("/_stcore/", "/media/")
"""What Streamlit's own scripts look for below a page's address, to find where the server is; and
pictures that went out of sight before they were fetched."""


def opened(chrome, **how):
    """A tab of its own; what its console and its scripts complain of stands in ``complaints``."""
    page = chrome.new_context(**({"viewport": {"width": 1280, "height": 1600}} | how)).new_page()
    page.complaints = []

    def heard(message):
        said = f"{message.text} {message.location}"
        if message.type == "error" and not any(word in said for word in HARMLESS):
            page.complaints.append(said)

    page.on("console", heard)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    return page
