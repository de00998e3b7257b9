"""Glass blur: the world through frosted glass, pixels moved at random within a small reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption, floor_levels
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import gaussian

if TYPE_CHECKING:
    import torch

Glass = tuple[float, int, int]


def glass_blur(x: torch.Tensor, c: Glass, draws: Draws) -> torch.Tensor:
    """Gaussian blur, pixels moved, Gaussian blur again; ``c`` is (sigma, reach, rounds).

    The official script means to swap each pixel with a near one, from the last pixel back to the
    first, but on colour images both names see the same memory: the near pixel is copied and not
    replaced. That made the official images, so it is done here, on grey images too. The severities
    are not monotone in error, here as there.
    """
    sigma, reach, rounds = c
    batch, channels, height, width = x.shape
    soft = floor_levels(gaussian(x, sigma)).div_(255).view(batch, channels, -1)
    where = sources(draws, height, width, reach, part=0)
    for part in range(1, rounds):
        where = where.gather(1, sources(draws, height, width, reach, part))
    moved = soft.gather(2, where[:, None].expand(-1, channels, -1))
    return gaussian(moved.view(x.shape), sigma)


def sources(draws: Draws, height: int, width: int, reach: int, part: int) -> torch.Tensor:
    """Where each pixel's value comes from after one round of copying: flat places int64 [B, H W].

    Pixels are visited in descending order, so what is copied from a later place is what that place
    was given before: such chains are followed to their end, all at once, by doubling.
    """
    import torch

    device = draws.keys.device
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    row_visited = (rows > reach) & (rows <= height - reach)
    column_visited = (columns > reach) & (columns <= width - reach)
    visited = (row_visited[:, None] & column_visited).view(-1)
    step = draws.integers(-reach, reach, 2, height * width, part=part)
    here = torch.arange(height * width, device=device)
    source = here + visited * (step[:, 0] * width + step[:, 1])
    chained = visited[source] & (source > here)
    while chained.any():
        source, chained = (
            torch.where(chained, source.gather(1, source), source),
            chained & chained.gather(1, source),
        )
    return source


GLASS_BLUR = Corruption(
    "glass_blur",
    "blur",
    glass_blur,
    cifar=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    tiny=((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    imagenet=((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
)
