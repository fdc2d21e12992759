"""What publications allow together, and the limit beyond which a model is trained anew."""

import dataclasses
import math

import pytest
import torch
from lattice import alone
from small_base import ANA, BEN, SMALL, Person, give
from small_base import learner as quick

from forget.core.errors import BadInput
from forget.data import Dataset
from forget.learners.convex import Convex
from forget.methods.certified import Certified
from forget.records import ledger
from forget.records.composition import LEAST, limit, set_limit
from forget.records.contributions import contributors
from forget.records.database import reading, writing
from forget.records.history import certificates, history
from forget.records.requests import ask, carry_out, forecast, spends
from forget.records.taught import RETRAIN, teach
from forget.unlearning import store
from forget.unlearning.learn import start_from
from forget.unlearning.request import parse_request
from forget.unlearning.run import run
from forget.unlearning.watch import Watch

CLEO, DAN = Person("Cleo", 103), Person("Dan", 104)


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


class Told(Watch):
    """Keeps what was announced."""

    def __init__(self):
        self.spendings = []

    def announce(self, spending):
        self.spendings.append(spending)


def taught(*people: Person) -> None:
    for person in people:
        give(person)
    teach(SMALL, RETRAIN, quick("convex"))


def forget(person: Person, epsilon: float = 1.0) -> Told:
    ask(person.name, {"small": Certified(epsilon=epsilon)})
    watch = Told()
    (done,) = carry_out(SMALL, watch, references=0)
    assert not done.failed
    return watch


def chain():
    with reading() as db:
        return ledger.entries(db)


def test_without_a_limit_publications_go_on_composing():
    taught(ANA, BEN, CLEO)
    for person in (ANA, BEN, CLEO):
        assert forget(person).spendings == []
    said = [one.epsilon for one in history(SMALL, chain(), {})[1:]]
    assert said[0] < said[1] < said[2] and not any(one.anew for one in history(SMALL, chain(), {}))


def test_the_request_that_would_go_beyond_the_limit_has_the_model_trained_anew():
    taught(ANA, BEN, CLEO, DAN)
    set_limit(SMALL, 1.6)
    told = [forget(person).spendings[0] for person in (ANA, BEN, CLEO, DAN)]
    assert [one.retrains for one in told] == [False, False, True, False]
    assert "trained anew" in told[2].words and "trained anew" not in told[1].words
    _, one, two, anew, after = history(SMALL, chain(), {})
    assert [m.anew for m in (one, two, anew, after)] == [False, False, True, False]
    assert one.epsilon == pytest.approx(1.0, abs=1e-6)
    assert 1 < two.epsilon < 1.6
    assert (anew.epsilon, after.epsilon) == (one.epsilon, two.epsilon)
    said = [entry.body["certificate"]["issuer_says"] for entry in chain()
            if entry.what == "forgotten"]
    assert [one["publications"] for one in said] == [1, 2, 1, 2]
    assert said[-1]["epsilon_of_all"] == after.epsilon
    assert len(certificates(SMALL, chain())) == 2


def test_a_limit_below_one_publication_has_every_request_train_anew():
    taught(ANA, BEN)
    set_limit(SMALL, 0.5)
    for person in (ANA, BEN):
        assert forget(person).spendings[0].retrains
    assert [one.anew for one in history(SMALL, chain(), {})] == [False, True, True]


def test_a_model_that_was_taught_anew_is_counted_from_the_start():
    taught(ANA, BEN)
    forget(ANA)
    give(CLEO)
    teach(SMALL, RETRAIN, quick("convex"))
    assert certificates(SMALL, chain()) == []
    forget(BEN)
    assert history(SMALL, chain(), {})[-1].epsilon == pytest.approx(1.0, abs=1e-6)


def test_what_a_request_would_add_is_known_before_it_is_asked_for():
    taught(ANA, BEN)
    learner = quick("convex")
    assert not spends(SMALL, learner)
    assert forecast(SMALL, [ANA.name], Certified()) is None
    set_limit(SMALL, 4.0)
    assert spends(SMALL, learner) and not spends(SMALL, quick())
    before = forecast(SMALL, [ANA.name], Certified(epsilon=2.0))
    assert (before.spent, before.budget) == (0, 4.0)
    assert before.more == pytest.approx(2.0, abs=1e-6) and not before.retrains
    assert forget(ANA, 2.0).spendings == [before]


