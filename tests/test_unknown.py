"""Whether a model knows whom it sees: the threshold by brute force, its rates by other code."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from clusters import people
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from forget.core.errors import Cancelled
from forget.core.steps import Step
from forget.data import Dataset
from forget.data.photos import RECIPES
from forget.learners import LEARNERS, Learner
from forget.learners.convex import Convex
from forget.learners.network import Network
from forget.methods.retrain import Retrain
from forget.metrics.accuracy import Predictions
from forget.metrics.distance import agreement
from forget.metrics.unknown import NOBODY, Threshold, equal_error, evidence, places
from forget.unlearning.learn import learn
from forget.unlearning.request import parse_request
from forget.unlearning.result import Start
from forget.unlearning.run import run
from forget.unlearning.strangers import FOLDS, calibrate
from forget.unlearning.watch import Watch

QUICK = Network(arch="linear", min_steps=40)


def predictions(p, y=None) -> Predictions:
    p = torch.tensor(p, dtype=torch.float64)
    return Predictions(p.log(), torch.tensor(y if y is not None else [0] * len(p)))


def nobody(classes: int = 3) -> Predictions:
    return Predictions(torch.zeros(0, classes), torch.zeros(0, dtype=torch.int64))


# Evidence.


def test_evidence_is_the_largest_probability():
    said = predictions([[.7, .2, .1], [.3, .3, .4], [.1, .8, .1]])
    assert evidence(said).tolist() == pytest.approx([.7, .4, .8])


def test_evidence_does_not_ask_who_it_really_is():
    p = [[.7, .2, .1], [.1, .2, .7]]
    assert torch.equal(evidence(predictions(p, [0, 0])), evidence(predictions(p, [2, 1])))


def test_evidence_of_no_photos_is_empty():
    assert evidence(nobody()).shape == (0,)


@given(st.lists(st.lists(st.floats(-40, 40), min_size=5, max_size=5), min_size=1, max_size=8))
def test_evidence_lies_between_chance_and_certainty(logits):
    said = Predictions(torch.tensor(logits, dtype=torch.float64).log_softmax(1),
                       torch.zeros(len(logits), dtype=torch.int64))
    assert ((evidence(said) >= 1 / 5 - 1e-12) & (evidence(said) <= 1 + 1e-12)).all()
    turned = Predictions(said.log_p.flip(1), said.y)
    assert torch.equal(evidence(turned), evidence(said))


# The threshold of equal error.


def error_rates(known: Sequence[float], strangers: Sequence[float], value: float) -> tuple:
    """(share of known ones rejected, share of strangers accepted), counted one by one."""
    return (sum(score < value for score in known) / len(known),
            sum(score >= value for score in strangers) / len(strangers))


def gap(known, strangers, value: float) -> float:
    rejects, accepts = error_rates(known, strangers, value)
    return abs(rejects - accepts)


def least_gap(known, strangers) -> float:
    """The smallest difference of both errors over every threshold that there is."""
    scores = sorted({*known, *strangers})
    between = [(a + b) / 2 for a, b in itertools.pairwise(scores)]
    return min(gap(known, strangers, value)
               for value in [-1.0, *scores, *between, 2.0])


def chosen(known, strangers) -> float:
    return equal_error(torch.tensor(known, dtype=torch.float64),
                       torch.tensor(strangers, dtype=torch.float64))


SHARES = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=1, max_size=12)


@given(SHARES, SHARES)
def test_no_threshold_has_errors_nearer_to_each_other(known, strangers):
    value = chosen(known, strangers)
    assert gap(known, strangers, value) == pytest.approx(least_gap(known, strangers), abs=1e-12)


@given(SHARES, SHARES)
def test_it_lies_among_the_scores_and_on_none_unless_it_is_the_least(known, strangers):
    value = chosen(known, strangers)
    scores = sorted({*known, *strangers})
    assert scores[0] <= value <= scores[-1]
    assert value not in scores[1:]


@given(SHARES, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_the_scores_does_not_matter(known, strangers, draw):
    mixed = [draw.sample(scores, len(scores)) for scores in (known, strangers)]
    assert chosen(*mixed) == chosen(known, strangers)


@given(SHARES, SHARES)
def test_every_score_told_twice_gives_the_same(known, strangers):
    assert chosen(known * 2, strangers * 2) == chosen(known, strangers)


def test_clear_cases_make_no_error():
    value = chosen([.9, .8, .95], [.1, .3, .2])
    assert value == pytest.approx(.55)
    assert error_rates([.9, .8, .95], [.1, .3, .2], value) == (0, 0)


def test_by_hand_where_both_kinds_mix():
    known, strangers = [.9, .7, .5, .3], [.1, .2, .4, .8]
    value = chosen(known, strangers)
    assert error_rates(known, strangers, value) == (.25, .25)
    assert value == pytest.approx(.45)


def test_a_known_one_and_a_stranger_who_are_alike_cannot_be_told_apart():
    assert gap([.5], [.5], chosen([.5], [.5])) == 1


@pytest.mark.parametrize("tiny", [1e-6, 1e-8, 1e-10, 1e-12])
def test_models_that_are_almost_certain_of_everybody_are_told_apart_too(tiny):
    """A weakly regularised head gives 1 - 1e-10 to people it knows, and less to strangers."""
    known, strangers = [1 - tiny, 1 - 2 * tiny], [1 - 5 * tiny, 1 - 6 * tiny]
    assert error_rates(known, strangers, chosen(known, strangers)) == (0, 0)


# Shares of photos that are like nobody's.


KNOWN = Threshold(.5, .1, .1, 10, 10)


def test_rejected_counts_what_lies_below():
    assert KNOWN.rejected(predictions([[.4, .3, .3], [.49, .5, .01], [.9, .1, 0], [.34, .33, .33]])
                          ) == pytest.approx(.5)


def test_a_photo_at_the_threshold_is_known():
    assert KNOWN.rejected(predictions([[.5, .3, .2]])) == 0


def test_no_photos_have_no_share():
    assert KNOWN.rejected(nobody()) is None


@given(st.lists(st.floats(.34, .99), min_size=1, max_size=20), st.floats(0, 1))
def test_rejected_by_counting(best, value):
    said = predictions([[p, (1 - p) / 2, (1 - p) / 2] for p in best])
    threshold = dataclasses.replace(KNOWN, value=value)
    count = sum(score < value for score in evidence(said).tolist())
    assert threshold.rejected(said) == pytest.approx(count / len(best))


# Nobody as an answer.


ROWS = st.lists(st.tuples(st.lists(st.floats(-6, 6), min_size=4, max_size=4), st.integers(0, 3)),
                min_size=1, max_size=30)


@given(ROWS, st.floats(0, 1))
def test_the_answers_by_counting_photo_by_photo(rows, value):
    logits, y = zip(*rows, strict=True)
    named = Predictions(torch.tensor(logits, dtype=torch.float64).log_softmax(1), torch.tensor(y))
    said = dataclasses.replace(KNOWN, value=value).applied(named)
    p = [[float(one) for one in row] for row in named.log_p.exp()]
    answers = [row.index(max(row)) if max(row) >= value else 4 for row in p]
    assert said.guess.tolist() == answers
    assert said.accuracy == pytest.approx(
        sum(a == b for a, b in zip(answers, y, strict=True)) / len(y))
    assert said.accuracy <= named.accuracy
    assert said.counts.tolist() == [answers.count(one) for one in range(5)]
    for really, row in enumerate(said.matrix.tolist()):
        assert row == [sum(pair == (really, one) for pair in zip(y, answers, strict=True))
                       for one in range(5)]
    assert torch.equal(said.named.guess, named.guess)
    few = said.take(slice(2))
    assert few.guess.tolist() == answers[:2]


def test_without_a_line_there_is_no_answer_nobody():
    said = predictions([[.4, .3, .3], [.2, .5, .3]])
    assert said.answers == 3
    assert said.matrix.shape == (3, 3)
    assert places("abc", said.answers) == ("a", "b", "c")
    assert places("abc", KNOWN.applied(said).answers) == ("a", "b", "c", NOBODY)


def test_two_models_that_know_nobody_give_the_same_answer_whoever_is_nearest():
    one, other = predictions([[.4, .3, .3], [.9, .1, 0]]), predictions([[.3, .4, .3], [.1, .9, 0]])
    assert agreement(one, other) == 0
    assert agreement(KNOWN.applied(one), KNOWN.applied(other)) == .5


# Calibration, against the same thing done by other code.


class Nearest(nn.Module):
    """Logits: minus eight times the squared distance to each person's mean row."""

    def __init__(self, size: int, n_classes: int):
        super().__init__()
        self.n_classes = n_classes
        self.means = nn.Parameter(torch.zeros(n_classes, size))
        self.seen = nn.Parameter(torch.zeros(n_classes))

    @property
    def layers(self):
        return [("means", self)]

    def forward(self, x):
        distance = (x[:, None] - self.means).square().sum(2)
        return torch.where(self.seen > 0, -8 * distance, -1e3)


