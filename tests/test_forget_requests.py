"""Requests to be forgotten: one after the other on top of each other, none lost, none done twice,
and nothing left of whoever asked."""

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading

import pytest
import torch
from conftest import weights_hash
from small_base import (
    ANA,
    BEN,
    PEOPLE,
    SMALL,
    Impatient,
    Person,
    SmallBase,
    SmallSource,
    give,
    given,
    quick,
    stands,
)

from forget.core.device import derive, generator
from forget.core.errors import BadInput, Busy, Cancelled, CannotWrite, Diverged
from forget.core.knobs import make
from forget.core.steps import drive
from forget.data import kept as kept_on_disk
from forget.data.people import Photo
from forget.io.files import sha256_of
from forget.io.paths import downloads
from forget.learners.sisa import Sisa
from forget.methods import METHODS
from forget.methods.certified import Certified
from forget.methods.finetune import FineTune
from forget.methods.gradient_ascent import GradientAscent
from forget.methods.retrain import Retrain
from forget.methods.sisa import SisaForget
from forget.records import bases, database, ledger, lineage, replace, requests
from forget.records.contributions import FIRST_ID, add, contributors, kept
from forget.records.database import reading
from forget.records.lineage import live
from forget.records.measured import measured
from forget.records.requests import (
    ask,
    carry_out,
    due,
    forecast,
    plan,
    policy,
    resume,
    set_policy,
    waiting,
)
from forget.records.taught import FINETUNE, RETRAIN, teach
from forget.records.trace import Held, search, trace
from forget.unlearning import store
from forget.unlearning.watch import Watch

CLEO = Person("Cleo", 103)
GUO = {"mode": "guo", "sigma": 10.0, "lam": 1.0}


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


def teach_all(name: str = "network", people=(ANA, BEN), **settings) -> None:
    for person in people:
        give(person)
    teach(SMALL, RETRAIN, quick(name, **settings))


def asked(person: Person, method=None) -> list[int]:
    return ask(person.name, {"small": method or Retrain()})


def forget(person: Person, method=None, references: int = 0):
    asked(person, method)
    (done,) = carry_out(SMALL, references=references)
    return done


def now():
    return live(SMALL, quick())


def ids(*people: Person) -> set[int]:
    return {one.id for person in people for one in kept(SMALL, person.name)}


def entries(what: str = "") -> list[ledger.Entry]:
    with reading() as db:
        assert not ledger.verify(db).faults
        return [entry for entry in ledger.entries(db) if what in ("", entry.what)]


def figures() -> dict:
    """What was measured of the last request, beside the ledger."""
    last = entries()[-1].number
    with reading() as db:
        return measured(db)[last]


def states() -> list[str]:
    with reading() as db:
        return [row[0] for row in db.execute("SELECT state FROM request ORDER BY id")]


def live_file():
    (path,) = (one for one in (downloads() / database.MODELS).iterdir()
               if not one.name.endswith(store.SECRET))
    return path


def nothing_left(person: Person, rows) -> None:
    """No byte of what somebody gave is in the data folder, and no record knows them."""
    assert search(person.name, rows, [one.x.numpy().tobytes() for one in rows]) == []
    for one in rows:
        for piece in (one.x.numpy().tobytes()[:16], one.picture.numpy().tobytes()[50:82],
                      one.sha256.encode(), bytes.fromhex(one.sha256)):
            assert stands(piece) == []
    assert stands(person.name.encode()) == []
    assert trace(person.name) == (Held(person.name, (), {}, (), (), ()), [])