def test_the_limit_is_kept_noted_and_within_bounds():
    assert limit(SMALL) is None
    for most in (2.0, 2.0, 0.5, None, None):
        set_limit(SMALL, most)
        assert limit(SMALL) == most
    assert [one.body["most_epsilon"] for one in chain() if one.what == "policy"] == [2.0, 0.5, None]
    for wrong in (0, -1.0, 1e-4, math.inf, math.nan):
        with pytest.raises(BadInput, match="a number from 0"):
            set_limit(SMALL, wrong)
    assert limit(SMALL) is None


@pytest.mark.parametrize("damaged", ["much", -3.0, b"\0", 0])
def test_a_damaged_limit_is_the_strictest(damaged):
    taught(ANA)
    set_limit(SMALL, 8.0)
    with writing() as db:
        db.execute("UPDATE composition SET most_epsilon = ?", (damaged,))
    assert limit(SMALL) == LEAST
    assert forget(ANA).spendings[0].retrains


def solved_without_the_first(data: Dataset, mode: str, anew: bool) -> torch.Tensor:
    """The un-noised weights after forgetting sample 0."""
    start = start_from(Convex(mode=mode, sigma=1.0, lam=1e-2), data, 0)
    result = run(data, start, parse_request("samples:0", data, 0), Certified(anew=anew), 0, 0)
    assert bool(result.kept_back.get("retrained")) == anew
    return store.secret_of(result.unlearned)["weights"]


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_what_is_trained_anew_owes_nothing_to_what_was_forgotten(mode):
    """Bit for bit the same weights under the noise, whoever was there before."""
    one = alone("label")
    x = one.train.x.clone()
    x[0] = 3.0
    other = dataclasses.replace(one, train=dataclasses.replace(one.train, x=x))
    both = [solved_without_the_first(data, mode, anew=True) for data in (one, other)]
    assert torch.equal(*both)
    corrected = [solved_without_the_first(data, mode, anew=False) for data in (one, other)]
    assert not torch.equal(*corrected), "a test that cannot fail"


@pytest.mark.parametrize("damage", [
    "replace(body, 'noise_multiplier', 'noise')", "replace(body, '\"mode\"', '\"made\"')",
    "replace(body, 'model_sha256', 'model')", "replace(body, 'test_accuracy', 'accuracy')",
    "replace(body, '\"method\"', '\"by\"')", "replace(body, '\"noise_multiplier\": 3', "
    "'\"noise_multiplier\": 1e-300, \"x\": 3')", "replace(body, '\"certificate\": {', "
    "'\"certificate\": 7, \"x\": {')", "replace(body, '\"delta\": ', '\"delta\": -')",
    "json_set(body, '$.metrics', 7)",
    "replace(body, '\"mode\": ', '\"mode\": [], \"m\": ')",
    "replace(body, '\"delta\"', '\"delta_of\"')", "json_set(body, '$.certificate.weights', 'many')",
    "json_set(body, '$.certificate', 'none')", "json_set(body, '$.certificate.delta', 7)",
    "json_set(body, '$.certificate.noise_multiplier', 0)",
    "json_set(body, '$.certificate.noise_multiplier', -1e308)"])
@pytest.mark.parametrize("most", [None, 8.0])
def test_a_certificate_that_was_altered_in_the_ledger_hinders_nobody(damage, most):
    taught(ANA, BEN)
    forget(ANA)
    with writing() as db:
        db.execute("DROP TRIGGER ledger_stays")
        db.execute(f"UPDATE ledger SET body = {damage} WHERE what = 'forgotten'")
        ledger.reopen(db)
    set_limit(SMALL, most)
    forget(BEN)
    assert history(SMALL, chain(), {})[0].what == "taught"
    assert contributors() == []
