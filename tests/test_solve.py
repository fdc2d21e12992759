"""The convex solvers, against finite differences, autograd, scikit-learn and scipy."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from forget.certified import newton
from forget.certified.losses import LOSSES, loss_called
from forget.certified.newton import Inverse, factor, solve
from forget.certified.objective import (
    Objective,
    as_blocks,
    curvature_root,
    data_curvature,
    from_blocks,
)
from forget.certified.single_step import BOUNDS, LIPSCHITZ, Curvature, single_step, worst_case
from forget.core.device import generator
from forget.core.errors import BadInput, Diverged

EVERY_LOSS = pytest.mark.parametrize("name", list(LOSSES))
WITH_AND_WITHOUT = pytest.mark.parametrize("linear", [False, True], ids=["plain", "linear"])
SHAPES = {"n": st.integers(4, 60), "d": st.integers(1, 7), "classes": st.integers(2, 5),
          "seed": st.integers(0, 10**6)}


def problem(name, n=60, d=5, classes=3, seed=0, linear=False, lam=1e-2, norm=None, radius=1.0):
    """A random objective, and a point to look at it from; ``norm``: of every row."""
    draw = generator(seed)
    loss = loss_called(name)
    columns = loss.columns(classes)
    x = torch.randn(n, d, generator=draw, dtype=torch.float64)
    if norm is not None:
        x = x / x.norm(dim=1, keepdim=True) * norm
    y = torch.randint(0, classes, (n,), generator=draw)
    b = torch.randn(d, columns, generator=draw, dtype=torch.float64) if linear else None
    w = torch.randn(d, columns, generator=draw, dtype=torch.float64)
    return Objective(x, y, loss, lam, columns, radius, b), w


def written_out(objective: Objective, w: torch.Tensor) -> torch.Tensor:
    """The objective as the papers write it, sample by sample and without the library's losses."""
    total = w.new_zeros(())
    for x, y in zip(objective.rows, objective.y.tolist(), strict=True):
        z = objective.radius * x @ w
        if objective.loss.name == "softmax":
            total = total + z.logsumexp(0) - z[y]
        elif objective.columns == 1:
            total = total + F.softplus(-z[0] if y == 1 else z[0])
        else:
            signs = -torch.ones_like(z)
            signs[y] = 1
            total = total + F.softplus(-signs * z).sum()
    total = total + objective.lam * len(objective.y) / 2 * (w * w).sum()
    if objective.linear is not None:
        total = total + (objective.linear * w).sum()
    return total


def solved(objective, tolerance=1e-8, start=None, seed=0):
    """The solution and all of the solver's steps."""
    work = solve(objective, objective.zeros() if start is None else start, tolerance,
                 generator(seed))
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as done:
            return done.value, steps


def curvature_of(objective, w):
    """The formed curvature of the losses at ``w``, and the probabilities there."""
    p = objective.evaluate(w).p
    return data_curvature(objective.loss, objective.rows, objective.radius, p), p


def dense_hessian(objective, w):
    """(K d, K d), the columns one after the other, from autograd."""
    d, k = w.shape

    def value(flat):
        return written_out(objective, flat.reshape(k, d).T)

    return torch.autograd.functional.hessian(value, w.T.reshape(-1).clone())


# Losses and objective.


@EVERY_LOSS
@WITH_AND_WITHOUT
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_value_is_the_papers_sum(name, linear, classes):
    objective, w = problem(name, classes=classes, linear=linear, radius=1.5)
    expected = written_out(objective, w).item()
    assert objective.evaluate(w).value == pytest.approx(expected, rel=1e-12)


@EVERY_LOSS
@WITH_AND_WITHOUT
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_gradient_is_autograds(name, linear, classes):
    objective, w = problem(name, classes=classes, linear=linear, radius=1.5)
    w.requires_grad_(True)
    (expected,) = torch.autograd.grad(written_out(objective, w), w)
    torch.testing.assert_close(objective.evaluate(w.detach()).gradient, expected,
                               rtol=1e-11, atol=1e-11)


