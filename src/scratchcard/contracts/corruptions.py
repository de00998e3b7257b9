"""Natural corruptions by name: what a study can ask for, and what a network's error is told by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scratchcard.contracts.values import Task

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    }
)
"""Names of the kinds of each family, as the official files are called."""
EXTRA: tuple[str, ...] = FAMILIES["extra"]
"""Four kinds for tuning; no mean counts them."""
STANDARD: tuple[str, ...] = tuple(
    kind for family, kinds in FAMILIES.items() if family != "extra" for kind in kinds
)
"""The fifteen kinds that mCE is a mean over."""
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST = 28
"""Fewest pixels of a side: the constants are given in pixels and mean nothing far below 32."""
COLOURED = ("saturate",)
"""Kinds that are defined for RGB images only."""


@dataclass(frozen=True)
class ErrorRates:
    """Mean error rates of some networks, clean and corrupted.

    Attributes:
        clean: On the test split.
        corrupted: By kind, at severities 1 to 5.
    """

    clean: float
    corrupted: Mapping[str, tuple[float, ...]]


def unfit(task: Task) -> str:
    """Why images of a task cannot be corrupted; empty if they can.

    >>> unfit(Task(1, 8, 8, 10))
    'corruptions are defined for images of at least 28 pixels a side, and these have 8x8'
    """
    if min(task.height, task.width) < SMALLEST:
        return (
            f"corruptions are defined for images of at least {SMALLEST} pixels a side, "
            f"and these have {task.width}x{task.height}"
        )
    if task.channels not in (1, 3):
        return (
            f"corruptions are defined for grey and RGB images, and these have {task.channels} "
            "channels"
        )
    return ""
