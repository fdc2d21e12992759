"""Calibration, keys and noise: against arithmetic of 60 digits, and against an attack."""

import hashlib
import hmac
import itertools
import math
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lattice import lower_bound_on_epsilon
from scipy.stats import kstest, norm

from forget.certified.noise import on_grid
from forget.certified.privacy import (
    budget,
    composed_epsilon,
    gaussian_delta,
    gaussian_multiplier,
    grid_multiplier,
    residual_allowed,
)
from forget.core.device import generator
from forget.core.errors import DamagedFile
from forget.core.steps import drive
from forget.data import Samples
from forget.io import private
from forget.io.private import (
    MACHINE_KEY,
    commitment,
    gaussian,
    keyed_hash,
    machine_key,
    noise_key,
    random_key,
)
from forget.learners.convex import Convex
from forget.methods.certified import Certified

DELTAS = [1e-12, 1e-8, 1e-5, 1e-4, 1e-2, 0.1]
EPSILONS = [0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 50.0]
KEY = torch.arange(32, dtype=torch.uint8)


def exact_delta(epsilon: float, multiplier: float) -> mpmath.mpf:
    """The hockey-stick divergence of N(0, c^2) and N(1, c^2), in 60 digits."""
    with mpmath.workdps(60):
        eps, c = mpmath.mpf(epsilon), mpmath.mpf(multiplier)
        shift, tilt = 1 / (2 * c), eps * c
        return (mpmath.ncdf(shift - tilt) - mpmath.exp(eps) * mpmath.ncdf(-shift - tilt))


def integrated_delta(epsilon: float, multiplier: float) -> float:
    """The same by adding up max(0, p - e^eps q) over the line, with no formula in between."""
    c = multiplier
    x = np.linspace(-12 * c - 1, 12 * c + 2, 2_000_001)
    over = np.maximum(norm.pdf(x, 1, c) - np.exp(epsilon) * norm.pdf(x, 0, c), 0)
    return float(np.trapezoid(over, x))


# Calibration.


@pytest.mark.drawn(6)
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("multiplier", [0.3, 1.0, 4.0])
def test_delta_by_integration_of_the_two_densities(epsilon, multiplier):
    expected = integrated_delta(epsilon, multiplier)
    assert gaussian_delta(epsilon, multiplier) == pytest.approx(expected, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, *EPSILONS])
@pytest.mark.parametrize("multiplier", [0.02, 0.1, 1.0, 30.0])
def test_delta_in_sixty_digits(epsilon, multiplier):
    expected = float(exact_delta(epsilon, multiplier))
    assert gaussian_delta(epsilon, multiplier) == pytest.approx(expected, rel=1e-8, abs=1e-15)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("epsilon", [1e-3, *EPSILONS, 100.0])
def test_the_multiplier_in_sixty_digits(epsilon, delta):
    """Never below the exact one, and above it by no more than rounding."""
    c = gaussian_multiplier(epsilon, delta)
    assert exact_delta(epsilon, c) <= delta
    assert exact_delta(epsilon, c * (1 - 1e-7)) > delta


@given(epsilon=st.floats(1e-3, 100.0), log_delta=st.floats(-12, -1))
def test_the_multiplier_is_enough_and_barely(epsilon, log_delta):
    c = gaussian_multiplier(epsilon, 10**log_delta)
    assert exact_delta(epsilon, c) <= 10**log_delta
    assert exact_delta(epsilon, c * (1 - 1e-6)) > 10**log_delta


@pytest.mark.parametrize("delta", DELTAS)
def test_a_larger_epsilon_needs_less_noise(delta):
    needed = [gaussian_multiplier(epsilon, delta) for epsilon in EPSILONS]
    assert all(a > b for a, b in itertools.pairwise(needed))


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_larger_delta_needs_less_noise(epsilon):
    needed = [gaussian_multiplier(epsilon, delta) for delta in DELTAS]
    assert all(a > b for a, b in itertools.pairwise(needed))


@given(st.floats(1e-3, 50.0), st.floats(1e-3, 1e3), st.floats(1.001, 3.0))
def test_more_noise_gives_a_smaller_delta(epsilon, multiplier, factor):
    more, less = (gaussian_delta(epsilon, m) for m in (multiplier * factor, multiplier))
    assert 0 <= more <= less + 1e-15
    assert less <= 1


