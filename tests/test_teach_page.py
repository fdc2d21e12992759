"""The page Teach through Streamlit's own test driver: a base that is taught in moments."""

import re
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from small_base import (
    ANA,
    BEN,
    SMALL,
    SmallBase,
    SmallSource,
    given,
    learner,
    rows,
)
from small_data import finish, ran, said
from streamlit.testing.v1 import AppTest

from forget.core.errors import SourceDown
from forget.core.knobs import make
from forget.faces import Face
from forget.faces.detect import Found
from forget.io.files import locked
from forget.io.paths import downloads
from forget.methods import METHODS
from forget.records import lineage, requests, taught
from forget.records.contributions import add, contributors, kept
from forget.records.database import NAME, WORK
from forget.records.taught import FINETUNE, RETRAIN
from ui.frame import warm_up
from ui.jobs import shared
from ui.jobs.queue import Job
from ui.shell import limits, memory
from ui.shell.access import Access
from ui.teach import work as teach_work
from ui.teach.work import GONE, NOT_LEARNT, NOTHING_KEPT, OTHERS, Crowd, File, Lesson
from ui.widgets.charts import percent

ROOT = Path(__file__).parent.parent


APP = f"""
import streamlit as st

st.session_state["framed"] = True
st.navigation([st.Page("{ROOT}/pages/teach.py", default=True),
               st.Page("{ROOT}/pages/forget_me.py"), st.Page("{ROOT}/pages/ledger.py")]).run()
"""
"""The pages that know the small base: no others, which would fetch their data."""


@pytest.fixture
def page(small) -> AppTest:
    """The page over a base of which nothing was taught."""
    return opened()


def opened() -> AppTest:
    assert warm_up().done.wait(60)
    return ran(AppTest.from_string(APP, default_timeout=60))


def held(at: AppTest) -> Lesson:
    return at.session_state["teach.small"]


def files(seed: int, count: int, first: int = 0) -> list[tuple[str, bytes, str]]:
    """Rows of one person, as files to be uploaded."""
    return [(f"{seed}-{number}.png", row.tobytes(), "image/png")
            for number, row in enumerate(rows(seed, first + count)[first:])]


def press(at: AppTest, key: str) -> AppTest:
    at.button(key=key).click()
    return ran(at)


def upload(at: AppTest, label: str, those: list) -> AppTest:
    """Choose files, name whom they show, and add them."""
    at.text_input(key="teach.small.label").set_value(label)
    at.file_uploader[0].set_value(those).run()
    press(at, "teach.small.add")
    return finish(at, held(at))


def teach(at: AppTest, name: str = ANA.name) -> AppTest:
    at.text_input(key="teach.contributor").set_value(name).run()
    press(at, "teach.small.go")
    return finish(at, held(at))


def taught_page(at: AppTest) -> AppTest:
    return teach(upload(at, "Zoe", files(ANA.seed, 4)))


def disabled(at: AppTest, key: str) -> bool:
    return at.button(key=key).disabled


def test_what_was_given_is_learnt_and_shown_before_and_after(page):
    assert disabled(page, "teach.small.go")
    at = taught_page(page)
    learnt = held(at).result
    assert [one.after.says for one in learnt.said] == ["Zoe"] * 4
    assert not any(one.before.says == "Zoe" for one in learnt.said)
    assert "got 0 of them right before, and gets 4 right now" in said(at)
    assert "did not know Zoe at all" in said(at)
    shown = {one.label: one.value for one in at.metric}
    assert shown["Ledger entry"] == str(learnt.taught.entry)
    assert shown["Now: unseen right"] == percent(learnt.taught.accuracy_after)
    assert held(at).pile == []
    assert {one.name: one.counts for one in contributors()} == {ANA.name: {"small": 4}}


def test_what_was_given_twice_counts_once_and_is_said(page):
    at = teach(upload(page, "Zoe", files(ANA.seed, 2) + files(ANA.seed, 1)))
    assert len(kept(SMALL)) == 2
    assert "1 of the pile was given before, or twice" in said(at)


def test_nothing_is_on_disk_before_teach_is_pressed(page):
    before = sorted(downloads().rglob("*"))
    at = upload(page, "Zoe", files(ANA.seed, 2))
    at.text_input(key="teach.contributor").set_value(ANA.name).run()
    assert len(held(at).pile) == 2
    assert sorted(downloads().rglob("*")) == before


def test_files_that_were_read_are_let_go(page, monkeypatch):
    gone = []
    monkeypatch.setattr(memory, "release", gone.extend)
    at = upload(page, "Zoe", files(ANA.seed, 2))
    assert len(held(at).pile) == 2
    assert [file.name for file in gone] == [name for name, *_ in files(ANA.seed, 2)]
    assert 0 < held(at).held_bytes < 10_000


