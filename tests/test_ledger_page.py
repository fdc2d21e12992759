"""The page Ledger through Streamlit's own test driver, over a base that is taught in moments."""

import json
from pathlib import Path

import pytest
from small_base import ANA, BEN, given, learner, tamper
from small_data import finish, opened, ran, said
from streamlit.testing.v1 import AppTest

from forget.core.errors import BadInput
from forget.methods import METHODS
from forget.records import composition, ledger, requests, taught
from forget.records.contributions import add, contributors
from forget.records.database import reading
from forget.records.history import Moment
from ui.ledger.charts import accuracy, spending

ROOT = Path(__file__).parent.parent
PAGE = str(ROOT / "pages" / "ledger.py")


@pytest.fixture
def taught_base(base):
    """Two people whom a model has learnt: three entries in the ledger."""
    for person in (ANA, BEN):
        add(base, person.name, [(person.name, one) for one in given(person.seed, 3)])
    taught.teach(base, taught.RETRAIN, learner())
    return base


@pytest.fixture
def waiting(taught_base):
    """Both asked to be forgotten, and three are waited for."""
    requests.set_policy(taught_base, 3)
    for person in (ANA, BEN):
        requests.ask(person.name, {"small": METHODS["finetune"]()})
    return taught_base


def page() -> AppTest:
    return opened(PAGE)


def held(at: AppTest):
    return at.session_state["ledger.work"]


def carry_out(at: AppTest) -> AppTest:
    at.button(key="ledger.carry.small").click().run()
    return finish(at, held(at))


def rows(at: AppTest) -> list[dict]:
    return at.dataframe[0].value.to_dict("records")


def exported() -> str:
    with reading() as db:
        return ledger.export_text(db)


def upload(at: AppTest, data: str | bytes) -> AppTest:
    content = data if isinstance(data, bytes) else data.encode()
    at.get("file_uploader")[0].set_value(("ledger.json", content, "application/json"))
    return ran(at)


def test_an_empty_ledger_says_what_every_part_waits_for(base):
    at = page()
    text = said(at)
    assert "**Intact:** 0 entries, chain and end." in text
    assert "No entries yet." in text
    assert "No request waits." in text
    assert "No model has changed yet." in text
    assert not at.error
    assert [one.value for one in at.header] == [
        "Is it intact?", "What this does not prove", "Entries", "Requests that wait", "Over time"]
    assert all(one in text for one in ledger.UNPROVEN)


def test_entries_stand_in_words_newest_first_without_a_name(waiting):
    at = page()
    shown = rows(at)
    assert [one["Entry"] for one in shown] == [6, 5, 4, 3, 2, 1]
    assert [one["What"] for one in shown] == [
        *["Asked to forget 3 samples by Fine-tune"] * 2,
        "Requests are carried out when 3 wait",
        "Learnt 6 new of 6 samples, in a new model",
        *["3 samples added"] * 2]
    assert shown[-1]["Whose"] != shown[-2]["Whose"]
    assert {len(one["Whose"]) for one in shown} == {8, 1}
    assert shown[3]["Result"].endswith("of unseen right")
    assert "Example" not in repr(shown)


def test_an_entry_is_opened_with_its_body_and_its_hashes(taught_base):
    at = page()
    at.selectbox(key="ledger.entry").set_value(3)
    ran(at)
    assert json.loads(at.json[0].value)["how"] == "retrain"
    with reading() as db:
        entry = ledger.entries(db)[2]
    assert f"`{entry.hash}`" in said(at)


def test_a_certificate_can_be_had_from_its_entry(base):
    add(base, ANA.name, [(ANA.name, one) for one in given(ANA.seed, 3)])
    taught.teach(base, taught.RETRAIN, learner("convex"))
    requests.ask(ANA.name, {"small": METHODS["certified"]()})
    requests.carry_out(base)
    at = page()
    at.selectbox(key="ledger.entry").set_value(4)
    ran(at)
    assert "**Certified**" in said(at)
    assert [one.label for one in at.get("download_button")] == ["Export (JSON)",
                                                                "Certificate (JSON)"]
    assert rows(at)[0]["Result"].endswith("; certified")
    assert len(at.get("plotly_chart")) == 2
    assert "For whoever keeps every published model" in said(at)


