"""The canvas under a finger, in a real browser: strokes from the corner, Undo and Clear."""

import itertools
import re

import pytest
from browser import copy_home, open_digits, opened, server, settle, text
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 60_000

SIX = [(222, 12), (160, 38), (105, 95), (78, 160), (92, 220), (140, 244), (182, 218), (186, 172),
       (150, 148), (108, 162), (86, 192)]
NINE = [(226, 10), (150, 14), (92, 45), (84, 95), (130, 122), (188, 95), (216, 45), (226, 10),
        (212, 90), (196, 170), (182, 246)]
"""Corner points of strokes that begin in the top right, where a toolbar would be."""


def touch(page, corners: list) -> None:
    """One stroke with a finger."""
    canvas = page.locator("canvas.upper-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    finger = page.context.new_cdp_session(page)

    def put(kind: str, *places: tuple[float, float]) -> None:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": box["x"] + x, "y": box["y"] + y} for x, y in places]})

    put("touchStart", corners[0])
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        for part in range(1, 11):
            put("touchMove", (x0 + (x1 - x0) * part / 10, y0 + (y1 - y0) * part / 10))
    put("touchEnd")


def says(page, digit: str) -> None:
    expect(page.get_by_text(re.compile(f"^Original says {digit} "))).to_be_visible(timeout=LONG)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with server(copy_home(tmp_path_factory.mktemp("canvas") / "home")) as url:
        yield url


@pytest.mark.parametrize("screen", [
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 1280, "height": 1600}, "has_touch": True},
], ids=["telephone", "tablet"])  # fmt: skip
def test_strokes_of_a_finger_that_begin_in_the_top_right_are_drawn(chrome, address, screen):
    page = opened(chrome, **screen)
    open_digits(page, address)
    touch(page, SIX)
    says(page, "6")
    page.get_by_role("button", name="Clear", exact=True).tap()
    expect(page.get_by_text("What the model says appears here.")).to_be_visible(timeout=LONG)
    settle(page)
    touch(page, NINE)
    says(page, "9")
    touch(page, [(20, 20), (240, 240)])
    settle(page)
    page.get_by_role("button", name="Undo", exact=True).tap()
    says(page, "9")
    touch(page, [(20, 20), (240, 240)])
    settle(page)
    for _ in range(2):
        page.get_by_role("button", name="Undo", exact=True).tap()
        settle(page)
    expect(page.get_by_text("What the model says appears here.")).to_be_visible(timeout=LONG)
    assert page.locator(".dc-toolbar").is_hidden()
    assert "Something went wrong" not in text(page)
    page.context.close()
    assert page.complaints == []
