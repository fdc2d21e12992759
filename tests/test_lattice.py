"""What 500 publications tell of a sample, by an attack that beats floating-point noise."""

import pytest
from lattice import PAIRS, alone, floating, pair, shown

from forget.certified.noise import on_grid
from forget.certified.privacy import gaussian_multiplier

SIGMA = 1e-3


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGET_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.mark.parametrize("kind", PAIRS)
def test_the_sample_is_in_no_direction_that_anybody_else_has(kind):
    """Or there would be nothing to attack."""
    y = alone(kind).train.y
    two = pair(kind)
    assert (y == 3).sum() == (1 if kind == "class" else 0)
    assert 0 < (two.forgotten - two.retrained).norm() < 1e-7
    assert (kind == "label") == ((two.retrained == 0).sum() == 0)


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("kind", PAIRS)
def test_the_grid_shows_no_more_than_is_claimed(kind, epsilon):
    two = pair(kind)
    apart = (two.forgotten - two.retrained).norm().item()
    assert apart < SIGMA / gaussian_multiplier(epsilon, 1e-5)
    assert shown(on_grid, two, SIGMA, 1e-5) <= epsilon


def test_floating_point_noise_gives_the_sample_away():
    """So the attack finds what is there to be found."""
    assert shown(floating, pair("column"), SIGMA, 1e-5) > 1
