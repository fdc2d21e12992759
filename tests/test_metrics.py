"""What is measured, against figures worked by hand and against scipy."""

import math

import numpy as np
import pytest
import torch
from conftest import tiny_dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from torch import nn

from forget.core.device import generator
from forget.core.errors import Diverged
from forget.metrics.accuracy import Predictions, predict
from forget.metrics.distance import agreement, jensen_shannon, kl
from forget.metrics.verdict import DAMAGED, MATCHES, OVER, UNDER, judge
from forget.metrics.weights import change_per_layer
from forget.models import build
from forget.unlearning.measure import SPLITS, Splits
from forget.unlearning.request import Forgotten, parse_request

TINY = tiny_dataset()


def predictions(p, y=None) -> Predictions:
    p = torch.tensor(p, dtype=torch.float32)
    return Predictions(p.log(), torch.tensor(y if y is not None else [0] * len(p)))


def random_predictions(seed: int, n: int = 50, classes: int = 5, width: float = 3.0) -> Predictions:
    draw = generator(seed)
    logits = torch.randn(n, classes, generator=draw) * width
    return Predictions(logits.log_softmax(1), torch.randint(0, classes, (n,), generator=draw))


def empty(classes: int = 3) -> Predictions:
    return Predictions(torch.zeros(0, classes), torch.zeros(0, dtype=torch.int64))


class Fixed(nn.Module):
    """Gives the logits that it is asked about, as they are."""

    def forward(self, x):
        return x


# Guesses, by row: 0, 1, 1, 2, 0, 2; right are rows 0, 1, 3 and 5.
HAND = predictions(
    [[.7, .2, .1], [.1, .8, .1], [.3, .4, .3], [.1, .2, .7], [.5, .3, .2], [.0, .1, .9]],
    [0, 1, 0, 2, 1, 2],
)  # fmt: skip


def test_guess_is_the_most_likely_class():
    assert HAND.guess.tolist() == [0, 1, 1, 2, 0, 2]


def test_accuracy_by_hand():
    assert HAND.accuracy == pytest.approx(4 / 6)


def test_matrix_by_hand_has_labels_in_rows_and_guesses_in_columns():
    assert HAND.matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 2]]


def test_per_class_by_hand():
    assert HAND.per_class == [0.5, 0.5, 1.0]


def test_a_class_without_samples_has_no_accuracy():
    assert predictions([[.2, .8, .0], [.9, .1, .0]], [1, 1]).per_class == [None, 0.5, None]


def test_matrix_counts_guesses_of_classes_that_have_no_samples():
    assert predictions([[.2, .1, .7]], [0]).matrix.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_take_keeps_predictions_beside_their_labels():
    part = HAND.take(torch.tensor([True, False, True, False, False, False]))
    assert part.y.tolist() == [0, 0]
    assert part.accuracy == 0.5


def test_an_empty_split_is_none_everywhere():
    assert empty().accuracy is None
    assert empty().per_class == [None, None, None]
    assert empty().matrix.sum() == 0
    assert kl(empty(), empty()) is None
    assert jensen_shannon(empty(), empty()) is None
    assert agreement(empty(), empty()) is None


def test_accuracy_does_not_carry_over_from_one_part_to_the_next():
    right, wrong = predictions([[.9, .1]] * 4, [0] * 4), predictions([[.9, .1]] * 4, [1] * 4)
    assert [right.accuracy, wrong.accuracy, right.accuracy] == [1.0, 0.0, 1.0]


def test_predict_gives_log_probabilities_of_the_logits():
    logits = torch.tensor([[0.0, math.log(3)], [5.0, 5.0]])
    expected = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(predict(Fixed(), logits).exp(), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 299])
def test_logits_that_are_not_finite_diverge_wherever_they_stand(bad, row):
    logits = torch.zeros(300, 3)
    logits[row, 1] = bad
    with pytest.raises(Diverged, match="not finite"):
        predict(Fixed(), logits)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 600])
def test_predict_covers_every_row_whatever_the_size_of_its_chunks(n):
    logits = torch.randn(n, 4, generator=generator(n))
    assert torch.equal(predict(Fixed(), logits), logits.double().log_softmax(1))


def test_predict_works_on_an_empty_part_of_a_real_model():
    model = build("mlp", TINY.input_shape, 4, generator(0))
    assert predict(model, TINY.test.x[:0]).shape == (0, 4)


def test_kl_closed_form_for_two_classes():
    p, q = predictions([[.75, .25]]), predictions([[.5, .5]])
    assert kl(p, q) == pytest.approx(.75 * math.log(1.5) + .25 * math.log(.5), rel=1e-6)
    assert kl(q, p) == pytest.approx(.5 * math.log(2 / 3) + .5 * math.log(2), rel=1e-6)


