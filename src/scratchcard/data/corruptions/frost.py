"""Frost: ice crystals on the lens, from computed textures instead of the official photographs.

Whoever changes the textures raises the version of the stage ``corrupt`` (``plan/builder.py``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import grey

if TYPE_CHECKING:
    import torch

TEXTURES = 5
FULL = 800
"""Side of a texture for images of 224 pixels."""
CELLS = 48
COLD, ICE = (0.06, 0.13, 0.25), (0.86, 0.91, 0.95)


def frost(x: torch.Tensor, c: tuple[float, float, float], draws: Draws) -> torch.Tensor:
    """``c[0]`` x + ``c[1]`` frost, where frost is a random cut-out of one of five textures.

    The official images use five photographs (shrunk by ``c[2]``), which are not part of this
    package. Ours are procedural: cells of parallel needles, in patches, between dark blue and
    white, with the photographs' mean square (140 of 255, as CIFAR-10-C's errors tell it). So the
    strength is alike and the pattern is not: compare this kind only with itself.
    """
    import torch

    share, ice, zoom = c
    height, width = x.shape[2:]
    side = max(round(FULL * zoom), 2 * max(height, width))
    bank = textures(side, zoom).to(x.device)
    which = draws.integers(0, TEXTURES, 1)
    top = draws.integers(0, side - height, 1, part=1)
    left = draws.integers(0, side - width, 1, part=2)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    cut = bank[which[:, :, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return share * x + ice * (grey(cut) if x.shape[1] == 1 else cut)


@lru_cache(maxsize=4)
def textures(side: int, zoom: float) -> torch.Tensor:
    """Five textures in [0, 1], float32 [5, 3, side, side] on the CPU, always the same ones.

    Args:
        side: Pixels of a side.
        zoom: Size of the crystals, 1 for images of 224 pixels.
    """
    import torch

    cold, ice = (torch.tensor(rgb)[:, None, None] for rgb in (COLD, ICE))
    out = []
    for number in range(TEXTURES):
        draws = Draws.of("frost texture", 0, torch.tensor([number]))
        needles = _crystals(draws, side, zoom) + 0.8 * _noise(draws, side, zoom * 200, part=16)
        out.append(cold + (ice - cold) * torch.sigmoid(1.6 * needles - 0.2))
    return torch.stack(out)


def _crystals(draws: Draws, side: int, zoom: float) -> torch.Tensor:
    """Needles, 10 pixels apart and 80 long times ``zoom``: [side, side] of deviation one.

    They run in one direction in each cell of a Voronoi diagram with wavy borders.
    """
    import torch
    from torch.nn.functional import grid_sample

    line = torch.arange(side, dtype=torch.float32)
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    wave = [_noise(draws, side, zoom * 60, part=part) for part in (0, 1)]
    places = (places + torch.stack(wave, -1) * 10 * zoom).view(-1, 2)
    # As many cells at every size, so that one texture is the other, shrunk.
    cells = draws.uniform(CELLS, 2, part=2)[0] * side
    # The nearest centre has the largest p c - c c / 2.
    cell = (places @ cells.T - cells.square().sum(1) / 2).argmax(1)
    turn = (draws.uniform(CELLS, part=3)[0] * torch.pi)[cell]
    x, y = ((places - cells[cell]) / zoom).unbind(1)
    along, across = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    grain = draws.normal(1, 256, 256, part=4)
    total = torch.zeros(side, side)
    for fineness in (1.0, 2.3):
        grid = torch.stack([along / 80, across / 10], -1).view(1, side, side, 2) * fineness / 128
        fine = grid_sample(grain, grid, padding_mode="reflection", align_corners=True)[0, 0]
        total += fine / fineness**0.5
    return (total - total.mean()) / total.std()


def _noise(draws: Draws, side: int, wave: float, part: int) -> torch.Tensor:
    """Smooth noise of deviation one whose features are ``wave`` pixels wide: [side, side]."""
    from torch.nn.functional import interpolate

    knots = round(side / wave) + 3
    coarse = draws.normal(1, knots, knots, part=part)
    fine = interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)[0, 0]
    return (fine - fine.mean()) / fine.std()


FROST = Corruption(
    "frost",
    "weather",
    frost,
    cifar=((1.0, 0.2, 0.2), (1.0, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
    tiny=((1.0, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
    imagenet=(
        (1.0, 0.4, 1.0),
        (0.8, 0.6, 1.0),
        (0.7, 0.7, 1.0),
        (0.65, 0.7, 1.0),
        (0.6, 0.75, 1.0),
    ),
)
