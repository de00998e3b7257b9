"""Loss of data: fewer pixels, or JPEG."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws

if TYPE_CHECKING:
    import torch


def pixelate(x: torch.Tensor, share: float, draws: Draws) -> torch.Tensor:
    """Down to ``share`` of the side and up again, both with Pillow's box filter; the same bits."""
    height, width = x.shape[2:]
    levels = (x * 255).round()
    small = _resize(levels, int(height * share), int(width * share))
    return _resize(small, height, width) / 255


def _resize(levels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[B, C, H, W] to another size: columns first, rounded to whole levels after each axis."""
    across = box_matrix(levels.shape[3], width).to(levels.device)
    down = box_matrix(levels.shape[2], height).to(levels.device)
    narrow = (levels @ across.T + 0.5 + 1e-3).floor()  # halves round up, also in float32
    return (down @ narrow + 0.5 + 1e-3).floor()


@lru_cache(maxsize=32)
def box_matrix(old: int, new: int) -> torch.Tensor:
    """Pillow's box filter from ``old`` to ``new`` samples: float32 [new, old] on the CPU.

    A new sample is the plain mean of the old ones whose centres lie within half a new sample of its
    own centre (the nearest one, when enlarging).
    """
    import torch

    scale = old / new
    width = max(scale, 1.0)
    centres = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * scale
    places = torch.arange(old, dtype=torch.float64)
    # In Pillow's order of operations, which decides where a centre lies on the rim.
    distance = (places - centres + 0.5) * (1 / width)
    first, last = (centres - width / 2 + 0.5).floor(), (centres + width / 2 + 0.5).floor()
    inside = ((distance > -0.5) & (distance <= 0.5) & (places >= first) & (places < last)).float()
    return inside / inside.sum(1, keepdim=True)


def jpeg_compression(x: torch.Tensor, quality: int, draws: Draws) -> torch.Tensor:
    """Written and read as JPEG of that quality by Pillow, one image after the other on the CPU."""
    import numpy as np
    import torch
    from PIL import Image

    levels = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    out = np.empty_like(levels)
    for row, image in enumerate(levels):
        file = BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(
            file, "JPEG", quality=quality
        )
        with Image.open(file) as picture:
            out[row] = np.asarray(picture).reshape(image.shape)
    return torch.from_numpy(out).to(x.device).permute(0, 3, 1, 2) / 255


PIXELATE = Corruption(
    "pixelate",
    "digital",
    pixelate,
    cifar=(0.95, 0.9, 0.85, 0.75, 0.65),
    tiny=(0.9, 0.8, 0.7, 0.6, 0.5),
    imagenet=(0.6, 0.5, 0.4, 0.3, 0.25),
)
JPEG_COMPRESSION = Corruption(
    "jpeg_compression",
    "digital",
    jpeg_compression,
    cifar=(80, 65, 58, 50, 40),
    tiny=(65, 58, 50, 40, 25),
    imagenet=(25, 18, 15, 10, 7),
)
