"""The membership attack: against scipy and scikit-learn, and where its true success is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve
from torch import nn

from forget.core.device import generator
from forget.core.errors import ForgetError
from forget.data import Samples
from forget.metrics.accuracy import Predictions
from forget.metrics.interval import Interval
from forget.metrics.membership import (
    auc,
    likelihood_ratios,
    margin,
    population_attack,
    roc,
)

LOGITS = st.lists(st.floats(-700, 700), min_size=2, max_size=6)
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)  # ties are common


def said(logits, y) -> Predictions:
    logits = torch.tensor(logits, dtype=torch.float64)
    return Predictions(logits.log_softmax(1), torch.tensor(y))


def halves(models: int, samples: int, seed: int) -> torch.Tensor:
    """Each sample in one model of every pair: a request for samples."""
    first = torch.rand(models // 2, samples, generator=generator(seed)) < 0.5
    return torch.stack([first, ~first], 1).reshape(models, samples)


def worlds(models: int, samples: int, seed: int) -> torch.Tensor:
    """One model of every pair had all samples, the other none: a request for a class."""
    return (torch.arange(models) % 2 == 0)[:, None].expand(models, samples)


def gaussian(member, seed: int, shift: float, spread: float = 1.0, spread_in: float | None = None):
    """phi of a known law: each sample at a place of its own, members shifted from there."""
    draw = generator(seed)
    place = 5 * torch.randn(member.shape[1], generator=draw, dtype=torch.float64)
    noise = torch.randn(member.shape, generator=draw, dtype=torch.float64)
    width = torch.where(member, spread if spread_in is None else spread_in, spread)
    return place + torch.where(member, shift, 0.0) + width * noise


def attacked(member, seed: int, shift: float, resamples: int = 200, **law):
    ratios = likelihood_ratios(gaussian(member, seed, shift, **law), member)
    return roc(ratios, member, generator(seed), resamples)


def holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


# --- the margin -----------------------------------------------------------------------------


def test_margin_by_hand():
    """p = .6, .3, .1: the odds of the first class are .6 / .4, of the last .1 / .9."""
    p = torch.tensor([[.6, .3, .1]] * 2, dtype=torch.float64)
    found = margin(Predictions(p.log(), torch.tensor([0, 2])))
    assert found.tolist() == pytest.approx([math.log(1.5), -math.log(9)])


@given(LOGITS, st.data())
def test_margin_is_the_logit_less_the_others_together(logits, data):
    y = data.draw(st.integers(0, len(logits) - 1))
    others = np.delete(np.array(logits), y)
    found = margin(said([logits], [y]))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(logits[y] - np.logaddexp.reduce(others), abs=1e-9)


@given(LOGITS, st.floats(-50, 50))
def test_margin_does_not_mind_a_common_shift_of_logits(logits, shift):
    moved = [value + shift for value in logits]
    assert margin(said([moved], [0])).item() == pytest.approx(
        margin(said([logits], [0])).item(), abs=1e-9)


@pytest.mark.parametrize("lead", [40.0, 100.0, 700.0, 5000.0])
def test_margin_is_exact_where_the_probability_is_1_to_rounding(lead):
    """log(p / (1 - p)) would be infinite from a lead of 37 on."""
    predictions = said([[lead, 0.0, 0.0], [lead, 0.0, 0.0]], [0, 1])
    assert predictions.log_p[0, 0].exp() == 1.0
    assert margin(predictions).tolist() == pytest.approx([lead - math.log(2), -lead])


@given(st.permutations(range(4)))
def test_margin_does_not_mind_what_classes_are_called(order):
    logits = torch.randn(6, 4, generator=generator(1))
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    renamed = torch.empty_like(logits)
    renamed[:, list(order)] = logits
    found = margin(Predictions(renamed.double().log_softmax(1), torch.tensor(order)[y]))
    torch.testing.assert_close(found, margin(Predictions(logits.double().log_softmax(1), y)))


def test_margin_of_one_sample_and_of_none():
    assert margin(said([[1.0, 1.0]], [1])).tolist() == pytest.approx([0.0], abs=1e-12)
    assert margin(Predictions(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))).shape == (0,)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused_before_there_is_a_margin(bad):
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 2), bad)

    data = Samples(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), torch.arange(3))
    with pytest.raises(ForgetError):
        margin(Predictions.of(Broken(), data))


# --- the area under the curve ---------------------------------------------------------------


def test_auc_by_hand():
    """Of six pairs 3 beats 1 and 2 and ties with 3, 2 beats 1, ties with 2, loses to 3: 4 of 6."""
    assert auc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])) == pytest.approx(4 / 6)


@given(SCORES, SCORES)
def test_auc_is_scikit_learns_ties_included(members, others):
    truth = [1] * len(members) + [0] * len(others)
    expected = roc_auc_score(truth, members + others)
    assert auc(torch.tensor(members), torch.tensor(others)) == pytest.approx(expected)


@given(SCORES, SCORES)
def test_auc_the_other_way_round_is_what_is_left(members, others):
    one, other = torch.tensor(members), torch.tensor(others)
    assert auc(one, other) + auc(other, one) == pytest.approx(1.0)


@given(SCORES)
def test_auc_of_scores_against_themselves_is_a_coin(scores):
    assert auc(torch.tensor(scores), torch.tensor(scores)) == pytest.approx(0.5)


@given(SCORES, SCORES, st.floats(0.1, 9), st.floats(-9, 9))
def test_auc_looks_at_order_only(members, others, scale, shift):
    one, other = torch.tensor(members).double(), torch.tensor(others).double()
    moved = auc((one * scale + shift).exp(), (other * scale + shift).exp())
    assert moved == pytest.approx(auc(one, other))


def test_auc_of_perfect_and_of_no_separation():
    low, high = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    assert auc(high, low) == 1.0
    assert auc(low, high) == 0.0
    assert auc(torch.ones(3), torch.ones(2)) == 0.5


def test_auc_without_scores_on_a_side_is_nothing_or_refused():
    for members, others in ((torch.zeros(0), torch.ones(2)), (torch.ones(2), torch.zeros(0))):
        try:
            found = auc(members, others)
        except ForgetError:
            continue
        assert found is None


# --- the weak attack ------------------------------------------------------------------------


def test_population_attack_by_hand():
    """Margins 1 and 3 of members against 0, 2 and 2 of others: 1 + 3 of 6 pairs."""
    members = said([[1.0, 0.0], [0.0, 3.0]], [0, 1])
    others = said([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]], [0, 0, 1])
    assert population_attack(members, others) == pytest.approx(4 / 6)


def test_population_attack_of_a_part_against_itself_is_a_coin():
    logits = torch.randn(50, 4, generator=generator(0), dtype=torch.float64)
    part = Predictions(logits.log_softmax(1), torch.arange(50) % 4)
    assert population_attack(part, part) == pytest.approx(0.5)


def test_population_attack_of_a_model_that_learnt_by_heart_sees_everything():
    members, others = said([[9.0, 0.0]] * 5, [0] * 5), said([[9.0, 0.0]] * 4, [1] * 4)
    assert population_attack(members, others) == 1.0


def test_population_attack_misses_what_the_likelihood_ratio_sees():
    """Samples differ more from each other than membership moves any one of them."""
    member = halves(64, 200, 0)
    phi = gaussian(member, 1, shift=2.0)
    weak = auc(phi[member], phi[~member])
    ratios = likelihood_ratios(phi, member)
    assert weak < 0.65
    assert auc(ratios[member], ratios[~member]) > 0.9


# --- likelihood ratios ----------------------------------------------------------------------


def slowly(scores, member):
    """The estimator as its docstring states it, pair by pair.

    Models 0, 1, 4, 5, 8, … are judged by Gaussians fitted to the others and the other way round; a
    sample's variance, unbiased, is mixed with the mean over all samples, which counts as much as
    four more models.
    """
    models, samples = scores.shape
    found = np.zeros((models, samples))
    for k in range(models):
        others = np.arange(models) // 2 % 2 != k // 2 % 2
        for side, sign in ((member, 1), (~member, -1)):
            groups = [scores[others & side[:, j], j] for j in range(samples)]
            own = [group.var(ddof=1) for group in groups]
            for j, group in enumerate(groups):
                freedom = len(group) - 1
                variance = (4 * np.mean(own) + freedom * own[j]) / (4 + freedom)
                found[k, j] += sign * norm.logpdf(scores[k, j], group.mean(), math.sqrt(variance))
    return found


@pytest.mark.parametrize("design", [halves, worlds])
@pytest.mark.parametrize(("models", "samples"), [(12, 1), (16, 4), (24, 3)])
def test_ratios_are_those_of_a_slow_double_loop(design, models, samples):
    member = design(models, samples, 3)
    scores = gaussian(member, 4, shift=1.0, spread_in=2.0)
    found = likelihood_ratios(scores, member)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), slowly(scores.numpy(), member.numpy()), rtol=1e-8)


@given(st.integers(0, 50), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_ratios_do_not_mind_the_unit_of_the_scores(seed, scale, shift):
    member = halves(12, 5, seed)
    scores = gaussian(member, seed, shift=1.0)
    torch.testing.assert_close(likelihood_ratios(scale * scores + shift, member),
                               likelihood_ratios(scores, member), rtol=1e-5, atol=1e-5)


def test_ratios_keep_their_figures_where_scores_are_large():
    """Margins of a sure network lie at 100 and differ by hundredths."""
    member = halves(12, 5, 0)
    scores = gaussian(member, 0, shift=1.0)
    scores -= scores.mean(0)
    torch.testing.assert_close(likelihood_ratios(100 + scores / 100, member),
                               likelihood_ratios(scores, member), rtol=1e-6, atol=1e-6)


@given(st.integers(0, 50))
def test_ratios_turn_their_sign_with_the_sides(seed):
    member = halves(12, 5, seed)
    scores = gaussian(member, seed, shift=1.0)
    torch.testing.assert_close(likelihood_ratios(scores, ~member),
                               -likelihood_ratios(scores, member))


@given(st.integers(0, 50))
def test_ratios_follow_their_models_and_samples(seed):
    member = halves(12, 5, seed)
    scores = gaussian(member, seed, shift=1.0)
    draw = generator(seed)
    # Models 0, 1, 4, 5, 8, 9 judge the others: they change places among themselves.
    rows = torch.tensor([9, 0, 2, 11, 1, 8, 6, 3, 4, 5, 10, 7])
    columns = torch.randperm(5, generator=draw)
    found = likelihood_ratios(scores[rows][:, columns], member[rows][:, columns])
    torch.testing.assert_close(found, likelihood_ratios(scores, member)[rows][:, columns])


@pytest.mark.parametrize("row", [0, 5, 23])
def test_a_models_own_membership_has_no_say_in_its_ratios(row):
    """It is judged by others only: whether it is called a member itself changes nothing."""
    member = halves(24, 4, 1)
    scores = gaussian(member, 2, shift=1.0)
    called = member.clone()
    called[row] = ~called[row]
    torch.testing.assert_close(likelihood_ratios(scores, called)[row],
                               likelihood_ratios(scores, member)[row])


def test_ratios_of_samples_that_nothing_moves_are_finite():
    member = halves(12, 3, 1)
    found = likelihood_ratios(torch.full((12, 3), 7.0), member)
    assert found.tolist() == torch.zeros(12, 3).tolist()


def test_ratios_see_what_separates_perfectly():
    member = halves(12, 6, 1)
    scores = member.double() + gaussian(member, 2, shift=0.0, spread=1e-3)
    found = likelihood_ratios(scores, member)
    assert (found[member] > 100).all()
    assert (found[~member] < -100).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    member = halves(12, 3, 1)
    scores = gaussian(member, 2, shift=0.0)
    scores[4, 1] = bad
    with pytest.raises(ForgetError):
        likelihood_ratios(scores, member)


@pytest.mark.parametrize("side", [True, False])
def test_a_sample_with_too_few_models_on_a_side_is_refused(side):
    member = halves(12, 3, 1)
    member[:, 2] = side
    member[0, 2] = not side
    with pytest.raises(ForgetError):
        likelihood_ratios(gaussian(member, 2, shift=0.0), member)


# --- the curve ------------------------------------------------------------------------------


def drawn(seed: int, models: int = 20, samples: int = 15, ties: bool = False):
    member = halves(models, samples, seed)
    ratios = gaussian(member, seed, shift=1.0, spread=2.0)
    return (ratios.round() if ties else ratios), member


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_curve_is_scikit_learns(seed, ties):
    ratios, member = drawn(seed, ties=ties)
    found = roc(ratios, member, generator(0), resamples=20)
    truth, scores = member.flatten().numpy(), ratios.flatten().numpy()
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    points = np.stack([found.false_positive.numpy(), found.true_positive.numpy()], 1)
    corners = {(round(x, 9), round(y, 9)) for x, y in zip(false, true, strict=True)}
    assert {(round(x, 9), round(y, 9)) for x, y in points.tolist()} == corners
    assert (np.diff(points, axis=0) >= 0).all()
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    area = np.trapezoid(points[:, 1], points[:, 0])
    assert found.auc.value == pytest.approx(roc_auc_score(truth, scores))
    assert found.auc.value == pytest.approx(area)
    assert found.auc.value == pytest.approx(auc(ratios[member], ratios[~member]))
    assert found.tpr_at_1.value == pytest.approx(true[false <= 0.01].max())
    assert (found.members, found.others) == (member.sum(), (~member).sum())


def test_balanced_accuracy_is_scikit_learns_at_equal_likelihood():
    ratios, member = drawn(4)
    found = roc(ratios, member, generator(0), resamples=20).balanced_accuracy
    expected = balanced_accuracy_score(member.flatten(), ratios.flatten() > 0)
    assert found.value == pytest.approx(expected)


def test_curve_by_hand():
    """Two models, two samples: members 4 and 1, others 3 and 0."""
    ratios = torch.tensor([[4.0, 3.0], [0.0, 1.0]])
    member = torch.tensor([[True, False], [False, True]])
    found = roc(ratios, member, generator(0))
    assert found.false_positive.tolist() == [0, 0, 0.5, 0.5, 1]
    assert found.true_positive.tolist() == [0, 0.5, 0.5, 1, 1]
    assert found.auc.value == pytest.approx(0.75)
    assert found.tpr_at_1.value == 0.5


def test_perfect_separation():
    member = halves(20, 10, 0)
    found = roc(torch.where(member, 1.0, -1.0), member, generator(0))
    for figure in (found.auc, found.balanced_accuracy, found.tpr_at_1):
        assert (figure.value, figure.low, figure.high) == pytest.approx((1.0, 1.0, 1.0))


def test_no_separation():
    """Ratios all equal: a coin, and no true positive without all false ones."""
    member = halves(20, 10, 0)
    found = roc(torch.zeros(20, 10), member, generator(0))
    assert found.auc.value == pytest.approx(0.5)
    assert found.balanced_accuracy.value == pytest.approx(0.5)
    assert found.tpr_at_1.value == 0.0


def test_one_sample():
    member = halves(40, 1, 0)
    found = attacked(member, 1, shift=3.0)
    assert found.auc.value > 0.9
    assert (found.members, found.others) == (20, 20)


@pytest.mark.parametrize("side", [True, False])
def test_one_side_only_is_refused(side):
    with pytest.raises(ForgetError):
        roc(torch.zeros(6, 3), torch.full((6, 3), side), generator(0))


def test_no_samples_are_refused():
    with pytest.raises(ForgetError):
        roc(torch.zeros(6, 0), torch.zeros(6, 0, dtype=torch.bool), generator(0))


def test_ratios_that_are_not_numbers_are_refused():
    ratios, member = drawn(0)
    ratios[3, 3] = math.nan
    with pytest.raises(ForgetError):
        roc(ratios, member, generator(0))


def test_the_same_generator_gives_the_same_intervals():
    ratios, member = drawn(0)
    one, other = (roc(ratios, member, generator(7)) for _ in range(2))
    assert (one.auc, one.tpr_at_1, one.balanced_accuracy) == (
        other.auc, other.tpr_at_1, other.balanced_accuracy)


@pytest.mark.parametrize("design", [halves, worlds])
def test_intervals_hold_their_figure_and_stay_between_0_and_1(design):
    found = attacked(design(24, 40, 0), 1, shift=1.5)
    for figure in (found.auc, found.balanced_accuracy, found.tpr_at_1):
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
        assert figure.high > figure.low


def test_true_positives_at_a_thousandth_need_ten_thousand_others():
    """5,000 and 9,999 others are too few, 10,000 enough."""
    member = halves(50, 400, 0)
    ratios = gaussian(member, 0, shift=3.0)
    enough = roc(ratios, member, generator(0), resamples=5)
    assert enough.others == 10_000
    expected = enough.true_positive[enough.false_positive <= 0.001].max().item()
    assert enough.tpr_at_01.value == pytest.approx(expected)
    assert enough.tpr_at_01.value <= enough.tpr_at_1.value
    assert roc(ratios[:, :200], member[:, :200], generator(0), resamples=5).tpr_at_01 is None
    one_less = member.clone()
    one_less[(~member[:, 0]).nonzero()[0], 0] = True
    short = roc(ratios, one_less, generator(0), resamples=5)
    assert short.others == 9_999
    assert short.tpr_at_01 is None


# --- where the attack's success is known in closed form ---------------------------------------
#
# With phi ~ N(mu_i + d, s) in members and N(mu_i, s) in others the likelihood ratio rises with phi,
# so the best attack's AUC is Phi(d / (s sqrt 2)), its true-positive rate at a share a of false
# positives Phi(d / s - z_{1 - a}), and its balanced accuracy Phi(d / 2s). An attack that has to
# estimate its Gaussians stays a little below: how far follows from the laws of a mean and of a
# variance.


def estimated(shift: float, spread: float, n: int) -> tuple[float, float]:
    """AUC and balanced accuracy of an attack whose Gaussians come from n models each."""
    rng = np.random.default_rng(0)
    freedom, size = n - 1, 200_000

    def ratio(phi):
        total = np.zeros(size)
        for sign, mean in ((1, shift), (-1, 0.0)):
            mean = rng.normal(mean, spread / math.sqrt(n), size)
            own = spread**2 * rng.chisquare(freedom, size) / freedom
            variance = (4 * spread**2 + freedom * own) / (4 + freedom)
            total += sign * norm.logpdf(phi, mean, np.sqrt(variance))
        return total

    inside, outside = (ratio(rng.normal(mean, spread, size)) for mean in (shift, 0.0))
    area = roc_auc_score(np.repeat([1, 0], size), np.r_[inside, outside])
    return area, ((inside > 0).mean() + (outside <= 0).mean()) / 2


@pytest.mark.drawn(2)
@pytest.mark.parametrize(("design", "shift", "spread"), [
    (halves, 0.5, 1.0), (halves, 1.0, 1.0), (worlds, 1.0, 1.0), (halves, 6.0, 2.0),
    (worlds, 1.0, 0.5)])
def test_the_attack_succeeds_as_often_as_the_closed_form_says(design, shift, spread):
    found = attacked(design(256, 200, 0), 1, shift, resamples=100, spread=spread)
    lead = shift / spread
    area, accuracy = norm.cdf(lead / math.sqrt(2)), norm.cdf(lead / 2)
    assert abs(found.auc.value - area) < 0.02
    assert abs(found.balanced_accuracy.value - accuracy) < 0.02
    assert abs(found.tpr_at_1.value - norm.cdf(lead - norm.ppf(0.99))) < 0.04
    assert found.auc.low < area
    assert found.balanced_accuracy.low < accuracy
    area, accuracy = estimated(shift, spread, 256 // 4)
    assert holds(found.auc, area)
    assert holds(found.balanced_accuracy, accuracy)


@pytest.mark.parametrize("design", [halves, worlds])
def test_nothing_to_find_is_found_to_be_nothing(design):
    """Judged by Gaussians that hold its own score, every model would seem to be known."""
    found = attacked(design(256, 200, 0), 1, shift=0.0, resamples=100)
    assert abs(found.auc.value - 0.5) < 0.01
    assert holds(found.auc, 0.5)
    assert holds(found.balanced_accuracy, 0.5)
    assert found.tpr_at_1.value == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize("design", [halves, worlds])
def test_nothing_to_find_with_few_models_neither(design):
    """The mean over 30 draws, where a Gaussian that held the scores it judges would see a lot."""
    areas = [attacked(design(16, 50, seed), seed, shift=0.0, resamples=2).auc.value
             for seed in range(30)]
    assert abs(np.mean(areas) - 0.5) < 0.025


@pytest.mark.parametrize("design", [halves, worlds])
def test_the_interval_holds_a_coin_as_often_as_it_says(design):
    """95 % of 40 draws where there is nothing to find; 33 leave room for chance.

    Models are judged by Gaussians fitted to each other, so that where nothing is to be found the
    area varies sqrt(2) times as much as with Gaussians from elsewhere: an interval that does not
    know it holds 83 %.
    """
    hits = sum(holds(attacked(design(32, 50, seed), seed, 0.0, resamples=60).auc, 0.5)
               for seed in range(40))
    assert hits >= 33


def test_members_that_only_vary_more_are_told_apart_too():
    """No shift, three times the spread: the ratio is a parabola, its AUC from 200,000 draws."""
    member = halves(256, 200, 0)
    found = attacked(member, 1, shift=0.0, resamples=100, spread_in=3.0)
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0, 3, 200_000), rng.normal(0, 1, 200_000)
    expected = roc_auc_score(np.repeat([1, 0], 200_000), np.abs(np.r_[inside, outside]))
    assert abs(found.auc.value - expected) < 0.02
    assert holds(found.auc, expected)


def test_what_is_true_of_one_model_counts_once():
    """Models that differ as a whole: many samples of one model are no many draws.

    Every sample of a model moves together, so 40 models are 40 draws however many samples there
    are, and the interval must be about as wide as that of one sample.
    """
    member = worlds(40, 100, 0)
    shared = torch.randn(40, 1, generator=generator(3), dtype=torch.float64)
    ratios = shared + 0.01 * gaussian(member, 2, shift=0.0)
    many = roc(ratios, member, generator(0)).auc
    one = roc(shared, member[:, :1], generator(0)).auc
    assert many.high - many.low > 0.7 * (one.high - one.low)


def test_models_that_move_as_a_whole_without_reason_are_no_finding():
    """What moves all samples of a model together is the same chance, taken once, not many times.

    Leaving out only the model that is judged has a mean of 0.44 here.
    """
    member = worlds(32, 50, 0)
    areas, hits = [], 0
    for seed in range(40):
        noise = gaussian(member, seed, shift=0.0, spread=0.3)
        shared = torch.randn(32, 1, generator=generator(1000 + seed), dtype=torch.float64)
        ratios = likelihood_ratios(noise + shared, member)
        found = roc(ratios, member, generator(seed), 60).auc
        areas.append(found.value)
        hits += holds(found, 0.5)
    assert abs(np.mean(areas) - 0.5) < 0.05
    assert hits >= 33


def test_few_samples_give_no_absurd_interval():
    """With three to seven samples some model had them all by chance: it is no kind of its own."""
    for samples in range(3, 8):
        for seed in range(6):
            area = attacked(halves(32, samples, seed), seed, shift=1.0, resamples=30).auc
            assert area.high - area.low < 0.5
