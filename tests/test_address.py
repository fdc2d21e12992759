"""What stands in a page's address: anything may, and every page opens."""

import re
from pathlib import Path

import pytest
import streamlit.elements.lib.policies as policies
from small_data import opened, ran, small_data
from streamlit.testing.v1 import AppTest

from ui.frame import warm_up

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "pages").glob("*.py"))

BOUND = {"compare.data": "Digits", "compare.seeds": "2", "compare.methods": "Fine-tune",
         "compare.class": "3", "audit.data": "Digits", "audit.class": "3"}
"""Every parameter that a page reads, with a value that it takes."""

ODD = ("1e309", "nan", "-3", "9" * 400, "2.5", "", "<b>**x**", "é\u0000\u202e", "x" * 10_000,
       ["2", "3"], ["", ""])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGET_HOME", str(tmp_path))
    assert warm_up().done.wait(60)
    with small_data():
        yield


def link(page: str, **query) -> AppTest:
    return opened(str(ROOT / "pages" / f"{page}.py"), **query)


def faults(at: AppTest) -> list[str]:
    return [box.value for kind in (at.exception, at.error) for box in kind]


def test_every_parameter_that_a_page_reads_is_tried_here():
    sources = {path: path.read_text() for path in [*(ROOT / "ui").rglob("*.py"), *PAGES]}
    readers = {path.name for path, text in sources.items() if re.search(
        r"bind=|\"query-params\"|query_params", text)}
    assert readers == {"address.py", "request.py"}
    asked = [what for text in sources.values() for what in re.findall(
        r"(?:in_address|asked_for)\((f?\"[^\"]*\"|asked)", text)]
    assert sorted(asked) == sorted(['"compare.methods"', '"compare.seeds"', 'f"{page}.data"',
                                    "asked"])


@pytest.mark.parametrize("page", ["compare", "audit"])
def test_a_page_opens_whatever_its_address_asks_for_in_all_parameters_at_once(page):
    names = [name for name in BOUND if name.startswith(page)]
    for place in range(0, len(ODD), 1 if page == "compare" else 3):  # the two share what reads it
        asked = {name: ODD[(place + turn) % len(ODD)] for turn, name in enumerate(names)}
        at = link(page, **asked)
        assert faults(at) == [], asked
        assert at.header[0].value.startswith("1 ")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", BOUND)
def test_a_page_opens_whatever_its_address_asks_for(name):
    page = name.partition(".")[0]
    for odd in ODD if page == "compare" else ODD[::3]:
        at = link(page, **{name: odd})
        assert faults(at) == [], odd
        assert at.header[0].value.startswith("1 ")
        assert len(at.toast) <= 1
    assert faults(ran(at)) == []  # and again, as after any click


@pytest.mark.parametrize(("name", "odd", "usual"), [
    ("compare.seeds", "1e309", 2), ("compare.seeds", "11", 2), ("compare.seeds", ["3", "4"], 2),
    ("compare.data", "faces", "mnist"), ("compare.data", "", "mnist")])
def test_what_cannot_be_taken_is_said_and_the_usual_stays(name, odd, usual):
    at = link("compare", **{name: odd})
    (toast,) = at.toast
    assert "cannot be taken" in toast.value
    kind = at.number_input if name == "compare.seeds" else at.segmented_control
    assert kind(key=name).value == usual


def test_what_can_be_taken_is():
    at = link("compare", **{"compare.seeds": "3", "compare.methods": ["Fine-tune"],
                            "compare.class": "2"})
    assert not at.toast
    assert at.number_input(key="compare.seeds").value == 3
    assert at.pills(key="compare.methods").value == ["finetune"]
    assert at.pills(key="compare.class.mnist").value == "2"


def test_other_data_are_no_wrong_link():
    at = link("compare", **{"compare.class": "2"})
    at.segmented_control(key="compare.data").set_value("faces").run()
    assert not at.toast and not faults(at)


@pytest.mark.parametrize("page", [path.stem for path in PAGES])
def test_parameters_that_no_page_knows_change_nothing(page):
    at = AppTest.from_file(ROOT / "app.py", default_timeout=60).switch_page(f"pages/{page}.py")
    for name, odd in {"seeds": "1e309", "embed": ["x", "y"], "f[]": "é" * 3000}.items():
        at.query_params[name] = odd
    at.run()
    assert not at.exception and "Something went wrong" not in str(faults(at))


def _class_set() -> None:
    """As a click on a person's photo does it."""
    import streamlit as st

    from ui.run.forget_form import choose_class

    st.session_state["class"] = "2"
    choose_class("Which", ("1", "2", "3"), "1", "class")


def _method_set() -> None:
    """As another kind of model does it."""
    import streamlit as st

    from ui.run.method_form import choose_method

    st.session_state["page.method"] = "sisa"
    choose_method("page", "network")


def test_no_widget_is_given_a_default_and_a_value(monkeypatch):
    """Streamlit complains in the server's log, as after a restart with a page open."""
    complaints = []
    monkeypatch.setattr(policies._LOGGER, "warning",
                        lambda what, *of, **_: complaints.append(what % of))
    monkeypatch.setattr(policies, "_shown_default_value_warning", False)
    link("compare", **{"compare.class": "2", "compare.seeds": "3", "compare.data": "Digits"})
    link("audit", **{"audit.class": "1"})
    assert ran(AppTest.from_function(_class_set)).pills(key="class").value == "2"
    method = ran(AppTest.from_function(_method_set)).segmented_control(key="page.method")
    assert method.value == "sisa"
    assert complaints == []
