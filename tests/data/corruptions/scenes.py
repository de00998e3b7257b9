"""Small made-up photographs: smooth ground, objects with sharp rims, and fine texture."""

import math

import torch

from scratchcard import seeds
from scratchcard.data.corruptions.draws import Draws


def scenes(n: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    """``n`` pictures uint8 [n, channels, side, side], each different, the same in every run."""
    generator = seeds.torch_stream(0, "scenes")

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    line = torch.arange(side) / side
    y, x = line[:, None].expand(side, side), line.expand(side, side)
    colours = 0.1 + 0.8 * random(n, 4, channels, 1, 1)
    picture = colours[:, 0] + (colours[:, 1] - colours[:, 0]) * y
    for which in (2, 3):
        cy, cx, radius = (0.2 + 0.6 * random(3, n, 1, 1, 1)).unbind()
        inside = (y - cy) ** 2 + (x - cx) ** 2 < (0.4 * radius) ** 2
        picture = torch.where(inside, colours[:, which], picture)
    waves = torch.sin(2 * math.pi * (5 * x + 3 * y + random(n, 1, 1, 1)))
    picture = picture + 0.04 * waves + 0.03 * torch.randn(picture.shape, generator=generator)
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


def draws_of(kind: str, n: int, seed: int = 0) -> Draws:
    """The draws that ``corrupt`` makes for the first ``n`` images."""
    return Draws.of(kind, seed, torch.arange(n))


def close(found: torch.Tensor, wanted: torch.Tensor, share: float = 1e-3) -> bool:
    """Whether no level is off by more than one, and few at all."""
    off = (found.int() - wanted.int()).abs()
    return int(off.max()) <= 1 and float((off > 0).float().mean()) <= share


def truncated(x: torch.Tensor) -> torch.Tensor:
    """Values of about [0, 1] as levels, the official way but for the thousandth."""
    return (x.clamp(0, 1) * 255 + 1e-3).floor().to(torch.uint8)
