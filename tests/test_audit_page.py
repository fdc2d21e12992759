"""The page Audit through Streamlit's own test driver, on small made-up data."""

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_data import finish, opened, ran, said, small_data
from streamlit.testing.v1 import AppTest

from forget.core.errors import Diverged
from forget.core.steps import Step
from ui.audit import trial as audit_trial
from ui.audit.explorer import _stops
from ui.audit.trial import CANCELLED, PLANTED
from ui.frame import warm_up

ROOT = Path(__file__).parent.parent
PAGE = str(ROOT / "pages" / "audit.py")
VIEWS = ("Membership attack", "Sample by sample", "Relearning", "Linear probe", "Attack explorer",
         "Download")


@pytest.fixture(scope="module")
def module_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, small_data():
        patch.setenv("FORGET_HOME", str(folder))
        assert warm_up().done.wait(60)
        yield folder


@pytest.fixture
def page(module_home) -> AppTest:
    return opened(PAGE, audit__data="Faces")


def held(at: AppTest):
    return at.session_state["audit.trial"]


def tried(at: AppTest, planted: str = "", method: str = "") -> AppTest:
    """The page after a trial of one method with the fewest models."""
    if planted:
        at.segmented_control(key="audit.kind_of_method").set_value(PLANTED).run()
        at.selectbox(key=f"audit.method.{PLANTED}").set_value(planted)
    if method:
        at.selectbox(key="audit.method.Methods").set_value(method)
    at.select_slider(key="audit.models").set_value(24).run()
    at.button(key="audit.go").click().run()
    return finish(at, held(at))


@pytest.fixture(scope="module")
def convicted(module_home) -> AppTest:
    """A page that shows the verdict on a masked output."""
    return tried(opened(PAGE, audit__data="Faces"), planted="masked")


def test_the_page_opens_without_an_error_and_says_what_it_costs(page):
    assert page.title[0].value == "Audit"
    assert not page.error
    assert "Is it forgotten, or only hidden?" in said(page)
    assert "Trains 32 small models and 16 more without the data" in said(page)
    assert not page.button(key="audit.go").disabled


def test_a_link_says_which_data_and_class(module_home):
    at = opened(PAGE, audit__data="Faces", audit__class="p1")
    assert at.segmented_control(key="audit.data").value == "faces"
    assert at.pills(key="audit.class.faces").value == "p1"


def test_a_link_with_nonsense_is_as_none(module_home):
    at = opened(PAGE, audit__data="Cats", audit__class="nobody")
    assert at.segmented_control(key="audit.data").value == "mnist"
    assert not at.error


def test_a_planted_fraud_is_convicted_in_words_and_signs(convicted):
    assert "Convicted: " in said(convicted)
    assert "Planted: masked output" in convicted.subheader[0].value
    boxes = {"Membership attack": "convicted", "Linear probe": "does not apply"}
    for name, word in boxes.items():
        box = next(one for kind in (convicted.error, convicted.info, convicted.success)
                   for one in kind if one.value.startswith(f"**{name}"))
        assert box.value.startswith(f"**{name}: {word}.** ")
        assert box.icon.startswith(":material/")


def test_the_frauds_come_with_a_sentence_on_what_they_are(page):
    page.segmented_control(key="audit.kind_of_method").set_value(PLANTED).run()
    assert "looks as if it forgets and does not" in said(page)
    assert len(page.selectbox(key=f"audit.method.{PLANTED}").options) == 3


def test_retraining_is_acquitted(page):
    at = tried(page, method="retrain")
    assert "No trace found" in said(at)
    assert held(at).result.audit.clear


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_the_evidence(convicted, view):
    convicted.segmented_control(key="audit.view").set_value(view).run()
    assert not convicted.exception
    assert "Something went wrong" not in said(convicted)
    charts = convicted.get("plotly_chart")
    assert len(charts) == (0 if view in ("Linear probe", "Download") else 1)
    assert all(chart.proto.alt for chart in charts)


def test_the_table_of_the_attack_shows_the_audits_figures(convicted):
    convicted.segmented_control(key="audit.view").set_value("Membership attack").run()
    table = convicted.table[0].value
    audit = held(convicted).result.audit
    assert list(table["Attack on"]) == ["Original", "Unlearned", "Retrained"]
    for place, kind in enumerate(("original", "unlearned", "reference")):
        assert table["AUC"][place].startswith(f"{getattr(audit, kind).auc.value:.3f} (")