@settings(max_examples=40)
@given(name=st.sampled_from(list(LOSSES)), linear=st.booleans(), **SHAPES)
def test_the_gradient_against_finite_differences(name, linear, n, d, classes, seed):
    objective, w = problem(name, n, d, classes, seed, linear)
    direction = torch.randn(w.shape, generator=generator(seed + 1), dtype=torch.float64)
    h = 1e-5
    above = objective.evaluate(w + h * direction).value
    below = objective.evaluate(w - h * direction).value
    slope = (objective.evaluate(w).gradient * direction).sum().item()
    assert (above - below) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-5)


@settings(max_examples=40)
@given(name=st.sampled_from(list(LOSSES)), linear=st.booleans(), **SHAPES)
def test_the_hessian_product_against_finite_differences(name, linear, n, d, classes, seed):
    objective, w = problem(name, n, d, classes, seed, linear)
    direction = torch.randn(w.shape, generator=generator(seed + 1), dtype=torch.float64)
    h = 1e-5
    above = objective.evaluate(w + h * direction).gradient
    below = objective.evaluate(w - h * direction).gradient
    product = objective.product(objective.evaluate(w).p, direction)
    torch.testing.assert_close((above - below) / (2 * h), product, rtol=1e-5, atol=1e-5)


@EVERY_LOSS
@WITH_AND_WITHOUT
@pytest.mark.parametrize("classes", [2, 4])
def test_the_hessian_product_is_autograds(name, linear, classes):
    objective, w = problem(name, n=30, d=4, classes=classes, linear=linear, radius=1.5)
    v = torch.randn(w.shape, generator=generator(5), dtype=torch.float64)
    expected = (dense_hessian(objective, w) @ v.T.reshape(-1)).reshape(v.T.shape).T
    torch.testing.assert_close(objective.product(objective.evaluate(w).p, v), expected,
                               rtol=1e-10, atol=1e-10)


@EVERY_LOSS
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_formed_curvature_is_autograds_hessian(name, classes):
    objective, w = problem(name, n=30, d=4, classes=classes, radius=1.5)
    formed, _ = curvature_of(objective, w)
    whole = torch.block_diag(*formed)
    whole.diagonal().add_(objective.strength)
    torch.testing.assert_close(whole, dense_hessian(objective, w), rtol=1e-10, atol=1e-10)


@EVERY_LOSS
def test_one_vs_rest_has_a_block_a_column_and_softmax_one_for_all(name):
    objective, w = problem(name, d=4, classes=3)
    formed, _ = curvature_of(objective, w)
    assert formed.shape == ((1, 12, 12) if name == "softmax" else (3, 4, 4))


@settings(max_examples=30)
@given(name=st.sampled_from(list(LOSSES)), **SHAPES)
def test_the_formed_curvature_times_a_direction_is_the_product(name, n, d, classes, seed):
    objective, w = problem(name, n, d, classes, seed)
    formed, p = curvature_of(objective, w)
    v = torch.randn(w.shape, generator=generator(seed + 1), dtype=torch.float64)
    product = from_blocks(formed @ as_blocks(v, formed), v.shape) + objective.strength * v
    torch.testing.assert_close(product, objective.product(p, v), rtol=1e-10, atol=1e-10)


@settings(max_examples=30)
@given(name=st.sampled_from(list(LOSSES)), **SHAPES)
def test_the_root_of_a_curvature_times_itself_is_the_curvature(name, n, d, classes, seed):
    objective, w = problem(name, n, d, classes, seed, radius=1.5)
    formed, p = curvature_of(objective, w)
    root = curvature_root(objective.loss, objective.rows, objective.radius, p)
    torch.testing.assert_close(root @ root.mT, formed, rtol=1e-10, atol=1e-10)


@EVERY_LOSS
@pytest.mark.parametrize("m", [1, 4, 20])
def test_an_inverse_without_some_rows_is_the_inverse_of_the_rest(name, m):
    objective, w = problem(name, n=60, d=4, classes=3)
    formed, p = curvature_of(objective, w)
    root = curvature_root(objective.loss, objective.rows[:m], objective.radius, p[:m])
    rest = data_curvature(objective.loss, objective.rows[m:], objective.radius, p[m:])
    v = torch.randn(w.shape, generator=generator(1), dtype=torch.float64)
    near = Inverse.without(factor(formed, objective.strength).inverse(), root)
    torch.testing.assert_close(near.solve(v), factor(rest, objective.strength).solve(v))


