"""What people do on the page Teach, in a real browser on real digits."""

import re

import pytest
from browser import copy_home, opened, server, settle, text
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 180_000


SEVEN = [(75, 60), (180, 60), (120, 220)]
BOX = [(50, 50), (210, 50), (210, 210), (50, 210), (50, 50)]
"""A sign that the shipped model takes for a 0, and that this person writes for a 2."""


def draw(page, canvas, corners: list) -> None:
    """Draw one stroke on one of the canvases."""
    expect(canvas).to_be_visible(timeout=LONG)
    settle(page)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for step, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=15 if step else 1)
        if not step:
            page.mouse.down()
    page.mouse.up()


ASKS = "!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
"""Whether somebody would keep the tab from going: the component that does comes after the text."""


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def pile_up(page, sign: list, label: str, count: int) -> None:
    """Draw a sign, say what it is, and add it; ``count`` are then on the pile."""
    draw(page, page.locator("canvas.upper-canvas").first, sign)
    page.locator(".st-key-teach-mnist-label").get_by_text(label, exact=True).click()
    expect(button(page, "Add to the pile")).to_be_enabled(timeout=LONG)
    button(page, "Add to the pile").click()
    expect(page.get_by_text(f"The pile: {count}", exact=True)).to_be_visible(timeout=LONG)


def test_drawings_are_taught_and_the_next_one_is_read_as_its_writer_means_it(chrome, tmp_path):
    home = copy_home(tmp_path / "home")
    with server(home) as url:
        page = opened(chrome)
        page.goto(f"{url}/teach")
        pile_up(page, BOX, "2", 1)
        page.wait_for_function(ASKS, timeout=LONG)
        with page.expect_event("dialog", timeout=LONG) as asked:  # before the pile is lost
            page.evaluate("setTimeout(() => location.reload(), 0)")
        assert asked.value.type == "beforeunload"
        asked.value.dismiss()
        pile_up(page, SEVEN, "7", 2)
        page.get_by_role("textbox", name="Who gives this?").fill("Ana")
        page.get_by_text("Go on training the present model").click()
        settle(page)
        assert not (home / "records.db").exists()
        button(page, "Teach").click()
        expect(page.get_by_text("got 1 of them right before, and gets 2 right now")
               ).to_be_visible(timeout=LONG)
        assert (home / "records.db").is_file()
        draw(page, page.locator("canvas.upper-canvas").last, BOX)
        expect(page.get_by_text(re.compile("^Before: 0"))).to_be_visible(timeout=LONG)
        expect(page.get_by_text(re.compile("^Now: 2"))).to_be_visible()
        page.get_by_role("link", name="Forget me").last.click()
        expect(page.get_by_role("heading", name="Forget me")).to_be_visible(timeout=LONG)
        page.get_by_role("link", name="Teach").click()
        expect(page.get_by_text("gets 2 right now")).to_be_visible(timeout=LONG)
        page.set_viewport_size({"width": 390, "height": 844})
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "Something went wrong" not in text(page)
        page.context.close()
    assert page.complaints == []
    assert "Ana" not in (home / "server.log").read_text()