def test_a_full_database_takes_nothing_more_and_says_so(page, monkeypatch):
    at = taught_page(page)
    monkeypatch.setattr(limits, "KEPT_IN_ALL", 1)
    at = upload(at, "Zoe", files(ANA.seed, 2, first=7))
    press(at, "teach.small.go")
    assert "has no room for more: ask whoever runs it" in at.error[0].value
    assert len(kept(SMALL)) == 4


def test_a_bad_file_is_said_and_the_others_are_piled(page):
    at = upload(page, "Zoe", [*files(ANA.seed, 2), ("note_s.png", b"Dear diary", "image/png")])
    assert len(held(at).pile) == 2
    assert [one.value for one in at.warning] == [
        "“note\\_s.png” is left out: this is no row: give one of 16 numbers."]


def test_many_bad_files_are_a_line_and_each_can_be_read_in_full(page):
    bad = [(f"note{number}.png", b"Dear diary", "image/png") for number in range(9)]
    at = upload(page, "Zoe", [*files(ANA.seed, 2), *bad])
    assert [one.value for one in at.warning] == [
        "9 files are left out (“note0.png”, “note1.png”, “note2.png” and 6 more): they cannot be "
        "read as pictures."]
    (fold,) = [one for one in at.expander if one.label == "Each of them in full (9)"]
    assert fold.markdown[0].value.splitlines() == [
        f"- “note{number}.png” is left out: this is no row: give one of 16 numbers."
        for number in range(9)]


def hints(at: AppTest) -> list[str]:
    return [one.value for one in at.caption if "would be another person" in one.value]


def test_a_contributor_whose_name_is_nearly_known_is_said_and_can_be_meant(page):
    add(SMALL, "José Álvarez", [("Zoe", one) for one in given(ANA.seed, 2)])
    at = upload(ran(page), "Zoe", files(BEN.seed, 2))
    at.text_input(key="teach.contributor").set_value("josé álvarez").run()
    assert hints(at) == [":material/group: José Álvarez is known already; josé álvarez would be "
                         "another person."]
    press(at, "teach.contributor.alike.José Álvarez")
    assert at.text_input(key="teach.contributor").value == "José Álvarez"
    assert hints(at) == []
    assert "José Álvarez gave 2 samples before" in said(at)
    at = teach(at, "José Álvarez")
    assert {one.name: one.counts for one in contributors()} == {"José Álvarez": {"small": 4}}


def test_who_goes_on_with_a_name_that_is_nearly_known_is_another_contributor(page):
    add(SMALL, "José Álvarez", [("Zoe", one) for one in given(ANA.seed, 2)])
    teach(upload(ran(page), "Zoe", files(BEN.seed, 2)), "josé álvarez")
    assert sorted(one.name for one in contributors()) == ["José Álvarez", "josé álvarez"]


@pytest.mark.parametrize("known", ["Ida", "Yan", "Uma"])
def test_a_label_that_is_nearly_known_is_said_and_can_be_meant(page, known):
    """One of the base's people, one that somebody taught, and one on the pile."""
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    at = upload(ran(page), "Uma", files(ANA.seed, 1))
    at.text_input(key="teach.small.label").set_value(known.upper()).run()
    assert hints(at) == [f":material/group: {known} is known already; {known.upper()} would be "
                         "another person."]
    press(at, f"teach.small.label.alike.{known}")
    assert at.text_input(key="teach.small.label").value == known
    assert hints(at) == []


def test_who_signed_in_gets_no_hint_from_what_others_gave(small, monkeypatch):
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    signed_in(monkeypatch, "ana@example.org")
    at = opened()
    at.text_input(key="teach.small.label").set_value("YAN").run()
    assert hints(at) == []
    at.text_input(key="teach.small.label").set_value("IDA").run()
    assert len(hints(at)) == 1


def test_a_sample_can_be_taken_out_of_the_pile(page):
    at = upload(page, "Zoe", files(ANA.seed, 3))
    first, second, third = held(at).pile
    press(at, f"teach.small.out.{second.number}")
    assert held(at).pile == [first, third]
    at = teach(at)
    assert [one.sha256 for one in kept(SMALL)] == [first.given.sha256, third.given.sha256]


def test_a_label_or_a_contributor_that_cannot_be_is_refused_and_nothing_is_lost(page):
    page.file_uploader[0].set_value(files(ANA.seed, 2)).run()
    at = press(page, "teach.small.add")
    assert "A person needs a name" in at.error[0].value
    at.text_input(key="teach.small.label").set_value("Zoe")
    at = finish(press(at, "teach.small.add"), held(at))
    at = press(at, "teach.small.go")
    assert "Who gives this?" in at.error[0].value
    assert len(held(at).pile) == 2
    assert not (downloads() / NAME).exists()