@pytest.mark.parametrize("delta", [1e-8, 1e-5, 1e-2])
@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0])
def test_the_classical_formula_is_more_careful_below_one(epsilon, delta):
    assert gaussian_multiplier(epsilon, delta) < math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def test_the_classical_formula_is_wrong_for_large_epsilon():
    assert gaussian_multiplier(50, 1e-5) > math.sqrt(2 * math.log(1.25 / 1e-5)) / 50


@given(sigma=st.floats(1e-6, 10), strength=st.floats(1e-3, 1e4), epsilon=st.floats(0.01, 50),
       log_delta=st.floats(-10, -1), weights=st.integers(1, 50))
@settings(max_examples=40)
def test_two_outputs_at_the_residual_allowed_are_just_hidden(
    sigma, strength, epsilon, log_delta, weights
):
    """Each within tau / strength of the optimum, and each moved by the rounding of its weights."""
    tau = residual_allowed(sigma, strength, epsilon, 10**log_delta, weights)
    apart = 2 * tau / strength + 1.25 * math.sqrt(weights) * sigma / 2**16
    assert exact_delta(epsilon, sigma / apart * (1 + 1e-12)) <= 10**log_delta
    assert exact_delta(epsilon, sigma / apart * (1 - 1e-3)) > 10**log_delta
    assert sigma / apart == pytest.approx(grid_multiplier(epsilon, 10**log_delta, weights),
                                          rel=1e-9)


def test_the_residual_allowed_written_out():
    assert residual_allowed(1e-3, 6.0, 1.0, 1e-5, 1) == pytest.approx(
        1e-3 * 6.0 / 2 * (1 / 3.730631634 - 1.25 / 2**16), rel=1e-8)


def test_weights_without_end_leave_no_room_under_the_noise():
    assert residual_allowed(1e-3, 6.0, 1.0, 1e-5, 10**10) < 0


@pytest.mark.parametrize("count", [1, 40, 400])
def test_many_publications_at_a_large_epsilon_compose_on_the_grid_too(count):
    many = [gaussian_multiplier(100, 1e-5)] * count
    analytic = composed_epsilon(many, 1e-5)
    assert analytic <= composed_epsilon(many, 1e-5, 10_240 * count) < analytic * 1.1


@pytest.mark.parametrize("weights", [1, 10_240, 5_000_000])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-5), (1.0, 1e-5), (10.0, 1e-10)])
def test_the_grid_asks_for_little_more_noise_and_never_for_less(epsilon, delta, weights):
    more = grid_multiplier(epsilon, delta, weights) / gaussian_multiplier(epsilon, delta)
    assert 1 - 1e-9 <= more < 1 + weights * 1e-6 / epsilon


def test_the_budget_written_out():
    c = math.sqrt(2 * math.log(1.5 / 1e-4))
    assert c == pytest.approx(4.385, abs=5e-4)
    assert 1.5 * math.exp(-(c**2) / 2) == pytest.approx(1e-4)
    assert budget(10, 1, 1e-4) == pytest.approx(10 / c, rel=1e-12)
    assert budget(3, 0.5, 1e-4) == pytest.approx(3 * 0.5 / c, rel=1e-12)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("epsilon", [*EPSILONS, 100.0])
def test_the_budget_keeps_what_it_promises_at_every_epsilon_that_can_be_set(epsilon, delta):
    """Vectors b that differ by the whole budget are Gaussians that far apart: the exact delta of
    that is what the removed sample's owner gets. sigma epsilon / c is too much from epsilon 9 on,
    where the analytic multiplier must take over."""
    assert exact_delta(epsilon, 1 / budget(1.0, epsilon, delta)) <= delta * (1 + 1e-9)


# Keys.


def test_the_same_generator_state_gives_the_same_key(home):
    one, other = noise_key(generator(3)), noise_key(generator(3))
    assert torch.equal(one, other)
    assert one.shape == (32,)
    assert one.dtype == torch.uint8


