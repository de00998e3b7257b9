"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption, floor_levels
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.edges import canny, distance_to, equalize
from scratchcard.data.corruptions.filters import gaussian, grey

if TYPE_CHECKING:
    import torch

Spatter = tuple[float, float, float, float, float, bool]
WATER, MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)
EMBOSS = ((-2.0, -1.0, 0.0), (-1.0, 1.0, 1.0), (0.0, 1.0, 2.0))


def spatter(x: torch.Tensor, c: Spatter, draws: Draws) -> torch.Tensor:
    """Drops are what exceeds a threshold in smoothed Gaussian noise.

    Water brightens, embossed by the distance to the rims of the drops; mud covers. ``c`` is (mean
    and standard deviation of the noise, its smoothing, threshold, strength of water or smoothing of
    mud, whether it is mud). An image without drops stays as it is. Distances are exact, those of
    the official script within a few per cent of that.
    """
    import torch

    mean, deviation, smoothing, threshold, strength, muddy = c
    noise = draws.normal(1, *x.shape[2:]) * deviation + mean
    drops = gaussian(noise, smoothing)
    drops = torch.where(drops < threshold, 0, drops)
    colour = x.new_tensor(MUD if muddy else WATER)[None, :, None, None]
    if x.shape[1] == 1:
        colour = grey(colour)
    if muddy:
        cover = gaussian((drops > threshold).float(), strength)
        cover = torch.where(cover < 0.8, 0, cover)
        return x * (1 - cover) + colour * cover
    liquid = floor_levels(drops.clamp(0, 1))  # noise above one would wrap round officially
    film = liquid * _relief(liquid)
    film = film / film.amax((1, 2, 3), keepdim=True).clamp(min=1) * strength
    return x + film * colour


def _relief(liquid: torch.Tensor) -> torch.Tensor:
    """How the light falls on drops, given as levels 0 to 255: the same shape, 0 to 255."""
    from torch.nn.functional import conv2d

    distance = distance_to(canny(liquid, 50, 150), longest=20)
    level = equalize((_mean(distance) + 1e-3).floor())
    emboss = level.new_tensor(EMBOSS)[None, None]
    return _mean(conv2d(_framed(level), emboss).clamp(0, 255)).round()


def _mean(x: torch.Tensor) -> torch.Tensor:
    """Means over 3x3 pixels."""
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(_framed(x), 3, stride=1)


def _framed(x: torch.Tensor) -> torch.Tensor:
    """One more pixel on every side, mirrored about the last."""
    from torch.nn.functional import pad

    return pad(x, (1, 1, 1, 1), mode="reflect")


SPATTER = Corruption(
    "spatter",
    "extra",
    spatter,
    cifar=(
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1.0, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
    tiny=(
        (0.62, 0.1, 0.7, 0.7, 0.6, False),
        (0.65, 0.1, 0.8, 0.7, 0.6, False),
        (0.65, 0.3, 1.0, 0.69, 0.6, False),
        (0.65, 0.1, 0.7, 0.68, 0.6, True),
        (0.65, 0.1, 0.5, 0.67, 0.6, True),
    ),
    imagenet=(
        (0.65, 0.3, 4.0, 0.69, 0.6, False),
        (0.65, 0.3, 3.0, 0.68, 0.6, False),
        (0.65, 0.3, 2.0, 0.68, 0.5, False),
        (0.65, 0.3, 1.0, 0.65, 1.5, True),
        (0.67, 0.4, 1.0, 0.65, 1.5, True),
    ),
)