@EVERY_LOSS
def test_a_radius_is_the_same_as_longer_rows(name):
    short, w = problem(name, linear=True, radius=7.0)
    long = Objective(short.rows * 7, short.y, short.loss, short.lam, short.columns,
                     linear=short.linear)
    one, other = short.evaluate(w), long.evaluate(w)
    assert one.value == pytest.approx(other.value, rel=1e-12)
    torch.testing.assert_close(one.gradient, other.gradient)
    torch.testing.assert_close(short.product(one.p, w), long.product(other.p, w))
    torch.testing.assert_close(short.scores(w), long.scores(w))
    torch.testing.assert_close(curvature_of(short, w)[0], curvature_of(long, w)[0])


@EVERY_LOSS
def test_rows_in_single_precision_are_worked_on_in_double(name):
    double, w = problem(name, radius=16.0)
    double = Objective(double.rows.float().double(), double.y, double.loss, 1e-2, double.columns,
                       16.0)
    single = Objective(double.rows.float(), double.y, double.loss, 1e-2, double.columns, 16.0)
    one, other = single.evaluate(w), double.evaluate(w)
    assert one.value == other.value
    assert one.gradient.dtype == torch.float64
    assert torch.equal(one.gradient, other.gradient)
    assert torch.equal(single.product(one.p, w), double.product(other.p, w))
    assert single.zeros().dtype == torch.float64


@given(d=st.integers(1, 9), columns=st.integers(1, 6), coupled=st.booleans(),
       seed=st.integers(0, 10**6))
def test_blocks_go_there_and_back(d, columns, coupled, seed):
    v = torch.randn(d, columns, generator=generator(seed))
    shape = (1, columns * d, columns * d) if coupled else (columns, d, d)
    blocks = as_blocks(v, torch.empty(shape))
    assert blocks.shape == (shape[0], shape[1], 1)
    assert torch.equal(from_blocks(blocks, v.shape), v)


@EVERY_LOSS
def test_passes_over_chunks_add_up_to_one_pass(name, monkeypatch):
    objective, w = problem(name, n=50)
    v = torch.ones_like(w)
    whole = objective.evaluate(w)
    product = objective.product(whole.p, v)
    formed, _ = curvature_of(objective, w)
    monkeypatch.setattr("forget.certified.objective.CHUNK", 7)
    monkeypatch.setattr("forget.certified.objective.DENSE_CHUNK", 7)
    parts = objective.evaluate(w)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    torch.testing.assert_close(parts.gradient, whole.gradient)
    torch.testing.assert_close(parts.p, whole.p)
    torch.testing.assert_close(objective.product(parts.p, v), product)
    torch.testing.assert_close(curvature_of(objective, w)[0], formed)


@EVERY_LOSS
@pytest.mark.parametrize("size", [50.0, 800.0, 1e5])
def test_large_scores_give_finite_values_and_gradients(name, size):
    objective, w = problem(name)
    at = objective.evaluate(w * size)
    assert math.isfinite(at.value)
    assert at.gradient.isfinite().all()


@EVERY_LOSS
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_largest_logit_is_for_the_most_probable_class(name, classes):
    objective, w = problem(name, classes=classes)
    scores = objective.scores(w)
    logits, p = objective.loss.logits(scores), objective.loss.probabilities(scores)
    assert logits.shape == (len(scores), classes)
    if p.shape[1] == 1:
        assert torch.equal(logits.argmax(1) == 1, p[:, 0] > 0.5)
    else:
        assert torch.equal(logits.argmax(1), p.argmax(1))


@EVERY_LOSS
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_columns_probability_from_its_score_and_the_others(name, column):
    objective, w = problem(name, classes=3)
    scores = objective.scores(w)
    rest = objective.loss.others(scores, column)
    torch.testing.assert_close(torch.sigmoid(scores[:, column] - rest),
                               objective.loss.probabilities(scores)[:, column])


def test_an_unknown_loss_is_bad_input():
    with pytest.raises(BadInput, match="softmax, ovr"):
        loss_called("hinge")


