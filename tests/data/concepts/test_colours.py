"""Colour names against what people call them: the XKCD colour survey that matplotlib ships."""

import colorsys

import numpy as np
import pytest
from matplotlib.colors import CSS4_COLORS, XKCD_COLORS, to_rgb

from scratchcard.data.concepts.colours import BRIGHTNESS, NAMES, brightness, colours


def named(rgb: np.ndarray) -> list[str]:
    """Names of the colours [N, 3]."""
    return [NAMES[k] for k in colours(np.asarray(rgb, dtype=np.float32)[:, :, None, None]).ravel()]


@pytest.mark.parametrize(
    ("name", "css"),
    # The web's own brown is a dark red (hue 0).
    [(n, n) for n in NAMES if n != "brown"]
    + [
        ("red", "crimson"),
        ("brown", "saddlebrown"),
        ("brown", "sienna"),
        ("green", "limegreen"),
        ("green", "olivedrab"),
        ("green", "darkgreen"),
        ("blue", "navy"),
        ("blue", "skyblue"),
        ("blue", "royalblue"),
        ("purple", "indigo"),
        ("purple", "rebeccapurple"),
        ("pink", "hotpink"),
        ("pink", "deeppink"),
        ("orange", "darkorange"),
        ("yellow", "gold"),
        ("grey", "silver"),
        ("grey", "dimgrey"),
        ("white", "whitesmoke"),
    ],
)
def test_colours_of_the_web(name: str, css: str) -> None:
    assert named(np.array([to_rgb(CSS4_COLORS[css])])) == [name]


def test_nine_in_ten_names_of_the_survey() -> None:
    """Of "dark dusty red" and the like the last word, where no other colour is named."""
    found = {}
    for key, value in XKCD_COLORS.items():
        *how, colour = key.removeprefix("xkcd:").split()
        mixed = any(word.endswith("ish") or word in NAMES for word in how)
        if colour in NAMES and not mixed:
            found[" ".join([*how, colour])] = (colour, to_rgb(value))
    assert len(found) > 400
    called = named(np.array([rgb for _, rgb in found.values()]))
    right = [colour == is_ for is_, (colour, _) in zip(called, found.values(), strict=True)]
    assert np.mean(right) > 0.9
    for name in NAMES:
        of_it = [r for r, (colour, _) in zip(right, found.values(), strict=True) if colour == name]
        assert np.mean(of_it) >= 0.5, name


def test_hues_and_saturation_agree_with_the_standard_library() -> None:
    rgb = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    hsv = np.array([colorsys.rgb_to_hsv(*colour) for colour in rgb.tolist()])
    bright = (hsv[:, 1] > 0.65) & (hsv[:, 2] > 0.75)
    ends = {"yellow": (46, 68), "green": (68, 168), "blue": (168, 254), "purple": (254, 275)}
    seen = set()
    for name, (h, _, _) in zip(np.array(named(rgb))[bright], hsv[bright], strict=True):
        for expected, (low, high) in ends.items():
            if low + 0.1 < 360 * h < high - 0.1:
                assert name == expected
                seen.add(name)
    assert len(seen) == 4
    dull = rgb.max(axis=1) - rgb.min(axis=1) < 0.1
    assert dull.any()
    assert set(np.array(named(rgb))[dull]) <= {"black", "white", "grey"}


def test_brightness_in_thirds() -> None:
    grey = np.array([0, 0.33, 0.34, 0.66, 0.67, 1], dtype=np.float32).reshape(1, 1, 2, 3)
    found = [BRIGHTNESS[k] for k in brightness(grey).ravel()]
    assert found == ["dark", "dark", "medium", "medium", "bright", "bright"]
