"""Snow: bright flakes that fall, over a paler image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption, floor_levels
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import clipped_zoom, grey, smear

if TYPE_CHECKING:
    import torch

Snow = tuple[float, float, float, float, int, float, float]


def snow(x: torch.Tensor, c: Snow, draws: Draws) -> torch.Tensor:
    """Flakes are what exceeds a threshold in Gaussian noise, enlarged and smeared.

    They are added twice, the second time turned by 180 degrees, to the image mixed with its
    brightened luminance. ``c`` is (mean and standard deviation of the noise, zoom, threshold,
    radius and sigma of the motion blur, share of the original image); the direction is uniform on
    -135 to -45 degrees.
    """
    import torch

    mean, deviation, zoom, threshold, radius, sigma, share = c
    layer = clipped_zoom(draws.normal(1, *x.shape[2:]) * deviation + mean, zoom)
    layer = torch.where(layer < threshold, 0, layer).clamp_(0, 1)
    degrees = draws.uniform(1, part=1)[:, 0] * 90 - 135
    flakes = smear(floor_levels(layer) / 255, degrees, radius, sigma)
    pale = torch.maximum(x, grey(x) * 1.5 + 0.5)
    return share * x + (1 - share) * pale + flakes + flakes.flip(2, 3)


SNOW = Corruption(
    "snow",
    "weather",
    snow,
    cifar=(
        (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
    ),
    tiny=(
        (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.8),
        (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.6),
    ),
    imagenet=(
        (0.1, 0.3, 3.0, 0.5, 10, 4.0, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4.0, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8.0, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8.0, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12.0, 0.55),
    ),
)