@given(st.floats(-40, 40), st.floats(-40, 40))
def test_the_lipschitz_constant_holds_for_the_logistic_curvature(a, b):
    def curvature(z):
        return (1 / (1 + math.exp(-z))) * (1 - 1 / (1 + math.exp(-z)))

    assert abs(curvature(a) - curvature(b)) <= LIPSCHITZ * abs(a - b) + 1e-12


def test_the_lipschitz_constant_is_the_least_one():
    z = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    p = torch.sigmoid(z)
    assert (p * (1 - p) * (1 - 2 * p)).abs().max().item() == pytest.approx(LIPSCHITZ, rel=1e-8)


# Newton's method.


@EVERY_LOSS
@WITH_AND_WITHOUT
@pytest.mark.parametrize("lam", [1e-5, 1e-3, 1e-1, 10.0])
def test_newton_reaches_its_tolerance(name, linear, lam):
    objective, _ = problem(name, n=300, d=8, classes=4, lam=lam, linear=linear)
    solution, _ = solved(objective)
    assert solution.residual <= 1e-8
    w = solution.w.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(written_out(objective, w), w)
    assert gradient.norm().item() <= 2e-8


def clouds(n=400, d=7, classes=4, seed=0):
    """Overlapping clouds with a constant column, as numpy arrays."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = rng.normal(size=(classes, d))
    x = centres[y] + rng.normal(size=(n, d))
    return np.hstack([x, np.full((n, 1), 0.7)]), y


def objective_over(x, y, name, lam, classes):
    loss = loss_called(name)
    return Objective(torch.from_numpy(x), torch.from_numpy(y), loss, lam, loss.columns(classes))


def scikit(x, y, lam):
    """scikit-learn's own weights, one row a class; newton-cg reaches 1e-6, lbfgs stops before."""
    fitted = LogisticRegression(C=1 / (lam * len(y)), fit_intercept=False, tol=1e-12,
                                max_iter=20_000, solver="newton-cg").fit(x, y)
    return fitted.coef_


@pytest.mark.parametrize("lam", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("seed", range(3))
def test_softmax_agrees_with_scikit_learn(lam, seed):
    x, y = clouds(seed=seed)
    solution, _ = solved(objective_over(x, y, "softmax", lam, 4))
    np.testing.assert_allclose(solution.w.T.numpy(), scikit(x, y, lam), atol=1e-6)


@pytest.mark.parametrize("lam", [1e-4, 1e-2])
@pytest.mark.parametrize("seed", range(3))
def test_each_column_of_one_vs_rest_agrees_with_scikit_learns_binary_problem(lam, seed):
    x, y = clouds(seed=seed)
    solution, _ = solved(objective_over(x, y, "ovr", lam, 4))
    for column in range(4):
        expected = scikit(x, (y == column).astype(int), lam)[0]
        np.testing.assert_allclose(solution.w[:, column].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("lam", [1e-4, 1e-2])
def test_two_classes_of_one_vs_rest_agree_with_scikit_learns_binary_problem(lam):
    x, y = clouds(classes=2)
    solution, _ = solved(objective_over(x, y, "ovr", lam, 2))
    assert solution.w.shape == (8, 1)
    np.testing.assert_allclose(solution.w.T.numpy(), scikit(x, y, lam), atol=1e-6)


@EVERY_LOSS
@pytest.mark.parametrize("missing", [0, 2, 3])
def test_a_class_without_a_sample_agrees_with_an_lbfgs_over_all_columns(name, missing):
    """scikit-learn would fit one column fewer, so scipy minimises another way of writing it."""
    x, y = clouds()
    x, y = x[y != missing], y[y != missing]
    lam, n = 1e-2, len(y)

    def value_and_gradient(flat):
        w = flat.reshape(8, 4)
        z = x @ w
        hot = np.eye(4)[y]
        if name == "softmax":
            top = z.max(1, keepdims=True)
            sums = np.exp(z - top).sum(1, keepdims=True)
            loss = (np.log(sums) + top).sum() - (z * hot).sum()
            p = np.exp(z - top) / sums
        else:
            loss = np.logaddexp(0, z).sum() - (z * hot).sum()
            p = 1 / (1 + np.exp(-z))
        return (loss + lam * n / 2 * (w**2).sum(),
                (x.T @ (p - hot) + lam * n * w).ravel())

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-9, "maxcor": 40}
    found = minimize(value_and_gradient, np.zeros(32), jac=True, method="L-BFGS-B",
                     options=options)
    solution, _ = solved(objective_over(x, y, name, lam, 4))
    np.testing.assert_allclose(solution.w.numpy(), found.x.reshape(8, 4), atol=1e-6)


@settings(max_examples=25)
@given(name=st.sampled_from(list(LOSSES)), linear=st.booleans(), **SHAPES)
def test_the_solution_does_not_depend_on_the_start(name, linear, n, d, classes, seed):
    objective, w = problem(name, n, d, classes, seed, linear)
    from_zero, _ = solved(objective)
    from_there, _ = solved(objective, start=w)
    # Each lies within residual / (lambda n) of the one optimum.
    allowed = (from_zero.residual + from_there.residual) / objective.strength
    assert (from_zero.w - from_there.w).norm().item() <= allowed * (1 + 1e-6) + 1e-12


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), shift=st.floats(-1e-2, 1e-2))
def test_strong_convexity_bounds_the_distance_by_the_gradient(seed, shift):
    """||w - w*|| <= ||gradient|| / (lambda n): what the certificate rests on."""
    objective, _ = problem("softmax", n=80, d=5, classes=3, seed=seed)
    solution, _ = solved(objective)
    away = solution.w + shift * torch.randn(solution.w.shape, generator=generator(seed),
                                            dtype=torch.float64)
    bound = (objective.evaluate(away).residual + solution.residual) / objective.strength
    assert (away - solution.w).norm().item() <= bound * (1 + 1e-9)