@pytest.mark.parametrize("place", [0, 3, -1])
def test_the_explorer_counts_what_lies_at_or_above_the_threshold(convicted, place):
    convicted.segmented_control(key="audit.view").set_value("Attack explorer").run()
    exposure = held(convicted).result.audit.exposure
    stops = list(_stops(exposure.ratios))
    convicted.select_slider[1].set_value(stops[place]).run()
    above = exposure.ratios >= stops[place]
    right, wrong = (int((above & side).sum()) for side in (exposure.member, ~exposure.member))
    found = {metric.label: metric.value for metric in convicted.metric}
    members = int(exposure.member.sum())
    assert found["Rightly exposed"] == f"{right} of {members}"
    assert found["Wrongly accused"] == f"{wrong} of {exposure.member.numel() - members}"
    assert len(convicted.image) == right + wrong  # of a class, each pair has it on one side only


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=300))
def test_the_slider_goes_from_everybody_to_nobody_by_way_of_zero(scores):
    ratios = torch.tensor(scores, dtype=torch.float64).reshape(1, -1)
    written = _stops(ratios)
    stops = list(written)
    assert stops == sorted(set(stops))
    assert len(set(written.values())) == len(stops)
    assert 0.0 in stops
    assert (ratios >= stops[0]).all()
    assert not (ratios >= stops[-1]).any()
    assert len(stops) <= 102


def test_single_samples_have_an_attack_only(page):
    page.segmented_control(key="audit.kind").set_value("random").run()
    page.number_input(key="audit.count.faces").set_value(6).run()
    at = tried(page, method="retrain")
    assert said(at).count("does not apply") == 2
    for view in ("Relearning", "Linear probe"):
        at.segmented_control(key="audit.view").set_value(view).run()
        assert "Only a class can be relearnt" in said(at)


def test_a_method_that_refuses_is_one_sentence(page):
    page.segmented_control(key="audit.kind").set_value("random").run()
    at = tried(page, planted="masked")
    assert "ask for a class" in at.warning[0].value
    assert held(at).result is None
    assert not at.button(key="audit.go").disabled


def test_a_failed_audit_is_one_sentence(page, monkeypatch):
    def fails(*given, **how):
        raise Diverged("the numbers are not finite: take a smaller lr")

    monkeypatch.setattr(audit_trial, "audit", fails)
    at = tried(page)
    assert at.warning[0].value == "The numbers are not finite: take a smaller lr."


def test_a_cancelled_audit_says_that_what_was_made_is_kept(page, monkeypatch):
    begun = threading.Event()

    def endless(*given, watch, **how):
        watch.phase("Training shadow models")
        begun.set()
        while True:
            watch.step(Step(1, 36, "training", {}), 0.0)
            watch.check()

    monkeypatch.setattr(audit_trial, "audit", endless)
    page.button(key="audit.go").click().run()
    assert begun.wait(20)
    assert page.button(key="audit.go").disabled
    next(button for button in ran(page).button if button.label == "Cancel").click().run()
    at = finish(page, held(page))
    assert at.warning[0].value == CANCELLED


def test_wrong_numbers_are_one_sentence_and_nothing_to_press(page):
    page.segmented_control(key="audit.kind").set_value("samples").run()
    assert page.button(key="audit.go").disabled
    page.text_input(key="audit.ids.faces").set_value("3, x").run()
    assert "'x' is not a sample id" in page.warning[0].value
    page.text_input(key="audit.ids.faces").set_value("3, 5 ,7").run()
    assert not page.warning
    assert not page.button(key="audit.go").disabled


def test_a_verdict_survives_a_visit_to_another_page(convicted):
    at = AppTest.from_file(ROOT / "app.py", default_timeout=60).run()
    at.session_state["audit.trial"] = held(convicted)
    for page, title in (("audit", "Audit"), ("models", "Models and data"), ("audit", "Audit")):
        at.switch_page(f"pages/{page}.py").run()
        assert not at.exception
        assert at.title[0].value == title
    assert "Convicted: " in said(at)
