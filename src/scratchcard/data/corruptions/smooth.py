"""Blur that is the same for every image: Gaussian, defocus and zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import clipped_zoom, gaussian

if TYPE_CHECKING:
    import torch

Zooms = tuple[float, ...]


def gaussian_blur(x: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """A Gaussian of standard deviation ``sigma`` pixels; beyond the edge the last pixel goes on."""
    return gaussian(x, sigma)


def defocus_blur(x: torch.Tensor, c: tuple[float, float], draws: Draws) -> torch.Tensor:
    """A disk of ``c[0]`` pixels radius, its rim smoothed by a Gaussian of ``c[1]`` pixels.

    Beyond the edge the image is mirrored about its last pixel.
    """
    from torch.nn.functional import conv2d, pad

    kernel = disk(*c).to(x.device)
    reach = len(kernel) // 2
    batch, channels, height, width = x.shape
    padded = pad(x, (reach,) * 4, mode="reflect")
    # One channel for each plane: far quicker than planes as images of one channel.
    planes = padded.view(1, batch * channels, height + 2 * reach, width + 2 * reach)
    weights = kernel.expand(batch * channels, 1, -1, -1)
    return conv2d(planes, weights, groups=batch * channels).view(x.shape)


def disk(radius: float, rim: float) -> torch.Tensor:
    """Kernel of a defocused lens, [k, k] with odd k, without the rings of zeros around it.

    The smoothing has 3x3 taps up to radius 8, then 5x5, and mirrors the kernel at the edge of its
    17x17 (or larger) frame, as the official scripts do.
    """
    import torch
    from torch.nn.functional import conv2d, pad

    half, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    line = torch.arange(-half, half + 1, dtype=torch.float64)
    inside = (line[:, None] ** 2 + line**2 <= radius**2).double()
    smooth = torch.exp(-(torch.arange(-taps, taps + 1).double() ** 2) / (2 * rim**2))
    smooth /= smooth.sum()
    framed = pad((inside / inside.sum())[None, None], (taps,) * 4, mode="reflect")
    kernel = conv2d(framed, (smooth[:, None] * smooth)[None, None])[0, 0].float()
    reach = int(line[kernel.sum(0) > 1e-9].max())
    return kernel[half - reach : half + reach + 1, half - reach : half + reach + 1]


def zoom_blur(x: torch.Tensor, zooms: Zooms, draws: Draws) -> torch.Tensor:
    """The mean of the image and of its middle enlarged by each factor of ``zooms``."""
    total = x.clone()
    for factor in zooms:
        total += clipped_zoom(x, factor)
    return total / (len(zooms) + 1)


def _zooms(end: float, step: float = 0.01) -> Zooms:
    """Factors from 1; ``end`` itself comes in or not by binary rounding, as officially."""
    return tuple(np.arange(1, end, step).tolist())


GAUSSIAN_BLUR = Corruption(
    "gaussian_blur",
    "extra",
    gaussian_blur,
    cifar=(0.4, 0.6, 0.7, 0.8, 1.0),
    tiny=(0.5, 0.75, 1.0, 1.25, 1.5),
    imagenet=(1.0, 2.0, 3.0, 4.0, 6.0),
)
DEFOCUS_BLUR = Corruption(
    "defocus_blur",
    "blur",
    defocus_blur,
    cifar=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
    tiny=((0.5, 0.6), (1.0, 0.1), (1.5, 0.1), (2.5, 0.01), (3.0, 0.1)),
    imagenet=((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
)
ZOOM_BLUR = Corruption(
    "zoom_blur",
    "blur",
    zoom_blur,
    cifar=(_zooms(1.06), _zooms(1.11), _zooms(1.16), _zooms(1.21), _zooms(1.26)),
    tiny=(_zooms(1.06), _zooms(1.11), _zooms(1.16), _zooms(1.21), _zooms(1.26)),
    imagenet=(
        *(_zooms(1.11), _zooms(1.16), _zooms(1.21, 0.02), _zooms(1.26, 0.02), _zooms(1.31, 0.03)),
    ),
)