def test_another_generator_state_gives_another_key(home):
    draw = generator(3)
    keys = [noise_key(draw), noise_key(draw), noise_key(generator(4))]
    assert len({bytes(key.tolist()) for key in keys}) == 3


def test_another_machine_gives_another_key(tmp_path, monkeypatch):
    keys = []
    for name in ("one", "other"):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / name))
        keys.append(noise_key(generator(3)))
    assert not torch.equal(*keys)


def test_the_key_is_not_what_the_seed_alone_gives(home):
    """Whoever knows the seed, which stands in every record, can draw from the generator too."""
    drawn = torch.randint(-(2**63), 2**63 - 1, (2,), generator=generator(3)).numpy().tobytes()
    key = bytes(noise_key(generator(3)).tolist())
    guesses = [hashlib.sha256(drawn).digest(), hmac.digest(b"", drawn, "sha256"),
               hmac.digest(bytes(32), drawn, "sha256")]
    assert key not in guesses


def test_the_machine_key_is_made_once(home):
    first = machine_key()
    assert len(first) == 32
    assert machine_key() == first == (home / MACHINE_KEY).read_bytes()


def test_only_its_owner_can_read_the_machine_key(home):
    before = os.umask(0)
    try:
        machine_key()
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / MACHINE_KEY).stat().st_mode) == 0o600


def test_two_homes_have_two_machine_keys(tmp_path, monkeypatch):
    found = set()
    for name in ("one", "other"):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / name))
        found.add(machine_key())
    assert len(found) == 2


def test_threads_that_start_together_get_one_machine_key(home):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: machine_key(), range(16)))) == 1


@pytest.mark.parametrize("content", [b"", b"short", bytes(31), bytes(33), bytes(4096)])
def test_a_damaged_machine_key_is_said_and_not_replaced(home, content):
    home.mkdir()
    path = home / MACHINE_KEY
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="damaged: put it back from a copy") as error:
        noise_key(generator(0))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_random_keys_do_not_come_from_a_seed():
    torch.manual_seed(0)
    one = random_key()
    torch.manual_seed(0)
    assert not torch.equal(one, random_key())
    assert one.shape == (32,)
    assert one.dtype == torch.uint8


def test_a_keyed_hash_depends_on_every_part():
    data = b"17, 42"
    hashes = {keyed_hash(KEY, data), keyed_hash(KEY + 1, data), keyed_hash(KEY, b"17, 43")}
    assert len(hashes) == 3
    assert keyed_hash(KEY, data) == hmac.digest(bytes(range(32)), data, "sha256").hex()


def test_a_commitment_depends_on_key_and_salt():
    found = {commitment(KEY, KEY), commitment(KEY + 1, KEY), commitment(KEY, KEY + 1)}
    assert len(found) == 3
    assert commitment(KEY, KEY + 1) == commitment(KEY.clone(), KEY + 1)


@given(st.integers(0, 31), st.integers(0, 7))
def test_one_bit_of_key_or_salt_changes_the_commitment(place, bit):
    other = KEY.clone()
    other[place] ^= 1 << bit
    assert commitment(other, KEY) != commitment(KEY, KEY)
    assert commitment(KEY, other) != commitment(KEY, KEY)


# Noise.


def test_noise_is_standard_normal():
    drawn = gaussian(KEY, (200_000,)).numpy()
    assert kstest(drawn, "norm").pvalue > 0.01


@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_the_moments_of_noise(power):
    drawn = gaussian(KEY, (400_000,)).numpy()
    expected, spread = [(0, 1), (1, 2), (0, 15), (3, 96)][power - 1]
    assert abs((drawn**power).mean() - expected) < 4 * math.sqrt(spread / len(drawn))


def test_the_tails_of_noise_are_there():
    drawn = gaussian(KEY, (1_000_000,)).abs().numpy()
    for size in (3.0, 4.0):
        expected = 2 * norm.sf(size) * len(drawn)
        assert abs((drawn > size).sum() - expected) < 4 * math.sqrt(expected)


def test_first_numbers_under_many_keys_are_standard_normal():
    """One number a key: what a publication looks like from outside."""
    keys = torch.randint(0, 256, (3000, 32), generator=generator(0), dtype=torch.uint8)
    drawn = np.array([gaussian(key, (1,)).item() for key in keys])
    assert kstest(drawn, "norm").pvalue > 0.01


