"""Fog: a bright plasma fractal in front of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws

if TYPE_CHECKING:
    import torch


def fog(x: torch.Tensor, c: tuple[float, float], draws: Draws) -> torch.Tensor:
    """(x + thickness plasma) m / (m + thickness), where m is the image's brightest value.

    ``c`` is (thickness, how much rougher each coarser scale of the plasma is).
    """
    thickness, decay = c
    height, width = x.shape[2:]
    side = 1 << (max(height, width) - 1).bit_length()
    mist = plasma(draws, side, decay)[:, None, :height, :width]
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + thickness * mist) * brightest / (brightest + thickness)


def plasma(draws: Draws, side: int, decay: float) -> torch.Tensor:
    """Plasma fractals from 0 to 1 by the diamond-square algorithm on a torus: [B, side, side].

    Each new point is the mean of its four neighbours plus a uniform number whose range is the
    square of a quantity that ``decay`` divides at every scale.

    Args:
        draws: One number for every point.
        side: A power of two.
        decay: Above 1; the larger, the smoother.
    """
    import torch

    noise = draws.uniform(side, side) * 2 - 1
    field = torch.zeros_like(noise)
    step, wobble = side, 100.0
    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        across = corners + corners.roll(-1, 2)
        middles = (across + across.roll(-1, 1)) / 4 + wobble**2 * noise[:, half::step, half::step]
        field[:, half::step, half::step] = middles
        above = (across + middles + middles.roll(1, 1)) / 4
        field[:, ::step, half::step] = above + wobble**2 * noise[:, ::step, half::step]
        down = corners + corners.roll(-1, 1)
        beside = (down + middles + middles.roll(1, 2)) / 4
        field[:, half::step, ::step] = beside + wobble**2 * noise[:, half::step, ::step]
        step, wobble = half, wobble / decay
    field -= field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True)


FOG = Corruption(
    "fog",
    "weather",
    fog,
    cifar=((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
    tiny=((0.4, 3.0), (0.7, 3.0), (1.0, 2.5), (1.5, 2.0), (2.0, 1.75)),
    imagenet=((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
)