# The contract: every method, the same things


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_leaves_nothing_of_who_asked_and_the_rest_as_it_was(name):
    teach_all(METHODS[name].learner)
    rows, rest, before = given(ANA.seed, 4), kept(SMALL, BEN.name), now()
    subject = entries("added")[0].subject
    assert stands(rows[0].x.numpy().tobytes()) == [database.NAME]
    done = forget(ANA, make(METHODS[name], {}), references=1)
    assert (done.failed, done.untidy) == ("", "")
    nothing_left(ANA, rows)
    here = now()
    assert here.samples == ids(BEN) < before.samples
    assert [one.id for one in kept(SMALL)] == [one.id for one in rest]
    assert ANA.name not in here.classes and here.classes[len(PEOPLE) + 1] == BEN.name
    assert here.row != before.row and here.made == name
    assert weights_hash(here.model) != weights_hash(before.model)
    assert [one.name for one in contributors()] == [BEN.name]
    assert (states(), waiting()) == (["done"], [])
    entry = entries()[-1]
    assert (entry.number, entry.what, entry.subject) == (done.entry, "forgotten", subject)
    body = entry.body
    assert (body["method"], body["samples"], body["key_destroyed"]) == (name, 4, True)
    assert body["model_sha256"] == sha256_of(live_file())
    assert body["model_sha256_before"] == entries("taught")[-1].body["model_sha256"]
    assert done.result.verdict is not None and body["references"] == 1
    assert 0 <= body["test_accuracy"] <= 1
    tells_nothing(entries(), (ANA, BEN))


def tells_nothing(chain, people) -> None:
    """Neither a name nor a label, nor anything of a sample, stands in the ledger."""
    with reading() as db:
        text = ledger.export_text(db) + json.dumps(
            [tuple(map(str, row)) for row in db.execute("SELECT * FROM ledger")])
    for person in people:
        for word in (person.name, *person.name.split()):
            assert word.lower() not in text.lower()
        for one in given(person.seed, 6):
            assert one.sha256 not in text
            assert not any(repr(number)[:8] in text for number in one.x.tolist())
    assert all(str(FIRST_ID)[:9] not in json.dumps(entry.body) for entry in chain)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_forgets_on_top_of_what_it_forgot_before(name):
    teach_all(METHODS[name].learner, (ANA, BEN, CLEO))
    method = make(METHODS[name], {})
    for gone, left in ((ANA, (BEN, CLEO)), (BEN, (CLEO,)), (CLEO, ())):
        rows = given(gone.seed, 4)
        done = forget(gone, method)
        assert not done.failed
        assert now().samples == ids(*left)
        assert [one.name for one in contributors()] == [one.name for one in left]
        nothing_left(gone, rows)
    chain = entries("forgotten")
    shas = [entries("taught")[-1].body["model_sha256"],
            *(entry.body["model_sha256"] for entry in chain)]
    assert [entry.body["model_sha256_before"] for entry in chain] == shas[:-1]
    assert len(set(shas)) == 4 and shas[-1] == sha256_of(live_file())
    assert now().classes[:len(PEOPLE)] == PEOPLE
    assert all(name not in now().classes for name in (ANA.name, BEN.name, CLEO.name))


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_forgets_single_samples_of_a_class_that_stays(name):
    for person, number in ((ANA, 0), (BEN, 1)):
        add(SMALL, person.name, [(PEOPLE[number], one) for one in given(number, 3)])
    teach(SMALL, RETRAIN, quick(METHODS[name].learner))
    done = forget(ANA, make(METHODS[name], {}))
    assert not done.failed and done.result.request.class_index is None
    assert now().classes == PEOPLE and now().samples == ids(BEN)
    assert entries()[-1].body["whole_class"] is False


def test_forgetting_may_be_followed_by_teaching_and_by_the_same_person_again():
    teach_all()
    forget(ANA)
    give(ANA, 3)
    teach(SMALL, FINETUNE, quick())
    assert now().classes[-1] == ANA.name and now().samples == ids(ANA, BEN)
    assert forget(ANA).result.request.class_index == len(PEOPLE) + 2
    subjects = {entry.subject for entry in entries("forgotten")}
    assert len(subjects) == 2, "the second time they have another key"


def test_a_name_in_brackets_is_forgotten_like_any_other():
    odd = Person("(forgotten) Ana", 105)
    teach_all(people=(odd, BEN))
    rows = given(odd.seed, 4)
    forget(odd)
    nothing_left(odd, rows)


# Exactness


