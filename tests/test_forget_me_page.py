"""The page Forget me through Streamlit's own test driver, over a base that is taught in moments."""

import gc
import threading
import time
from pathlib import Path

import pytest
from small_base import ANA, BEN, given, learner
from small_data import finish, opened, ran, said
from streamlit.testing.v1 import AppTest

from forget.core.errors import BadInput
from forget.data.kept import keep
from forget.data.people import Photo
from forget.methods import METHODS
from forget.records import requests, taught, trace
from forget.records.contributions import Kept, add, contributors
from ui.erase.work import CANCELLED
from ui.jobs import shared
from ui.jobs.queue import Job, State
from ui.shell.access import Access
from ui.teach import learn as teach_learn

ROOT = Path(__file__).parent.parent
PAGE = str(ROOT / "pages" / "forget_me.py")


@pytest.fixture
def ana(base):
    """Somebody whom a model has learnt, beside the five that everybody starts from."""
    give(base, ANA)
    taught.teach(base, taught.RETRAIN, learner())
    return base


def give(base, person, count: int = 3) -> None:
    add(base, person.name, [(person.name, one) for one in given(person.seed, count, base)])


def page() -> AppTest:
    """The page after somebody chose Ana, where there is such a one to choose."""
    at = opened(PAGE)
    if at.selectbox and ANA.name in at.selectbox[0].options:
        at.selectbox[0].set_value(ANA.name)
        ran(at)
    return at


def held(at: AppTest):
    return at.session_state["forget_me.work"]


def go(at: AppTest):
    """The button that forgets."""
    return next(one for one in at.button if one.label.startswith("Forget everything of"))


def press(at: AppTest, button) -> AppTest:
    """A button, and what comes of it when its job is over."""
    assert not button.disabled
    button.click().run()
    assert not at.exception
    return finish(at, held(at))


def sure(at: AppTest) -> AppTest:
    at.checkbox[0].check()
    return ran(at)


def forget_all(at: AppTest) -> AppTest:
    return press(at, go(sure(at)))


def headers(at: AppTest) -> list[str]:
    return [one.value for one in at.header]


def test_where_nobody_gave_anything_the_page_says_what_to_do(base):
    at = page()
    assert headers(at) == ["1 What is held"]
    assert "open **Teach**" in said(at)
    assert not at.button


def test_what_is_held_is_shown_with_its_models_entries_and_files(ana):
    keep([Photo(ANA.name, "1.jpg", b"a photo of Ana")])
    text = said(page())
    assert "**Small people: 3 rows**" in text
    assert "its embedding, the 16 numbers" in text
    (file,) = trace.held(ANA.name).models
    assert f"The model of Small people learnt from all 3 of them**: `taught/{file}`" in text
    assert "No run, no audit and no model of another page" in text
    assert "1 file kept on disk" in text
    assert "The ledger's entries about them**: 1." in text
    assert text.count(ANA.name) == 3 == text.count("  \n20")


def test_of_one_sample_it_says_it_and_names_kinds_as_teach_does(base):
    give(base, ANA, 1)
    taught.teach(base, taught.RETRAIN, learner())
    text = said(page())
    assert "The model of Small people learnt from it**: `taught/" in text
    kinds = {kind.title for kind in teach_learn.kinds(base)}
    assert all(f"“{one}”" in text for one in kinds)


def test_a_search_names_the_files_and_what_they_hold(ana):
    at = page()
    press(at, at.button(key="forget_me.search"))
    assert "Found in **" in said(at)
    (found,) = at.table
    by_file = dict(zip(found.value["File"], found.value["Holds"], strict=True))
    assert "a sample" in by_file["records.db"]
    assert any("a model that learnt" in what for what in by_file.values())


