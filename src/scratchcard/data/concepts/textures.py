"""Textures of a pixel's surroundings: smooth, fine, coarse, and edges and stripes by direction.

All lengths are shares of the image's shorter side, so that a picture keeps them when it is resized.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DIRECTIONS = ("horizontal", "falling", "vertical", "rising")
"""Of the lines: the brightness changes at 90, 135, 0 and 45 degrees, counted clockwise from right,
as rows are counted downwards."""

NAMES = (
    "smooth",
    "fine texture",
    "coarse texture",
    *(f"{direction} edges" for direction in DIRECTIONS),
    *(f"{direction} stripes" for direction in DIRECTIONS),
)

SHARES = (0.2, 0.1, 0.1, *[0.05] * 8)
"""Of all pixels, how many of the highest responses are said to have the texture."""


def responses(light: np.ndarray) -> Iterator[np.ndarray]:
    """How much each pixel has of each texture of ``NAMES``, one after the other.

    With the gradient g = (g_x, g_y) of the brightness, smoothed by a Gaussian of 1/64 of the
    side (half a pixel at least), and W a mean over a window of 1/3 of the side about the pixel,
    falling off linearly from its middle:

    - Smooth: -W(|g|^2).
    - Fine, coarse: W of the squared brightness between two Gaussians, of no width and 1/32 (0.7
      pixels at least), and of 1/32 and 1/8; times 1 - the coherence, to leave out lone edges.
    - Edges, stripes in a direction: along the gradient's direction d, with p = W(max(g d, 0)^2) and
      n = W(max(-g d, 0)^2), |p - n| and 2 min(p, n): brighter on one side, or changing to and fro.
      Only where the structure tensor W(g g^T) has its main axis within 22.5 degrees of d, times its
      coherence: the difference of its eigenvalues over their sum.

    Args:
        light: Brightness, float32 [N, H, W].

    Yields:
        Float32 [N, H, W]; all but the first are 0 where there is nothing of the texture.
    """
    from scipy.ndimage import gaussian_filter

    side = min(light.shape[1:])

    def blurred(width: float, order: tuple[int, int] = (0, 0)) -> np.ndarray:
        found: np.ndarray = gaussian_filter(
            light, width, order=order, axes=(1, 2), mode="nearest", truncate=3
        )
        return found

    def window(values: np.ndarray) -> np.ndarray:
        return _window(values, side)

    slight = max(0.5, side / 64)
    down, right = blurred(slight, (1, 0)), blurred(slight, (0, 1))
    xx, yy, xy = window(right * right), window(down * down), window(right * down)
    trace = xx + yy
    yield -trace
    fine = blurred(max(0.7, side / 32))
    coherence = np.hypot(xx - yy, 2 * xy) / np.maximum(trace, 1e-6)
    yield window((light - fine) ** 2) * (1 - coherence)
    yield window((fine - blurred(max(1.5, side / 8))) ** 2) * (1 - coherence)
    # Twice the angle has one value for g and -g; in eighths of a turn of it from 90 degrees on.
    place = np.round((np.arctan2(2 * xy, xx - yy) - np.pi) / (np.pi / 2)).astype(np.int8) % 4
    stripes = []
    for number in range(4):
        angle = np.pi / 2 + number * np.pi / 4
        along = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
        up, off = window(np.maximum(along, 0) ** 2), window(np.minimum(along, 0) ** 2)
        weight = coherence * (place == number)
        stripes.append(2 * np.minimum(up, off) * weight)
        yield np.abs(up - off) * weight
    yield from stripes


def _window(values: np.ndarray, side: int) -> np.ndarray:
    """Mean over a window about each pixel: two boxes of a sixth of ``side``, odd, 3 at least."""
    from scipy.ndimage import uniform_filter

    size = max(3, 2 * round((side / 6 - 1) / 2) + 1)
    for _ in range(2):
        values = uniform_filter(values, size, axes=(1, 2), mode="nearest")
    # Running sums leave traces of what they have passed.
    return np.where(np.abs(values) < 1e-7, np.float32(0), values)