def test_retraining_gives_what_never_having_known_gives():
    teach_all()
    planned = plan(SMALL, [ANA.name])
    done = forget(ANA)
    with reading() as db:
        assert lineage.row_of(db, SMALL)["made"] == "retrain"
    dataset = planned.dataset()
    keep = ~torch.isin(dataset.train.ids, planned.request.ids)
    draw = generator(derive(0, "method", "retrain", 0))
    model = quick().build((16,), len(planned.here.classes), draw)
    drive(quick().train(model, dataset.train.take(keep), draw))
    assert weights_hash(model) == weights_hash(done.result.unlearned) == weights_hash(now().model)


@pytest.mark.parametrize("sharding", ["uniform", "by class"])
def test_what_sisa_leaves_is_bit_for_bit_what_the_same_division_without_the_samples_gives(
        sharding):
    knob = next(one for one in Sisa.knobs() if one.name == "sharding")
    teach_all("sisa", sharding=knob.choices[sharding != "uniform"])
    planned = plan(SMALL, [ANA.name])
    forget(ANA, SisaForget())
    learner, here = planned.here.learner, now()
    dataset = planned.dataset()
    rest = dataset.train.take(~torch.isin(dataset.train.ids, planned.request.ids))
    fresh = learner.build((16,), here.model.n_classes, torch.Generator().manual_seed(0))
    fresh.secret = {"seed": planned.here.model.secret["seed"]}
    drive(learner.go_on(fresh, rest, dict.fromkeys(range(learner.shards), 0)))
    assert weights_hash(fresh) == weights_hash(here.model)
    kept_back = here.model.secret
    assert fresh.secret.keys() == kept_back.keys()
    assert all(torch.equal(fresh.secret[name], kept_back[name]) for name in kept_back)
    for name, value in kept_back.items():
        if name.endswith(".ids"):
            assert not torch.isin(planned.request.ids, value).any()


def test_a_certificate_binds_the_live_files():
    teach_all("convex")
    before = now()
    done = forget(ANA, Certified())
    certificate = entries()[-1].body["certificate"]
    assert certificate["model"]["file_sha256"] == sha256_of(live_file())
    assert certificate["secret_file_sha256"] == sha256_of(store.secret_path(live_file()))
    assert certificate["issuer_says"]["weights_sha256_before"] == weights_hash(before.model)
    assert certificate["model"]["weights_sha256_after"] == weights_hash(now().model)
    assert certificate["residual"] <= certificate["residual_allowed"]
    assert certificate["n_forgotten"] == 4 * SMALL.copies == len(plan(SMALL, [BEN.name]).gone) * 2
    assert done.result.statement["dataset"] == "small+given"


# Asking


def test_the_same_person_asking_twice_is_one_request():
    teach_all()
    assert asked(ANA) == asked(ANA, FineTune())
    (one,) = waiting()
    assert (one.method, one.samples, one.taught, one.contributor) == (Retrain(), 4, 4, ANA.name)
    assert len(entries("asked")) == 1
    assert len(carry_out(SMALL, references=0)) == 1
    assert carry_out(SMALL, references=0) == []
    assert len(entries("forgotten")) == 1


@pytest.mark.parametrize("name", ["Nobody Known", "", "ana example"])
def test_who_gave_nothing_cannot_ask(name):
    teach_all()
    with pytest.raises(BadInput, match="nothing is held"):
        ask(name, {"small": Retrain()})
    assert waiting() == [] and entries("asked") == []


def test_a_method_that_does_not_suit_the_model_is_refused_before_anything_waits():
    teach_all("sisa")
    with pytest.raises(BadInput, match="needs the learner"):
        asked(ANA, Retrain())
    assert waiting() == []


def test_a_request_keeps_its_methods_settings_and_its_place():
    teach_all()
    method = GradientAscent(lr=0.011, max_steps=7)
    asked(BEN, method)
    asked(ANA)
    assert [(one.contributor, one.method) for one in waiting(SMALL)] \
        == [(BEN.name, method), (ANA.name, Retrain())]


def test_who_was_never_taught_is_forgotten_without_another_model():
    teach_all(people=(ANA,))
    give(BEN)
    row, rows = now().row, given(BEN.seed, 4)
    done = forget(BEN)
    assert done.result is None and not done.failed
    assert now().row == row and now().samples == ids(ANA)
    body = entries()[-1].body
    assert (body["samples"], body["key_destroyed"], "metrics" in body) == (4, True, False)
    nothing_left(BEN, rows)