def test_the_cost_is_not_known_at_first_and_then_as_it_last_was(page):
    how = "teach.small.how.True"
    assert all("not known yet" in one for one in page.radio(key=how).proto.captions)
    retrain, _ = taught_page(page).radio(key=how).proto.captions
    assert re.search(r"about \d+ s", retrain)


def test_only_an_ordinary_network_can_go_on_training(page):
    at = page
    assert at.radio(key="teach.small.how.True").options == list(taught.WAYS.values())
    at.radio(key="teach.small.kind").set_value("Certified head").run()
    at = taught_page(at)
    assert lineage.learner_of(SMALL).name == "convex"
    assert at.radio(key="teach.small.how.False").options == [taught.WAYS[RETRAIN]]
    assert "cannot go on training" in said(at)


def test_the_model_goes_on_training_where_that_is_chosen(page):
    at = upload(page, "Zoe", files(ANA.seed, 4))
    at.radio(key="teach.small.how.True").set_value(FINETUNE).run()
    assert "teach.small.kind" not in [one.key for one in at.radio]
    at = teach(at)
    assert held(at).result, said(at)
    assert held(at).result.taught.after.made == FINETUNE


def test_another_kind_of_model_can_be_made_of_what_is_learnt_already(page):
    at = taught_page(page)
    assert disabled(at, "teach.small.go")
    at.radio(key="teach.small.kind").set_value("Sharded ensemble (SISA)").run()
    assert not disabled(at, "teach.small.go")
    press(at, "teach.small.go")
    at = finish(at, held(at))
    assert lineage.learner_of(SMALL).name == "sisa"
    assert "No sample of yours was new to it." in said(at)


def test_the_next_one_is_seen_by_both_models_whose_classes_differ(page):
    at = taught_page(page)
    at.file_uploader[1].set_value(files(ANA.seed, 1, first=9)[0]).run()
    at = finish(at, held(at))
    before, now = (one.value for one in at.markdown
                   if one.value.startswith(("**Before: ", "**Now: ")))
    assert "Zoe" in now
    assert "Zoe" not in before
    assert len(kept(SMALL)) == 4


def test_a_bad_next_one_is_said_and_not_read_for_ever(page):
    at = taught_page(page)
    at.file_uploader[1].set_value(("x.png", b"no", "image/png")).run()
    at = finish(at, held(at))
    assert "is left out" in at.warning[0].value
    assert ran(at).session_state["teach.small"].job is None


def test_the_result_and_the_pile_survive_another_page(page):
    at = upload(taught_page(page), "Yan", files(BEN.seed, 2))
    ran(at.switch_page(f"{ROOT}/pages/ledger.py"))
    at = ran(at.switch_page(f"{ROOT}/pages/teach.py"))
    assert "gets 4 right now" in said(at)
    assert len(held(at).pile) == 2
    assert at.text_input(key="teach.contributor").value == ANA.name


def test_a_model_that_somebody_else_taught_meanwhile_is_said(page):
    at = taught_page(page)
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    taught.teach(SMALL, RETRAIN, learner())
    assert "was changed since" in said(ran(at))
    assert "gets 4 right now" in said(at)


def test_a_result_goes_from_the_tab_when_what_was_learnt_is_forgotten(page):
    at = taught_page(page)
    requests.ask(ANA.name, {"small": make(METHODS["retrain"], {})})
    requests.carry_out(SMALL)
    at = ran(at)
    assert held(at).result is None
    assert GONE in said(at)
    assert "Just learnt" not in said(at)


def test_what_was_given_and_not_learnt_is_said_and_can_be_learnt(page):
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    at = ran(page)
    assert f"2 rows given before are not learnt yet (from {BEN.name})" in said(at)
    press(at, "teach.small.go")
    at = finish(at, held(at))
    assert len(held(at).result.said) == 2
    assert "not learnt yet" not in said(at)


