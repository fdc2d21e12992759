"""Wavelet scattering: against plain convolution in two dimensions, and as a feature map."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import glyphs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import signal

from forget.core.errors import BadInput
from forget.features import features_for, rows_of
from forget.features.scattering import FREQUENCY, SIGMA, SOFT, Scattering
from forget.features.vectors import with_constant

ROOT = Path(__file__).parent.parent
SCALES = 3
FIRST = {j: slice(start, start + 4) for j, start in enumerate((1, 37, 57))}
"""Where the first order stands among the 61 paths of three scales, by j."""

SECOND = {(0, 1): slice(5, 21), (0, 2): slice(21, 37), (1, 2): slice(41, 57)}
"""Where the second order stands, by j and k; the first order's direction is the slower."""


@pytest.fixture(scope="module")
def scattering() -> Scattering:
    return Scattering((1, 28, 28))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    x, _ = glyphs(np.random.default_rng(0), 5, 4, side=28)
    return torch.from_numpy(x)[:, None]


def gaussian(octave: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and a Gaussian of sum 1 on them, wide enough to fall to nothing."""
    y, x = np.mgrid[-6 * 2**octave : 6 * 2**octave + 1, -6 * 2**octave : 6 * 2**octave + 1]
    g = np.exp(-(x**2 + y**2) / (2 * (SIGMA * 2**octave) ** 2))
    return y, x, g / g.sum()


def morlet(octave: int, direction: int) -> np.ndarray:
    """A wavelet from its formula; directions count 45 degrees each."""
    y, x, g = gaussian(octave)
    along = x * math.cos(direction * math.pi / 4) + y * math.sin(direction * math.pi / 4)
    wave = g * np.exp(1j * FREQUENCY / 2**octave * along)
    return wave - wave.sum() * g


def filtered(u: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Circular convolution, every ``stride``-th pixel of it."""
    wrapped = np.pad(u, len(kernel) // 2, mode="wrap")
    return signal.convolve2d(wrapped, kernel, mode="valid")[::stride, ::stride]


def scattered(image: np.ndarray, *path: tuple[int, int]) -> np.ndarray:
    """One path's coefficients, path being (scale, direction) once an order."""
    u, at = image, 0
    for scale, direction in path:
        u = np.abs(filtered(u, morlet(scale - at, direction), 2 ** (scale - at)))
        at = scale
    _, _, low = gaussian(SCALES - at - 1)
    return filtered(u, low, 2 ** (SCALES - at))


@pytest.mark.parametrize(("index", "path"), [
    (0, ()),
    (1, ((0, 0),)),
    (4, ((0, 3),)),
    (38, ((1, 1),)),
    (59, ((2, 2),)),
    (5 + 4 * 1 + 3, ((0, 1), (1, 3))),
    (21 + 4 * 3 + 0, ((0, 3), (2, 0))),
    (41 + 4 * 2 + 1, ((1, 2), (2, 1))),
])  # fmt: skip
def test_a_path_is_what_plain_convolution_gives(index, path):
    image = np.random.default_rng(1).integers(0, 256, (20, 25)).astype(np.uint8)
    padded = np.pad(image, ((2, 2), (3, 4))) / 255
    got = Scattering((1, 20, 25)).coefficients(torch.from_numpy(image)[None, None])[0, 0, index]
    assert got.shape == (3, 4)
    np.testing.assert_allclose(got, scattered(padded, *path), atol=2e-6)


def test_wavelets_have_mean_zero_and_the_low_pass_has_sum_one():
    flat = torch.full((1, 1, 32, 32), 200, dtype=torch.uint8)
    s = Scattering((1, 32, 32)).coefficients(flat)[0, 0]
    level = torch.full((4, 4), 200 / 255, dtype=torch.float64)
    torch.testing.assert_close(s[0], level, atol=1e-6, rtol=0)
    assert s[1:].abs().max() < 1e-6


def test_stripes_are_found_at_their_scale_and_direction():
    wave = 127 + 127 * torch.cos(FREQUENCY / 2 * torch.arange(32))
    stripes = wave.expand(1, 1, 32, 32).to(torch.uint8)
    s = Scattering((1, 32, 32)).coefficients(stripes)[0, 0].mean((1, 2))
    first = torch.stack([s[FIRST[j]] for j in range(SCALES)])
    assert divmod(int(first.argmax()), 4) == (1, 0)
    assert first[1, 0] > 10 * first[1, 2]


def test_energy_falls_with_the_order_and_nothing_is_negative(scattering, images):
    s = scattering.coefficients(images)
    assert s.shape == (20, 1, 61, 4, 4)
    assert (s >= 0).all()
    energy = [s[:, :, 0].square().sum()] + [
        sum(s[:, :, where].square().sum() for where in order.values()) for order in (FIRST, SECOND)
    ]
    assert energy[0] > energy[1] > energy[2] > 0


@settings(max_examples=10)
@given(arrays.arrays(np.uint8, (28, 28), elements=st.integers(0, 255)))
def test_a_transposed_image_has_transposed_coefficients(image):
    """Directions 0 and 90 degrees change places; a diagonal is its own mirror image."""
    swap = [2, 1, 0, 3]
    pair = torch.from_numpy(np.stack([image, image.T]))[:, None]
    s, mirrored = Scattering((1, 28, 28)).coefficients(pair)[:, 0].unbind()
    mirrored = mirrored.transpose(1, 2)
    for where in FIRST.values():
        torch.testing.assert_close(s[where][swap], mirrored[where], atol=1e-6, rtol=0)
    for where in SECOND.values():
        grid, other = (one[where].unflatten(0, (4, 4)) for one in (s, mirrored))
        torch.testing.assert_close(grid[swap][:, swap], other, atol=1e-6, rtol=0)


@settings(max_examples=20)
@given(arrays.arrays(np.uint8, (3, 2, 12, 12), elements=st.sampled_from([0, 1, 128, 255])))
def test_any_image_gives_finite_rows_of_norm_at_most_1(image):
    rows = Scattering((2, 12, 12))(torch.from_numpy(image))
    assert rows.isfinite().all()
    assert rows.norm(dim=1).max() <= 1 + 1e-6


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 12, 12), (1, 28, 28), (2, 12, 21), (3, 32, 32)])
def test_rows_of_every_shape_of_image(shape):
    x = torch.randint(0, 256, (3, *shape), generator=torch.Generator().manual_seed(0))
    features = features_for("auto", shape)
    rows = features(x.to(torch.uint8))
    assert (features.name, features.size) == ("scattering", 256)
    assert (rows.shape, rows.dtype) == ((3, 256), torch.float32)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3), atol=1e-6, rtol=0)
    assert features(x[:0].to(torch.uint8)).shape == (0, 256)