def test_all_five_methods_are_named_and_those_that_do_not_suit_say_why(ana):
    at = page()
    can, cannot = at.radio
    assert {*can.options, *cannot.options} == {cls.title for cls in METHODS.values()}
    assert can.value == "retrain"
    assert cannot.disabled
    assert not can.disabled
    (why,) = [one.value for one in at.caption if "teach with the kind of model" in one.value]
    assert "of the kind “Ordinary network”" in why
    assert all(f"- {title}: “" in why for title in cannot.options)
    assert "checkpoints to go back to" in why


def test_nothing_is_forgotten_before_it_is_said_that_it_cannot_be_undone(ana):
    at = page()
    assert go(at).label == f"Forget everything of {ANA.name}"
    assert go(at).disabled
    assert not go(sure(at)).disabled


def test_everything_is_forgotten_and_what_came_of_it_is_shown(ana):
    keep([Photo(ANA.name, "1.jpg", b"a photo of Ana, as it came from the camera")])
    at = forget_all(page())
    assert headers(at) == ["1 What is held", "3 What came of it"]
    text = said(at)
    assert "Small people: 3 rows forgotten and deleted" in text
    assert "in none now.**" in text
    assert "This is entry 4 of the ledger. The key by which" in text
    assert "Nothing is held about anybody" in text
    table = at.table[0].value
    assert list(table.columns) == ["Accuracy on", "Original", "Unlearned", "Retrained", "Gap"]
    assert {one.label for one in at.metric} >= {"Forgetting took", "Speed-up"}
    assert trace.trace(ANA.name)[1] == []
    assert contributors() == []


def test_what_the_tab_keeps_afterwards_holds_neither_the_name_nor_a_model(ana):
    others = _samples_in_memory()  # of tests before this one
    at = forget_all(page())
    kept = repr(at.session_state)
    assert held(at).result is not None
    assert "Forgotten(came=(Came(" in kept
    assert ANA.name not in kept
    assert "Result(" not in kept
    assert "tensor(" not in kept
    assert not [one for one in _samples_in_memory() if not any(one is other for other in others)]


def _samples_in_memory() -> list[Kept]:
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Kept]


def test_the_next_contributor_is_picked_in_a_widget_of_its_own(ana):
    """In a browser the old one would go on showing the name that was forgotten."""
    give(ana, BEN)
    at = page()
    before = at.selectbox[0]
    assert before.value == ANA.name
    after = forget_all(at).selectbox[0]
    assert after.value is None
    assert after.options == [BEN.name]
    assert after.id != before.id
    assert ANA.name not in repr(at.session_state)


@pytest.mark.parametrize("erased", [False, True])
def test_nobody_is_chosen_until_somebody_is(ana, erased):
    """Neither on a fresh visit nor after an erasure is a stranger's data shown."""
    give(ana, BEN)
    at = forget_all(page()) if erased else opened(PAGE)
    assert at.selectbox[0].value is None
    assert not at.get("imgs")
    assert BEN.name not in said(at)
    assert not [one for one in at.button if BEN.name in one.label]
    assert "Choose a contributor" in said(at)
    at.selectbox[0].set_value(BEN.name)
    ran(at)
    assert go(at).label == f"Forget everything of {BEN.name}"


def test_a_press_for_somebody_who_is_gone_by_then_forgets_nobody_else(ana):
    give(ana, BEN)
    at = sure(page())
    requests.ask(ANA.name, {ana.name: METHODS["retrain"]()})
    requests.carry_out(ana)
    go(at).click().run()
    assert not [one for one in at.button if one.label.startswith("Forget everything of")]
    assert held(at).job is None
    assert not requests.waiting(ana)
    assert [one.name for one in contributors()] == [BEN.name]


def test_what_no_model_learnt_is_deleted_without_a_method(base):
    give(base, ANA)
    at = page()
    assert "No model has learnt from them" in said(at)
    assert not at.radio
    assert "so they were only deleted" in said(forget_all(at))
    assert contributors() == []


