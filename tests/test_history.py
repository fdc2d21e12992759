"""How a model fared over time, as the ledger tells it: one moment for each model there was."""

import math

import pytest
from small_base import (
    ANA,
    BEN,
    PEOPLE,
    SMALL,
    Person,
    give,
    given,
    quick,
)

from forget.certified.privacy import gaussian_delta, gaussian_multiplier
from forget.methods.certified import Certified
from forget.methods.retrain import Retrain
from forget.records import ledger
from forget.records.bases import Digits
from forget.records.contributions import add
from forget.records.database import reading
from forget.records.history import Moment, certificates, history
from forget.records.measured import measured
from forget.records.requests import ask, carry_out, set_policy
from forget.records.taught import FINETUNE, RETRAIN, teach

CLEO = Person("Cleo", 103)
GUO = {"mode": "guo", "sigma": 10.0, "lam": 1.0}


@pytest.fixture(autouse=True)
def _small(small):
    """The small base alone, over an empty folder."""


def moments() -> list[Moment]:
    with reading() as db:
        return history(SMALL, ledger.entries(db), measured(db))


def forget(person: Person, method, references: int = 0) -> None:
    ask(person.name, {"small": method})
    carry_out(SMALL, references=references)


def test_before_anything_there_is_no_moment():
    assert moments() == []
    give(ANA)
    set_policy(SMALL, 3)
    assert moments() == []


def test_each_change_of_the_model_is_a_moment_with_its_accuracy():
    give(ANA)
    first = teach(SMALL, RETRAIN, quick())
    give(BEN)
    second = teach(SMALL, FINETUNE, quick())
    forget(ANA, Retrain(), references=1)
    one, two, three = moments()
    assert [(m.what, m.how) for m in (one, two, three)] == [
        ("taught", RETRAIN), ("taught", FINETUNE), ("forgotten", "retrain")]
    assert (one.entry, two.entry) == (first.entry, second.entry)
    assert (one.accuracy, two.accuracy) == (first.accuracy_after, second.accuracy_after)
    assert one.retrained is None and 0 <= three.retrained <= 1 and 0 <= three.accuracy <= 1
    assert not any(m.anew or m.spent or m.epsilon for m in (one, two, three))
    assert one.at <= two.at <= three.at
    with reading() as db:
        assert history(Digits(), ledger.entries(db), {}) == []


def test_forgetting_who_was_never_taught_is_no_moment():
    give(ANA)
    teach(SMALL, RETRAIN, quick())
    give(BEN)
    forget(BEN, Retrain())
    assert len(moments()) == 1


def test_two_requests_in_one_run_are_one_moment():
    for person, number in ((ANA, 0), (BEN, 1)):
        add(SMALL, person.name, [(PEOPLE[number], one) for one in given(number, 3)])
    teach(SMALL, RETRAIN, quick("convex"))
    set_policy(SMALL, 2)
    for person in (ANA, BEN):
        ask(person.name, {"small": Certified()})
    assert len(carry_out(SMALL, references=0)) == 2
    taught, both = moments()
    assert taught.epsilon is None
    assert both.epsilon == pytest.approx(1.0, abs=1e-6), "one publication, not two"


def test_publications_compose_and_the_loose_ones_count_most():
    for person in (ANA, BEN, CLEO):
        give(person)
    teach(SMALL, RETRAIN, quick("convex"))
    epsilons = (4.0, 1.0, 0.5)
    for person, epsilon in zip((ANA, BEN, CLEO), epsilons, strict=True):
        forget(person, Certified(epsilon=epsilon))
    said = [moment.epsilon for moment in moments()[1:]]
    assert said == sorted(said), "more publications never tell less"
    for count in (1, 2, 3):
        together = math.sqrt(sum(gaussian_multiplier(epsilon, 1e-5) ** -2
                                 for epsilon in epsilons[:count]))
        assert gaussian_delta(said[count - 1], 1 / together) == pytest.approx(1e-5, rel=1e-3)
    with reading() as db:
        stated = [one["issuer_says"] for one in certificates(SMALL, ledger.entries(db))]
    assert [one["publications"] for one in stated] == [1, 2, 3]
    assert [one["epsilon_of_all"] for one in stated] == said
    assert said[0] == pytest.approx(4.0, abs=1e-3) and said[-1] < sum(epsilons)


def test_a_budget_is_spent_bit_by_bit_and_begins_again_when_it_was_trained_anew():
    for person in (ANA, BEN, CLEO):
        give(person)
    teach(SMALL, RETRAIN, quick("convex", **(GUO | {"sigma": 0.0095})))
    for person in (ANA, BEN):
        forget(person, Certified())
    _, one, two = moments()
    assert 0.1 < one.spent < 1 and not one.anew
    assert two.anew and two.spent < 0.01
    assert one.epsilon is None and two.epsilon is None, "single steps do not compose"


def test_a_budget_of_another_recipe_is_not_taken_for_this_ones():
    for person in (ANA, BEN):
        give(person)
    teach(SMALL, RETRAIN, quick("convex", **GUO))
    forget(ANA, Certified())
    teach(SMALL, RETRAIN, quick("convex", **(GUO | {"sigma": 1e-5})))
    *_, before, now = moments()
    assert 0 < before.spent < 1
    assert now.spent is None or now.spent < 1e-2
    teach(SMALL, RETRAIN, quick())
    assert moments()[-1].spent is None