@dataclasses.dataclass(frozen=True)
class Means(Learner):
    """A learner without chance: everything about it can be worked out by hand."""

    name = "means"
    title = "Nearest mean"

    def build(self, input_shape, n_classes, generator):
        return Nearest(input_shape[0], n_classes)

    @torch.no_grad()
    def train(self, model, data, generator):
        for index in data.y.unique().tolist():
            model.means[index] = data.x[data.y == index].mean(0)
            model.seen[index] = 1
        yield Step(1, 1, "mean rows", {})


def by_mean(train_x, train_y, x) -> np.ndarray:
    """What :class:`Nearest` makes of ``x``: the largest probability, row by row."""
    means = [train_x[train_y == person].mean(0) for person in np.unique(train_y)]
    logits = np.array([[-8 * np.square(row - mean).sum() for mean in means] for row in x])
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)).max(1)


def by_logistic_regression(train_x, train_y, x, count: int, lam: float) -> np.ndarray:
    """One-vs-rest by scikit-learn on rows as the convex learner has them, softmax over scores."""
    def rows(x):
        x = x / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(1 - .1**2)
        return 16 * np.hstack([x, np.full((len(x), 1), .1)])

    scores = np.zeros((len(x), count))
    for person in range(count):
        own = (train_y == person).astype(int)
        if own.any():
            head = LogisticRegression(C=1 / (lam * len(train_y)), fit_intercept=False, tol=1e-12,
                                      max_iter=10_000).fit(rows(train_x), own)
            scores[:, person] = rows(x) @ head.coef_[0]
        else:
            scores[:, person] = rows(x) @ no_sample(rows(train_x), lam * len(train_y))
    p = np.exp(scores - scores.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)).max(1)