@pytest.mark.parametrize(("statement", "fault"), [
    ("UPDATE ledger SET body = '{\"batch\": [1]}' WHERE number = 2", "was altered"),
    ("UPDATE ledger SET body = 'no data' WHERE number = 2", "cannot be read: it was altered"),
    ("DELETE FROM ledger WHERE number = 2", "entries were removed, added or reordered"),
    ("DELETE FROM ledger WHERE number = 3", "entries were removed, added or replaced"),
])
def test_what_was_done_to_the_ledger_is_said_and_is_no_error_of_the_page(
        taught_base, statement, fault):
    tamper(statement)
    at = page()
    assert "**Not intact.**" in at.error[0].value
    assert fault in at.error[0].value
    assert len(at.error) == 1
    assert "Charts are drawn when the ledger is intact." in said(at)
    assert not at.get("plotly_chart")


def test_an_earlier_export_is_what_the_ledger_begins_with(taught_base):
    earlier = exported()
    requests.set_policy(taught_base, 2)
    at = upload(page(), earlier)
    assert "begins with the 3 entries of that export, and has 1 more" in said(at)


def test_another_ledgers_export_is_told_apart(taught_base):
    plain = json.loads(exported())
    plain["entries"][1]["body"]["samples"] = 99
    at = upload(page(), json.dumps(plain))
    assert "**This ledger does not begin with that export.**" in at.error[0].value
    assert "The export itself: entry 2 was altered after it was written." in at.error[0].value


@pytest.mark.drawn(2)
@pytest.mark.parametrize("data", ["{}", "[1]", b"\xff\xfe", "[" * 100_000, '{"kind": 1e999}'])
def test_what_is_no_export_is_one_sentence(taught_base, data):
    at = upload(page(), data)
    assert [one.value for one in at.error] == [
        "This is no exported ledger: choose a file that was exported here, or that "
        "'python -m forget ledger export' wrote."]


def test_requests_that_wait_are_carried_out_now(waiting):
    at = page()
    text = said(at)
    assert f"1. **{ANA.name}**, asked" in text
    assert "3 rows, 3 of them learnt, by “Fine-tune”" in text
    assert "Requests are carried out together when 3 wait: 2 wait now." in text
    at = carry_out(at)
    assert said(at).count("Small people: 3 rows forgotten and deleted") == 2
    assert contributors() == []
    assert "No request waits." in said(at)
    assert len(at.get("plotly_chart")) == 1


def test_a_request_that_failed_says_why_and_how_to_go_on(waiting, monkeypatch):
    def fails(*given, **more):
        raise BadInput("this cannot be unlearned: take another method")

    monkeypatch.setattr(requests, "run", fails)
    at = carry_out(page())
    assert [one.value for one in at.error] == [
        "This cannot be unlearned: take another method. Nothing was deleted. Ask again on the "
        "page Forget me, with another method."] * 2
    assert rows(at)[0]["Result"] == "Nothing was deleted; it can be asked again"


def test_the_policy_is_set_and_makes_requests_due(waiting):
    at = page()
    assert at.button(key="ledger.set.small").disabled
    at.number_input[0].set_value(2).run()
    at.button(key="ledger.set.small").click().run()
    assert requests.policy(waiting) == 2
    assert "They are due." in said(at)
    assert rows(at)[0]["What"] == "Requests are carried out when 2 wait"


