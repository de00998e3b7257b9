"""The eleven basic colour names of a pixel, by rules on its hue, saturation and value."""

from __future__ import annotations

import numpy as np

NAMES = (
    "black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"
)  # fmt: skip
"""Berlin and Kay's basic colour terms (1969)."""

BRIGHTNESS = ("dark", "medium", "bright")

HUES = ((14, "red"), (44, "orange"), (68, "yellow"), (168, "green"), (254, "blue"), (286, "purple"))
"""Upper ends in degrees, of saturated and bright colours; what follows is pink, red from 344."""


def colours(pixels: np.ndarray) -> np.ndarray:
    """Each pixel's colour as a place in ``NAMES``.

    Value V is the largest channel, chroma C = V - the smallest, saturation S = C/V, hue in degrees.

    - Black: V < 0.16, or V < 0.21 with C < 0.08. Without chroma (C < 0.12, or S < 0.12) else:
      white from V = 0.88, grey below.
    - Otherwise by hue as ``HUES`` says, but for light red and light purple of the red side, which
      are pink; dark or dull orange and yellow on its side and dark dull red, which are brown; dark
      yellow on the green side, which is green; and dark magenta, which is purple.

    Args:
        pixels: Floats in [0, 1], [N, 3, H, W].

    Returns:
        uint8 [N, H, W].

    >>> rgb = np.array([[1, 0, 0], [0.55, 0.27, 0.07], [1, 0.75, 0.8], [0.5, 0.5, 0.5]])
    >>> [NAMES[k] for k in colours(rgb[:, :, None, None]).ravel()]
    ['red', 'brown', 'pink', 'grey']
    """
    value, low = pixels.max(axis=1), pixels.min(axis=1)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    hue = _hue(pixels, value, chroma)
    ends = [end for end, _ in HUES] + [344]
    table = [NAMES.index(name) for name in [n for _, n in HUES] + ["pink", "red"]]
    name = np.array(table, dtype=np.uint8)[np.digitize(hue, ends)]

    def call(where: np.ndarray, what: str) -> None:
        name[where] = NAMES.index(what)

    reddish = (hue < 20) | (hue >= 325)
    call(reddish & (saturation < 0.6) & (value >= 0.7), "pink")
    call(reddish & (saturation < 0.4) & (value >= 0.55), "pink")
    call(reddish & (saturation < 0.4) & (value < 0.55), "brown")
    call((hue >= 275) & (hue < 325) & (saturation < 0.5) & (value >= 0.75), "pink")
    call((hue >= 286) & (hue < 330) & (value < 0.7), "purple")
    call((hue >= 10) & (hue < 46) & ((value < 0.72) | (saturation < 0.55)), "brown")
    call((hue >= 46) & (hue < 56) & (value < 0.6), "brown")
    call((hue >= 56) & (hue < 68) & (value < 0.65), "green")
    call((chroma < 0.12) | (saturation < 0.12), "grey")
    call(((chroma < 0.12) | (saturation < 0.12)) & (value >= 0.88), "white")
    call((value < 0.16) | ((value < 0.21) & (chroma < 0.08)), "black")
    return np.asarray(name)


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Each grey pixel's third of the scale as a place in ``BRIGHTNESS``.

    Args:
        pixels: Floats in [0, 1], [N, 1, H, W].

    Returns:
        uint8 [N, H, W].
    """
    return np.asarray(np.digitize(pixels[:, 0], (1 / 3, 2 / 3)), dtype=np.uint8)


def _hue(pixels: np.ndarray, value: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """In degrees from 0 (red) by 120 (green) and 240 (blue) to 360; 0 without chroma."""
    red, green, blue = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    safe = np.maximum(chroma, 1e-6)
    sixth = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.asarray(60 * sixth)
