"""Light and colour: brightness, contrast and saturation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws

if TYPE_CHECKING:
    import torch


def brightness(x: torch.Tensor, shift: float, draws: Draws) -> torch.Tensor:
    """HSV value raised by ``shift``, up to 1; hue and saturation stay.

    So all channels of a pixel are multiplied by one factor; black becomes grey.
    """
    import torch

    value = x.amax(1, keepdim=True)
    raised = (value + shift).clamp(max=1)
    return torch.where(value > 0, x * (raised / value), raised)


def contrast(x: torch.Tensor, factor: float, draws: Draws) -> torch.Tensor:
    """Distances to each channel's mean multiplied by ``factor``."""
    means = x.mean((2, 3), keepdim=True)
    return (x - means) * factor + means


def saturate(x: torch.Tensor, c: tuple[float, float], draws: Draws) -> torch.Tensor:
    """HSV saturation times ``c[0]`` plus ``c[1]``, within 0 and 1; hue and value stay.

    So distances to the brightest channel are multiplied by one factor. A grey pixel has hue 0 by
    convention and turns reddish where ``c[1] > 0``, as in the official images.
    """
    import torch

    value = x.amax(1, keepdim=True)
    below = value - x
    saturation = below.amax(1, keepdim=True) / value.clamp(min=1e-9)
    wanted = (saturation * c[0] + c[1]).clamp(0, 1)
    reddish = value * torch.tensor([0.0, 1.0, 1.0], device=x.device)[:, None, None]
    distance = torch.where(saturation > 0, below / saturation.clamp(min=1e-9), reddish)
    return value - distance * wanted


BRIGHTNESS = Corruption(
    "brightness",
    "weather",
    brightness,
    cifar=(0.05, 0.1, 0.15, 0.2, 0.3),
    tiny=(0.1, 0.2, 0.3, 0.4, 0.5),
    imagenet=(0.1, 0.2, 0.3, 0.4, 0.5),
)
CONTRAST = Corruption(
    "contrast",
    "digital",
    contrast,
    cifar=(0.75, 0.5, 0.4, 0.3, 0.15),
    tiny=(0.4, 0.3, 0.2, 0.1, 0.05),
    imagenet=(0.4, 0.3, 0.2, 0.1, 0.05),
)
SATURATE = Corruption(
    "saturate",
    "extra",
    saturate,
    cifar=((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)),
    tiny=((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (30.0, 0.2)),
    imagenet=((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    grey=False,
)