def test_kl_is_the_mean_over_samples():
    p, q = predictions([[.75, .25], [.5, .5]]), predictions([[.5, .5], [.5, .5]])
    one = kl(predictions([[.75, .25]]), predictions([[.5, .5]]))
    assert kl(p, q) == pytest.approx(one / 2, rel=1e-6)


def test_kl_against_scipy():
    p, q = random_predictions(0), random_predictions(1)
    expected = entropy(p.log_p.double().exp(), q.log_p.double().exp(), axis=1).mean()
    assert kl(p, q) == pytest.approx(expected, rel=1e-5)


def test_jensen_shannon_against_scipy():
    p, q = random_predictions(2), random_predictions(3)
    distance = jensenshannon(p.log_p.double().exp(), q.log_p.double().exp(), axis=1)
    assert jensen_shannon(p, q) == pytest.approx((distance**2).mean(), rel=1e-5)


def test_jensen_shannon_closed_form_for_two_classes():
    p, q = predictions([[1 - 1e-30, 1e-30]]), predictions([[1e-30, 1 - 1e-30]])
    assert jensen_shannon(p, q) == pytest.approx(math.log(2), rel=1e-6)
    p, q = predictions([[.75, .25]]), predictions([[.25, .75]])
    expected = .75 * math.log(1.5) + .25 * math.log(.5)
    assert jensen_shannon(p, q) == pytest.approx(expected, rel=1e-6)


def test_jensen_shannon_is_symmetric_and_kl_is_not():
    p, q = random_predictions(4), random_predictions(5)
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p), rel=1e-12)
    assert abs(kl(p, q) - kl(q, p)) > 1e-3


def test_agreement_by_hand():
    a = predictions([[.6, .4], [.6, .4], [.3, .7], [.2, .8]])
    b = predictions([[.9, .1], [.1, .9], [.4, .6], [.2, .8]])
    assert agreement(a, b) == 0.75


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.1, 50))
def test_distances_stay_in_their_ranges(one, other, width):
    p, q = random_predictions(one, 8, 4, width), random_predictions(other, 8, 4, width)
    assert kl(p, q) >= -1e-6
    assert -1e-6 <= jensen_shannon(p, q) <= math.log(2) + 1e-6
    assert 0 <= agreement(p, q) <= 1
    assert kl(p, p) == 0


@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_permuting_the_classes_changes_no_figure(seed, order):
    p, q = random_predictions(seed), random_predictions(seed + 1)
    order = torch.tensor(order)
    place = order.argsort()
    p2, q2 = (Predictions(r.log_p[:, order], place[r.y]) for r in (p, q))
    assert p2.accuracy == p.accuracy
    assert torch.equal(p2.matrix, p.matrix[order][:, order])
    assert kl(p2, q2) == pytest.approx(kl(p, q), rel=1e-9)
    assert jensen_shannon(p2, q2) == pytest.approx(jensen_shannon(p, q), rel=1e-9)
    assert agreement(p2, q2) == agreement(p, q)


@given(st.integers(0, 10**6))
def test_matrix_per_class_and_accuracy_say_the_same(seed):
    p = random_predictions(seed)
    counts = torch.bincount(p.y, minlength=5)
    assert torch.equal(p.matrix.sum(1), counts)
    weighted = sum(a * c for a, c in zip(p.per_class, counts.tolist(), strict=True) if c)
    assert weighted / len(p.y) == pytest.approx(p.accuracy)
    expected = np.mean(p.log_p.numpy().argmax(1) == p.y.numpy())
    assert p.accuracy == pytest.approx(expected)


def test_a_model_against_itself_is_at_no_distance():
    model = build("cnn", TINY.input_shape, 4, generator(0))
    mine = Predictions.of(model, TINY.test)
    assert kl(mine, mine) == 0
    assert jensen_shannon(mine, mine) == pytest.approx(0, abs=1e-12)
    assert agreement(mine, mine) == 1
    assert set(change_per_layer(model, model).values()) == {0.0}


def test_change_per_layer_by_hand():
    before = build("mlp", (3,), 2, generator(0))
    after = build("mlp", (3,), 2, generator(0))
    with torch.no_grad():
        for parameter in after.fc2.parameters():
            parameter.mul_(1.5)
        before.fc3.weight.zero_()
        before.fc3.bias.zero_()
        after.fc3.weight.zero_()
        after.fc3.bias.zero_()
        after.fc3.bias[0] = 3.0
    changes = change_per_layer(before, after)
    assert list(changes) == ["dense 1", "dense 2", "output"]
    assert changes["dense 1"] == 0
    assert changes["dense 2"] == pytest.approx(0.5, rel=1e-6)
    assert changes["output"] == 3.0