def test_who_gave_before_anything_was_taught_is_forgotten_too():
    give(ANA)
    rows = given(ANA.seed, 4)
    assert forget(ANA).result is None
    nothing_left(ANA, rows)


def test_some_taught_and_some_not_go_together():
    give(ANA, 2)
    teach(SMALL, RETRAIN, quick())
    give(ANA, 5)
    asked(ANA)
    (one,) = waiting()
    assert (one.samples, one.taught) == (5, 2)
    (done,) = carry_out(SMALL, references=0)
    assert len(done.result.request) == 2 and entries()[-1].body["samples"] == 5
    nothing_left(ANA, given(ANA.seed, 5))


def test_photos_that_were_only_kept_go_too():
    teach_all()
    picture = bytes(range(256)) * 9
    kept_on_disk.keep([Photo(ANA.name, "ana.jpg", picture), Photo("Somebody", "b.jpg", b"b")])
    assert len(trace(ANA.name)[0].photos) == 1
    forget(ANA)
    assert stands(picture[:64]) == []
    assert not kept_on_disk.folder_of(ANA.name).exists()
    assert kept_on_disk.folder_of("Somebody").exists()


# Two bases


class OtherSource(SmallSource):
    name = "other"


class OtherBase(SmallBase):
    name = "other"

    @property
    def source(self):
        return OtherSource()


@pytest.fixture
def other(monkeypatch) -> OtherBase:
    base = OtherBase()
    for module in (bases, requests):
        monkeypatch.setitem(module.BASES, base.name, base)
    return base


def test_who_gave_to_two_bases_is_gone_when_both_are_done(other):
    for base in (SMALL, other):
        give(ANA, base=base)
        give(BEN, base=base)
        teach(base, RETRAIN, quick())
    with pytest.raises(BadInput, match="other"):
        asked(ANA)
    assert waiting() == []
    rows = given(ANA.seed, 4)
    assert len(ask(ANA.name, {"small": Retrain(), "other": FineTune()})) == 2
    carry_out(SMALL, references=0)
    assert (kept(SMALL, ANA.name), len(kept(other, ANA.name))) == ([], 4)
    assert entries()[-1].body["key_destroyed"] is False
    with pytest.raises(BadInput, match="asked to be forgotten"):
        give(ANA)
    carry_out(other, references=0)
    assert entries()[-1].body["key_destroyed"] is True
    first, second = entries("forgotten")
    assert first.subject == second.subject
    nothing_left(ANA, rows)


def test_what_was_left_is_finished_in_every_base(other):
    for base in (SMALL, other):
        give(ANA, base=base)
    ask(ANA.name, {"small": Retrain(), "other": Retrain()})
    assert {one.asked.base.name for one in resume()} == {"small", "other"}
    assert resume() == [] and contributors() == []


# Policy


def test_requests_wait_until_the_policys_number_is_there():
    teach_all(people=(ANA, BEN, CLEO))
    set_policy(SMALL, 2)
    asked(ANA)
    assert due(SMALL) == [] and carry_out(SMALL, references=0) == [] and len(waiting()) == 1
    asked(BEN)
    assert [one.contributor for one in due(SMALL)] == [ANA.name, BEN.name]
    assert len(carry_out(SMALL, references=0)) == 2
    asked(CLEO)
    assert carry_out(SMALL, references=0) == []
    assert len(carry_out(SMALL, references=0, now=True)) == 1


def test_the_policy_is_kept_noted_and_within_bounds():
    assert policy(SMALL) == 1
    for batch in (3, 3, 1):
        set_policy(SMALL, batch)
        assert policy(SMALL) == batch
    assert [entry.body["batch"] for entry in entries("policy")] == [3, 1]
    for wrong in (0, -1, 1001):
        with pytest.raises(BadInput, match="1 to 1000"):
            set_policy(SMALL, wrong)
    assert policy(SMALL) == 1


