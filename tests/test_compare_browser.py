"""What people do on Compare and Audit, in a real browser on real faces and digits."""

import csv
import json
import re
import shutil

import pytest
from browser import ROOT, copy_faces, draw, opened, server, settle, text
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 180_000

FACES = "compare?compare.data=Faces&compare.class=s9&compare.seeds=1"
TWO = f"{FACES}&compare.methods=Fine-tune&compare.methods=Standard:+retrain"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    home = copy_faces(tmp_path_factory.mktemp("app") / "home")
    source = ROOT / "forget_downloads"
    (home / "mnist").symlink_to(source / "mnist")
    for path in [source / "manifest.json", *source.glob("mnist-*.safetensors")]:
        shutil.copy(path, home)
    with server(home) as url:
        yield url


@pytest.fixture
def page(chrome):
    page = opened(chrome)
    yield page
    page.context.close()
    assert page.complaints == []


def goto(page, address: str, where: str, button: str) -> None:
    page.goto(f"{address}/{where}")
    expect(page.get_by_role("button", name=button, exact=True)).to_be_visible(timeout=LONG)
    settle(page)


def compare(page) -> None:
    """Press the button where something is left to do, and wait for the whole table."""
    button = page.get_by_role("button", name="Compare", exact=True)
    if button.is_enabled():
        button.click()
    expect(page.get_by_text("finished and kept")).to_be_visible(timeout=LONG)
    # While the page is drawn anew the heading may stand there twice.
    expect(page.get_by_text("Two side by side").first).to_be_visible()
    settle(page)
    settle(page)


def view(page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).or_(
        page.get_by_role("button", name=name, exact=True)).first.click()
    settle(page)


def convicted(page):
    return page.get_by_role("heading", name=re.compile("Convicted: "))


def fits(page, width: int) -> bool:
    return page.evaluate("document.documentElement.scrollWidth") <= width


# The first test starts the server: nothing was opened before.


def test_a_cold_deep_link_gives_the_whole_page_with_what_it_asks_for(page, address):
    goto(page, address, TWO, "Compare")
    expect(page.get_by_role("link", name="Audit")).to_be_visible()
    expect(page.get_by_role("link", name="Digits")).to_be_visible()
    expect(page.get_by_text("All 4 training photos of s9.")).to_be_visible()
    expect(page.get_by_text("2 of 2 runs are not finished yet.")).to_be_visible()
    page.get_by_label("Seeds", exact=True).fill("3")  # and then what a person asks for
    page.get_by_label("Seeds", exact=True).press("Enter")
    expect(page.get_by_text("6 of 6 runs are not finished yet.")).to_be_visible()


def test_methods_are_compared_looked_at_and_taken_home(page, address, tmp_path):
    goto(page, address, TWO, "Compare")
    compare(page)
    grid = page.locator("[data-testid=stDataFrame]").first
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 17, box["y"] + 35 + 35 + 17)  # the second row's tick
    expect(page.locator("[data-testid=stJson]")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Open the record of")).to_be_visible()
    settle(page)
    for name in ("Per person", "Where predictions differ", "Map", "Layers", "Confidence"):
        view(page, name)
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        assert "Something went wrong" not in text(page)
    files = {}
    for label in ("Table (CSV)", "Everything (JSON)", "Report (HTML)"):
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("button", name=label).click()
        files[label] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[label])
    rows = list(csv.DictReader(files["Table (CSV)"].open()))
    shown = json.loads(files["Everything (JSON)"].read_text())
    assert [row["method"] for row in rows] == [row["method"] for row in shown["rows"]]
    assert {row["method"] for row in rows} == {"retrain", "finetune"}
    page.goto(files["Report (HTML)"].as_uri())
    assert "Fine-tune" in text(page)


def test_a_reload_and_another_page_leave_the_table_as_it_was(page, address):
    goto(page, address, TWO, "Compare")
    compare(page)
    page.get_by_role("link", name="Models and data").click()
    expect(page.get_by_role("heading", name="Models and data")).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Faces: forget s9")).to_be_visible(timeout=20_000)
    settle(page)
    goto(page, address, TWO, "Compare")
    expect(page.get_by_role("heading", name="Faces: forget s9")).to_be_visible()
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_disabled()


def test_a_comparison_is_cancelled_and_goes_on_where_it_was(page, address):
    goto(page, address, FACES.replace("s9", "s11").replace("seeds=1", "seeds=2"), "Compare")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text(re.compile(r"[1-9]\d* of 10 runs are finished;"))).to_be_visible(
        timeout=LONG)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The runs that were finished are kept")).to_be_visible(timeout=20_000)
    expect(page.get_by_text(re.compile(r"of 10 runs are not finished yet; the other"))
           ).to_be_visible()
    compare(page)


def test_a_planted_fraud_is_convicted_and_its_victims_are_seen(page, address):
    goto(page, address, "audit?audit.data=Faces&audit.class=s9", "Put on trial")
    view(page, "Planted frauds")
    expect(page.get_by_text("looks as if it forgets and does not")).to_be_visible()
    page.get_by_role("button", name="Put on trial", exact=True).click()
    expect(convicted(page)).to_be_visible(timeout=LONG)
    settle(page)
    for name in ("Sample by sample", "Relearning", "Linear probe", "Attack explorer"):
        view(page, name)
        assert "Something went wrong" not in text(page)
    expect(page.locator("body")).to_contain_text("4 of 4", timeout=20_000)
    expect(page.locator("img[alt^='Training photo']")).to_have_count(4)
    slider = page.get_by_role("slider").last
    slider.focus()
    page.keyboard.press("End")
    settle(page)
    expect(page.get_by_text("Rightly exposed: nobody.")).to_be_visible(timeout=20_000)


def test_a_drawn_digit_goes_through_every_model(page, address):
    goto(page, address, "compare?compare.seeds=1&compare.methods=Fine-tune", "Compare")
    compare(page)
    view(page, "Your own")
    page.locator("canvas.upper-canvas").wait_for(timeout=20_000)
    settle(page)
    draw(page, "3")
    answers = page.locator("[data-testid=stTable]").last
    expect(answers.get_by_role("row")).to_have_count(4, timeout=20_000)
    for row in answers.get_by_role("row").all()[1:]:
        assert row.get_by_role("cell").nth(1).inner_text() == "3"


def test_a_telephone_shows_both_pages_without_scrolling_sideways(chrome, address):
    page = opened(chrome, viewport={"width": 390, "height": 844}, color_scheme="dark")
    goto(page, address, TWO, "Compare")
    compare(page)
    for name in ("Per person", "Map", "Your own"):
        view(page, name)
        assert fits(page, 390)
    goto(page, address, "audit?audit.data=Faces&audit.class=s9", "Put on trial")
    view(page, "Planted frauds")
    page.get_by_role("button", name="Put on trial", exact=True).click()
    expect(convicted(page)).to_be_visible(timeout=LONG)
    for name in ("Membership attack", "Attack explorer"):
        view(page, name)
        assert fits(page, 390)
    page.context.close()
    assert page.complaints == []
