"""Networks whose units answer with the channels of their images, and masks drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from scratchcard.data.base import Images
from scratchcard.data.concepts.base import Concepts


def reader(units: int) -> nn.Sequential:
    """A network whose layer "0" answers with the images' channels."""
    torch.manual_seed(0)
    head = nn.Linear(units, 3)
    return nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def images(maps: np.ndarray) -> Images:
    """Of maps [N, U, h, w]."""
    pixels = torch.from_numpy(np.ascontiguousarray(maps, np.float32))
    return Images(pixels, torch.zeros(len(maps), dtype=torch.int64))


def concepts(
    maps: np.ndarray, masks: np.ndarray, categories: Sequence[str] | None = None
) -> Concepts:
    """Images with these channels [N, U, h, w], and concepts a, b, c, ... [K, N, H, W]."""
    names = [chr(ord("a") + k) for k in range(len(masks))]
    return Concepts.of(images(maps), names, categories or ["colour"] * len(masks), masks)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Independent uniform numbers, float32."""
    return np.random.default_rng(seed).random(shape, np.float32)


def blobs(shape: tuple[int, ...], share: float, seed: int = 0, wide: float = 1.5) -> np.ndarray:
    """Masks [..., H, W] that cover this share of all pixels."""
    rough = np.random.default_rng(seed).normal(size=shape)
    smooth = gaussian_filter(rough, (*[0] * (len(shape) - 2), wide, wide))
    return np.asarray(smooth > np.quantile(smooth, 1 - share))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Of two boolean masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def above(maps: np.ndarray, share: float) -> np.ndarray:
    """Where one unit's maps [N, h, w] are among so many of the largest, by sorting."""
    count = max(1, round(share * maps.size))
    return np.asarray(maps > np.sort(maps, axis=None)[-count - 1])
