"""Nothing that can be chosen or read at a glance is cut off, on a desk or on a telephone."""

import pytest
from browser import copy_home, opened, server, settle
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LONG = 180_000
PAGES = {"": "1 Show it a digit", "compare": "1 What to compare", "audit": "1 Who is on trial",
         "teach": "1 Give it something", "forget_me": "1 What is held", "ledger": "Is it intact?",
         "models": "Everything in the folder"}

CUT = """() => {
  const beyond = (e) => {
    const own = e.getBoundingClientRect();
    for (let box = e.parentElement; box && box !== document.body; box = box.parentElement) {
      const edge = box.getBoundingClientRect();
      if (getComputedStyle(box).overflowX !== "visible" && edge.width
          && (own.right > edge.right + 1 || own.left < edge.left - 1)) return true;
    }
    return own.right > document.documentElement.clientWidth + 1;
  };
  const shown = ["button", "[role=radio]", "[data-testid=stMetricValue] *",
                 "[data-testid=stMetricLabel] *"];
  const all = [...document.querySelectorAll(
    shown.map((one) => `[data-testid=stMain] ${one}`).join())];
  return all.filter((e) => e.offsetParent && e.innerText.trim())
    .filter((e) => beyond(e) || (getComputedStyle(e).overflowX !== "visible"
                                 && e.clientWidth && e.scrollWidth > e.clientWidth + 1))
    .map((e) => e.innerText.slice(0, 40));
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with server(copy_home(tmp_path_factory.mktemp("pages") / "home")) as url:
        yield url


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_no_choice_and_no_figure_is_cut_off(chrome, address, width, height):
    page = opened(chrome, viewport={"width": width, "height": height})
    for path, shown in PAGES.items():
        page.goto(f"{address}/{path}")
        expect(page.get_by_role("heading", name=shown)).to_be_visible(timeout=LONG)
        settle(page)
        assert page.evaluate(CUT) == [], path
        if not path:
            page.get_by_text("Test digit", exact=True).click()
            expect(page.get_by_text("Which one of the test set")).to_be_visible(timeout=LONG)
            settle(page)
            assert page.evaluate(CUT) == []
    page.context.close()
