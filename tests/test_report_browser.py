"""The report as people open it: a file in a browser, wide and on a phone, light and dark."""

import re

import pytest
from playwright.sync_api import expect
from test_report import NASTY, an_audit, bare_row, full_row, shown

from forget.report.html import html_text

pytestmark = [pytest.mark.slow, pytest.mark.browser]

FIGURES = 5


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    nasty = bare_row(2) | {"title": NASTY, "method": NASTY}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_text(shown(full_row(), nasty), {"finetune": an_audit()}))
    return path.as_uri()


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide", "phone"])
def opened(request, chrome, address):
    """The page, and all that it complained of or asked for."""
    width, scheme = request.param
    context = chrome.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda one: asked.append(one.url))
    page.goto(address)
    expect(page.locator(".js-plotly-plot .infolayer")).to_have_count(FIGURES, timeout=30_000)
    page.wait_for_timeout(500)
    yield page, complaints, asked
    context.close()


@pytest.mark.drawn(1)
def test_it_opens_without_complaint_or_network(opened, address):
    page, complaints, asked = opened
    assert complaints == []
    assert asked == [address]
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')"
                         ) == "refused"


@pytest.mark.drawn(1)
def test_figures_are_drawn_within_the_page(opened):
    page, _, _ = opened
    width = page.viewport_size["width"]
    for plot in page.locator(".js-plotly-plot").all():
        assert plot.locator("svg.main-svg").count() >= 1
        assert plot.locator(".scatterlayer .trace").count() >= 1
        box = plot.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] > 0.7 * min(
            width, 500)
        drawn = plot.locator("svg.main-svg").first.bounding_box()
        assert drawn["width"] <= box["width"] + 1


@pytest.mark.drawn(1)
def test_only_the_table_scrolls_sideways(opened):
    page, _, _ = opened
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.locator(".scroll")
    assert inside.evaluate("box => box.scrollWidth > box.clientWidth")
    name = page.get_by_role("rowheader").first
    inside.evaluate("box => box.scrollLeft = box.scrollWidth")
    assert name.bounding_box()["x"] >= 0  # the method's name stays in sight
    expect(page.get_by_role("cell", name="ε 1, δ 1e-05")).to_be_in_viewport()


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.drawn(1)
def test_text_stands_out_from_its_ground(opened):
    page, _, _ = opened

    def colour(selector: str, of: str) -> str:
        return page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{of}")

    grounds = {"page": colour("body", "backgroundColor"), "head": colour("th", "backgroundColor")}
    inks = {"p": "color", "td span": "color", "figcaption": "color", "th": "color",
            ".infolayer text": "fill", ".xtick text": "fill", ".legendtext": "fill"}
    for selector, of in inks.items():
        for ground in grounds.values():
            low, high = sorted((luminance(colour(selector, of)), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, selector