def batch_of_two(monkeypatch) -> list:
    """Two wait who gave samples of classes that stay; returns the runs that are made."""
    for person, number in ((ANA, 0), (BEN, 1), (CLEO, 2)):
        add(SMALL, person.name, [(PEOPLE[number], one) for one in given(number, 3)])
    teach(SMALL, RETRAIN, quick())
    set_policy(SMALL, 2)
    runs, real = [], requests.run

    def counted(*args, **how):
        runs.append(args)
        return real(*args, **how)

    monkeypatch.setattr(requests, "run", counted)
    return runs


def test_two_that_wait_together_are_one_run_and_an_entry_each(monkeypatch):
    runs = batch_of_two(monkeypatch)
    asked(ANA)
    asked(BEN)
    done = carry_out(SMALL, references=0)
    assert len(runs) == 1 and len(done) == 2
    assert done[0].result is done[1].result and len(done[0].result.request) == 6
    first, second = entries("forgotten")
    assert first.subject != second.subject
    assert [entry.body["samples"] for entry in (first, second)] == [3, 3]
    assert first.body["model_sha256"] == second.body["model_sha256"] == sha256_of(live_file())
    assert now().samples == ids(CLEO) and [one.name for one in contributors()] == [CLEO.name]


def test_requests_by_different_methods_are_runs_of_their_own(monkeypatch):
    runs = batch_of_two(monkeypatch)
    asked(ANA)
    asked(BEN, FineTune())
    asked(CLEO)
    done = carry_out(SMALL, references=0)
    assert len(runs) == 2
    assert [one.asked.contributor for one in done] == [ANA.name, CLEO.name, BEN.name]


def test_without_a_batch_each_request_is_a_run_of_its_own(monkeypatch):
    runs = batch_of_two(monkeypatch)
    set_policy(SMALL, 1)
    asked(ANA)
    asked(BEN)
    carry_out(SMALL, references=0)
    assert len(runs) == 2


def test_classes_of_their_own_are_forgotten_alone_even_in_a_batch(monkeypatch):
    runs = batch_of_two(monkeypatch)
    whole = Person("Dora", 107)
    give(whole)
    teach(SMALL, RETRAIN, quick())
    for person in (ANA, whole, BEN):
        asked(person)
    done = carry_out(SMALL, references=0)
    assert len(runs) == 2
    assert [one.asked.contributor for one in done] == [ANA.name, BEN.name, whole.name]
    assert [len(one.result.request) for one in done] == [6, 6, 4]
    assert done[2].result.request.class_index == len(PEOPLE)


def test_two_who_gave_the_same_new_class_lose_it_with_the_second():
    for person in (ANA, BEN):
        give(person, label="Team")
    teach(SMALL, RETRAIN, quick())
    first = forget(ANA)
    assert first.result.request.class_index is None and now().classes[-1] == "Team"
    second = forget(BEN)
    assert second.result.request.class_index == len(PEOPLE) and now().classes[-1] != "Team"
    assert stands(b"Team") == []


# What goes wrong


def failing(monkeypatch, method, error) -> None:
    def steps(self, model, task):
        raise error
        yield

    monkeypatch.setattr(method, "steps", steps)


def test_a_method_that_refuses_keeps_the_data_and_another_one_works(monkeypatch):
    teach_all()
    monkeypatch.setattr(SmallSource, "load", without_held_out(SmallSource.load))
    row = now().row
    done = forget(ANA, GradientAscent())
    assert "held-out" in done.failed and done.result is None
    assert (now().row, len(kept(SMALL, ANA.name)), states()) == (row, 4, ["failed"])
    assert entries()[-1].number == done.entry
    assert entries()[-1].body == {"base": "small", "request": done.asked.id,
                                  "method": "gradient_ascent"}
    tells_nothing(entries(), (ANA, BEN))
    assert give(ANA, 5) == 1, "who does not wait any more can add"
    assert not forget(ANA).failed
    assert states() == ["failed", "done"]
    nothing_left(ANA, given(ANA.seed, 5))


def without_held_out(load):
    def loaded(self, progress=None):
        dataset = load(self)
        return dataclasses.replace(dataset, held_out=dataset.held_out.take(slice(0, 0)))
    return loaded