def test_neighbouring_numbers_are_uncorrelated():
    drawn = gaussian(KEY, (200_000,)).numpy()
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 4 / math.sqrt(len(drawn))


def test_keys_that_differ_in_a_bit_give_uncorrelated_noise():
    other = KEY.clone()
    other[31] ^= 1
    one, two = gaussian(KEY, (100_000,)).numpy(), gaussian(other, (100_000,)).numpy()
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / math.sqrt(len(one))


@pytest.mark.parametrize("place", range(32))
def test_every_byte_of_the_key_counts(place):
    other = KEY.clone()
    other[place] ^= 128
    assert not torch.equal(gaussian(KEY, (8,)), gaussian(other, (8,)))


def test_noise_is_double_precision_of_the_shape_asked_for():
    drawn = gaussian(KEY, (3, 5))
    assert drawn.shape == (3, 5)
    assert drawn.dtype == torch.float64
    assert not torch.equal(drawn, drawn.float().double())


def test_noise_comes_from_the_key_and_nothing_else():
    torch.manual_seed(1)
    np.random.seed(1)
    one = gaussian(KEY, (50,))
    torch.manual_seed(2)
    np.random.seed(2)
    torch.rand(10)
    np.random.rand(10)
    assert torch.equal(one, gaussian(KEY, (50,)))


def test_drawing_noise_leaves_torch_and_numpy_as_they_were():
    torch.manual_seed(1)
    np.random.seed(1)
    gaussian(KEY, (50,))
    one = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(one[0], torch.rand(3))
    assert np.array_equal(one[1], np.random.rand(3))


def two_dots(n=40):
    x = torch.randn(n, 3, generator=generator(0))
    return Samples(x, (x[:, 0] > 0).long(), torch.arange(n))


def trained(learner, seed=0, data=None):
    data = data or two_dots()
    model = learner.build((3,), 2, generator(seed))
    drive(learner.train(model, data, generator(seed)))
    return model


@pytest.mark.parametrize("sigma", [1e-3, 0.5])
def test_a_learners_noise_has_its_scale(home, sigma):
    learner = Convex(sigma=sigma)
    model = trained(learner)
    drawn = torch.cat([learner.noise(key, model).flatten() for key in
                       torch.randint(0, 256, (2000, 32), generator=generator(1),
                                     dtype=torch.uint8)])
    assert kstest(drawn.numpy(), "norm", (0, sigma)).pvalue > 0.01


@pytest.mark.parametrize("mode", ["residual", "guo"])
def test_a_model_depends_on_the_machines_key(tmp_path, monkeypatch, mode):
    weights = []
    for name in ("one", "other", "one"):
        monkeypatch.setenv("FORGET_HOME", str(tmp_path / name))
        weights.append(trained(Convex(mode=mode)).weight.detach().clone())
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_the_same_seed_on_data_that_differ_in_a_sample_gives_other_noise(home):
    """With the same noise on both, the difference of two published models has none."""
    data = two_dots()
    keys = [trained(Convex(), data=part).secret["noise_key"]
            for part in (data, data.take(torch.arange(1, 40)))]
    assert not torch.equal(*keys)


@pytest.mark.parametrize("mode", ["residual", "guo"])
@pytest.mark.parametrize("part", ["x", "y"])
def test_the_same_seed_on_data_in_which_a_sample_was_changed_gives_other_noise(home, mode, part):
    """As many samples, with the same ids: a file in which one row was edited in place."""
    data = two_dots()
    x, y = data.x.clone(), data.y.clone()
    if part == "x":
        x[7] = -x[7]
    else:
        y[7] = 1 - y[7]
    keys = [trained(Convex(mode=mode), data=one).secret["noise_key"]
            for one in (data, Samples(x, y, data.ids))]
    assert not torch.equal(*keys)


def test_the_same_seed_at_another_scale_gives_other_noise(home):
    """w + s z and w + t z for the same z are two equations for the two unknowns."""
    keys = [trained(Convex(sigma=sigma)).secret["noise_key"] for sigma in (1e-3, 1e-2)]
    assert not torch.equal(*keys)