def test_a_limit_for_publications_is_set_where_they_compose(base):
    add(base, ANA.name, [(ANA.name, one) for one in given(ANA.seed, 3)])
    taught.teach(base, taught.RETRAIN, learner())
    assert "any ε together" not in said(page()), "an ordinary network publishes no noise"
    taught.teach(base, taught.RETRAIN, learner("convex"))
    at = page()
    assert "may allow any ε together" in said(at)
    assert at.button(key="ledger.set_most.small").disabled
    at.number_input[1].set_value(0.5).run()
    at.button(key="ledger.set_most.small").click().run()
    assert composition.limit(base) == 0.5
    assert "may allow ε = 0.5 together" in said(at)
    assert rows(at)[0]["What"] == "Publications may allow ε = 0.5 together"
    requests.ask(ANA.name, {"small": METHODS["certified"]()})
    requests.set_policy(base, 2)
    at = page()
    at.button(key="ledger.small.forecast").click().run()
    finish(at, held(at))
    assert "will be trained anew" in said(at)
    at = carry_out(at)
    assert "or of the limit for publications, did not allow it" in said(at)
    at.number_input[1].set_value(0.0).run()
    at.button(key="ledger.set_most.small").click().run()
    assert composition.limit(base) is None
    assert rows(at)[0]["What"] == "No limit for publications seen together"


def test_a_server_that_is_open_to_everybody_shows_the_ledger_and_no_names(waiting, elsewhere):
    at = page()
    assert "**Intact:** 6 entries" in said(at)
    assert len(rows(at)) == 6
    assert ANA.name not in said(at)
    assert "3 rows, 3 of them learnt" in said(at)
    assert not at.button
    assert not at.number_input


def test_who_signed_in_sees_which_request_is_theirs_and_nobodys_name(waiting, elsewhere):
    add(waiting, "eve@example.org", [("Eve", one) for one in given(103, 2)])
    requests.ask("eve@example.org", {"small": METHODS["finetune"]()})
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.session_state["framed"] = True
    at.user = {"is_logged_in": True, "sub": "1", "email": "eve@example.org",
               "email_verified": True}
    requests.set_policy(waiting, 4)
    text = said(ran(at))
    assert ANA.name not in text
    assert "1. asked" in text
    assert "3. **Yours**, asked" in text
    assert not at.number_input
    assert not at.button(key="ledger.carry.small").disabled


def test_what_waits_and_spends_of_a_budget_is_announced_first(base):
    add(base, ANA.name, [(ANA.name, one) for one in given(ANA.seed, 1)])
    taught.teach(base, taught.RETRAIN, learner("convex", mode="guo", sigma=1.0, lam=1e-4))
    requests.set_policy(base, 2)
    requests.ask(ANA.name, {"small": METHODS["certified"]()})
    at = page()
    assert at.button(key="ledger.carry.small").disabled
    at.button(key="ledger.small.forecast").click().run()
    at = finish(at, held(at))
    assert "**the model will be trained anew**" in said(at)
    at = carry_out(at)
    assert "**the model was trained anew**" in said(at)


def moment(entry: int, **more) -> Moment:
    return Moment(**{"entry": entry, "at": "", "what": "forgotten", "how": "certified",
                     "accuracy": 0.9, "retrained": 0.91, "spent": None, "anew": False,
                     "epsilon": None} | more)


def drawn(draw, *moments: Moment) -> list[dict]:
    """The traces of each chart that a function draws of a model's history."""
    def script(draw, moments):
        draw(moments)

    at = ran(AppTest.from_function(script, args=(draw, moments)))
    return [json.loads(one.proto.spec)["data"] for one in at.get("plotly_chart")]


def test_accuracy_over_time_has_the_retrained_model_beside_it():
    (traces,) = drawn(accuracy, moment(2, what="taught", retrained=None), moment(4), moment(5))
    by_name = {one.get("name"): one for one in traces}
    assert by_name["After learning"]["x"] == [2]
    assert by_name["After forgetting"]["x"] == [4, 5]
    assert by_name["Retrained"]["y"] == [0.91, 0.91]
    colours = {one["marker"]["color"] for one in traces if "marker" in one}
    assert len(colours) == 3


def test_a_spent_budget_marks_where_the_model_was_trained_anew():
    (traces,) = drawn(spending, moment(2, spent=0.6), moment(3, spent=0.0, anew=True))
    assert [one["x"] for one in traces] == [[2, 3], [3]]
    assert traces[1]["name"] == "Trained anew"


def test_without_a_budget_there_is_no_chart_of_one():
    assert drawn(spending, moment(2)) == []