@EVERY_LOSS
def test_steps_are_counted_finite_and_end_at_the_solution(name):
    objective, w = problem(name, n=300, d=8, classes=4, lam=1e-4)
    solution, steps = solved(objective, start=5 * w)
    assert [step.index for step, _ in steps] == list(range(1, len(steps) + 1))
    assert all(step.index <= step.total for step, _ in steps)
    assert all(math.isfinite(v) for step, _ in steps for v in step.measured.values())
    assert solution.iterations == len(steps)
    assert torch.equal(steps[-1][1], solution.w)
    assert steps[-1][0].measured["gradient_norm"] == solution.residual


def test_iterations_that_were_taken_before_are_counted_on():
    objective, _ = problem("softmax")
    work = solve(objective, objective.zeros(), 1e-8, generator(0), taken=3)
    assert next(work)[0].index == 4


@EVERY_LOSS
def test_the_objective_never_rises(name):
    objective, w = problem(name, n=200, d=6, classes=3, lam=1e-4, radius=4.0)
    _, steps = solved(objective, start=10 * w)
    values = [objective.evaluate(w).value for _, w in steps]
    assert all(new <= old + 1e-9 * abs(old) for old, new in itertools.pairwise(values))


def test_at_the_optimum_no_step_is_taken():
    objective, _ = problem("softmax")
    solution, _ = solved(objective, tolerance=1e-9)
    again, steps = solved(objective, start=solution.w)
    assert steps == []
    assert torch.equal(again.w, solution.w)
    assert again.iterations == 0


def test_a_preconditioner_that_knows_nothing_changes_only_the_time():
    objective, _ = problem("softmax", n=200, d=6, classes=3)
    poor = factor(torch.zeros(1, 18, 18, dtype=torch.float64), 1.0)
    work = solve(objective, objective.zeros(), 1e-8, generator(0), known=poor)
    while True:
        try:
            next(work)
        except StopIteration as done:
            solution = done.value
            break
    expected, _ = solved(objective)
    torch.testing.assert_close(solution.w, expected.w, atol=1e-7, rtol=0)


def test_the_preconditioner_formed_over_some_rows_changes_only_the_time(monkeypatch):
    objective, _ = problem("softmax", n=300, d=6, classes=3)
    expected, _ = solved(objective)
    monkeypatch.setattr(newton, "SAMPLE", 40)
    solution, _ = solved(objective)
    assert solution.residual <= 1e-8
    torch.testing.assert_close(solution.w, expected.w, atol=1e-7, rtol=0)


