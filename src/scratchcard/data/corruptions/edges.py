"""Classic steps of image processing on batches [B, 1, H, W] of levels, for spatter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def canny(levels: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Canny edges, bool: ridges of the gradient above ``low`` that touch one above ``high``.

    Sobel gradients of 3x3 pixels, their magnitude as |dx| + |dy|, directions in four sectors.

    Source: Canny, A Computational Approach to Edge Detection, PAMI 1986.
    """
    import torch
    from torch.nn.functional import conv2d, max_pool2d, pad

    sobel = levels.new_tensor(SOBEL)
    framed = pad(levels, (1, 1, 1, 1), mode="replicate")
    slopes = conv2d(framed, torch.stack([sobel, sobel.T])[:, None])
    dx, dy = slopes[:, :1], slopes[:, 1:]
    size = dx.abs() + dy.abs()
    around = pad(size, (1, 1, 1, 1))
    height, width = size.shape[2:]

    def near(down: int, across: int) -> torch.Tensor:
        return around[:, :, 1 + down : 1 + down + height, 1 + across : 1 + across + width]

    flat = dy.abs() < dx.abs() * math.tan(math.pi / 8)
    steep = dy.abs() > dx.abs() * math.tan(3 * math.pi / 8)
    # Of two equal neighbours only one may win, else a ramp of even width has a double ridge.
    falling = (size > near(-1, -1)) & (size > near(1, 1))
    rising = (size > near(-1, 1)) & (size > near(1, -1))
    diagonal = torch.where(dx * dy >= 0, falling, rising)
    across = (size > near(0, -1)) & (size >= near(0, 1))
    down = (size > near(-1, 0)) & (size >= near(1, 0))
    ridge = torch.where(flat, across, torch.where(steep, down, diagonal)) & (size > low)
    edges, grown = ridge & (size > high), ridge & False
    while not torch.equal(edges, grown):
        grown = edges
        edges = ridge & (max_pool2d(grown.float(), 3, stride=1, padding=1) > 0)
    return edges


def distance_to(there: torch.Tensor, longest: int) -> torch.Tensor:
    """Euclidean distance in pixels to the nearest true pixel, at most ``longest``: float32."""
    import torch
    from torch.nn.functional import pad

    height, width = there.shape[2:]
    # Along rows first, then the lower envelope of the squares along columns.
    column = torch.arange(width, device=there.device, dtype=torch.float32)
    before = column - torch.where(there, column, -longest).cummax(3).values
    turned = torch.where(there, width - 1 - column, -longest).flip(3).cummax(3).values.flip(3)
    row = torch.minimum(before, width - 1 - column - turned).clamp(max=longest) ** 2
    tall = pad(row, (0, 0, longest, longest), value=float(longest**2))
    best = row
    for step in range(1, longest):
        above, below = tall[:, :, longest - step :], tall[:, :, longest + step :]
        nearer = torch.minimum(above[:, :, :height], below[:, :, :height]) + step**2
        best = torch.minimum(best, nearer)
    return best.sqrt()


def equalize(levels: torch.Tensor) -> torch.Tensor:
    """Histogram equalisation of whole levels 0 to 255; the lowest level becomes 0.

    An image of one level stays as it is.
    """
    import torch

    flat = levels.view(len(levels), -1).to(torch.int64)
    counts = torch.zeros(len(levels), 256, device=levels.device)
    below = counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32)).cumsum(1)
    lowest = below.gather(1, flat.amin(1, keepdim=True))
    spread = flat.shape[1] - lowest
    mapped = (below.gather(1, flat) - lowest) * (255 / spread.clamp(min=1))
    return torch.where(spread > 0, mapped.round(), flat.float()).view(levels.shape)
