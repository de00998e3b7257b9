"""Contrast, saturation, elastic transform, pixels and JPEG against plain implementations."""

import colorsys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from scratchcard.data.corruptions import CORRUPTIONS, SEVERITIES, Protocol, corrupt
from tests.data.corruptions.scenes import close, draws_of, scenes, truncated


@pytest.mark.parametrize(
    ("severity", "factor"), list(zip(SEVERITIES, (0.75, 0.5, 0.4, 0.3, 0.15), strict=True))
)
def test_contrast_keeps_the_means_and_shrinks_the_rest(severity: int, factor: float) -> None:
    x = scenes(5).double()
    found = corrupt(x.to(torch.uint8), "contrast", severity).double() + 0.5
    assert torch.allclose(found.mean((2, 3)), x.mean((2, 3)), atol=0.3)
    assert torch.allclose(found.std((2, 3)), factor * x.std((2, 3)), rtol=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_saturation_of_hsv(severity: int) -> None:
    times, plus = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    x = scenes(1)
    x[0, :, 0, :4] = torch.tensor([[0, 255, 90, 1], [0, 255, 90, 0], [0, 255, 90, 0]])
    wanted = torch.zeros(3, 32, 32)
    for row in range(32):
        for column in range(32):
            h, s, v = colorsys.rgb_to_hsv(*(x[0, :, row, column] / 255).tolist())
            new = min(max(s * times + plus, 0), 1)
            wanted[:, row, column] = torch.tensor(colorsys.hsv_to_rgb(h, new, v))
    assert close(corrupt(x, "saturate", severity)[0], truncated(wanted), share=0.01)


def plain_elastic(
    image: np.ndarray, pulls: np.ndarray, field: np.ndarray, c: tuple[float, float, float]
) -> np.ndarray:
    """[C, H, W] in [0, 1]; ``pulls`` [3, 2] and ``field`` [2, H, W] uniform on [-1, 1]."""
    side = image.shape[1]
    alpha, sigma, reach = (share * side for share in c)
    middle, size = side // 2, side // 3
    old = np.array([[middle + size] * 2, [middle + size, middle - size], [middle - size] * 2])
    new = old + pulls * reach
    ones = np.ones((3, 1))
    forth = np.linalg.solve(np.hstack([old, ones]), np.hstack([new, ones])).T  # old to new, 3x3
    back = np.linalg.inv(forth)
    y, x = np.mgrid[:side, :side].astype(float)
    fx, fy, _ = np.einsum("ij,jyx->iyx", back, np.stack([x, y, np.ones_like(x)]))
    pulled = [ndimage.map_coordinates(p, [fy, fx], order=1, mode="mirror") for p in image]
    dy, dx = (
        ndimage.gaussian_filter(f, sigma, mode="reflect", truncate=3) * alpha if sigma else 0 * f
        for f in field
    )
    return np.stack(
        [ndimage.map_coordinates(p, [y + dy, x + dx], order=1, mode="reflect") for p in pulled]
    )


@pytest.mark.parametrize("protocol", ["cifar", "imagenet"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_is_scipys(protocol: Protocol, severity: int) -> None:
    x, draws = scenes(3), draws_of("elastic_transform", 3)
    pulls = draws.uniform(3, 2).double().numpy() * 2 - 1
    field = draws.uniform(2, 32, 32, part=1).double().numpy() * 2 - 1
    c = CORRUPTIONS["elastic_transform"].constants(severity, protocol)
    found = corrupt(x, "elastic_transform", severity, protocol=protocol)
    for image in range(3):
        wanted = plain_elastic(x[image].double().numpy() / 255, pulls[image], field[image], c)
        assert close(found[image], truncated(torch.from_numpy(wanted)), share=5e-3)


def test_elastic_constants_of_imagenet_are_shares_of_244() -> None:
    amplitude, _, _ = CORRUPTIONS["elastic_transform"].constants(5, "imagenet")
    assert amplitude * 224 == pytest.approx(244 * 0.12)


@pytest.mark.parametrize("side", [32, 33, 96])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("protocol", ["cifar", "tiny-imagenet", "imagenet"])
def test_pixelate_gives_pillows_bits(side: int, channels: int, protocol: Protocol) -> None:
    x = scenes(4, side, channels)
    for severity in SEVERITIES:
        share = CORRUPTIONS["pixelate"].constants(severity, protocol)
        found = corrupt(x, "pixelate", severity, protocol=protocol)
        for image in range(4):
            planes = [Image.fromarray(plane.numpy()) for plane in x[image]]
            small = [p.resize((int(side * share),) * 2, Image.Resampling.BOX) for p in planes]
            large = [p.resize((side, side), Image.Resampling.BOX) for p in small]
            assert np.array_equal(found[image].numpy(), np.stack([np.asarray(p) for p in large]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("severity", "quality"), list(zip(SEVERITIES, (80, 65, 58, 50, 40), strict=True))
)
def test_jpeg_gives_pillows_bits(channels: int, severity: int, quality: int) -> None:
    x = scenes(2, 32, channels)
    found = corrupt(x, "jpeg_compression", severity)
    for image in range(2):
        levels = x[image].permute(1, 2, 0).numpy()
        file = BytesIO()
        picture = Image.fromarray(levels[..., 0] if channels == 1 else levels)
        picture.save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            wanted = np.asarray(opened).reshape(levels.shape)
        assert np.array_equal(found[image].permute(1, 2, 0).numpy(), wanted)