def test_splits_of_a_class_request_cut_the_test_set_the_same_way():
    splits = Splits(TINY, parse_request("class:b", TINY, 0), Forgotten())
    assert set(splits.forget.y.tolist()) == {1}
    assert set(TINY.test.y[splits.test_forget_rows].tolist()) == {1}
    assert set(TINY.test.y[splits.test_retain_rows].tolist()) == {0, 2, 3}
    assert len(splits.forget) + len(splits.retain) == len(TINY.train)


def test_splits_of_a_samples_request_leave_the_test_set_whole():
    splits = Splits(TINY, parse_request("random:10", TINY, 0), Forgotten())
    assert not splits.test_forget_rows.any()
    assert splits.test_retain_rows.all()


def test_classes_forgotten_earlier_belong_to_neither_part_of_the_test_set():
    already = Forgotten((parse_request("class:a", TINY, 0),))
    splits = Splits(TINY, parse_request("class:b", TINY, 0, already), already)
    assert set(TINY.test.y[splits.test_retain_rows].tolist()) == {2, 3}
    assert set(splits.retain.y.tolist()) == {2, 3}


def test_measure_gives_the_four_accuracies_of_a_model():
    model = build("mlp", TINY.input_shape, 4, generator(0))
    splits = Splits(TINY, parse_request("class:b", TINY, 0), Forgotten())
    accuracies = splits.measure(model).accuracies
    assert tuple(accuracies) == SPLITS
    guess = model(TINY.test.x).argmax(1)
    of_b = TINY.test.y == 1
    right = (guess == TINY.test.y).double()
    assert accuracies["test_forget_accuracy"] == pytest.approx(right[of_b].mean().item())
    assert accuracies["test_retain_accuracy"] == pytest.approx(right[~of_b].mean().item())


def test_measure_of_a_samples_request_has_no_test_forget_accuracy():
    model = build("mlp", TINY.input_shape, 4, generator(0))
    splits = Splits(TINY, parse_request("random:10", TINY, 0), Forgotten())
    assert splits.measure(model).accuracies["test_forget_accuracy"] is None


def figures(forget=0.0, test_forget=0.0, test_retain=0.99):
    return dict(zip(SPLITS, (forget, 0.99, test_forget, test_retain), strict=True))


def spreads(forget=0.0, test_forget=0.0, test_retain=0.0):
    return dict(zip(SPLITS, (forget, 0.0, test_forget, test_retain), strict=True))


ONE_REFERENCE = dict.fromkeys(SPLITS)
MANY = 10**6
"""Unseen samples of the rest, so many that chance has no part in their accuracy."""


@pytest.mark.parametrize(
    ("unlearned", "reference", "spread", "words"),
    [
        # A class: forget accuracy counts above 2 points more than the reference's.
        (figures(), figures(), spreads(), MATCHES),
        (figures(forget=.019), figures(), spreads(), MATCHES),
        (figures(forget=.021), figures(), spreads(), UNDER),
        (figures(test_forget=.019), figures(), spreads(), MATCHES),
        (figures(test_forget=.021), figures(), spreads(), UNDER),
        # Three spreads, where they are more than 2 points.
        (figures(forget=.059), figures(), spreads(forget=.02), MATCHES),
        (figures(forget=.061), figures(), spreads(forget=.02), UNDER),
        (figures(test_forget=.059), figures(), spreads(test_forget=.02), MATCHES),
        (figures(test_forget=.061), figures(), spreads(test_forget=.02), UNDER),
        (figures(forget=.021), figures(), spreads(forget=.001), UNDER),
        # The spread of one split does not excuse another.
        (figures(forget=.03), figures(), spreads(test_retain=.5), UNDER),
        # A class is never over-forgotten.
        (figures(0, 0), figures(.5, .5), spreads(), MATCHES),
        # The rest counts below 1 point less, or 3 spreads.
        (figures(test_retain=.981), figures(), spreads(), MATCHES),
        (figures(test_retain=.979), figures(), spreads(), DAMAGED),
        (figures(test_retain=.961), figures(), spreads(test_retain=.01), MATCHES),
        (figures(test_retain=.959), figures(), spreads(test_retain=.01), DAMAGED),
        (figures(test_retain=.979), figures(), spreads(test_retain=.001), DAMAGED),
        # Being better on the rest damages nothing.
        (figures(test_retain=1.0), figures(test_retain=.5), spreads(), MATCHES),
        # What was not forgotten outweighs what was damaged.
        (figures(forget=.5, test_retain=.5), figures(), spreads(), UNDER),
        # A class without test samples, and with one reference.
        (figures(test_forget=None), figures(test_forget=None), spreads(), MATCHES),
        (figures(forget=.021), figures(), ONE_REFERENCE, UNDER),
        (figures(forget=.019), figures(), ONE_REFERENCE, MATCHES),
    ],
)  # fmt: skip
def test_verdict_on_a_class(unlearned, reference, spread, words):
    verdict = judge(unlearned, reference, spread, None, MANY)
    assert verdict.words == words
    assert verdict.good is (words == MATCHES)


