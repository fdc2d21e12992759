"""Every kind of widget that the pages have holds what a browser sends for it.

The checks before Streamlit know the kinds of values, and tests that run a page without a browser
send some values as another kind.
"""

import ast
import inspect
import json

import pytest
import streamlit as st
from browser import FLAGS, ROOT, chromium, opened, server, settle
from playwright.sync_api import expect, sync_playwright

APP = ROOT / "tests" / "widgets_app.py"
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("app")
    with (server(home, script=str(APP.relative_to(ROOT))) as url, sync_playwright() as play,
          play.chromium.launch(executable_path=chromium(), args=FLAGS + CAMERA) as browser):
        page = opened(browser, permissions=["camera"])
        page.goto(url)
        expect(page.get_by_test_id("stCode")).to_be_visible(timeout=60_000)
        settle(page)
        yield page
        assert page.complaints == []


def fill(page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Enter")


def choose(page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).first.click()
    page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")  # an open list hides the rest


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def take(page) -> None:
    with page.expect_download():
        press(page, "Take")


def slide(page) -> None:
    page.get_by_role("slider").press("ArrowRight")


def bring(page) -> None:
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})


def mark(page) -> None:
    box = page.get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 55)


DONE = {
    "number_input": (lambda page: fill(page, "Whole", "7"), 7),
    "number_input float": (lambda page: fill(page, "Any", "2.5"), 2.5),
    "text_input": (lambda page: fill(page, "Line", "after"), "after"),
    "checkbox": (lambda page: page.get_by_text("Tick", exact=True).click(), True),
    "toggle": (lambda page: page.get_by_text("Switch", exact=True).click(), True),
    "radio": (lambda page: page.get_by_role("radiogroup").get_by_text("b").first.click(), "b"),
    "selectbox": (lambda page: choose(page, "From a list", "b"), "b"),
    "multiselect": (lambda page: choose(page, "Some of a list", "b"), ["b"]),
    "select_slider": (slide, 2),
    "pills": (lambda page: page.get_by_test_id("stButtonGroup").first.get_by_text("b").click(),
              ["b"]),
    "segmented_control": (
        lambda page: page.get_by_test_id("stButtonGroup").last.get_by_text("b").click(), "b"),
    "button": (lambda page: press(page, "Press"), True),
    "download_button": (take, True),
    "file_uploader": (bring, "text/plain"),
    "camera_input": (lambda page: press(page, "Take Photo"), "image/jpeg"),
    "form_submit_button": (lambda page: press(page, "Send"), True),
    "dataframe": (mark, [0]),
}
"""What a person does with each kind, and what it must hold then."""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("kind", DONE)
def test_a_widget_holds_what_a_person_gave_it(page, kind):
    do, held = DONE[kind]
    do(page)
    settle(page)
    assert json.loads(page.get_by_test_id("stCode").inner_text())[kind] == held


def kinds(*paths) -> set[str]:
    """The names of the widgets that files call for: what says when it was changed."""
    calls = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return {call.func.attr for call in calls if _holds(call)}


def _holds(call: ast.Call) -> bool:
    if any(word.arg == "on_select" for word in call.keywords):
        return True
    made = getattr(st, call.func.attr, None)
    asked = inspect.signature(made).parameters if inspect.isroutine(made) else {}
    return any(name in asked and asked[name].default != "ignore"
               for name in ("on_change", "on_click"))


def test_every_kind_that_the_pages_have_is_here():
    pages = [path for folder in ("ui", "pages") for path in (ROOT / folder).rglob("*.py")]
    assert kinds(*pages) <= kinds(APP) == {kind.split()[0] for kind in DONE}