def test_the_same_generator_gives_the_same_bits():
    objective, _ = problem("softmax", n=300, d=6, classes=3)
    assert torch.equal(solved(objective, seed=1)[0].w, solved(objective, seed=1)[0].w)


def test_separable_data_are_solved():
    y = torch.arange(90) % 3
    x = torch.eye(3, dtype=torch.float64)[y] * 16
    for name in LOSSES:
        solution, _ = solved(Objective(x, y, loss_called(name), 1e-4, 3))
        assert solution.residual <= 1e-8


def test_duplicated_and_zero_columns_are_solved():
    objective, _ = problem("softmax", n=100, d=3, classes=3)
    x = torch.cat([objective.rows, objective.rows, torch.zeros(100, 2, dtype=torch.float64)], 1)
    solution, _ = solved(Objective(x, objective.y, objective.loss, 1e-3, 3))
    torch.testing.assert_close(solution.w[:3], solution.w[3:6], atol=1e-7, rtol=0)
    torch.testing.assert_close(solution.w[6:], torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("lam", [1e-6, 1e-7])
def test_a_small_lambda_is_solved_where_double_precision_can(lam):
    """Rows of norm 16, as the learner has them; the preconditioner is single precision, and that
    it cannot be factorised says nothing of the problem."""
    objective, _ = problem("softmax", n=300, d=9, classes=4, lam=lam, norm=1.0, radius=16.0)
    solution, _ = solved(objective)
    assert solution.residual <= 1e-8


# Where the solvers give up.


@EVERY_LOSS
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["one entry", "everywhere"])
def test_inputs_that_are_not_finite_are_diverged(name, wrong, where):
    objective, _ = problem(name)
    if where == "one entry":
        objective.rows[3, 1] = wrong
    else:
        objective.rows[:] = wrong
    with pytest.raises(Diverged):
        solved(objective)


@EVERY_LOSS
def test_a_linear_term_that_is_not_finite_is_diverged(name):
    objective, _ = problem(name, linear=True)
    objective.linear[0, 0] = math.nan
    with pytest.raises(Diverged):
        solved(objective)


@EVERY_LOSS
def test_a_start_that_is_not_finite_is_diverged(name):
    objective, w = problem(name)
    with pytest.raises(Diverged):
        solved(objective, start=w * math.nan)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_a_curvature_that_is_not_positive_is_diverged(blocks, wrong):
    curvature = torch.eye(4, dtype=torch.float64).repeat(blocks, 1, 1)
    curvature[-1, 2, 2] = wrong
    with pytest.raises(Diverged, match="larger lam"):
        factor(curvature, 0.0)


@EVERY_LOSS
def test_an_objective_without_a_minimum_is_diverged(name):
    """Nothing curves along a feature that is always 0, and the linear term falls for ever."""
    objective, _ = problem(name, lam=0.0, linear=True)
    objective.rows[:, 2] = 0
    with pytest.raises(Diverged):
        solved(objective)


@EVERY_LOSS
def test_a_singular_system_is_diverged_or_solved(name):
    objective, _ = problem(name, lam=0.0)
    objective.rows[:, 2] = 0
    try:
        solution, _ = solved(objective)
    except Diverged as error:
        assert "lam" in str(error)
    else:
        assert solution.residual <= 1e-8


def test_a_tolerance_out_of_reach_is_diverged():
    objective, _ = problem("softmax")
    with pytest.raises(Diverged):
        solved(objective, tolerance=0.0)


def test_too_few_iterations_are_diverged(monkeypatch):
    monkeypatch.setattr(newton, "MAX_ITERATIONS", 2)
    with pytest.raises(Diverged, match="after 2 Newton iterations"):
        solved(problem("softmax", lam=1e-5)[0])


def test_too_few_products_are_diverged(monkeypatch):
    monkeypatch.setattr(newton, "MAX_PRODUCTS", 0)
    with pytest.raises(Diverged, match="0 products"):
        solved(problem("softmax", lam=1e-5)[0])


