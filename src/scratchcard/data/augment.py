"""Random crops and flips of whole batches on the device, with draws made beforehand on the CPU.

The draws of an epoch depend on its generator alone, so every device and batch size sees the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Draws:
    """One draw for each of N images.

    Attributes:
        top: First row of the crop within the padded image, int64 [N], from 0 to 2 pad.
        left: First column, likewise.
        flip: Whether the crop is mirrored left to right, bool [N].
        pad: Rows and columns of zeros on every side.
    """

    top: torch.Tensor
    left: torch.Tensor
    flip: torch.Tensor
    pad: int

    def __getitem__(self, index: torch.Tensor) -> Draws:
        """The draws of a batch."""
        return Draws(self.top[index], self.left[index], self.flip[index], self.pad)

    def to(self, device: torch.device | str) -> Draws:
        """The same draws on ``device``."""
        return Draws(self.top.to(device), self.left.to(device), self.flip.to(device), self.pad)


def draw(n: int, *, pad: int, flip: bool, generator: torch.Generator) -> Draws:
    """Draws for one epoch of ``n`` images.

    Args:
        n: How many images.
        pad: Crops move by up to that many pixels each way; 0 for none.
        flip: Whether half of the images are mirrored.
        generator: On the CPU; see ``seeds.torch_stream``.
    """
    import torch

    top, left = torch.randint(0, 2 * pad + 1, (2, n), generator=generator)
    mirrored = torch.rand(n, generator=generator) < (0.5 if flip else 0.0)
    return Draws(top, left, mirrored, pad)


def augment(pixels: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Crop and flip a batch: uint8 [B, C, H, W] to the same shape.

    ``draws`` belongs to these B images and lies on their device.
    """
    import torch
    from torch.nn import functional

    batch, channels, height, width = pixels.shape
    wide = width + 2 * draws.pad
    padded = functional.pad(pixels, (draws.pad,) * 4).reshape(batch, channels, -1)
    rows = torch.arange(height, device=pixels.device) + draws.top[:, None]
    columns = torch.arange(width, device=pixels.device).expand(batch, width)
    columns = torch.where(draws.flip[:, None], width - 1 - columns, columns) + draws.left[:, None]
    where = (rows[:, :, None] * wide + columns[:, None, :]).reshape(batch, 1, height * width)
    return padded.gather(2, where.expand(batch, channels, -1)).reshape(pixels.shape)
