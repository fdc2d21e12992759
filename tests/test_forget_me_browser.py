"""Somebody has their handwriting forgotten in a real browser, and reads about it in the ledger."""

import json

import numpy as np
import pytest
from browser import copy_home, opened, server, settle, text
from playwright.sync_api import expect

from forget.learners import learner_for
from forget.records import ledger, taught
from forget.records.bases import BASES
from forget.records.contributions import add

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 180_000
DIGITS = BASES["mnist"]
QUICK = learner_for(DIGITS.source, "network", {"arch": "mlp", "epochs": 1.0})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Real digits, a model that learnt somebody's strange sevens, and their ledger."""
    folder = copy_home(tmp_path_factory.mktemp("home") / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(folder))
        test = DIGITS.dataset().test
        rows = (test.y == 7).nonzero().flatten()[:6]
        strange = [DIGITS.drawn(np.rot90(test.x[row, 0].numpy())) for row in rows]
        add(DIGITS, "Ana Example", [("7", one) for one in strange])
        taught.teach(DIGITS, taught.FINETUNE, QUICK)
    return folder


@pytest.fixture(scope="module")
def page(chrome, home):
    with server(home) as address:
        page = opened(chrome)
        page.address = address
        yield page
        page.context.close()


def named(folder) -> tuple[list, list]:
    """Files in which the name stands, and models of what people gave."""
    own = [path for path in folder.rglob("*") if path.is_file() and "mnist/" not in str(path)]
    return ([path for path in own if b"Ana Example" in path.read_bytes()],
            [path for path in own if path.parent.name == "taught"])


def test_all_of_somebodys_handwriting_is_forgotten_and_the_ledger_says_so(
        chrome, page, home, tmp_path):
    (before,) = named(home)[1]
    page.goto(f"{page.address}/forget_me")
    picker = page.locator("[data-testid=stSelectbox] input")
    expect(picker).to_be_visible(timeout=LONG)
    assert "Ana Example" not in text(page)  # nobody is chosen until somebody is
    picker.fill("Ana Example")
    picker.press("Enter")
    expect(page.get_by_text("Digits: 6 drawings")).to_be_visible(timeout=LONG)
    expect(page.locator("img[alt='A drawing labelled 7']")).to_have_count(6)
    other = opened(chrome)  # a page that nobody touches from now on
    other.goto(f"{page.address}/forget_me")
    other.locator("[data-testid=stSelectbox] input").fill("Ana Example")
    other.keyboard.press("Enter")
    expect(other.locator("img[alt='A drawing labelled 7']")).to_have_count(6, timeout=LONG)
    settle(page)
    page.get_by_role("button", name="Search the data folder").click()
    expect(page.get_by_text("Found in 2 files")).to_be_visible(timeout=LONG)
    settle(page)
    page.get_by_text("Approximate: gradient ascent", exact=True).click()
    settle(page)
    go = page.get_by_role("button", name="Forget everything of Ana Example")
    expect(go).to_be_disabled()
    page.get_by_text("I know that this cannot be undone").click()
    expect(go).to_be_enabled()
    go.click()
    expect(page.get_by_text("Found in 2 files before, in none now.")).to_be_visible(timeout=LONG)
    settle(page)
    assert "Digits: 6 drawings forgotten and deleted" in text(page)
    assert "Nothing is held about anybody" in text(page)
    expect(other.locator("img[alt='A drawing labelled 7']")).to_have_count(0, timeout=10_000)
    assert "Ana Example" not in text(other)
    other.context.close()
    names, (after,) = named(home)
    assert names == []
    assert after != before
    page.get_by_role("link", name="Ledger").click()
    expect(page.get_by_text("Intact: 4 entries, chain and end.")).to_be_visible(timeout=LONG)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export (JSON)").click()
    download.value.save_as(tmp_path / "ledger.json")
    exported = (tmp_path / "ledger.json").read_text()
    assert "Ana" not in exported
    assert [one["what"] for one in json.loads(exported)["entries"]] == [
        "added", "taught", "asked", "forgotten"]
    chain, end = ledger.read_export(exported)
    assert ledger.verify_chain(chain, end).faults == ()
    page.locator("input[type=file]").set_input_files(tmp_path / "ledger.json")
    expect(page.get_by_text("begins with the 4 entries of that export")).to_be_visible(
        timeout=LONG)
    assert page.complaints == []


def test_a_telephone_shows_both_pages_without_scrolling_sideways(chrome, page):
    phone = opened(chrome, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for name, shown in (("forget_me", "Nothing is held"), ("ledger", "Intact")):
        phone.goto(f"{page.address}/{name}")
        expect(phone.get_by_text(shown).first).to_be_visible(timeout=LONG)
        settle(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.context.close()
    assert phone.complaints == []
