"""What people do, in a real browser on the real digits."""

import re

import pytest
from browser import (
    copy_home,
    draw,
    forget,
    open_digits,
    server,
    settle,
    text,
)
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SAYS = re.compile(r"^Original says")
LONG = 180_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with server(copy_home(tmp_path_factory.mktemp("app") / "home")) as url:
        yield url


@pytest.fixture
def page(chrome):
    """A tab of its own: a session of its own."""
    context = chrome.new_context(viewport={"width": 1280, "height": 1600})
    yield context.new_page()
    context.close()


# The first test starts the server: nothing was opened before.


def test_a_cold_deep_link_gives_the_whole_page(page, address):
    page.goto(f"{address}/models")
    expect(page.get_by_role("heading", name="Models and data")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("heading", name="Datasets")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    assert "Page not found" not in text(page)


def test_drawn_digits_are_recognised(page, address):
    open_digits(page, address)
    for digit in "0123457":
        draw(page, digit)
        said = page.get_by_text(SAYS)
        expect(said).to_contain_text(f"Original says {digit}", timeout=20_000)
        page.get_by_role("button", name="Clear").click()
        expect(said).to_have_count(0, timeout=20_000)
        settle(page)


def test_forgetting_a_digit_shows_figures_then_the_retrained_model_and_a_verdict(page, address):
    open_digits(page, address)
    draw(page, "7")
    expect(page.get_by_text(SAYS)).to_contain_text("says 7", timeout=20_000)
    forget(page)
    waiting = page.get_by_text("still being trained")
    expect(waiting).to_be_visible(timeout=LONG)
    expect(page.get_by_text(re.compile("^Unlearned says"))).to_be_visible()
    expect(page.get_by_text("Matches retraining on accuracy")).to_be_visible(timeout=LONG)
    expect(page.get_by_text(re.compile("^Retrained says"))).to_be_visible()
    settle(page)
    assert not re.search(r"Unlearned says 7", text(page))
    assert not re.search(r"Retrained says 7", text(page))
    assert "says 7" in page.get_by_text(SAYS).inner_text()

    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Result (JSON)").click()
    assert download.value.suggested_filename.endswith(".json")

    page.get_by_role("link", name="Models and data").click()
    expect(page.get_by_role("heading", name="Models and data")).to_be_visible()
    page.get_by_role("link", name="Digits").click()
    expect(page.get_by_text("Matches retraining on accuracy")).to_be_visible(timeout=20_000)

    settle(page)
    page.locator(".st-key-digits-undo button").first.click()
    expect(page.get_by_text("Matches retraining on accuracy")).to_have_count(0, timeout=20_000)
    expect(page.get_by_role("button", name="Forget", exact=True)).to_be_enabled()


def test_cancelling_keeps_the_model_and_says_so(page, address):
    open_digits(page, address)
    page.get_by_text("Standard: retrain").click()
    settle(page)
    forget(page)
    page.get_by_role("button", name="Cancel").click(timeout=LONG)
    expect(page.get_by_text("Nothing was changed")).to_be_visible(timeout=10_000)
    expect(page.get_by_role("button", name="Forget", exact=True)).to_be_enabled()
    assert page.locator(".st-key-digits-undo").count() == 0


def test_a_job_goes_on_while_another_page_is_open(page, address):
    open_digits(page, address)
    page.get_by_text("Fine-tune", exact=True).click()
    settle(page)
    forget(page)
    page.get_by_role("button", name="Cancel").wait_for(timeout=LONG)
    page.get_by_role("link", name="Models and data").click()
    expect(page.get_by_role("heading", name="Models and data")).to_be_visible()
    page.wait_for_timeout(2000)
    page.get_by_role("link", name="Digits").click()
    expect(page.get_by_text("Retraining took")).to_be_visible(timeout=LONG)


def test_two_sessions_wait_for_each_other_and_see_nothing_of_each_other(chrome, address):
    first, second = (chrome.new_context(viewport={"width": 1280, "height": 1600}).new_page()
                     for _ in range(2))
    for page in (first, second):
        open_digits(page, address)
    draw(first, "3")
    expect(first.get_by_text(SAYS)).to_be_visible(timeout=20_000)
    first.get_by_text("Standard: retrain").click()
    settle(first)
    forget(first)
    first.get_by_role("button", name="Cancel").wait_for(timeout=LONG)
    forget(second)
    expect(second.get_by_text("Waiting: 1 job before this one")).to_be_visible(
        timeout=15_000)
    assert "Original says" not in text(second)
    second.get_by_role("button", name="Cancel").click()
    expect(second.get_by_text("Nothing was changed")).to_be_visible(timeout=10_000)
    assert "Nothing was changed" not in text(first)
    first.get_by_role("button", name="Cancel").click()
    expect(first.get_by_text("Nothing was changed")).to_be_visible(timeout=10_000)
    for page in (first, second):
        page.context.close()


def test_a_phone_can_do_it_too(chrome, address):
    context = chrome.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    open_digits(page, address)
    draw(page, "3")
    expect(page.get_by_text(SAYS)).to_contain_text("says 3", timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize(("name", "content", "words"), [
    ("seven.png", b"this is text", "not a picture that can be read"),
    ("cut.jpg", b"\xff\xd8\xff\xe0" + b"0" * 100, "picture"),
])
def test_a_bad_upload_gives_one_sentence(page, address, name, content, words):
    open_digits(page, address)
    page.get_by_text("Upload", exact=True).click()
    page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content}])
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible(timeout=20_000)
    assert "Traceback" not in text(page)


def test_a_fresh_machine_gets_ready_by_itself(chrome, tmp_path):
    """Neither data nor model are there: both are fetched or made, without a reload."""
    (tmp_path / "home").mkdir()
    with server(tmp_path / "home") as url:
        context = chrome.new_context()
        page = context.new_page()
        page.goto(url)
        expect(page.get_by_text("Getting ready")).to_be_visible(timeout=LONG)
        page.locator("canvas.upper-canvas").wait_for(timeout=2 * LONG)
        context.close()
