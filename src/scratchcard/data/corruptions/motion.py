"""Motion blur: the camera moves during the exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scratchcard.data.corruptions.base import Corruption
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.filters import smear

if TYPE_CHECKING:
    import torch


def motion_blur(x: torch.Tensor, c: tuple[int, float], draws: Draws) -> torch.Tensor:
    """Smeared along a line; its direction is uniform on -45 to 45 degrees.

    ``c`` is the radius and sigma of ImageMagick's MotionBlurImage. The result is rounded to 8 bits,
    where the other kinds are truncated.
    """
    return smear(x, draws.uniform(1)[:, 0] * 90 - 45, *c)


MOTION_BLUR = Corruption(
    "motion_blur",
    "blur",
    motion_blur,
    cifar=((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)),
    tiny=((10, 1.0), (10, 1.5), (10, 2.0), (10, 2.5), (12, 3.0)),
    imagenet=((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0)),
)