def no_sample(rows: np.ndarray, strength: float) -> np.ndarray:
    """Logistic regression where every label is 0, by Newton's method; scikit-learn refuses it."""
    w = np.zeros(rows.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-rows @ w))
        gradient = rows.T @ p + strength * w
        hessian = (rows * (p * (1 - p))[:, None]).T @ rows + strength * np.eye(len(w))
        w -= np.linalg.solve(hessian, gradient)
    return w


def by_hand(dataset: Dataset, sure_of) -> dict[str, float]:
    """What calibration must give. ``sure_of``: (train rows, labels, rows) to their evidence."""
    parts = {name: (part.x.numpy().astype(float), part.y.numpy()) for name, part in (
        ("train", dataset.train), ("held_out", dataset.held_out), ("test", dataset.test))}
    everybody = np.concatenate([x for x, _ in parts.values()])
    ends = np.cumsum([len(y) for _, y in parts.values()])[:-1]
    count = len(dataset.classes)
    folds = min(5, count // 2)
    known, strange, judged_known, judged_strange = [], [], [], []
    for fold in range(folds):
        out = {person for person in range(count) if person % folds == fold}
        train_x, train_y = parts["train"]
        stay = np.array([person not in out for person in train_y])
        sure = sure_of(train_x[stay], train_y[stay], everybody)  # a fit takes far longer than this
        sure = dict(zip(parts, np.split(sure, ends), strict=True))

        def scores(part, of_strangers, out=out, sure=sure):
            inside = np.array([person in out for person in parts[part][1]]) == of_strangers
            return list(sure[part][inside]) if inside.any() else []

        known += scores("held_out" if len(parts["held_out"][1]) else "test", False)
        strange += scores("train", True)
        judged_known += scores("test", False)
        judged_strange += scores("test", True)
    everything = sorted({*known, *strange})
    between = [everything[0], *((a + b) / 2 for a, b in itertools.pairwise(everything))]
    value = min(between, key=lambda one: gap(known, strange, one))
    rejects, accepts = error_rates(judged_known, judged_strange, value)
    return {"value": value, "false_accept": accepts, "false_reject": rejects,
            "strangers": len(judged_strange), "known": len(judged_known)}


def private(dataset: Dataset) -> Dataset:
    return dataclasses.replace(dataset, private={})


@pytest.mark.parametrize(("count", "photos", "held_out", "spread"), [
    (4, 10, 1, .6), (5, 10, 1, 1.2), (6, 10, 1, .6), (7, 6, 1, 1.5), (10, 10, 2, 1.8),
    (11, 5, 1, 2), (6, 4, 0, .6), (9, 4, 0, 1.8), (40, 10, 1, 1.2),
])  # fmt: skip
def test_the_threshold_and_its_rates_are_those_worked_out_by_other_code(
    home, count, photos, held_out, spread
):
    dataset = people(count, photos, spread, held_out=held_out, private={})
    known = calibrate(Means(), dataset, 0)
    expected = by_hand(dataset, by_mean)
    assert dataclasses.asdict(known) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("spread", [.6, 1.5])
def test_the_certified_heads_threshold_is_that_of_logistic_regression(home, spread):
    dataset = people(6, 10, spread, private={})
    learner = Convex(**RECIPES["convex"], sigma=1e-9)
    known = calibrate(learner, dataset, 0)
    expected = by_hand(dataset, lambda *rows: by_logistic_regression(*rows, 6, learner.lam))
    assert dataclasses.asdict(known) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [4, 5, 6, 9, 10, 23])