# An attack.

DRAWS = 4000
DIMENSION = (6, 3)


def attacked(epsilon, delta, share, seed):
    """The epsilon that a likelihood-ratio attack shows on the library's own publications.

    Un-noised weights of the two sides lie as far apart as the noise hides, along one direction;
    the noise is ``share`` of what the learner would use.
    """
    sigma = 1e-3
    apart = sigma / gaussian_multiplier(epsilon, delta)
    direction = torch.randn(DIMENSION, generator=generator(seed), dtype=torch.float64)
    direction /= direction.norm()
    keys = torch.randint(0, 256, (2, 32), generator=generator(seed + 1), dtype=torch.uint8)
    centre = torch.randn(DIMENSION, generator=generator(seed + 2), dtype=torch.float64)
    statistics = []
    for side, place in enumerate((centre + apart * direction, centre)):
        published = on_grid(place.expand(DRAWS, *DIMENSION), sigma * share, keys[side])
        # The likelihood ratio of two Gaussians is a function of the projection alone.
        statistics.append(((published - centre) * direction).sum((1, 2)).numpy())
    return lower_bound_on_epsilon(*statistics, delta)


@pytest.mark.drawn(2)
@pytest.mark.parametrize(("epsilon", "delta"), [(0.3, 1e-5), (1.0, 1e-5), (3.0, 1e-5), (1.0, 1e-2)])
def test_an_attack_on_the_claimed_noise_shows_no_more_than_is_claimed(epsilon, delta):
    assert attacked(epsilon, delta, 1.0, seed=0) <= epsilon


@pytest.mark.drawn(2)
@pytest.mark.parametrize(("epsilon", "delta"), [(0.3, 1e-5), (1.0, 1e-5), (3.0, 1e-5), (1.0, 1e-2)])
def test_the_attack_convicts_a_tenth_of_the_noise(epsilon, delta):
    assert attacked(epsilon, delta, 0.1, seed=0) > epsilon


def test_the_attack_finds_nothing_where_there_is_nothing():
    draw = np.random.default_rng(0)
    shown = [lower_bound_on_epsilon(draw.normal(size=DRAWS), draw.normal(size=DRAWS), 1e-5)
             for _ in range(20)]
    assert sum(value > 0 for value in shown) <= 4


def test_the_attack_finds_most_of_what_is_there():
    """Randomised response has exactly ln 3: an attack that finds nothing proves nothing."""
    draw = np.random.default_rng(0)
    one, other = (draw.random(DRAWS) < p for p in (0.75, 0.25))
    shown = lower_bound_on_epsilon(one.astype(float), other.astype(float), 0.0)
    assert 0.9 <= shown <= math.log(3)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), epsilon=st.sampled_from([0.5, 1.0, 5.0]))
def test_two_solutions_within_the_residual_are_no_further_apart_than_the_noise_hides(
    home, seed, epsilon
):
    """From the learner's own objective: stop anywhere the residual allows, as far as can be."""
    learner = Convex(lam=1e-3)
    data = two_dots()
    model = trained(learner, data=data)
    objective = learner.objective(model, data)
    w = model.secret["weights"]
    tau = residual_allowed(learner.sigma, objective.strength, epsilon, 1e-5, w.numel())
    away = torch.randn(w.shape, generator=generator(seed), dtype=torch.float64)
    size, step = 0.0, tau
    for _ in range(60):  # as far along this direction as the residual allows
        there = objective.evaluate(w + (size + step) * away).residual <= tau
        size, step = (size + step, step * 2) if there else (size, step / 2)
    distance = (size * away).norm().item()
    assert distance > 0
    limit = learner.sigma / gaussian_multiplier(epsilon, 1e-5)
    assert 2 * distance <= limit * (1 + 1e-6)


def test_the_knobs_bounds_can_all_be_calibrated():
    for spec in Certified.knobs():
        if spec.name in ("epsilon", "delta"):
            for value in (spec.low, spec.high):
                method = Certified(**{spec.name: value})
                assert 0 < gaussian_multiplier(method.epsilon, method.delta) < 1e8


def test_key_bytes_are_what_philox_takes():
    assert private.KEY_BYTES * 8 >= 128
