"""Superpixels against a slow copy of their definition, scikit-image, and what must hold of any."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, label
from torch import Tensor
from torch.nn.functional import interpolate

from scratchcard.metrics.interpretability import segments as module
from scratchcard.metrics.interpretability.segments import segments
from tests.metrics.interpretability.seen import pictures

with np.load(Path(__file__).with_name("lime.npz"), allow_pickle=False) as _file:
    ORACLES: dict[str, np.ndarray] = dict(_file)

SHAPES = [(1, 8, 8), (3, 8, 8), (3, 5, 9), (1, 16, 16), (3, 32, 32), (3, 40, 52), (1, 64, 64)]
LARGE = [(3, 128, 128), (1, 224, 224), (3, 224, 224)]


def by_definition(image: np.ndarray) -> np.ndarray:
    """Felzenszwalb and Huttenlocher's parts of an image [C, H, W] in [0, 1], as sets of pixels."""
    _, height, width = image.shape
    larger = max(1.0, (height * width / 1024) ** 0.5)
    smallest = max(4, round(20 * height * width / 1024))
    blurred = gaussian_filter(image, (0, 0.4 * larger, 0.4 * larger))
    edges = [
        (float(np.sqrt(((blurred[:, y, x] - blurred[:, b, a]) ** 2).mean() * 3)), (y, x), (b, a))
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))
        for y in range(height)
        for x in range(width)
        for b, a in [(y + dy, x + dx)]
        if b < height and 0 <= a < width
    ]
    edges.sort(key=lambda edge: edge[0])
    part = {(y, x): frozenset([(y, x)]) for y in range(height) for x in range(width)}
    longest = dict.fromkeys(part.values(), 0.0)

    def unite(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]]) -> None:
        both = one | other
        part.update(dict.fromkeys(both, both))
        longest[both] = length

    for length, one, other in edges:
        bears = [longest[part[p]] + 10 / 255 * larger / len(part[p]) for p in (one, other)]
        if part[one] != part[other] and length < min(bears):
            unite(part[one], part[other])
    for _, one, other in edges:
        if part[one] != part[other] and min(len(part[one]), len(part[other])) < smallest:
            unite(part[one], part[other])
    numbers: dict[frozenset[tuple[int, int]], int] = {}
    found = [numbers.setdefault(part[p], len(numbers)) for p in sorted(part)]
    return np.array(found).reshape(height, width)


def numbered(parts: np.ndarray) -> np.ndarray:
    """The same parts, numbered in the order of reading."""
    numbers: dict[int, int] = {}
    found = [numbers.setdefault(int(part), len(numbers)) for part in parts.ravel()]
    return np.array(found).reshape(parts.shape)


@pytest.mark.parametrize("shape", SHAPES[:5], ids=str)
def test_they_are_those_of_the_definition(shape: tuple[int, int, int]) -> None:
    pixels = pictures(2, shape).pixels
    for image, found in zip(pixels, segments(pixels), strict=True):
        wanted = by_definition(image.float().div(255).double().numpy())
        assert wanted.max() > 0
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_edges_of_equal_length_come_in_order() -> None:
    stream = torch.Generator().manual_seed(0)
    few = torch.randint(0, 3, (3, 1, 12, 12), generator=stream, dtype=torch.uint8) * 100
    for image, found in zip(few, segments(few), strict=True):
        np.testing.assert_array_equal(found.numpy(), by_definition(image.div(255).double().numpy()))


@pytest.mark.parametrize("number", range(7))
def test_they_are_those_of_scikit_image(number: int) -> None:
    found = segments(torch.from_numpy(ORACLES[f"picture {number}"])[None])[0].numpy()
    np.testing.assert_array_equal(found, numbered(ORACLES[f"segments {number}"]))


@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_every_pixel_is_in_one_connected_segment_that_is_not_too_small(
    shape: tuple[int, int, int],
) -> None:
    pixels = pictures(2, shape).pixels
    found = segments(pixels)
    assert found.shape == (2, *shape[1:])
    assert torch.equal(found, segments(pixels))
    for parts in found.numpy():
        np.testing.assert_array_equal(parts, numbered(parts))
        areas = np.bincount(parts.ravel())
        assert areas.min() >= min(max(4, 20 * parts.size // 1024), parts.size)
        for number in range(len(areas)):
            assert label(parts == number, np.ones((3, 3)))[1] == 1


def halves(height: int, width: int) -> Tensor:
    image = torch.zeros(1, 1, height, width)
    image[..., width // 2 :] = 1
    return image


@pytest.mark.parametrize("side", [8, 32, 128, 224])
def test_halves_are_found_at_every_size(side: int) -> None:
    found = segments(halves(side, side))[0]
    assert set(found[:, : side // 2 - side // 8].flatten().tolist()) == {0}
    assert set(found[:, side // 2 + side // 8 :].flatten().tolist()) == {int(found.max())}


def test_a_larger_copy_has_about_as_many() -> None:
    small = pictures(6, (3, 32, 32)).floats()
    counts = []
    for side in (32, 96, 160):
        large = interpolate(small, (side, side), mode="bilinear")
        counts.append(float((segments(large).amax(dim=(1, 2)) + 1.0).mean()))
    assert counts[0] > 5
    assert max(counts) < 1.6 * min(counts), counts


def test_colour_copies_of_grey_images_and_floats_are_the_same() -> None:
    grey = pictures(3, (1, 16, 16))
    found = segments(grey.pixels)
    assert torch.equal(segments(grey.pixels.expand(-1, 3, -1, -1)), found)
    assert torch.equal(segments(grey.floats()), found)


def test_neither_the_batch_nor_how_edges_are_sorted_out_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = pictures(4, (3, 24, 24)).pixels
    found = segments(pixels)
    assert torch.equal(torch.cat([segments(image[None]) for image in pixels]), found)
    for rounds in (1, 3, 50):
        monkeypatch.setattr(module, "ROUNDS", rounds)
        assert torch.equal(segments(pixels), found)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 1), (1, 8, 8)], ids=str)
def test_what_is_flat_or_tiny_is_one_segment(shape: tuple[int, int, int]) -> None:
    assert not segments(torch.full((1, *shape), 0.5)).any()


def test_large_images_take_less_than_a_second() -> None:
    pixels = pictures(1, (3, 224, 224)).pixels
    started = time.process_time()
    segments(pixels)
    assert time.process_time() - started < 1
