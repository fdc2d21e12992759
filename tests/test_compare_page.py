"""The page Compare through Streamlit's own test driver, on small made-up data."""

import json
import statistics
import threading
from pathlib import Path

import pandas as pd
import pytest
from small_data import PEOPLE, finish, opened, ran, said, small_data
from streamlit.testing.v1 import AppTest

from forget.core.errors import BadInput, DamagedFile
from forget.evaluation import compare as library
from forget.methods import METHODS
from forget.metrics.accuracy import predict
from forget.unlearning.measure import SPLITS
from ui.audit.trial import Trial, Tried
from ui.compare.run import CANCELLED
from ui.frame import warm_up

ROOT = Path(__file__).parent.parent
PAGE = str(ROOT / "pages" / "compare.py")
VIEWS = ("Trade-off", "Per person", "Where predictions differ", "Map", "Layers", "Confidence",
         "Your own")
NAMES = {"forget_accuracy": "Forget", "retain_accuracy": "Keep",
         "test_forget_accuracy": "Forget, unseen", "test_retain_accuracy": "Keep, unseen"}


@pytest.fixture(scope="module")
def module_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, small_data():
        patch.setenv("FORGET_HOME", str(folder))
        assert warm_up().done.wait(60)
        yield folder


@pytest.fixture
def own_home(module_home, tmp_path, monkeypatch) -> Path:
    """A home in which nothing is finished."""
    monkeypatch.setenv("FORGET_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def fresh(own_home) -> AppTest:
    return faces()


@pytest.fixture(scope="module")
def compared(module_home) -> AppTest:
    """A page that shows all five methods under two seeds."""
    at = press(faces())
    assert held(at).result is not None
    return at


@pytest.fixture
def looking(compared, monkeypatch) -> AppTest:
    """That page, as it was."""
    for name, value in (("compare.record", None), ("compare.pair.A", "Fine-tune"),
                        ("compare.pair.B", "Retrained")):
        compared.selectbox(key=name).set_value(value)
    for name in ("compare.verdicts", "compare.titles"):
        compared.multiselect(key=name).set_value([])
    return ran(compared)


def faces(**more: str) -> AppTest:
    return opened(PAGE, compare__data="Faces", **more)


def held(at: AppTest):
    return at.session_state["compare.work"]


def press(at: AppTest) -> AppTest:
    at.button(key="compare.go").click().run()
    return finish(at, held(at))


def choose(at: AppTest, *names: str, seeds: int = 1) -> AppTest:
    at.pills(key="compare.methods").set_value(list(names))
    at.number_input(key="compare.seeds").set_value(seeds)
    return ran(at)


def table(at: AppTest) -> pd.DataFrame:
    return at.dataframe[0].value


# What is asked.


def test_the_page_opens_without_an_error_and_says_what_it_costs(fresh):
    assert fresh.title[0].value == "Compare"
    assert not fresh.error
    assert "Which method forgets best?" in said(fresh)
    assert "10 of 10 runs are not finished yet." in said(fresh)
    assert fresh.pills(key="compare.methods").value == list(METHODS)
    assert not fresh.button(key="compare.go").disabled


def test_a_link_says_what_to_compare(own_home):
    at = faces(compare__class="p1", compare__seeds="3")
    assert at.segmented_control(key="compare.data").value == "faces"
    assert at.pills(key="compare.class.faces").value == "p1"
    assert at.number_input(key="compare.seeds").value == 3
    assert "15 of 15 runs" in said(at)


@pytest.mark.parametrize("query", [{"compare__class": "nobody"}, {"compare__seeds": "999"},
                                   {"compare__methods": "magic"}])
def test_a_link_with_nonsense_is_as_none(own_home, query):
    assert "10 of 10 runs" in said(faces(**query))


def test_without_a_method_there_is_nothing_to_press(fresh):
    choose(fresh)
    assert fresh.button(key="compare.go").disabled
    assert "Choose at least one method." in said(fresh)


def test_wrong_numbers_are_one_sentence_and_nothing_to_press(fresh):
    fresh.segmented_control(key="compare.kind").set_value("samples").run()
    assert fresh.button(key="compare.go").disabled
    fresh.text_input(key="compare.ids.faces").set_value("1, 9999").run()
    assert "there is no training sample 9999" in fresh.warning[0].value.lower()
    assert fresh.button(key="compare.go").disabled


def test_digits_are_compared_too(own_home):
    at = press(choose(opened(PAGE), "finetune"))
    assert list(table(at)["Method"]) == ["Fine-tune"]
    assert "Digits: forget 3" in said(at)


def test_single_samples_have_no_columns_for_what_does_not_apply(fresh):
    fresh.segmented_control(key="compare.kind").set_value("samples").run()
    fresh.text_input(key="compare.ids.faces").set_value("1, 9, 20").run()
    at = press(choose(fresh, "finetune"))
    assert {"Forget", "Keep, unseen"} <= set(table(at))
    assert {"Relearn ratio", "Probe", "Forget, unseen"}.isdisjoint(table(at))


# The work.


def test_the_table_fills_as_runs_finish_and_what_was_finished_is_kept(fresh, monkeypatch):
    one, go_on, asked = library._one, threading.Event(), []

    def gated(dataset, request, method, learner, seed, watch):
        asked.append(method.name)
        while len(asked) == 2 and not go_on.is_set():
            watch.check()
        return one(dataset, request, method, learner, seed, watch)

    monkeypatch.setattr(library, "_one", gated)
    choose(fresh, "retrain", "finetune", "gradient_ascent")
    fresh.button(key="compare.go").click().run()
    work = held(fresh)
    while len(asked) < 2:
        assert work.busy
    at = ran(fresh)
    assert work.busy
    assert list(table(at)["Method"]) == [METHODS["retrain"].title]
    assert "1 of 3 runs is finished" in said(at)
    next(button for button in at.button if button.label == "Cancel").click().run()
    at = finish(at, work)
    assert at.warning[0].value == CANCELLED
    assert "2 of 3 runs are not finished yet; the other 1 is kept." in said(at)
    go_on.set()
    at = press(at)
    assert asked == ["retrain", "finetune", "finetune", "gradient_ascent"]
    assert len(table(at)) == 3


def test_a_failed_comparison_is_one_sentence(fresh, monkeypatch):
    def fails(*given):
        raise DamagedFile("the file is damaged: delete it")

    monkeypatch.setattr(library, "_one", fails)
    at = press(choose(fresh, "finetune"))
    assert at.warning[0].value == "The file is damaged: delete it."
    assert not at.button(key="compare.go").disabled


def test_a_damaged_record_is_one_sentence_that_says_what_to_do(fresh, own_home):
    press(choose(fresh, "finetune"))
    (record,) = (own_home / "runs").glob("*.json")
    record.write_text("{ broken")
    at = choose(faces(), "finetune")
    (error,) = at.error
    assert "is damaged: delete it" in error.value
    assert at.button(key="compare.go").disabled
    record.unlink()
    assert "1 of 1 run is not finished yet." in said(ran(at))


def test_a_method_that_refuses_is_named_and_the_others_go_on(fresh, monkeypatch):
    one = library._one

    def picky(dataset, request, method, *rest):
        if method.name == "finetune":
            raise BadInput("not on a Monday")
        return one(dataset, request, method, *rest)

    monkeypatch.setattr(library, "_one", picky)
    at = press(choose(fresh, "finetune", "retrain"))
    assert list(table(at)["Method"]) == [METHODS["retrain"].title]
    assert "finetune could not be run: not on a Monday" in said(at)


def test_what_is_finished_is_shown_without_a_press(compared):
    at = faces()
    assert "All 10 runs are finished and kept" in said(at)
    assert at.button(key="compare.go").disabled
    pd.testing.assert_frame_equal(table(at), table(compared))


def test_a_table_survives_a_visit_to_another_page(module_home, compared):
    at = AppTest.from_file(ROOT / "app.py", default_timeout=60).run()
    at.switch_page("pages/compare.py").run()
    at.segmented_control(key="compare.data").set_value("faces").run()
    before = table(at)
    at.switch_page("pages/models.py").run()
    at.switch_page("pages/compare.py").run()
    assert not at.exception
    pd.testing.assert_frame_equal(table(at), before)


# The table.


def test_every_number_is_the_mean_of_the_records(looking):
    rows, comparison = table(looking), held(looking).result[0]
    assert list(rows["Method"]) == [METHODS[name].title for name in METHODS]
    for place, name in enumerate(METHODS):
        records = [comparison.record(name, seed)["result"] for seed in comparison.seeds]
        for model, more in (("unlearned", ""), ("retrained", ", retrained")):
            for split in SPLITS:
                want = 100 * statistics.fmean(one["metrics"][model][split] for one in records)
                assert rows[NAMES[split] + more][place] == round(want, 1)  # as it is shown
        took = statistics.fmean(one["seconds"]["forget"] for one in records)
        assert rows["Forgetting"][place] == pytest.approx(took)


def test_numbers_sort_as_numbers(looking):
    kinds = table(looking).dtypes
    text = {"Method", "Verdict", "Seeds that match", "Speed-up of", "Certificate"}
    assert {name for name, kind in kinds.items() if not pd.api.types.is_float_dtype(kind)} == text


def test_spread_has_columns_of_its_own(looking):
    assert "Forget ±" not in table(looking)
    looking.pills(key="compare.columns").set_value(["Accuracy", "Spread"]).run()
    shown = held(looking).shown["rows"][1]["accuracy"]["retain_accuracy"]["reference"]
    assert table(looking)["Keep, retrained ±"][1] == pytest.approx(100 * shown["spread"])
    looking.pills(key="compare.columns").set_value(["Accuracy", "Traces", "Cost"]).run()


def test_every_column_says_what_it_means(looking):
    config = json.loads(looking.dataframe[0].proto.columns)
    assert set(table(looking)) <= set(config)
    assert all(len(config[name]["help"]) > 10 for name in table(looking))


def test_rows_are_filtered_by_method_and_verdict(looking):
    looking.multiselect(key="compare.titles").set_value(["Fine-tune", "Exact: SISA"]).run()
    assert list(table(looking)["Method"]) == ["Fine-tune", "Exact: SISA"]
    looking.multiselect(key="compare.titles").set_value([]).run()
    words = held(looking).shown["rows"][0]["verdict"]
    looking.multiselect(key="compare.verdicts").set_value([words]).run()
    assert all(verdict.endswith(words) for verdict in table(looking)["Verdict"])


def test_original_and_retrained_models_of_every_kind_stand_below(looking):
    lines = looking.table[0].value
    assert len(lines) == 6
    shown = held(looking).shown["rows"][0]["accuracy"]["retain_accuracy"]["original"]
    assert lines["Keep"][0].startswith(f"{shown['mean']:.1%}".replace("%", "\u00a0%"))
    assert "±" in lines["Keep"][0]


def test_the_record_behind_a_row_opens(looking):
    looking.selectbox(key="compare.record").set_value("sisa").run()
    shown = json.loads(looking.json[0].value)
    assert shown == held(looking).result[0].record("sisa", 0)


def test_an_audit_in_this_tab_fills_in_the_attack(compared):
    at = faces()
    comparison, name = held(at).result[0], "gradient_ascent"
    entry = [comparison._entry(name)]
    audit = library_audit(comparison, entry)
    trial = Trial(result=Tried("faces", comparison.request, audit))
    at.session_state["audit.trial"] = trial
    ran(at)
    attack = table(at)["Attack AUC"]
    assert attack[2] == pytest.approx(audit.unlearned.auc.value)
    assert attack.isna().sum() == 4


def library_audit(comparison, entries):
    from forget.evaluation.audit import audit

    (found,) = audit(comparison.data, comparison.request, entries, 0, 24).values()
    return found


# Two side by side.


@pytest.mark.drawn(8)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("b", ["Retrained", "Original", "Exact: SISA", "Fine-tune"])
def test_every_view_of_two_models(looking, view, b):
    looking.selectbox(key="compare.pair.B").set_value(b)
    looking.segmented_control(key="compare.view.person").set_value(view).run()
    assert not looking.exception
    assert not looking.error
    charts = looking.get("plotly_chart")
    other_kind = view == "Layers" and b == "Exact: SISA"
    assert len(charts) == (0 if view == "Your own" or other_kind else 1)
    assert all(chart.proto.alt for chart in charts)
    if other_kind:
        assert "Only models with the same layers" in said(looking)
    if view in ("Per person", "Where predictions differ", "Map", "Confidence"):
        assert b in charts[0].proto.alt or "alike" in charts[0].proto.alt


def test_every_model_of_a_comparison_can_be_picked(looking):
    labels = looking.selectbox(key="compare.pair.A").options
    assert labels[:2] == ["Original", "Retrained"]
    assert {METHODS[name].title for name in METHODS} <= set(labels)
    assert len(labels) == len(METHODS) + 6


def test_an_unseen_photo_goes_through_every_model(looking):
    looking.segmented_control(key="compare.view.person").set_value("Your own").run()
    work = held(looking)
    looking.selectbox(key="compare.face.person").set_value("p1").run()
    lines = looking.table[-1].value.set_index("Model")
    assert len(lines) == len(METHODS) + 6
    data = work.result[0].data
    row = int((data.test.y == 1).nonzero()[0])
    for name in METHODS:
        model = work.result[0].models(name)["Unlearned"]
        best = int(predict(model, data.test.x[row][None]).argmax())
        assert lines["Says"][METHODS[name].title] == data.classes[best]
    assert len(data.classes) == PEOPLE


def test_a_bad_photo_is_one_sentence(looking):
    looking.segmented_control(key="compare.view.person").set_value("Your own").run()
    looking.segmented_control(key="compare.face.way").set_value("Upload").run()
    looking.file_uploader(key="compare.file").set_value(("x.png", b"text", "image/png")).run()
    assert not looking.exception
    (error,) = looking.error
    assert "not a picture" in error.value
    looking.segmented_control(key="compare.face.way").set_value("Test photo").run()


def test_another_seed_shows_other_models(looking):
    looking.segmented_control(key="compare.view.person").set_value("Confidence").run()
    before = looking.get("plotly_chart")[0].proto.spec
    looking.selectbox(key="compare.pair.seed").set_value(1).run()
    assert looking.get("plotly_chart")[0].proto.spec != before
    looking.selectbox(key="compare.pair.seed").set_value(0).run()


def test_a_tick_goes_with_its_table(looking):
    """A row's tick is the widget's own: another table, or another way to a record, is without."""
    def key() -> str:
        return looking.dataframe[0].key

    first = key()
    ran(looking)
    assert key() == first
    looking.multiselect(key="compare.titles").set_value(["Fine-tune"]).run()
    filtered = key()
    looking.selectbox(key="compare.record").set_value("finetune").run()
    assert len({first, filtered, key()}) == 3
