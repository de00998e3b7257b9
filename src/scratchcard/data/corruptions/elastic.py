"""Elastic transform: the image drawn on rubber, pulled at three corners and rippled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import gaussian

if TYPE_CHECKING:
    import torch

Elastic = tuple[float, float, float]


def elastic_transform(x: torch.Tensor, c: Elastic, draws: Draws) -> torch.Tensor:
    """A random affine map, then random displacements smoothed by a Gaussian.

    ``c`` is (height and smoothness of the displacements, reach of the affine map) as shares of the
    shorter side. Both maps interpolate linearly; the affine one mirrors about the last pixel, the
    other about its outer edge. The severities are not monotone in error.
    """
    import torch

    height, width = x.shape[2:]
    amplitude, sigma, reach = (share * min(height, width) for share in c)
    image = _sample(x, _affine(draws, height, width, reach), about_pixel=True)
    field = draws.uniform(2, height, width, part=1) * 2 - 1
    if amplitude == 0:
        return image
    moves = gaussian(field, sigma, truncate=3.0, edge="reflect") * amplitude
    down, across = moves.unbind(1)
    rows, columns = (torch.arange(n, device=x.device) for n in (height, width))
    return _sample(image, (columns + across, rows[:, None] + down), about_pixel=False)


def _affine(
    draws: Draws, height: int, width: int, reach: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each pixel of the pulled image comes from: columns and rows [B, H, W].

    Three corners of a square about the centre, a third of the shorter side in each direction, are
    moved by up to ``reach`` in x and y; the map reads backwards.
    """
    import torch

    device = draws.keys.device
    size = min(height, width) // 3
    centre = torch.tensor([width // 2, height // 2], device=device, dtype=torch.float64)
    square = torch.tensor([[1, 1], [1, -1], [-1, -1]], device=device, dtype=torch.float64)
    corners = centre + size * square
    moved = corners + (draws.uniform(3, 2).double() * 2 - 1) * reach
    # Edges of the moved triangle to edges of the still one, as 2x2 matrices.
    forth = torch.stack([moved[:, 0] - moved[:, 1], moved[:, 2] - moved[:, 1]], 2)
    still = torch.stack([corners[0] - corners[1], corners[2] - corners[1]], 1)
    back = still @ torch.linalg.inv(forth)
    rows, columns = (torch.arange(n, device=device, dtype=torch.float64) for n in (height, width))
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy")).view(2, -1)
    places = back @ (grid - moved[:, 1, :, None]) + corners[1][:, None]
    x, y = places.float().view(-1, 2, height, width).unbind(1)
    return x, y


def _sample(
    x: torch.Tensor, places: tuple[torch.Tensor, torch.Tensor], *, about_pixel: bool
) -> torch.Tensor:
    """Values of [B, C, H, W] between pixels, mirrored about the last pixel or its outer edge."""
    import torch
    from torch.nn.functional import grid_sample

    height, width = x.shape[2:]
    columns, rows = places
    if about_pixel:
        columns, rows = columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1
    else:
        columns, rows = (columns + 0.5) * (2 / width) - 1, (rows + 0.5) * (2 / height) - 1
    return grid_sample(
        x,
        torch.stack([columns, rows], -1),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=about_pixel,
    )


# The official script for images of 224 pixels takes its shares of 244.
SLIP = 244 / 224
ELASTIC_TRANSFORM = Corruption(
    "elastic_transform",
    "digital",
    elastic_transform,
    cifar=(
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    tiny=(
        (0, 0, 0.08),
        (0.05, 0.3, 0.06),
        (0.1, 0.08, 0.06),
        (0.1, 0.03, 0.03),
        (0.16, 0.03, 0.02),
    ),
    imagenet=(
        (2 * SLIP, 0.7 * SLIP, 0.1 * SLIP),
        (2 * SLIP, 0.08 * SLIP, 0.2 * SLIP),
        (0.05 * SLIP, 0.01 * SLIP, 0.02 * SLIP),
        (0.07 * SLIP, 0.01 * SLIP, 0.02 * SLIP),
        (0.12 * SLIP, 0.01 * SLIP, 0.02 * SLIP),
    ),
)
