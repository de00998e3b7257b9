"""Pictures, and networks of which it is known what they see in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from scratchcard.data.base import Images


def pictures(n: int, shape: tuple[int, int, int] = (3, 16, 16), seed: int = 0) -> Images:
    """Smooth patches with a little noise, of three classes."""
    stream = np.random.default_rng(seed)
    wide = max(shape[1:]) / 12
    rough = stream.normal(size=(n, *shape))
    smooth = gaussian_filter(rough, (0, 0, wide, wide)) * 4 * wide
    levels = 128 + 60 * smooth + 4 * stream.normal(size=(n, *shape))
    pixels = torch.from_numpy(np.clip(levels, 1, 255).astype(np.uint8))  # none is black anyway
    return Images(pixels, torch.arange(n) % 3)


class Seeing(nn.Module):
    """Two logits in float64, of what a linear layer sees: a weight for every pixel.

    Attributes:
        shown: How many images it was shown so far, in a list that copies share.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], size: int, scale: float = 4.0) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        weights = torch.randn(size, generator=stream, dtype=torch.float64)
        self.register_buffer("pixels", weights * scale / size**0.5)
        self.logits, self.shown = logits, Shared()

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(len(x))  # which cannot be traced
        return self.logits(x.double().flatten(1) @ self.get_buffer("pixels"))


class Shared(list[Any]):
    """A list that copies of its owner share."""

    def __deepcopy__(self, memo: object) -> Shared:
        return self


def additive(size: int, scale: float = 4.0) -> Seeing:
    """Log-odds are the sum of what it sees in each segment."""
    return Seeing(lambda seen: torch.stack([seen, torch.zeros_like(seen)], dim=1), size, scale)


def additive_in_probability(size: int) -> Seeing:
    """The probability is 1/2 and the sum of what it sees in each segment."""

    def logits(seen: Tensor) -> Tensor:
        p = 0.5 + seen / 20
        assert p.min() > 0
        assert p.max() < 1
        return torch.stack([p, 1 - p], dim=1).log()

    return Seeing(logits, size)


def convolutional(channels: int = 3, classes: int = 3, scale: float = 3.0) -> nn.Sequential:
    """A small network for images of any size, with BatchNorm."""
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(),
        nn.Linear(128, classes),
    ).eval()
    made.get_parameter("5.weight").data *= scale
    return made.requires_grad_(False)