@pytest.mark.parametrize("error", [BadInput(f"not for {ANA.name}"), Diverged("loss became nan")])
def test_a_failed_request_does_not_keep_the_others_from_being_carried_out(error, monkeypatch):
    teach_all(people=(ANA, BEN))
    with monkeypatch.context() as patch:
        failing(patch, FineTune, error)
        asked(ANA, FineTune())
        asked(BEN)
        done = carry_out(SMALL, references=0)
    assert [bool(one.failed) for one in done] == [True, False]
    assert done[0].failed == str(error)
    assert (states(), now().samples) == (["failed", "done"], ids(ANA))
    tells_nothing(entries(), (ANA, BEN))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_stopped_request_goes_on_waiting_and_is_done_the_next_time(name):
    teach_all(METHODS[name].learner)
    row, had = now().row, len(entries())
    asked(ANA, make(METHODS[name], {}))
    with pytest.raises(Cancelled):
        carry_out(SMALL, Impatient(1))
    assert (now().row, states(), len(entries())) == (row, ["waiting"], had + 1)
    assert len(kept(SMALL, ANA.name)) == 4
    (done,) = carry_out(SMALL, references=0)
    assert not done.failed and states() == ["done"]


def test_what_was_done_before_the_stop_stays_done():
    teach_all()
    asked(ANA)
    asked(BEN)

    class Later(Watch):
        finished = False

        def phase(self, name):
            self.finished |= name.startswith("Deleting")

        def cancelled(self):
            return self.finished

    with contextlib.suppress(Cancelled):
        carry_out(SMALL, Later(), references=0)
    assert states() == ["done", "waiting"]
    assert now().samples == ids(BEN)
    nothing_left(ANA, given(ANA.seed, 4))


def test_a_database_locked_meanwhile_loses_no_request(monkeypatch):
    teach_all()
    asked(ANA)
    row = now().row
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(database.path(), isolation_level=None)) as other_one:
        other_one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy):
            carry_out(SMALL, references=0)
        other_one.execute("ROLLBACK")
    assert (now().row, states(), len(kept(SMALL, ANA.name))) == (row, ["waiting"], 4)
    carry_out(SMALL, references=0)
    nothing_left(ANA, given(ANA.seed, 4))


@pytest.mark.parametrize("error", [Busy("another reads"), CannotWrite("the disk is full")])
def test_what_cannot_be_cleaned_up_at_once_is_said_and_the_request_is_done(error, monkeypatch):
    teach_all()
    rows = given(ANA.seed, 4)

    def unable():
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(replace, "scrub", unable)
        done = forget(ANA)
    assert str(error) in done.untidy and states() == ["done"]
    assert carry_out(SMALL) == []  # whoever comes next cleans up
    nothing_left(ANA, rows)


def test_a_page_that_reads_meanwhile_puts_the_cleaning_off(monkeypatch):
    teach_all()
    rows = given(ANA.seed, 4)
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
    with reading() as db:
        db.execute("SELECT count(*) FROM sample").fetchone()
        done = forget(ANA)
        assert done.untidy and states() == ["done"]
    assert replace.tidy() == ""
    nothing_left(ANA, rows)


# Budgets


def test_a_forecast_is_what_is_then_spent():
    teach_all("convex", **GUO)
    spent = now().model.secret["spent"].item()
    for person in (ANA, BEN):
        planned = forecast(SMALL, [person.name], Certified())
        assert planned.spent == spent and not planned.retrains and planned.more > 0
        forget(person, Certified())
        body = entries()[-1].body
        spent = figures()["spent"]
        assert spent == pytest.approx(planned.spent + planned.more, rel=1e-12)
        assert body["certificate"]["budget"] == planned.budget
        assert body["anew"] is False
    assert now().model.secret["spent"].item() == spent


def test_a_forecast_changes_nothing():
    teach_all("convex", **GUO)
    before, had = now(), entries()
    assert forecast(SMALL, [ANA.name], Certified()) == forecast(SMALL, [ANA.name], Certified())
    assert weights_hash(now().model) == weights_hash(before.model)
    assert now().model.secret.keys() == before.model.secret.keys() and entries() == had


