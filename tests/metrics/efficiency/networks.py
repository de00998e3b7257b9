"""Networks for the tests of sizes and costs: one small one of each kind, and rows of layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scratchcard.contracts import Task
from scratchcard.models import build

SMALL: dict[str, dict[str, Any]] = {
    "cifar-resnet": {"depth": 8, "width": 4},
    "resnet": {"widths": (4, 4, 8, 8), "stem_width": 4},
    "vgg": {"width": 0.1},
    "wide-resnet": {"depth": 10, "widen": 1},
    "vit": {"dim": 24, "depth": 2},
}
"""Options that make the registered networks small."""


def task(kind: str, channels: int = 3) -> Task:
    """As small as the network takes it."""
    side = 32 if kind == "vgg" else 8
    return Task(channels, side, side, 4)


def small(kind: str, *, channels: int = 3, seed: int = 0) -> nn.Module:
    """A registered network for images of ``channels``."""
    return build(kind, task(kind, channels), SMALL.get(kind, {}), seed)


def data(kind: str, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Two images that fit, and their labels."""
    wanted = task(kind, channels)
    return torch.rand(2, channels, wanted.height, wanted.width), torch.tensor([0, 1])


class Steps(nn.Module):
    """Convolutions of one pixel with these channels; ``keep`` the first output for the end."""

    def __init__(self, *channels: int, keep: bool = False) -> None:
        super().__init__()
        sizes = zip((3, *channels[:-1]), channels, strict=True)
        self.layers = nn.ModuleList([nn.Conv2d(ins, outs, 1) for ins, outs in sizes])
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        """Images, which who called holds on to, to a logit for each row of the last outputs."""
        first: Tensor | None = None
        for layer in self.layers:
            x = layer(x)
            if self.keep and first is None:
                first = x
        out = x.mean((1, 2))
        return out if first is None else out + first.mean((1, 2))