def test_each_channel_is_transformed_alone(images):
    two = torch.cat([images, images.flip(0)], 1)
    s, alone = Scattering((2, 28, 28)).coefficients(two), Scattering((1, 28, 28)).coefficients
    torch.testing.assert_close(s[:, :1], alone(images), atol=1e-6, rtol=0)
    torch.testing.assert_close(s[:, 1:], alone(images.flip(0)), atol=1e-6, rtol=0)


def test_a_row_does_not_depend_on_its_batch(scattering, images):
    rows = rows_of(scattering, images)
    for size in (1, 3, 7):
        again = torch.cat([scattering(part) for part in images.split(size)])
        torch.testing.assert_close(again, rows, atol=1e-6, rtol=0)


def test_rows_are_the_same_each_time_and_from_each_map(scattering, images):
    assert torch.equal(scattering(images), scattering(images))
    assert torch.equal(scattering(images), Scattering((1, 28, 28))(images))


def test_a_row_is_the_roots_less_their_mean_projected(scattering, images):
    roots = (scattering.coefficients(images)[:, 0] + SOFT).sqrt() - SOFT**0.5
    roots = roots.flatten(1) - roots.flatten(1).mean(1, keepdim=True)
    gaussians = torch.from_numpy(np.random.default_rng(0).standard_normal((61 * 16, 255)))
    expected = with_constant(roots @ gaussians).float()
    torch.testing.assert_close(scattering(images), expected, atol=2e-6, rtol=0)


def direction(x):
    return F.normalize(x.flatten(1).float())


def test_a_step_aside_moves_a_row_far_less_than_pixels(scattering, images):
    x = images * (images > 100)  # the bars alone: what stands still is no part of the comparison
    moved = x.roll(1, dims=3)
    by_row = (scattering(x) - scattering(moved)).norm(dim=1)
    by_pixel = (direction(x) - direction(moved)).norm(dim=1)
    assert (by_row < by_pixel / 5).all()


def test_a_blank_image_has_only_the_constant(scattering):
    row = scattering(torch.zeros(1, 1, 28, 28, dtype=torch.uint8))[0]
    assert row[:-1].abs().max() == 0
    assert row[-1] == pytest.approx(0.1)


def test_a_state_dict_holds_nothing(scattering):
    assert len(scattering.state_dict()) == 0
    assert sum(1 for _ in scattering.buffers()) > 0
    assert sum(1 for _ in scattering.parameters()) == 0


@pytest.mark.parametrize("shape", [(28, 28), (784,), (1, 7, 28), (0, 28, 28), (1, 1, 28, 28)])
def test_other_shapes_do_not_suit(shape):
    assert not Scattering.suits(shape)


def test_other_inputs_are_refused(scattering, images):
    with pytest.raises(BadInput, match="float32"):
        scattering(images.float())
    with pytest.raises(BadInput, match=r"\(1, 28, 20\)"):
        scattering(images[..., :20])


ROWS_OF_A_FIXED_IMAGE = """
import hashlib, torch
from forget.features import rows_of
from forget.features.scattering import Scattering
x = (torch.arange(40 * 784) ** 2 % 256).reshape(40, 1, 28, 28).to(torch.uint8)
print(hashlib.sha256(rows_of(Scattering((1, 28, 28)), x).numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_every_processor_gives_the_same_rows():
    """A residual is computed anew by a verifier, on another machine: float32 sums in the order of
    another instruction set would differ by more than a certificate allows."""
    said = set()
    plain = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    for instructions in (plain, {}):
        done = subprocess.run([sys.executable, "-c", ROWS_OF_A_FIXED_IMAGE], cwd=ROOT, check=True,
                              capture_output=True, text=True, env=os.environ | instructions)
        said.add(done.stdout)
    assert len(said) == 1
