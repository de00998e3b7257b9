"""Noise: Gaussian, shot, impulse and speckle."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption, floor_levels
from scratchcard.data.corruptions.draws import Draws

if TYPE_CHECKING:
    import torch

BITS = 23
"""Resolution of the Poisson draws; with 8 bits of level in front they fill an int32."""
GUIDE = 9


def gaussian_noise(x: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """N(0, sigma^2) added, independent for every pixel and channel."""
    return draws.normal(*x.shape[1:]).mul_(sigma).add_(x)


def speckle_noise(x: torch.Tensor, sigma: float, draws: Draws) -> torch.Tensor:
    """Adds x N(0, sigma^2): bright pixels vary more."""
    return draws.normal(*x.shape[1:]).mul_(sigma).add_(1).mul_(x)


def impulse_noise(x: torch.Tensor, amount: float, draws: Draws) -> torch.Tensor:
    """Salt and pepper: a share of the values becomes 1 or 0, each with probability 1/2."""
    u = draws.uniform(*x.shape[1:])
    return x.masked_fill(u < amount, 0.0).masked_fill(u < amount / 2, 1.0)


def shot_noise(x: torch.Tensor, photons: float, draws: Draws) -> torch.Tensor:
    """Poisson(x photons) / photons: the noise of counting light.

    Drawn exactly, by inverting the distribution function of each of the 256 levels.
    """
    import torch

    table, guide, shift = (t.to(x.device) for t in _poisson(photons))
    level = floor_levels(x).to(torch.int32)
    u = draws.uniform(*x.shape[1:]).mul_(2**BITS).to(torch.int32)
    key = (level << BITS) + u
    # The guide is rarely more than two entries short, but far in the tails.
    place = guide[key >> BITS - GUIDE]
    for _ in range(2):
        place += table[place] <= key
    late = table[place] <= key
    place[late] = torch.searchsorted(table, key[late], right=True)
    return (place + shift[level]) / photons


@lru_cache(maxsize=5)
def _poisson(photons: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distribution functions of all levels in one sorted table, and where to look in it.

    Returns:
        Table: level 2^23 + floor(2^23 P(count <= k)) for all levels and those k at which that moves
            within the level, int32. A draw passes every entry at or below level 2^23 + u.
        Guide: how many entries each 2^GUIDE-th of a level passes at least, int64.
        Shift: what to add to the entries passed for the count, int64 [256].
    """
    import numpy as np
    import torch
    from scipy.special import pdtr

    levels = np.arange(256)
    counts = np.arange(int(photons + 8 * photons**0.5 + 16))
    steps = np.floor(pdtr(counts, levels[:, None] / 255 * photons) * 2**BITS).astype(np.int64)
    used = (steps > 0) & (steps < 2**BITS)
    table = np.append((levels[:, None] * 2**BITS + steps)[used], 2**31 - 1).astype(np.int32)
    sizes = used.sum(1)
    bins = np.arange(2 ** (8 + GUIDE), dtype=np.int64) << BITS - GUIDE
    shift = (steps == 0).sum(1) - (np.cumsum(sizes) - sizes)
    guide = np.searchsorted(table, bins, side="right")
    return torch.from_numpy(table), torch.from_numpy(guide), torch.from_numpy(shift)


GAUSSIAN_NOISE = Corruption(
    "gaussian_noise",
    "noise",
    gaussian_noise,
    cifar=(0.04, 0.06, 0.08, 0.09, 0.10),
    tiny=(0.04, 0.08, 0.12, 0.15, 0.18),
    imagenet=(0.08, 0.12, 0.18, 0.26, 0.38),
)
SHOT_NOISE = Corruption(
    "shot_noise",
    "noise",
    shot_noise,
    cifar=(500.0, 250.0, 100.0, 75.0, 50.0),
    tiny=(250.0, 100.0, 50.0, 30.0, 15.0),
    imagenet=(60.0, 25.0, 12.0, 5.0, 3.0),
)
IMPULSE_NOISE = Corruption(
    "impulse_noise",
    "noise",
    impulse_noise,
    cifar=(0.01, 0.02, 0.03, 0.05, 0.07),
    tiny=(0.01, 0.02, 0.05, 0.08, 0.14),
    imagenet=(0.03, 0.06, 0.09, 0.17, 0.27),
)
SPECKLE_NOISE = Corruption(
    "speckle_noise",
    "extra",
    speckle_noise,
    cifar=(0.06, 0.10, 0.12, 0.16, 0.20),
    tiny=(0.15, 0.20, 0.25, 0.30, 0.35),
    imagenet=(0.15, 0.20, 0.35, 0.45, 0.60),
)