def test_factors_solve_with_the_strength_on_the_diagonal():
    objective, w = problem("ovr", n=50, d=4, classes=3)
    formed, p = curvature_of(objective, w)
    before = formed.clone()
    v = torch.randn(4, 3, generator=generator(2), dtype=torch.float64)
    step = factor(formed, objective.strength).solve(v)
    torch.testing.assert_close(objective.product(p, step), v)
    assert torch.equal(formed, before)


# One step of removal.


def known_of(objective: Objective, w: torch.Tensor) -> Curvature:
    """What a learner prepares, by dense algebra."""
    x = objective.rows
    data, _ = curvature_of(objective, w)
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    gram = x.T @ x
    return Curvature(len(x), data, torch.linalg.inv(data + objective.strength * eye), gram,
                     torch.linalg.eigvalsh(gram)[-1].item())


def removal_of(objective, w, m, bound):
    """The library's removal of the first m samples, and the objective without them."""
    removal = single_step(w, objective.rows[:m], objective.y[:m], objective.loss, objective.lam,
                          known_of(objective, w), bound)
    retained = Objective(objective.rows[m:], objective.y[m:], objective.loss, objective.lam,
                         objective.columns, linear=objective.linear)
    return removal, retained


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("m", [1, 7, 60])
def test_the_step_solves_the_newton_system(classes, m):
    objective, _ = problem("ovr", n=200, d=6, classes=classes, linear=True, norm=1.0)
    solution, _ = solved(objective)
    removal, retained = removal_of(objective, solution.w, m, "tight")
    # From the optimum Delta is minus the retained gradient, up to the residual.
    gradient = retained.evaluate(solution.w).gradient
    hessian = dense_hessian(retained, solution.w)
    step = torch.linalg.solve(hessian, -gradient.T.reshape(-1)).reshape(gradient.T.shape).T
    torch.testing.assert_close(removal.w - solution.w, step, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("m", [1, 5, 40])
def test_the_right_hand_side_is_the_removed_samples_gradient(m):
    """From any w at all: Delta = m lambda w + their gradients, whatever the rest's gradient is."""
    objective, w = problem("ovr", n=150, d=5, classes=3, norm=1.0)
    removal, retained = removal_of(objective, w, m, "tight")
    removed = Objective(objective.rows[:m], objective.y[:m], objective.loss, objective.lam, 3)
    product = retained.product(retained.evaluate(w).p, removal.w - w)
    torch.testing.assert_close(product, removed.evaluate(w).gradient, rtol=1e-9, atol=1e-9)


@given(bound=st.sampled_from(list(BOUNDS)), m=st.sampled_from([1, 2, 5, 20, 60]),
       classes=st.integers(2, 4), d=st.integers(2, 8), seed=st.integers(0, 10**6),
       log_lam=st.floats(-4, -1), log_sigma=st.floats(-3, 1.5))
def test_the_bound_is_above_the_measured_gradient(bound, m, classes, d, seed, log_lam, log_sigma):
    loss = loss_called("ovr")
    objective, _ = problem("ovr", 150, d, classes, seed, True, 10**log_lam, norm=1.0)
    objective.linear.mul_(10**log_sigma)
    solution, _ = solved(objective)
    removal, retained = removal_of(objective, solution.w, m, bound)
    measured = retained.evaluate(removal.w).residual
    assert measured <= removal.bound + solution.residual + 1e-10
    assert loss.columns(classes) == removal.w.shape[1]


@pytest.mark.parametrize("bound", list(BOUNDS))
@pytest.mark.parametrize("lam", [1e-3, 1e-2])
def test_bounds_add_up_over_removals_one_on_top_of_the_other(bound, lam):
    objective, _ = problem("ovr", n=300, d=6, classes=3, linear=True, norm=1.0, lam=lam)
    solution, _ = solved(objective)
    w, spent = solution.w, solution.residual
    for _ in range(20):
        removal, objective = removal_of(objective, w, 2, bound)
        w, spent = removal.w, spent + removal.bound
        assert objective.evaluate(w).residual <= spent + 1e-10


def test_the_tight_bound_is_met_where_every_inequality_is_an_equality():
    """One feature of size 1, at the weight where |sigma''| is largest: no sharper constant holds,
    and a bound that holds only because it is enormous would be seen."""
    x = torch.randn(400, 1, generator=generator(0), dtype=torch.float64).sign()
    y = torch.randint(0, 2, (400,), generator=generator(1))
    w = torch.tensor([[math.log(2 + math.sqrt(3))]], dtype=torch.float64)
    without_b = Objective(x, y, loss_called("ovr"), 1e-4, 1)
    objective = Objective(x, y, loss_called("ovr"), 1e-4, 1,
                          linear=-without_b.evaluate(w).gradient)
    removal, retained = removal_of(objective, w, 1, "tight")
    measured = retained.evaluate(removal.w).residual
    assert measured <= removal.bound <= 1.02 * measured


@pytest.mark.parametrize("m", [1, 10])
def test_the_tight_bound_is_5_2_times_below_the_papers(m):
    objective, _ = problem("ovr", n=200, d=6, classes=3, linear=True, norm=1.0)
    solution, _ = solved(objective)
    paper, tight = (removal_of(objective, solution.w, m, bound)[0] for bound in ("paper", "tight"))
    assert torch.equal(paper.w, tight.w)
    assert paper.bound / tight.bound == pytest.approx(3 * math.sqrt(3), rel=1e-4)


def test_the_worst_case_of_the_paper():
    assert worst_case(1e-3, 11982, 1, 0.25) == pytest.approx(83.5, abs=0.05)


@given(st.integers(1, 50), st.floats(1e-4, 1.0))
def test_the_worst_case_grows_with_the_square_of_the_removed(m, lam):
    one, many = worst_case(lam, 1000, 1, 0.25), worst_case(lam, 1000, m, 0.25)
    assert many / one == pytest.approx(m**2 * 999 / (1000 - m))


@settings(max_examples=40)
@given(bound=st.sampled_from(list(BOUNDS)), m=st.sampled_from([1, 5, 40]),
       classes=st.integers(2, 4), seed=st.integers(0, 10**6), log_lam=st.floats(-4, 0.3))
def test_the_worst_case_is_above_the_bound_from_the_data(bound, m, classes, seed, log_lam):
    """Without noise, as the theorem is stated; columns add up like the bounds themselves."""
    lam = 10**log_lam
    objective, _ = problem("ovr", 150, 6, classes, seed, lam=lam, norm=1.0)
    solution, _ = solved(objective, tolerance=1e-7)
    removal, _ = removal_of(objective, solution.w, m, bound)
    limit = worst_case(lam, 150, m, BOUNDS[bound])
    assert removal.bound <= limit * math.sqrt(objective.columns) + 1e-9


def test_a_removal_of_nothing_moved_has_no_bound():
    """A sample whose own gradient and share of lambda vanish: symmetric data at w = 0."""
    x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).double().repeat(10, 1)
    y = torch.tensor([0, 0, 1, 1]).repeat(10)
    objective = Objective(x, y, loss_called("ovr"), 1e-2, 1)
    removal, retained = removal_of(objective, objective.zeros(), 4, "tight")
    assert removal.bound == pytest.approx(0, abs=1e-12)
    assert retained.evaluate(removal.w).residual == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["w", "x", "data", "inverse"])
def test_a_step_from_numbers_that_are_not_finite_is_diverged(wrong, part):
    objective, w = problem("ovr", n=50, d=4, norm=1.0)
    known = known_of(objective, w)
    parts = {"w": w, "x": objective.rows[:3], "data": known.data, "inverse": known.inverse}
    parts[part][(0,) * parts[part].ndim] = wrong
    with pytest.raises(Diverged):
        single_step(w, objective.rows[:3], objective.y[:3], objective.loss, objective.lam, known,
                    "tight")


def test_a_step_for_a_singular_system_is_diverged():
    objective, w = problem("ovr", n=50, d=4, norm=1.0)
    known = known_of(objective, w)
    known = Curvature(50, torch.zeros_like(known.data), torch.zeros_like(known.inverse),
                      known.gram, known.largest)
    with pytest.raises(Diverged):
        single_step(w, objective.rows[:3], objective.y[:3], objective.loss, 0.0, known, "tight")