def test_what_a_certified_model_did_not_learn_is_deleted_too(certified):
    base = certified(sigma=10.0, lam=1.0)
    give(base, BEN)
    at = page()
    at.selectbox[0].set_value(BEN.name)
    ran(at)
    assert "No model has learnt from them" in said(at)
    assert "so they were only deleted" in said(forget_all(at))
    assert [one.name for one in contributors()] == [ANA.name]


def test_kept_photos_alone_are_deleted_too(base):
    keep([Photo(ANA.name, "1.jpg", b"a photo of Ana, as it came from the camera")])
    at = page()
    assert "1 file kept on disk" in said(at)
    at = forget_all(at)
    assert "Found in 1 file before, in none now." in said(at)


def test_a_batched_request_says_that_it_waits_and_for_what(ana):
    requests.set_policy(ana, 3)
    at = page()
    assert "Requests wait until 3 are there, and are carried out together: 0 wait." in said(at)
    at = forget_all(at)
    text = said(at)
    assert "1 of 3 is there; when 2 more come" in text
    assert "this is left (a request still waits)" in text
    assert any("a model that learnt" in one for one in at.table[-1].value["Holds"])
    assert "A request to forget these rows waits already, since" in text
    assert "All of it is asked for and waits." in text
    assert [one.key for one in at.button] == ["forget_me.search"]
    assert [one.contributor for one in requests.waiting(ana)] == [ANA.name]


def test_a_request_that_makes_the_batch_full_carries_all_of_them_out(ana):
    give(ana, BEN)
    taught.teach(ana, taught.RETRAIN, learner())
    requests.set_policy(ana, 2)
    requests.ask(BEN.name, {ana.name: METHODS["retrain"]()})
    at = page()
    assert "1 waits. With this one they are carried out." in said(at)
    at = forget_all(at)
    assert "1 request of somebody else was due too" in said(at)
    assert contributors() == []


def test_a_cancelled_request_stays_in_the_queue_and_can_be_carried_out(ana, monkeypatch):
    real = requests.run

    def endless(dataset, start, request, method, seed, references, watch):
        while True:
            watch.check()

    monkeypatch.setattr(requests, "run", endless)
    at = sure(page())
    go(at).click().run()
    work = held(at)
    while work.job.doing != "Waiting" and not requests.waiting(ana):
        assert work.busy
        time.sleep(0.05)
    next(one for one in at.button if one.label == "Cancel").click().run()
    at = finish(at, work)
    assert CANCELLED in [one.value for one in at.warning]
    assert len(requests.waiting(ana)) == 1
    monkeypatch.setattr(requests, "run", real)
    assert "It keeps its place in the queue" in said(at)
    assert "in none now" in said(forget_all(at))


def test_a_request_is_on_disk_while_its_job_still_waits(ana):
    go_on = threading.Event()
    blocking = shared.job_queue().submit(Job("Another tab's", lambda job: go_on.wait(60)))
    try:
        at = sure(page())
        go(at).click().run()
        assert held(at).job.state is State.WAITING
        assert len(requests.waiting(ana)) == 1
        next(one for one in at.button if one.label == "Cancel").click().run()
        assert CANCELLED in [one.value for one in finish(at, held(at)).warning]
        assert len(requests.waiting(ana)) == 1
    finally:
        go_on.set()
    assert not blocking.message


def test_a_request_that_was_carried_out_with_anothers_meanwhile_says_so(ana):
    go_on = threading.Event()
    shared.job_queue().submit(Job("Another tab's", lambda job: go_on.wait(60)))
    try:
        at = sure(page())
        go(at).click().run()
        requests.carry_out(ana)
    finally:
        go_on.set()
    at = finish(at, held(at))
    assert "It was carried out along with somebody else's request" in said(at)
    assert "in none now" in said(at)


def test_a_request_that_fails_says_why_and_keeps_everything(ana, monkeypatch):
    def fails(*given, **more):
        raise BadInput("this cannot be unlearned: take another method")

    monkeypatch.setattr(requests, "run", fails)
    at = forget_all(page())
    assert "This cannot be unlearned: take another method. Nothing was deleted." in said(at)
    assert "not everything could be carried out" in said(at)
    assert [one.name for one in contributors()] == [ANA.name]
    assert not at.button(key="forget_me.search").disabled