def sample_figures(forget, test_retain=0.99):
    return figures(forget, None, test_retain)


@pytest.mark.parametrize(
    ("got", "want", "spread", "m", "words"),
    [
        # m = 100, p = .9: 2 sqrt(2 * .9 * .1 / 100) = .0849.
        (.984, .9, 0, 100, MATCHES),
        (.986, .9, 0, 100, UNDER),
        (.816, .9, 0, 100, MATCHES),
        (.814, .9, 0, 100, OVER),
        # m = 10000, p = .9: the sampling error is .0085, so 2 points hold.
        (.919, .9, 0, 10_000, MATCHES),
        (.921, .9, 0, 10_000, UNDER),
        (.881, .9, 0, 10_000, MATCHES),
        (.879, .9, 0, 10_000, OVER),
        # Three spreads are more than both.
        (.811, .9, .03, 10_000, MATCHES),
        (.809, .9, .03, 10_000, OVER),
        # p = 1 counts as 1 - 1/m: 2 sqrt(2 * .99 * .01 / 100) = .0281; 0 as 1/m likewise.
        (.973, 1.0, 0, 100, MATCHES),
        (.971, 1.0, 0, 100, OVER),
        (.027, 0.0, 0, 100, MATCHES),
        (.029, 0.0, 0, 100, UNDER),
        # Two samples prove nothing: the error is 1.
        (1.0, 0.0, 0, 2, MATCHES),
        (0.0, 1.0, 0, 2, MATCHES),
        # A forgotten sample that is never guessed gives itself away.
        (0.0, .98, 0, 100, OVER),
    ],
)  # fmt: skip
def test_verdict_on_samples(got, want, spread, m, words):
    verdict = judge(sample_figures(got), sample_figures(want), spreads(forget=spread), m, MANY)
    assert verdict.words == words


@pytest.mark.parametrize(("wrong", "of", "words"), [
    # 2 sqrt(2 * (194 / 195) * (1 / 195) / 195) = .0145: two photos more, of 195.
    (1, 195, MATCHES), (3, 195, MATCHES), (4, 195, DAMAGED), (17, 195, DAMAGED),
    # Of 9,000 the sampling error is 3 photos, and a point is 90.
    (90, 9000, MATCHES), (92, 9000, DAMAGED),
])
def test_a_few_unseen_photos_more_that_are_wrong_are_no_damage(wrong, of, words):
    verdict = judge(figures(test_retain=1 - wrong / of), figures(test_retain=1 - 1 / of),
                    ONE_REFERENCE, None, of)
    assert verdict.words == words


def test_verdict_on_samples_looks_at_the_rest_too():
    assert judge(sample_figures(.9, .97), sample_figures(.9), spreads(), 50, MANY).words == DAMAGED


def test_the_same_fall_is_over_forgetting_for_samples_and_not_for_a_class():
    low, high = figures(.1, None), figures(.9, None)
    assert judge(low, high, spreads(), 1000, MANY).words == OVER
    assert judge(low, high, spreads(), None, MANY).words == MATCHES


CASES = [
    (figures(), figures(), None),
    (figures(forget=.5), figures(), None),
    (figures(test_retain=.5), figures(), None),
    (sample_figures(.1), sample_figures(.9), 1000),
]


@pytest.mark.parametrize(("unlearned", "reference", "m"), CASES)
def test_one_reference_is_said_to_leave_the_spread_unknown(unlearned, reference, m):
    assert "spread" in judge(unlearned, reference, ONE_REFERENCE, m, MANY).reason
    assert "unknown" in judge(unlearned, reference, ONE_REFERENCE, m, MANY).reason
    assert "unknown" not in judge(unlearned, reference, spreads(), m, MANY).reason


def test_a_match_is_a_match_on_accuracy_only_and_says_so():
    verdict = judge(figures(), figures(), spreads(), None, MANY)
    assert verdict.words == "matches retraining on accuracy"
    assert "does not prove" in verdict.reason


def test_the_reason_names_the_figures_behind_it():
    reason = judge(figures(forget=.5), figures(forget=.25), spreads(), None, MANY).reason
    assert "50.0 %" in reason
    assert "25.0 %" in reason


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.2), st.integers(2, 10**5))
def test_two_equal_models_never_convict_each_other(forget, rest, spread, m):
    same = figures(forget, forget, rest)
    assert judge(same, same, spreads(spread), None, MANY).good
    assert judge(same, same, ONE_REFERENCE, m, MANY).good


@given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 10**5))
def test_a_higher_forget_accuracy_is_never_judged_over_forgotten(got, want, m):
    verdict = judge(sample_figures(max(got, want)), sample_figures(min(got, want)), spreads(), m,
                    MANY)
    assert verdict.words in (MATCHES, UNDER)
