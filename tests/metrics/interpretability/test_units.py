"""Thresholds, dead units, upsampling, and masks in bits."""

from __future__ import annotations

import numpy as np
import pytest

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.concepts.base import Concepts, pack
from scratchcard.metrics.interpretability import units as module
from scratchcard.metrics.interpretability.bits import Table, Trace, unpack, words
from scratchcard.metrics.interpretability.units import Units
from tests.metrics.interpretability.dissected import blobs, concepts, noise, reader


def of(maps: np.ndarray, size: tuple[int, int], quantile: float = 0.05) -> Units:
    """Of maps [N, U, h, w]."""
    own = concepts(maps, np.ones((1, len(maps), *size), bool))
    return Units.of(reader(maps.shape[1]), own, quantile=quantile)


def masks(units: Units) -> np.ndarray:
    """Of the live units, bool [L, N, H, W]."""
    return np.stack([unpack(mask, units.size) for _, mask in units.live_masks()])


@pytest.mark.parametrize("quantile", [0.005, 0.05, 0.5])
def test_a_unit_is_active_at_the_share_of_places_that_was_asked_for(quantile: float) -> None:
    maps = noise((40, 3, 10, 5))
    found = masks(of(maps, (10, 5), quantile))
    assert found.sum(axis=(1, 2, 3)).tolist() == [quantile * 2000] * 3
    for unit, own in enumerate(found):
        assert maps[:, unit][own].min() > maps[:, unit][~own].max()


def test_thresholds_lie_between_answers_where_rounding_decides_nothing() -> None:
    maps = noise((10, 1, 6, 6))
    limit = of(maps, (6, 6)).thresholds[0]
    assert np.abs(maps - limit).min() > 1e-4


def test_neighbouring_floats_are_told_apart() -> None:
    low = np.nextafter(np.float32(1), np.float32(2))  # half way to the next rounds up
    maps = np.full((4, 1, 5, 5), low)
    maps[0, 0, 0, 0], maps[1:, 0, 0, :2] = 2, np.nextafter(low, np.float32(2))
    maps[:, 0, 1] = 0
    found = of(maps, (5, 5), quantile=0.07)
    np.testing.assert_array_equal(masks(found)[0], maps[:, 0] > low)


def test_dead_units_are_found() -> None:
    maps = noise((20, 6, 5, 5))
    maps[:, 1] = 3  # constant
    maps[:, 2] = 0
    maps[0, 2, 0, :4] = 1, 2, 3, 4  # above its least answer at 4 of 500 places, 25 are asked for
    steps = np.searchsorted([0.5, 0.99], noise((20, 5, 5), 1))
    maps[:, 3] = 100 + steps * np.spacing(np.float32(100))  # but for rounding, constant
    maps[:, 4] = np.maximum(noise((20, 5, 5)) - 0.9, 0)  # at about 50 places
    maps[:, 5] = -maps[:, 4]  # the others are its most active
    found = of(maps, (10, 10))
    assert found.live.tolist() == [0, 4]
    with pytest.raises(NotApplicable, match="layer 0 is dead"):
        of(maps[:, 1:3], (10, 10)).check_alive()


def test_a_unit_that_is_hardly_ever_above_zero_would_be_active_nearly_everywhere() -> None:
    """Why it counts as dead: of a threshold of 0 the upsampled map is above it far too often."""
    maps = np.zeros((4, 1, 4, 4), np.float32)
    maps[0, 0, 1, 1] = 1
    found = of(maps, (32, 32), 0.1)
    assert not len(found.live)
    assert unpack(found.masks(np.array([0])), (32, 32)).sum() > 200


def test_units_that_are_no_numbers_are_dead() -> None:
    maps = noise((4, 3, 4, 4))
    maps[0, 1, 0, 0], maps[0, 2, 0, 0] = np.nan, np.inf
    own = concepts(maps, np.ones((1, 4, 4, 4), bool))
    found = Units.of(reader(3), own, quantile=0.1, checked=False)
    assert found.live.tolist() == [0]
    with pytest.raises(ValueError, match="not a number"):
        Units.of(reader(3), own, quantile=0.1)


def upsampled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, pixel by pixel, with the pixels' centres in line."""
    found = np.empty(size)
    for row, column in np.ndindex(size):
        weights = []
        for place, old, new in zip((row, column), image.shape, size, strict=True):
            at = min(max((place + 0.5) * old / new - 0.5, 0), old - 1)
            weights.append(np.maximum(1 - np.abs(np.arange(old) - at), 0))
        found[row, column] = weights[0] @ image @ weights[1]
    return found


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (4, 4), (16, 12)])
def test_masks_are_those_of_upsampled_maps(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = noise((6, 3, 4, 4))
    units = of(maps, size, 0.1)
    found = masks(units)
    for unit in range(3):
        wanted = np.stack([upsampled(image, size) for image in maps[:, unit]])
        np.testing.assert_array_equal(found[unit], wanted > units.thresholds[unit])
    monkeypatch.setattr(module, "BLOCK", 100)  # one image and unit after another
    np.testing.assert_array_equal(masks(units), found)


def test_options_out_of_range_are_refused() -> None:
    for quantile in (0.0, 1.0, -1.0):
        with pytest.raises(UserError, match="quantile"):
            of(noise((4, 1, 4, 4)), (4, 4), quantile)
    with pytest.raises(ValueError, match="2 images"):
        of(noise((1, 1, 4, 4)), (4, 4))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 15)])
def test_masks_survive_packing(size: tuple[int, int]) -> None:
    found = blobs((3, 4, *size), 0.3)
    packed = words(pack(found))
    assert packed.shape == (3, 4, -(-size[0] * size[1] // 64))
    np.testing.assert_array_equal(unpack(packed, size), found)
    own = Concepts.of(concepts(noise((4, 1, 2, 2)), found).images, "abc", "ddd", found)
    np.testing.assert_array_equal(words(own.packed), packed)


def test_counts_are_those_of_booleans() -> None:
    size = (9, 15)
    named, unit = blobs((5, 7, *size), 0.2), blobs((7, *size), 0.1, seed=1)
    unit[3], named[0] = False, False
    table, trace = Table(concepts(noise((7, 1, 2, 2)), named)), Trace.of(words(pack(unit)))
    assert trace.area == unit.sum()
    np.testing.assert_array_equal(table.areas, named.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(table.shared(trace), (named & unit).sum(axis=(1, 2, 3)))
    images, shared = table.shared_by_image(trace)
    assert images.tolist() == np.flatnonzero(unit.any(axis=(1, 2))).tolist()
    np.testing.assert_array_equal(shared.T, (named & unit)[:, images].sum(axis=(2, 3)))
    order = np.random.default_rng(0).permutation(7)
    moved = np.empty_like(unit)
    moved[order] = unit
    wanted = (named & moved).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(table.shared(table.moved(trace, order)), wanted)
    assert not table.shared(Trace.of(words(pack(np.zeros_like(unit))))).any()
    assert not table.ious(Trace.of(words(pack(np.zeros_like(unit))))).any()