def test_everybody_is_a_stranger_once(home, count):
    dataset = people(count, private={})
    known = calibrate(Means(), dataset, 0)
    assert known.strangers == len(dataset.test)
    assert known.known == len(dataset.test) * (min(FOLDS, count // 2) - 1)


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_people_give_no_threshold_and_train_nothing(home, count, monkeypatch):
    monkeypatch.setattr(Means, "train", lambda *_: pytest.fail("trained"))
    assert calibrate(Means(), people(count, private={}), 0) is None


def test_photos_that_judge_do_not_choose(home):
    """Where photos are held out, other test photos change the rates, never the threshold."""
    dataset = people(6, spread=1.5)
    other = people(6, spread=3.0, seed=7)
    mixed = dataclasses.replace(dataset, test=other.test)
    known, changed = (calibrate(Means(), private(one), 0) for one in (dataset, mixed))
    assert changed.value == known.value
    assert (changed.false_accept, changed.false_reject) != (known.false_accept, known.false_reject)


def test_photos_that_choose_do_not_judge(home):
    """Other held-out photos move the threshold alone; at the old one the rates are the old."""
    dataset = people(6, spread=1.5)
    held_out = people(6, spread=3.0, seed=7).held_out
    mixed = dataclasses.replace(dataset, held_out=held_out)
    assert calibrate(Means(), private(mixed), 0).value != calibrate(
        Means(), private(dataset), 0).value


def test_some_people_without_held_out_photos_are_no_hindrance(home):
    dataset = people(6)
    some = dataset.held_out.take(dataset.held_out.y < 2)
    known = calibrate(Means(), private(dataclasses.replace(dataset, held_out=some)), 0)
    assert 0 < known.value < 1
    assert known.known == 2 * len(dataset.test)


def test_people_who_are_far_apart_are_known_and_strangers_are_not(home):
    known = calibrate(Means(), people(12, spread=.3, size=128, private={}), 0)
    assert (known.false_accept, known.false_reject) == (0, 0)


def test_people_who_are_all_alike_cannot_be_told_from_strangers(home):
    known = calibrate(Means(), people(12, spread=50.0, private={}), 0)
    assert .2 < known.false_accept < .8 and .2 < known.false_reject < .8


@pytest.mark.parametrize("name", list(RECIPES))
def test_each_learner_tells_strangers_from_people_it_knows(home, name):
    learner = LEARNERS[name](**RECIPES[name])
    known = calibrate(learner, people(10, spread=.5, size=128, private={}), 0)
    assert known.false_accept < .05 and known.false_reject < .05


# Names, seeds, what is written and how it is stopped.


def test_names_with_any_signs_are_left_out_as_others_are(home):
    dataset = people(6)
    strange = ("a:b", "a/b", "random:3", "  ", "חנה", "👩‍👧")
    renamed = dataclasses.replace(dataset, classes=strange)
    assert calibrate(Means(), private(renamed), 0) == calibrate(Means(), private(dataset), 0)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_same_seed_gives_the_same_numbers_trained_or_stored(home, name):
    learner, dataset = LEARNERS[name](**RECIPES[name]), people(4)
    first = calibrate(learner, dataset, 3)
    stored = {path.name for path in (home / "trained").iterdir()}
    assert calibrate(learner, dataset, 3) == first
    assert {path.name for path in (home / "trained").iterdir()} == stored
    for path in (home / "trained").iterdir():
        path.unlink()
    assert calibrate(learner, dataset, 3) == first


def test_another_seed_gives_other_models(home):
    values = {calibrate(QUICK, people(6, spread=1.5), seed).value for seed in (0, 1, 2)}
    assert len(values) == 3


@pytest.mark.parametrize("name", list(RECIPES))
def test_private_people_leave_no_file_behind(home, name):
    learner = LEARNERS[name](**RECIPES[name])
    shared: dict = {}
    dataset = people(4, private=shared)
    start = Start(learn(learner, dataset, 0), learner)
    known = calibrate(learner, dataset, 0)
    written = {path.name for path in home.rglob("*")} if home.exists() else set()
    assert written <= {"machine.key", ".machine.key.lock"}
    assert len(shared) == 3  # the original, and one model a fold
    assert start.model is not None
    assert calibrate(learner, dataset, 0) == known
    assert len(shared) == 3


def test_private_models_are_trained_once(home, monkeypatch):
    dataset = people(6, private={})
    known = calibrate(QUICK, dataset, 0)
    monkeypatch.setattr(Network, "train", lambda *_: pytest.fail("trained again"))
    assert calibrate(QUICK, dataset, 0) == known


def test_two_who_lend_the_same_people_share_nothing(home):
    one, other = people(6, private={}), people(6, private={})
    assert calibrate(QUICK, one, 0) == calibrate(QUICK, other, 0)
    mine, theirs = one.private.values(), other.private.values()
    assert not {id(stored.model) for stored in mine} & {id(stored.model) for stored in theirs}


class Stopping(Watch):
    """Counts steps and phases, and stops after some steps."""

    def __init__(self, after: float = float("inf")):
        self.after, self.steps, self.phases = after, 0, []

    def phase(self, name):
        self.phases.append(name)

    def step(self, step, seconds):
        self.steps += 1

    def cancelled(self):
        return self.steps >= self.after


def test_it_tells_which_of_the_turns_it_is_in(home):
    watch = Stopping()
    calibrate(QUICK, people(6, private={}), 0, watch)
    assert [phase for phase in watch.phases if "strangers" in phase] == [
        f"Learning what strangers look like ({turn} of 3)" for turn in (1, 2, 3)]
    assert watch.steps == 3 * 40


@pytest.mark.parametrize("after", [0, 1, 39, 40, 41, 100])
def test_it_can_be_stopped_anywhere_and_goes_on_to_the_same_end(home, after):
    dataset = people(6)
    with pytest.raises(Cancelled):
        calibrate(QUICK, dataset, 0, Stopping(after))
    left = len(list((home / "trained").iterdir())) if (home / "trained").exists() else 0
    assert left <= after // 40
    assert calibrate(QUICK, dataset, 0) == calibrate(QUICK, private(dataset), 0)


def test_a_stop_is_heard_where_every_model_is_stored(home):
    dataset = people(6)
    calibrate(QUICK, dataset, 0)
    with pytest.raises(Cancelled):
        calibrate(QUICK, dataset, 0, Stopping(0))


def test_calibration_touches_neither_data_nor_model(home):
    dataset = people(6, private={})
    stored = learn(QUICK, dataset, 0)
    weights = {name: value.clone() for name, value in stored.model.state_dict().items()}
    rows = dataset.train.x.clone()
    calibrate(QUICK, dataset, 0)
    assert torch.equal(dataset.train.x, rows)
    assert all(torch.equal(value, weights[name])
               for name, value in stored.model.state_dict().items())


def test_a_chain_of_requests_is_judged_by_one_threshold(home):
    """It belongs to the recipe and its seed, not to what was forgotten meanwhile."""
    dataset = people(6)
    start = Start(learn(QUICK, dataset, 3), QUICK)
    thresholds = []
    for spec, seed in (("class:p1", 8), ("class:p4", 9)):
        result = run(dataset, start, parse_request(spec, dataset, 0, start.forgotten), Retrain(),
                     seed, references=0)
        thresholds.append(result.threshold)
        start = result.next_start()
    assert thresholds[0] == thresholds[1] == calibrate(QUICK, dataset, 3)
