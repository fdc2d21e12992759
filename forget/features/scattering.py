"""Wavelet scattering: what an image has of every scale and direction, wherever it is nearby."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forget.core.errors import BadInput
from forget.features import FEATURES, Features
from forget.features.vectors import with_constant

SIGMA = 0.8
"""Width of the finest wavelet's envelope, in pixels; a width and its wavelength double together."""

FREQUENCY = 3 * math.pi / 4
"""Frequency of the finest wavelet, in radians a pixel."""

SOFT = 2.0**-14
"""Added below the square root, so that rounding where an image is flat stays rounding.

A power of 4, so that its own root is exact and a blank image has coefficients of exactly 0.
"""

PROJECTED = 255
"""Numbers that the coefficients are projected to; with the constant column 256."""


@FEATURES.register
class Scattering(Features):
    """First and second order scattering, square root, a fixed projection, rows of norm 1.

    With wavelets psi_{j,a} of scale 2^j and direction a, and a Gaussian phi of the scale 2^J::

        S0 = x * phi
        S1 = |x * psi_{j,a}| * phi
        S2 = ||x * psi_{j,a}| * psi_{k,b}| * phi    for k > j

    for pixels x in 0..1, a and b in {0, 45, 90, 135} degrees, each sampled every 2^J pixels: Bruna
    and Mallat 2013, https://arxiv.org/abs/1203.1513. J is 3, and 2 for sides below 16 pixels. The
    wavelets are Morlet's with a round envelope, psi(t) = g(t) (exp(i w.t) - c) with c such that psi
    has the mean 0: sums of products of one-dimensional filters. Images are padded with zeros to a
    multiple of 2^J and taken as periodic; each channel is transformed alone.

    The row is R^T (z - mean of z) for z = sqrt(S + 2^-14) - 2^-7; R is a Gaussian matrix of a
    constant seed. Then :func:`forget.features.vectors.with_constant` makes its norm 1. Nothing here
    was chosen by looking at data: weights for single orders would gain 0.1 % on MNIST.

    >>> Scattering((1, 28, 28))(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 256])
    """

    name = "scattering"
    version = 2
    title = "Wavelet scattering"
    order = 1

    @classmethod
    def suits(cls, input_shape):
        return len(input_shape) == 3 and input_shape[0] >= 1 and min(input_shape[1:]) >= 8

    def __init__(self, input_shape):
        super().__init__(input_shape)
        self.size = PROJECTED + 1
        self.input_shape = tuple(input_shape)
        channels, *sides = input_shape
        scales = 3 if min(sides) >= 16 else 2
        padded = [-(-side // 2**scales) * 2**scales for side in sides]
        (top, bottom), (left, right) = (
            ((new - old) // 2, (new - old + 1) // 2) for old, new in zip(sides, padded, strict=True)
        )
        self.padding = (left, right, top, bottom)

        # |x * psi_j| is kept at every 2^j-th pixel, so what follows it works on a smaller grid.
        grids = [[side >> j for side in padded] for j in range(scales)]
        self.first = nn.ModuleList(wavelets(grids[0], j) for j in range(scales))
        self.second = nn.ModuleList(
            nn.ModuleList(wavelets(grids[j], k - j) for k in range(j + 1, scales))
            for j in range(scales)
        )
        self.low = nn.ModuleList(low_pass(grids[j], scales - j) for j in range(scales))

        places = math.prod(side >> scales for side in padded)
        paths = 1 + 4 * scales + 16 * (scales * (scales - 1) // 2)
        self.register_buffer("to_row", projection(channels * paths * places), persistent=False)

    def coefficients(self, x: Tensor) -> Tensor:
        """S (N, C, paths, H', W'), not negative, of uint8 images (N, C, H, W), H' about H / 2^J.

        Paths: S0; then for each j: S1 by a, and for each k > j S2 by a and b, b the faster.
        """
        if x.dtype != torch.uint8 or x.shape[1:] != self.input_shape:
            raise BadInput(f"scattering was set up for uint8 images of shape {self.input_shape}, "
                           f"not for {x.dtype} of shape {tuple(x.shape[1:])}")
        # Samples last: every filter is then a product with a wide matrix.
        image = F.pad(x, self.padding).permute(1, 2, 3, 0).double() / 255  # (C, H, W, N)
        found = [self.low[0](image)]
        for j, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            u = modulus(first(image))  # (C 4, H / 2^j, W / 2^j, N)
            found.append(self.low[j](u))
            for k, deeper in enumerate(second, start=j + 1):
                found.append(self.low[k](modulus(deeper(u))))  # (C 16, H', W', N)
        by_channel = [s.unflatten(0, (len(image), -1)) for s in found]  # (C, paths, H', W', N)
        return torch.cat(by_channel, 1).permute(4, 0, 1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        s = self.coefficients(x).flatten(1)  # (N, C paths H' W')
        root = (s + SOFT).sqrt() - math.sqrt(SOFT)
        return with_constant(root @ self.to_row).float()


def projection(coefficients: int) -> Tensor:
    """Matrix (coefficients, PROJECTED) that takes each sample's own mean away and mixes.

    With a Gaussian R, (z - mean of z) R is z (R - mean of R's rows).
    """
    # numpy's, since torch's normal numbers differ in the last bits from one processor to another.
    mix = torch.from_numpy(np.random.default_rng(0).standard_normal((coefficients, PROJECTED)))
    return mix - mix.mean(0)


class Separable(nn.Module):
    """Filters of two dimensions as products of one: u -> across (down u), the samples last.

    ``down`` (m f, H) gives f images of m rows; ``across`` (q, f W) makes each row's q numbers from
    all f of them.
    """

    def __init__(self, down: Tensor, across: Tensor):
        super().__init__()
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("across", across, persistent=False)

    def forward(self, u: Tensor) -> Tensor:
        """Images (P, H, W, N) to (P, m, q, N)."""
        p, h, w, n = u.shape
        q, f_w = self.across.shape
        m = len(self.down) * w // f_w
        by_row = torch.bmm(self.down.expand(p, -1, -1), u.reshape(p, h, w * n))  # (P, m f, W N)
        by_row = by_row.view(p * m, f_w, n)  # (P m, f W, N)
        return torch.bmm(self.across.expand(p * m, -1, -1), by_row).view(p, m, q, n)


def low_pass(sides: list[int], octaves: int) -> Separable:
    """A Gaussian of the width of the last wavelet's envelope, at every 2^octaves-th pixel."""
    down, across = (
        circulant(kernels(side, octaves - 1)[:1], 2**octaves).squeeze(0) for side in sides
    )
    return Separable(down, across)


def wavelets(sides: list[int], octave: int) -> Separable:
    """Wavelets of one scale at every 2^octave-th pixel: q is real or imaginary, direction, W."""
    ky, kx = (kernels(side, octave) for side in sides)
    down = circulant(ky, 2**octave).transpose(0, 1).flatten(0, 1)  # (m 5, H)
    g, c1, s1, c2, s2 = circulant(kx, 2**octave)  # each (m, W)
    o = torch.zeros_like(g)
    # What takes the mean away: along an axis, and along a diagonal.
    axis, diagonal = kx[3].sum() * g, ky[1].sum() * kx[1].sum() * g
    # One row a direction: what x's kernels do to the image that y's g, c1, s1, c2, s2 gave, by
    # cos(a + b) = cos a cos b - sin a sin b and its kin.
    real = [
        [c2 - axis, o, o, o, o],
        [-diagonal, c1, -s1, o, o],
        [-axis, o, o, g, o],
        [-diagonal, c1, s1, o, o],
    ]
    imaginary = [
        [s2, o, o, o, o],
        [o, s1, c1, o, o],
        [o, o, o, o, g],
        [o, s1, -c1, o, o],
    ]
    across = torch.cat([torch.cat(row, 1) for row in real + imaginary])  # (2 4 m, 5 W)
    return Separable(down, across)


def modulus(z: Tensor) -> Tensor:
    """Moduli (4 P, H, W, N) of :func:`wavelets`' output (P, H, 2 4 W, N)."""
    real, imaginary = z.square_().unflatten(2, (2, 4, -1)).unbind(2)
    return real.add_(imaginary).sqrt_().transpose(1, 2).flatten(0, 1)


def kernels(side: int, octave: int) -> Tensor:
    """Kernels (5, side) on a circle of ``side`` pixels: g, and g times cos and sin of a wave.

    g is a Gaussian of sum 1; the waves are a diagonal wavelet's share on one axis and an axial
    wavelet's own: frequencies w / sqrt(2) and w.
    """
    t = torch.arange(-2 * side, 3 * side, dtype=torch.float64) / 2**octave
    g = torch.exp(-((t / SIGMA) ** 2) / 2)
    g = g / g.sum()
    waves = [g]
    for w in (FREQUENCY / math.sqrt(2), FREQUENCY):
        waves += [g * torch.cos(w * t), g * torch.sin(w * t)]
    wrapped = torch.stack(waves).unflatten(1, (5, side)).sum(1)
    # Below all rounding; kept, subnormal numbers make a row take five times as long.
    return torch.where(wrapped.abs() < 1e-20, 0, wrapped)


def circulant(kernel: Tensor, stride: int) -> Tensor:
    """Matrices (f, m, side) of circular convolution with ``kernel`` (f, side) at m positions."""
    side = kernel.shape[1]
    at = torch.arange(0, side, stride)[:, None] - torch.arange(side)  # (m, side)
    return kernel[:, at % side]