@pytest.fixture
def certified(base):
    """A certified head whose one request spends some of its budget."""
    def made(**settings):
        give(base, ANA, 1)
        taught.teach(base, taught.RETRAIN, learner("convex", mode="guo", **settings))
        return base
    return made


@pytest.mark.parametrize(("settings", "anew"), [
    ({"sigma": 10.0, "lam": 1.0}, False), ({"sigma": 1.0, "lam": 1e-4}, True)])
def test_what_a_request_spends_is_announced_before_it_can_be_made(certified, settings, anew):
    certified(**settings)
    at = sure(page())
    assert go(at).disabled
    at = press(at, at.button(key="forget_me.forecast"))
    assert ("the model will be trained anew" in said(at)) == anew
    assert ("this spends" in said(at)) != anew
    at = press(at, go(at))
    assert ("**the model was trained anew**" in said(at)) == anew
    assert "Certified**" in said(at)
    (download,) = at.get("download_button")
    assert download.label == "Certificate (JSON)"


def test_a_certified_model_offers_the_certified_method_only(certified):
    certified(sigma=10.0, lam=1.0)
    can, cannot = page().radio
    assert can.options == [METHODS["certified"].title]
    assert len(cannot.options) == 4


# Who may see what.


AUTH = {"auth": {"redirect_uri": "https://forget.example.org/oauth2callback",
                 "cookie_secret": "cookie", "client_id": "forget", "client_secret": "secret",
                 "server_metadata_url": "https://id.example.org/.well-known/openid-configuration"}}


def signed_in(email: str) -> AppTest:
    at = AppTest.from_file(PAGE, default_timeout=60)
    at.session_state["framed"] = True
    at.user = {"is_logged_in": True, "sub": "1", "email": email, "email_verified": True}
    at.secrets = AUTH
    return ran(at)


def test_a_server_that_is_open_to_everybody_shows_nobodys_data(ana, elsewhere):
    at = page()
    assert not at.header
    assert ANA.name not in said(at)
    assert not at.selectbox


def test_who_signed_in_sees_their_own_data_and_nobody_elses(ana, elsewhere):
    add(ana, "ben@example.org", [("Ben", one) for one in given(BEN.seed, 2)])
    at = signed_in("ben@example.org")
    assert not at.selectbox
    assert "2 rows" in said(at)
    assert ANA.name not in said(at)
    at = signed_in("eve@example.org")
    assert "Nothing is held about you" in said(at)
    assert headers(at) == ["1 What is held"]


@pytest.mark.parametrize(("local", "shown"), [(True, "people/Ana/1.jpg"),
                                              (False, "people/…/1.jpg")])
def test_whose_folder_a_photo_lies_in_only_this_machine_reads(monkeypatch, local, shown):
    access = Access(local=local, sign_in=not local, user=None if local else "ben@example.org")
    monkeypatch.setattr("ui.erase.held.who", lambda: access)

    def page():
        from forget.records.trace import Hit
        from ui.erase.held import show_hits

        show_hits((Hit("people/Ana/1.jpg", "a file"), Hit("taught/mnist-0.safetensors", "a model")))

    at = ran(AppTest.from_function(page, default_timeout=60))
    assert at.table[0].value["File"].tolist() == [shown, "taught/mnist-0.safetensors"]


def test_requests_that_a_killed_server_left_are_carried_out_once_by_the_next(ana):
    requests.ask(ANA.name, {ana.name: METHODS["retrain"]()})
    page()
    job = shared.resumed()
    while not job.over:
        time.sleep(0.05)
    assert job.message == ""
    assert contributors() == []
    assert "Nothing is held about anybody" in said(page())
    assert shared.resumed() is job