def test_of_a_photo_with_several_people_one_face_is_picked(page, monkeypatch):
    photo = Image.new("RGB", (90, 60))
    crowd = Found(photo, tuple(Face((side, 5, side + 20, 25), (), 1.0) for side in (5, 40)))
    picked = []

    def read(base, file: File):
        if file.face is None:
            return Crowd(file, crowd)
        picked.append(file.face)
        return base.read(file.data, file.face)

    monkeypatch.setattr(teach_work, "_read", read)
    at = upload(page, "Zoe", files(ANA.seed, 2))
    assert held(at).pile == []
    assert "shows several people. Who is Zoe?" in said(at)
    assert disabled(at, "teach.small.face.1.use")  # neither is clearly the largest
    at.pills(key="teach.small.face.1").set_value(2).run()
    press(at, "teach.small.face.1.use")
    at = finish(at, held(at))
    assert picked == [1]
    assert [one.label for one in held(at).pile] == ["Zoe"]
    ((_, left),) = held(at).crowds.values()
    at = press(at, "teach.small.face.2.leave")
    assert held(at).crowds == {}
    assert len(held(at).pile) == 1
    assert left.file.name == files(ANA.seed, 2)[1][0]


def cancelled(at: AppTest, when) -> AppTest:
    """Press Teach while another program changes the model, and cancel when it is so far."""
    at.text_input(key="teach.contributor").set_value(ANA.name).run()
    with locked(WORK):
        press(at, "teach.small.go")
        job = held(at).job
        for _ in range(600):
            if when(job):
                break
            time.sleep(0.05)
        job.cancel()
    return finish(at, held(at))


def test_cancelling_keeps_what_was_added_and_says_so(page):
    at = cancelled(upload(page, "Zoe", files(ANA.seed, 3)), lambda job: "Waiting for" in job.doing)
    assert NOT_LEARNT in said(at)
    assert held(at).pile == []
    assert len(kept(SMALL)) == 3
    assert "3 rows given before are not learnt yet" in said(at)
    assert lineage.live_row(SMALL) is None


def test_cancelling_before_anything_is_kept_leaves_the_pile(page):
    at = upload(page, "Zoe", files(ANA.seed, 3))
    at.text_input(key="teach.contributor").set_value(ANA.name).run()
    go_on = threading.Event()
    shared.job_queue().submit(Job("of another tab", lambda job: go_on.wait(60)))
    press(at, "teach.small.go")
    held(at).job.cancel()
    go_on.set()
    at = finish(at, held(at))
    assert NOTHING_KEPT in said(at)
    assert len(held(at).pile) == 3
    assert not (downloads() / NAME).exists()


def signed_in(monkeypatch, user: str | None) -> None:
    for module in ("ui.shell.access", "ui.teach.give", "ui.teach.learn"):
        monkeypatch.setattr(f"{module}.who", lambda: Access(
            local=False, sign_in=user is not None, user=user))


def test_who_signed_in_gives_by_that_name_and_sees_nobody_elses(small, monkeypatch):
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    signed_in(monkeypatch, "ana@example.org")
    at = upload(opened(), "Zoe", files(ANA.seed, 3))
    assert BEN.name not in said(at)
    press(at, "teach.small.go")
    at = finish(at, held(at))
    assert {one.name for one in contributors()} == {BEN.name, "ana@example.org"}
    assert [one.sample.contributor for one in held(at).result.said] == ["ana@example.org"] * 3


def test_who_signed_in_never_reads_a_label_that_only_others_gave(small, monkeypatch):
    """Not as an answer, and not among the bars of the next one."""
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 3)])
    taught.teach(SMALL, RETRAIN, learner())
    signed_in(monkeypatch, "ana@example.org")
    at = upload(opened(), "Zoe", files(ANA.seed, 3))
    press(at, "teach.small.go")
    at = finish(at, held(at))
    assert {one.after.says for one in held(at).result.said} == {"Zoe"}
    at.file_uploader[1].set_value(files(BEN.seed, 1, first=9)[0]).run()
    at = finish(at, held(at))
    assert f"**Now: {OTHERS} (" in said(at)
    bars = [chart.proto.spec for chart in at.get("plotly_chart")]
    assert bars
    assert all("Yan" not in bar for bar in [*bars, said(at)])


def test_data_that_are_not_there_are_fetched_first_and_again_when_it_failed(
        small, monkeypatch):
    fetched = []

    def load(self, progress):
        fetched.append(True)
        raise SourceDown("no source answers")

    monkeypatch.setattr(SmallSource, "ready", lambda self: len(fetched) > 1)
    monkeypatch.setattr(SmallBase, "dataset", load)
    at = opened()
    at = finish(at, held(at))
    assert at.error[0].value == "No source answers."
    at = press(at, "teach.again")
    finish(at, held(at))
    assert len(fetched) == 2


def test_where_nobody_may_enrol_the_page_shows_nothing_of_people(small, monkeypatch):
    add(SMALL, BEN.name, [("Yan", one) for one in given(BEN.seed, 2)])
    signed_in(monkeypatch, None)
    at = opened()
    assert len(at.caption) == 1
    assert not at.button
    assert BEN.name not in said(at)
