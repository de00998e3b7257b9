"""Filters that several corruptions share: Gaussian and linear blur, zoom, and luminance."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

LUMINANCE = (0.299, 0.587, 0.114)


def grey(x: torch.Tensor) -> torch.Tensor:
    """Luminance of RGB or grey images: [B, C, H, W] to [B, 1, H, W]."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)


@lru_cache(maxsize=32)
def gaussian_matrix(
    n: int, sigma: float, truncate: float, edge: Literal["nearest", "reflect"]
) -> torch.Tensor:
    """Gaussian filter of n samples as a matrix, float32 [n, n] on the CPU.

    The kernel ends at ``truncate`` sigmas and sums to one. Beyond the ends samples continue with
    the last one ("nearest") or mirrored, d c b a | a b c d | d c b a ("reflect").
    """
    import torch

    reach = int(truncate * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets**2).double() / (2 * max(sigma, 1e-9) ** 2))
    weights /= weights.sum()
    places = torch.arange(n)[:, None] + offsets
    if edge == "nearest":
        places = places.clamp(0, n - 1)
    else:
        places = places % (2 * n)
        places = torch.minimum(places, 2 * n - 1 - places)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.scatter_add_(1, places, weights.expand(n, -1)).float()


def gaussian(
    x: torch.Tensor,
    sigma: float,
    *,
    truncate: float = 4.0,
    edge: Literal["nearest", "reflect"] = "nearest",
) -> torch.Tensor:
    """Gaussian blur of [..., H, W]; the defaults are scikit-image's."""
    height, width = x.shape[-2:]
    down = gaussian_matrix(height, sigma, truncate, edge).to(x.device)
    across = gaussian_matrix(width, sigma, truncate, edge).to(x.device)
    return down @ x @ across.T


def clipped_zoom(x: torch.Tensor, factor: float) -> torch.Tensor:
    """The middle of [..., H, W], enlarged to fill the frame, with linear interpolation.

    The middle ceil(H / factor) rows are stretched, corner on corner, to round(rows * factor) rows,
    of which the middle H are kept; columns likewise.
    """
    if factor == 1:
        return x
    down, across = (zoom_matrix(n, factor).to(x.device) for n in x.shape[-2:])
    return down @ x @ across.T


@lru_cache(maxsize=128)
def zoom_matrix(n: int, factor: float) -> torch.Tensor:
    """The zoom of one axis of n samples as a matrix, float32 [n, n] on the CPU."""
    import torch

    kept = math.ceil(n / factor)
    stretched = round(kept * factor)
    trimmed = torch.arange(n, dtype=torch.float64) + (stretched - n) // 2
    places = (n - kept) // 2 + trimmed * ((kept - 1) / (stretched - 1))
    return (1 - (places[:, None] - torch.arange(n)).abs()).clamp(min=0).float()


def smear(x: torch.Tensor, degrees: torch.Tensor, radius: int, sigma: float) -> torch.Tensor:
    """Motion blur of [B, C, H, W] in a direction of each image's own, rounded to 8 bits.

    Half a Gaussian of 2 radius + 1 taps along a line of whole pixels from the pixel itself, as
    ImageMagick's MotionBlurImage has it; beyond the edge the last pixel goes on.

    Args:
        x: Images in [0, 1].
        degrees: Directions, [B]; 0 reads to the right, 90 down.
        radius: Half the number of taps.
        sigma: Width of the Gaussian in pixels.
    """
    import torch

    height, width = x.shape[2:]
    taps = torch.exp(-(torch.arange(2 * radius + 1).double() ** 2) / (2 * sigma**2))
    weights = [w for w in (taps / taps.sum()).tolist() if w >= 1e-7]  # less changes no pixel
    reach = len(weights)
    padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, down, across, H, W], a view
    radians, images = torch.deg2rad(degrees.double()), torch.arange(len(x), device=x.device)
    out = torch.zeros_like(x)
    for i, weight in enumerate(weights):
        across = torch.ceil(i * radians.cos() - 0.5).to(torch.int64) + reach
        down = torch.ceil(i * radians.sin() - 0.5).to(torch.int64) + reach
        out += weight * windows[images, :, down, across]
    return (out * 255).round() / 255
