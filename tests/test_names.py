"""Names are shown as they are: nothing in one is read as markup, in text or in a chart."""

import csv
import io

import pytest
from browser import opened, server, settle

from forget.io.sheets import csv_text
from ui.shell.words import BLOCK, JOINER, plain, told

NAMES = [
    "[Ana](https://evil.example)", "![Ana](https://evil.example/a.png)", "<b>Ana</b>",
    '<a href="https://evil.example">Ana</a>', "<img src=x onerror=alert(1)>",
    "https://evil.example", "see HTTPS://evil.example/now", "www.evil.example", "WWW.evil.example",
    "<https://evil.example>", "[Ana]: https://evil.example", ":material/face:", ":joy:", ":+1:",
    ":streamlit:", ":red[Ana]", ":red-background[Ana]", ":small[Ana]", ":blue-badge[Ana]",
    "**Ana**", "__Ana__", "*Ana*", "_Ana_", "~~Ana~~", "`Ana`", "$Ana$", "$$Ana$$", "# Ana",
    "- Ana", "+ Ana", "* Ana", "1. Ana", "12) Ana", "> Ana", "---", "===", "| Ana | Ben |",
    "&lt;b&gt;", "&#58;joy&#58;", "&amp;", "Ana \\ Ben", "a\\", "ana-maria_von.trapp (2).pt",
    "Jose\u0301", "安娜", "Ana: 3", "10:30",
]


@pytest.mark.parametrize("name", NAMES)
def test_only_signs_without_width_and_backslashes_are_added(name):
    shown = plain(name).replace(JOINER, "")
    letters = iter(shown)
    assert all(letter in letters for letter in name)
    assert len(shown) - len(name) == sum(sign in r"\`*_[]<>#~$|&" for sign in name) + (
        BLOCK.match(name) is not None)


def test_an_error_that_quotes_a_name_is_plain_as_well():
    assert told("no class “[Ana](//x)”") == r"No class “\[Ana\](//x)”."


@pytest.mark.parametrize("name", [
    "=1+1", '=HYPERLINK("https://evil.example","Ana")', "+Ana", "-Ana", "@SUM(A1)", "\t=1", "\r=1",
    "  =1+1", "＝1+1", "=cmd|' /C calc'!A0"])
def test_a_cell_that_a_spreadsheet_would_calculate_is_text(name):
    (cell, number), = csv.reader(io.StringIO(csv_text([(name, -0.5)]), newline=""))
    assert cell == "'" + name.replace("\r", " ")
    assert number == "-0.5"


@pytest.mark.parametrize("name", ["Ana", "", "s1", "7", "Ana=Ben", "'=1", "安娜"])
def test_any_other_cell_is_as_it_was(name):
    assert next(csv.reader(io.StringIO(csv_text([(name, None)])))) == [name, ""]


SCRIPT = f"""
import streamlit as st
from forget.report.figures import ORIGINAL
from ui.widgets.charts import probabilities
from ui.shell.words import plain

NAMES = {NAMES!r}
for name in NAMES:
    st.markdown(plain(name))
    st.markdown(f"**{{plain(name)}}**")
    st.button(plain(name), key=name)
st.pills("Which", NAMES, format_func=plain)
st.table([{{"File": plain(name)}} for name in NAMES], hide_index=True)
probabilities(["<a href='https://evil.example'>Ana</a>", "<b>Ben</b>", "A &amp; B"],
              [0.5, 0.3, 0.2], ORIGINAL)
st.header("The end")
"""


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_shows_every_name_as_it_is(chrome, tmp_path):
    script = tmp_path / "names.py"
    script.write_text(SCRIPT)
    with server(tmp_path, script=str(script)) as url:
        page = opened(chrome)
        page.goto(url)
        page.get_by_text("The end").wait_for(timeout=60_000)
        page.locator(".ytick text").first.wait_for(timeout=60_000)
        settle(page)
        texts = [text.replace(JOINER, "") for text in
                 page.locator("[data-testid=stMarkdown] p").all_inner_texts()]
        assert texts == [name for name in NAMES for _ in range(2)]
        assert [text.replace(JOINER, "") for text in
                page.locator("[data-testid=stButton] p").all_inner_texts()] == NAMES
        assert [text.replace(JOINER, "") for text in page.locator(
            "[data-testid=stButtonGroup] button p").all_inner_texts()] == NAMES
        assert [text.replace(JOINER, "") for text in page.locator(
            "[data-testid=stTable] tbody p").all_inner_texts()] == NAMES
        assert page.locator("[data-testid=stMain] a[href*=evil]").count() == 0
        assert page.locator("[data-testid=stMain] img").count() == 0
        assert sorted(page.locator(".ytick text").all_text_contents()) == [
            "<a href='https://evil.example'>Ana</a>", "<b>Ben</b>", "A &amp; B"]
        page.context.close()
