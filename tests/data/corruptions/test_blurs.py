"""Blurs against plain implementations of one image with NumPy and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scratchcard.data.corruptions import CORRUPTIONS, SEVERITIES, Protocol, corrupt
from scratchcard.data.corruptions.filters import clipped_zoom, gaussian, gaussian_matrix, smear
from scratchcard.data.corruptions.glass import sources
from scratchcard.data.corruptions.smooth import disk
from tests.data.corruptions.scenes import close, draws_of, scenes, truncated

PROTOCOLS: tuple[Protocol, ...] = ("cifar", "tiny-imagenet", "imagenet")


def each(x: torch.Tensor) -> np.ndarray:
    return x.double().numpy()


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.25, 0.4, 1.0, 6.0])
def test_gaussian_is_scipys(sigma: float) -> None:
    x = scenes(2, 40).double() / 255
    wanted = ndimage.gaussian_filter(each(x), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    assert np.allclose(gaussian(x.float(), sigma).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.9, 6.4, 24.0])
def test_gaussian_mirrors_as_often_as_needed(sigma: float) -> None:
    x = scenes(2).double() / 255
    wanted = ndimage.gaussian_filter(each(x), (0, 0, sigma, sigma), mode="reflect", truncate=3)
    found = gaussian(x.float(), sigma, truncate=3.0, edge="reflect")
    assert np.allclose(found.numpy(), wanted, atol=1e-6)


def test_rows_of_a_gaussian_sum_to_one() -> None:
    for edge in ("nearest", "reflect"):
        sums = gaussian_matrix(32, 9.0, 4.0, edge).sum(1)
        assert torch.allclose(sums, torch.ones(32), atol=1e-6)


def test_a_blurred_dot_is_the_kernel() -> None:
    dot = torch.zeros(1, 1, 33, 33)
    dot[0, 0, 16, 16] = 1
    kernel = gaussian(dot, 1.5)[0, 0].double()
    line = torch.arange(33) - 16.0
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert float((kernel.sum(0) * line**2).sum() ** 0.5) == pytest.approx(1.5, rel=0.01)


def plain_disk(radius: float, rim: float) -> np.ndarray:
    """The smoothed disk in its frame, by SciPy."""
    half, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    inside = (x**2 + y**2 <= radius**2).astype(float)
    weights = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * rim**2))
    weights /= weights.sum()
    for axis in (0, 1):
        inside = ndimage.correlate1d(inside, weights, axis, mode="mirror")
    kernel: np.ndarray = inside / (x**2 + y**2 <= radius**2).sum()
    return kernel


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_is_correlation_with_the_disk(protocol: Protocol, severity: int) -> None:
    kind, x = CORRUPTIONS["defocus_blur"], scenes(2, 48)
    radius, rim = kind.constants(severity, protocol)
    kernel = plain_disk(radius, rim)
    assert float(disk(radius, rim).sum()) == pytest.approx(kernel.sum(), abs=1e-5)
    wanted = ndimage.correlate(each(x) / 255, kernel[None, None], mode="mirror")
    found = corrupt(x, "defocus_blur", severity, protocol=protocol)
    assert close(found, truncated(torch.from_numpy(wanted)))


def test_disks_have_the_width_of_their_radius() -> None:
    assert disk(0.3, 0.4).shape == (3, 3)  # one pixel and its smoothed rim
    assert disk(1.5, 0.1).shape == (3, 3)  # the rim is too thin to be seen
    assert disk(10, 0.5).shape == (21, 21)
    for radius in (3.0, 6.0, 10.0):
        kernel = disk(radius, 0.1).double()
        line = torch.arange(len(kernel)) - len(kernel) // 2
        # The mean square distance from the centre of a disk is half its radius squared.
        spread = float((kernel.sum(0) * line**2).sum() * 2)
        assert spread == pytest.approx(radius**2 / 2, rel=0.1)


@pytest.mark.parametrize("side", [32, 33, 96])
@pytest.mark.parametrize("factor", [1.0, 1.01, 1.06, 1.25, 1.75, 2.5, 4.5])
def test_zoom_is_scipys(side: int, factor: float) -> None:
    image = each(scenes(1, side)[0]) / 255
    kept = math.ceil(side / factor)
    top = (side - kept) // 2
    middle = image[:, top : top + kept, top : top + kept]
    zoomed = ndimage.zoom(middle, (1, factor, factor), order=1)
    trim = (zoomed.shape[1] - side) // 2
    wanted = zoomed[:, trim : trim + side, trim : trim + side]
    found = clipped_zoom(torch.from_numpy(image)[None].float(), factor)[0]
    assert np.allclose(found.numpy(), wanted, atol=1e-5)


def test_zoom_blur_averages_the_image_and_its_zooms() -> None:
    x = scenes(2)
    factors = CORRUPTIONS["zoom_blur"].constants(1, "cifar")
    # The last factor is there only by binary rounding, and the first counts the image twice.
    assert factors == pytest.approx((1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06))
    assert CORRUPTIONS["zoom_blur"].constants(3, "cifar")[-1] == pytest.approx(1.15)
    images = [x / 255, *(clipped_zoom(x / 255, factor) for factor in factors)]
    assert close(corrupt(x, "zoom_blur", 1), truncated(torch.stack(images).mean(0)))


def plain_smear(image: np.ndarray, degrees: float, radius: int, sigma: float) -> np.ndarray:
    """[C, H, W] in [0, 1], pixel by pixel."""
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    _, height, width = image.shape
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for i, weight in enumerate(weights):
                row = y + math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
                column = x + math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
                inside = image[:, min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
                out[:, y, x] += weight * inside
    rounded: np.ndarray = np.rint(out * 255) / 255
    return rounded


@pytest.mark.parametrize("degrees", [-135.0, -90.0, -44.9, 0.0, 12.3, 40.0])
def test_motion_blur_follows_a_line(degrees: float) -> None:
    x = scenes(2, 28)[:1] / 255
    found = smear(x, torch.tensor([degrees]), 8, 2.0)
    wanted = plain_smear(each(x[0]), degrees, 8, 2.0)
    assert close((found[0] * 255).round(), torch.from_numpy(wanted * 255).round())


def test_motion_blur_draws_one_direction_an_image_within_45_degrees() -> None:
    x = scenes(3, 32, channels=1)
    degrees = (draws_of("motion_blur", 300).uniform(1) * 90 - 45)[:, 0]
    assert -45 <= float(degrees.min()) < -44
    assert 44 < float(degrees.max()) < 45
    blurred = [plain_smear(each(x[i]) / 255, float(degrees[i]), 9, 2.5) for i in range(3)]
    wanted = torch.from_numpy(np.stack(blurred) * 255).round()
    assert close(corrupt(x, "motion_blur", 5), wanted)


def plain_glass(draws: torch.Tensor, side: int, reach: int, *, swap: bool) -> np.ndarray:
    """Flat places that pixels come from, one pixel after the other; ``draws`` is [2, side^2]."""
    place = np.arange(side * side).reshape(side, side)
    dy, dx = draws.view(2, side, side).numpy()
    for h in range(side - reach, reach, -1):
        for w in range(side - reach, reach, -1):
            near = h + dy[h, w], w + dx[h, w]
            here, there = place[h, w], place[near]
            place[h, w] = there
            if swap:
                place[near] = here
    return place.reshape(-1)


@pytest.mark.parametrize("reach", [1, 2, 3, 4])
def test_glass_copies_as_the_official_loop_does(reach: int) -> None:
    draws = draws_of("glass_blur", 3)
    found = sources(draws, 32, 32, reach, part=1)
    steps = draws.integers(-reach, reach, 2, 32 * 32, part=1)
    for image in range(3):
        wanted = plain_glass(steps[image], 32, reach, swap=False)
        assert np.array_equal(found[image].numpy(), wanted)
        assert not np.array_equal(plain_glass(steps[image], 32, reach, swap=True), wanted)


def test_why_the_official_swap_is_a_copy() -> None:
    x = np.array([[1, 1, 1], [2, 2, 2]])
    x[0], x[1] = x[1], x[0]
    assert x.tolist() == [[2, 2, 2], [2, 2, 2]]


def test_glass_blur_of_two_rounds() -> None:
    x, draws = scenes(2), draws_of("glass_blur", 2)
    found = corrupt(x, "glass_blur", 5)
    for image in range(2):
        soft = ndimage.gaussian_filter(each(x[image]) / 255, (0, 0.4, 0.4), mode="nearest")
        flat = np.floor(soft * 255 + 1e-3).reshape(3, -1) / 255
        for part in (0, 1):
            steps = draws.integers(-1, 1, 2, 32 * 32, part=part)[image]
            flat = flat[:, plain_glass(steps, 32, 1, swap=False)]
        wanted = ndimage.gaussian_filter(flat.reshape(3, 32, 32), (0, 0.4, 0.4), mode="nearest")
        assert close(found[image], truncated(torch.from_numpy(wanted)), share=2e-3)


@pytest.mark.parametrize("kind", ["gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur"])
@pytest.mark.parametrize("level", [1, 127, 254])
def test_flat_images_stay_as_they_are(kind: str, level: int) -> None:
    x = torch.full((2, 3, 32, 32), level, dtype=torch.uint8)
    for severity in SEVERITIES:
        assert torch.equal(corrupt(x, kind, severity), x)
        assert torch.equal(corrupt(x, kind, severity, protocol="tiny-imagenet"), x)