def test_a_request_over_the_budget_is_announced_and_trains_anew():
    teach_all("convex", **(GUO | {"sigma": 0.0095}))
    assert not forecast(SMALL, [ANA.name], Certified()).retrains
    forget(ANA, Certified())
    planned = forecast(SMALL, [BEN.name], Certified())
    assert planned.retrains and planned.more < planned.budget < planned.spent + planned.more
    forget(BEN, Certified())
    body = entries()[-1].body
    assert body["anew"] is True
    assert figures()["spent"] < planned.spent, "a new model has spent next to nothing"
    assert now().samples == frozenset()
    nothing_left(BEN, given(BEN.seed, 4))


def test_where_there_is_no_budget_there_is_no_forecast():
    assert forecast(SMALL, [ANA.name], Retrain()) is None
    teach_all()
    assert forecast(SMALL, [ANA.name], Retrain()) is None
    give(CLEO)
    assert forecast(SMALL, [CLEO.name], Retrain()) is None


# What a killed process left


def test_a_start_of_the_program_cleans_up_though_nobody_waits(monkeypatch):
    teach_all()
    rows = given(ANA.seed, 4)

    def killed():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replace, "scrub", killed)
        with contextlib.suppress(KeyboardInterrupt), \
                contextlib.closing(database._connect(database.path())):  # the log stays
            forget(ANA)
        assert states() == ["done"]
    left = downloads() / database.MODELS / "small-00.safetensors"
    left.write_bytes(rows[0].x.numpy().tobytes())
    assert resume() == []
    nothing_left(ANA, rows)
    assert not left.exists()


def test_a_label_that_looks_like_a_forgotten_class_mixes_nothing_up():
    sly = Person("Sly Example", 109)
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    with contextlib.suppress(BadInput):  # or it is refused at once
        give(sly, label=f"(forgotten {len(PEOPLE)})")
        teach(SMALL, FINETUNE, quick())
        forget(ANA)
        classes = now().classes
        assert len(set(classes)) == len(classes)
        planned = plan(SMALL, [sly.name])
        assert planned.request.class_index == len(PEOPLE) + 1


def test_nobody_without_a_name_is_everybody():
    kept_on_disk.keep([Photo(ANA.name, "ana.jpg", bytes(range(200)))])
    for name in ("", " ", "\t"):
        with contextlib.suppress(BadInput):  # or it is refused
            assert trace(name)[0].empty
        with contextlib.suppress(BadInput):
            assert requests.erase_kept(name) == 0
        assert kept_on_disk.folder_of(ANA.name).exists()


def test_who_waits_while_a_new_model_is_made_without_them_is_then_only_deleted():
    teach_all()
    set_policy(SMALL, 2)
    asked(ANA)
    teach(SMALL, RETRAIN, quick(), seed=1)
    row = now().row
    (done,) = carry_out(SMALL, references=0, now=True)
    assert (done.asked.taught, done.result, now().row) == (0, None, row)
    assert entries()[-1].body["key_destroyed"] is True
    nothing_left(ANA, given(ANA.seed, 4))


def test_programs_that_carry_out_at_the_same_time_do_each_request_once():
    teach_all(people=(ANA, BEN, CLEO))
    for person in (ANA, BEN):
        asked(person)
    gate, done, faults = threading.Barrier(3), [], []

    def one():
        gate.wait()
        try:
            done.extend(carry_out(SMALL, references=0))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shall say it
            faults.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and len(done) == 2
    assert len(entries("forgotten")) == 2 and states() == ["done", "done"]
    assert now().samples == ids(CLEO)


def test_what_was_left_half_written_goes_though_there_are_no_records(home):
    """A comparison that was killed in a folder in which nobody gave anything yet."""
    left = home / "runs" / ".small-run-0123.safetensors.qc_s4gke"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    assert requests.is_resumed(), "its writer may be at work"
    os.utime(left, (0, 0))
    assert not requests.is_resumed()
    assert resume() == [] and not left.exists() and requests.is_resumed()
    assert not database.path().exists()
