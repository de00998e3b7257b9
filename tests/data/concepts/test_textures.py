"""Textures against pictures that are made of one of them."""

import numpy as np
import pytest

from scratchcard.data.concepts.textures import DIRECTIONS, NAMES, SHARES, responses

SIDES = (8, 28, 32, 128, 224)

ACROSS = {"horizontal": (1, 0), "vertical": (0, 1), "rising": (1, 1), "falling": (1, -1)}
"""Down and right: where the brightness of such lines changes. Rising lines are those of a slash."""


def response(light: np.ndarray) -> dict[str, np.ndarray]:
    """Of one image [H, W], by name."""
    found = [values[0] for values in responses(light[None].astype(np.float32))]
    return dict(zip(NAMES, found, strict=True))


def coordinate(side: int, direction: str) -> np.ndarray:
    """Distance across the lines from the image's middle, in sides."""
    down, right = ACROSS[direction]
    y, x = np.mgrid[:side, :side] / side - (side - 1) / side / 2
    return np.asarray((down * y + right * x) / np.hypot(down, right))


def middle(values: np.ndarray) -> float:
    n = len(values)
    return float(values[n * 3 // 8 : -(n * 3 // 8), n * 3 // 8 : -(n * 3 // 8)].mean())


def test_names_and_shares() -> None:
    assert len(NAMES) == len(SHARES) == 3 + 2 * len(DIRECTIONS)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_stripes_and_edges_by_direction(side: int, direction: str) -> None:
    place = coordinate(side, direction)
    waves = min(4, side // 4)  # of 4 pixels at least
    stripes = response(0.5 + 0.4 * np.sin(2 * np.pi * waves * place))
    edge = response(np.where(place > 0, 0.9, 0.1))
    for picture, kind in ((stripes, "stripes"), (edge, "edges")):
        strength = {name: middle(picture[name]) for name in NAMES[3:]}
        highest = strength.pop(f"{direction} {kind}")
        assert highest > 1.5 * max(strength.values())


def test_a_slash_rises() -> None:
    """Drawn by hand, against a mix-up of rows and columns."""
    slash = np.zeros((32, 32))
    for k in range(32):
        slash[31 - k, k] = 1
    found = response(slash)
    assert middle(found["rising stripes"]) > 100 * middle(found["falling stripes"])


@pytest.mark.parametrize("side", SIDES)
def test_nothing_where_nothing_is(side: int) -> None:
    found = response(np.full((side, side), 0.7))
    assert all((values == 0).all() for values in found.values())


@pytest.mark.parametrize("side", SIDES[1:])
def test_fine_coarse_and_smooth(side: int) -> None:
    y, x = np.mgrid[:side, :side] / side
    waves = {
        k: response(0.5 + 0.4 * np.sin(2 * np.pi * k * x) * np.sin(2 * np.pi * k * y))
        for k in (1, 3, 10)
    }
    fine = {k: middle(found["fine texture"]) for k, found in waves.items()}
    coarse = {k: middle(found["coarse texture"]) for k, found in waves.items()}
    smooth = {k: middle(found["smooth"]) for k, found in waves.items()}
    assert fine[10] > 3 * max(fine[1], fine[3])
    assert coarse[3] > 3 * max(coarse[1], coarse[10])
    assert smooth[1] == max(smooth.values())


def test_a_lone_edge_is_no_fine_texture() -> None:
    rng = np.random.default_rng(0)
    edge = response(np.where(coordinate(32, "vertical") > 0, 1.0, 0.0))
    noise = response(0.5 + 0.2 * rng.standard_normal((32, 32)))
    assert middle(noise["fine texture"]) > 10 * middle(edge["fine texture"])


def test_a_turned_picture_has_turned_textures() -> None:
    light = np.random.default_rng(1).random((24, 24))
    found, turned = response(light), response(np.rot90(light))
    assert np.allclose(np.rot90(found["smooth"]), turned["smooth"], atol=1e-5)
    for one, other in (("horizontal", "vertical"), ("rising", "falling")):
        for kind in ("edges", "stripes"):
            expected = np.rot90(found[f"{one} {kind}"])
            # The few pixels whose direction lies between two are told by their last bit.
            same = np.isclose(expected, turned[f"{other} {kind}"], atol=1e-5)
            assert same.mean() > 0.99
            assert expected.any()


def test_a_resized_picture_keeps_its_textures() -> None:
    """The same sum of waves, of up to ten a side, at two resolutions."""
    rng = np.random.default_rng(2)
    waves = rng.uniform(-10, 10, (30, 2))
    phase = rng.uniform(0, 1, 30)

    def picture(side: int) -> np.ndarray:
        place = (np.mgrid[:side, :side] + 0.5) / side
        angle = np.tensordot(waves, place, axes=1) + phase[:, None, None]
        return np.asarray(np.cos(2 * np.pi * angle).mean(axis=0))

    small, large = response(picture(64)), response(picture(192))
    for name in NAMES:
        # The middle of three pixels lies where the one pixel lies.
        assert np.corrcoef(small[name].ravel(), large[name][1::3, 1::3].ravel())[0, 1] > 0.9, name
