"""Snow, frost, fog, brightness and spatter against plain implementations of one image."""

import colorsys

import numpy as np
import pytest
import torch
from scipy import ndimage

from scratchcard.data.corruptions import SEVERITIES, corrupt
from scratchcard.data.corruptions.edges import canny, distance_to, equalize
from scratchcard.data.corruptions.filters import clipped_zoom, smear
from scratchcard.data.corruptions.fog import plasma
from scratchcard.data.corruptions.frost import textures
from tests.data.corruptions.scenes import close, draws_of, scenes, truncated


def test_snow_step_by_step() -> None:
    x, draws = scenes(4), draws_of("snow", 4)
    layer = clipped_zoom(draws.normal(1, 32, 32) * 0.3 + 0.15, 1.75)
    layer[layer < 0.55] = 0
    layer = (layer.clamp(0, 1) * 255).floor() / 255
    layer = smear(layer, draws.uniform(1, part=1)[:, 0] * 90 - 135, 10, 4.0)
    p = x.double() / 255
    luminance = 0.299 * p[:, :1] + 0.587 * p[:, 1:2] + 0.114 * p[:, 2:]
    image = 0.9 * p + 0.1 * torch.maximum(p, luminance * 1.5 + 0.5)
    turned = torch.rot90(layer, 2, (2, 3))
    assert float(layer.max()) > 0
    assert close(corrupt(x, "snow", 3), truncated(image + layer + turned))


def test_snow_falls_down() -> None:
    black = torch.zeros(50, 1, 32, 32, dtype=torch.uint8)
    flakes = corrupt(black, "snow", 4).double()
    along = ((flakes[:, :, 2:] - flakes[:, :, :-2]) ** 2).mean()
    across = ((flakes[..., 2:] - flakes[..., :-2]) ** 2).mean()
    assert along < 0.5 * across


def plain_plasma(noise: np.ndarray, decay: float) -> np.ndarray:
    """Diamond-square on a torus, point by point; ``noise`` in [-1, 1]."""
    n = len(noise)
    field, step, wobble = np.zeros((n, n)), n, 100.0

    def settle(y: int, x: int, around: list[tuple[int, int]]) -> None:
        mean = sum(field[a % n, b % n] for a, b in around) / 4
        field[y, x] = mean + wobble**2 * noise[y, x]

    while step >= 2:
        h = step // 2
        for y in range(h, n, step):
            for x in range(h, n, step):
                settle(y, x, [(y - h, x - h), (y - h, x + h), (y + h, x - h), (y + h, x + h)])
        for y in range(0, n, h):
            for x in range(h if y % step == 0 else 0, n, step):
                settle(y, x, [(y - h, x), (y + h, x), (y, x - h), (y, x + h)])
        step, wobble = h, wobble / decay
    field -= field.min()
    field /= field.max()
    return field


@pytest.mark.parametrize(("side", "decay"), [(32, 3.0), (32, 1.75), (64, 2.0)])
def test_plasma_is_diamond_square(side: int, decay: float) -> None:
    draws = draws_of("fog", 2)
    found = plasma(draws, side, decay).double().numpy()
    noise = draws.uniform(side, side).double().numpy() * 2 - 1
    for image in range(2):
        assert np.allclose(found[image], plain_plasma(noise[image], decay), atol=1e-5)


def test_fog_is_plasma_in_front_of_a_darker_image() -> None:
    x, draws = scenes(3), draws_of("fog", 3)
    p = x.double() / 255
    most = p.amax((1, 2, 3), keepdim=True)
    wanted = (p + 0.75 * plasma(draws, 32, 2.5)[:, None]) * most / (most + 0.75)
    assert close(corrupt(x, "fog", 3), truncated(wanted))


def test_fog_of_an_odd_size_is_a_corner_of_the_next_power_of_two() -> None:
    x, draws = scenes(2, 40), draws_of("fog", 2)
    p = x.double() / 255
    most = p.amax((1, 2, 3), keepdim=True)
    mist = plasma(draws, 64, 3.0)[:, None, :40, :40]
    assert close(corrupt(x, "fog", 2), truncated((p + 0.5 * mist) * most / (most + 0.5)))


def test_frost_mixes_in_a_cut_out_of_a_texture() -> None:
    x = scenes(6)
    frosted = corrupt(x, "frost", 3).double()
    cut = (frosted - 0.9 * x.double()) / 0.4 / 255
    bank, draws = textures(160, 0.2), draws_of("frost", 6)
    which = draws.integers(0, 5, 1)[:, 0].tolist()
    tops, lefts = (draws.integers(0, 128, 1, part=part)[:, 0].tolist() for part in (1, 2))
    assert len(set(which)) > 1
    for image, (number, top, left) in enumerate(zip(which, tops, lefts, strict=True)):
        wanted = bank[number, :, top : top + 32, left : left + 32].double()
        inside = frosted[image] < 255
        assert float((cut[image] - wanted)[inside].abs().max()) < 1 / 255 / 0.4 + 1e-3


def test_textures_are_as_bright_as_the_photographs_and_shrink() -> None:
    small, large = textures(160, 0.2), textures(240, 0.3)
    assert float(small.square().mean() ** 0.5) * 255 == pytest.approx(140, abs=5)
    assert float(small.std()) * 255 == pytest.approx(60, abs=10)
    shrunk = torch.nn.functional.interpolate(large, size=(160, 160), mode="area")
    together = torch.stack([shrunk.flatten(), small.flatten()])
    assert float(torch.corrcoef(together)[0, 1]) > 0.9
    others = torch.corrcoef(small.flatten(1)).fill_diagonal_(0)
    assert float(others.abs().max()) < 0.6


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_raises_the_value_of_hsv(severity: int) -> None:
    shift = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    x = scenes(1)
    x[0, :, 0, :4] = torch.tensor([[0, 255, 90, 1], [0, 255, 90, 0], [0, 255, 90, 0]])
    wanted = torch.zeros(3, 32, 32)
    for row in range(32):
        for column in range(32):
            h, s, v = colorsys.rgb_to_hsv(*(x[0, :, row, column] / 255).tolist())
            wanted[:, row, column] = torch.tensor(colorsys.hsv_to_rgb(h, s, min(v + shift, 1)))
    assert close(corrupt(x, "brightness", severity)[0], truncated(wanted), share=0.01)


def test_brightness_shifts_grey_images() -> None:
    x = torch.full((1, 1, 32, 32), 102, dtype=torch.uint8)
    assert set(corrupt(x, "brightness", 4).flatten().tolist()) == {153}


def test_mud_covers_where_the_noise_is_high() -> None:
    x, draws = scenes(2), draws_of("spatter", 2)
    noise = draws.normal(1, 32, 32).double().numpy() * 0.1 + 0.65
    drops = ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7), mode="nearest") > 0.69
    cover = ndimage.gaussian_filter(drops.astype(float), (0, 0, 0.6, 0.6), mode="nearest")
    cover[cover < 0.8] = 0
    mud = np.array([63, 42, 20])[:, None, None] / 255
    wanted = x.double().numpy() / 255 * (1 - cover) + mud * cover
    assert 0.01 < (cover > 0).mean() < 0.5
    assert close(corrupt(x, "spatter", 4), truncated(torch.from_numpy(wanted)))


def test_water_only_brightens_and_only_in_drops() -> None:
    x, draws = scenes(20), draws_of("spatter", 20)
    found = corrupt(x, "spatter", 1).int() - x.int()
    noise = draws.normal(1, 32, 32).double().numpy() * 0.1 + 0.62
    drops = ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7), mode="nearest") >= 0.7
    assert int(found.min()) >= 0
    assert 0.01 < float((found > 0).float().mean()) < 0.4
    assert not (found > 0).numpy()[~np.broadcast_to(drops, found.shape)].any()


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 1.0])
def test_distances_are_scipys(share: float) -> None:
    there = torch.rand(3, 1, 40, 50, generator=torch.Generator().manual_seed(0)) < share
    for image, found in zip(there[:, 0], distance_to(there, 20)[:, 0], strict=True):
        wanted = ndimage.distance_transform_edt(~image) if image.any() else np.full((40, 50), 20)
        assert np.allclose(found, np.minimum(wanted, 20), atol=1e-5)


def test_canny_finds_the_rim_of_a_square() -> None:
    x = torch.zeros(1, 1, 20, 20)
    x[..., 5:15, 5:15] = 200
    edges = canny(x, 50, 150)[0, 0]
    assert edges[10].nonzero()[:, 0].tolist() in ([4, 14], [5, 15], [4, 15], [5, 14])
    assert edges[:, 10].sum() == 2
    assert not edges[:3].any()
    assert not edges[8:12, 8:12].any()
    assert not canny(x * 0.05, 50, 150).any()


def test_weak_edges_need_a_strong_one() -> None:
    fading = torch.zeros(2, 1, 30, 30)
    fading[:, :, :, 15:] = torch.linspace(60, 20, 30)[:, None]  # gradients from 240 down to 80
    fading[1].clamp_(max=35)  # nowhere above 150
    edges = canny(fading, 50, 150)
    assert edges[0, 0, -3].any()
    assert not edges[1].any()


def test_equalised_histograms() -> None:
    x = torch.tensor([10.0, 10, 20, 30, 30, 30, 40, 40]).view(1, 1, 2, 4)
    # Cumulative counts 2, 3, 6, 8, less the 2 of the lowest level, over 6.
    wanted = [0, 0, 42, 170, 170, 170, 255, 255]
    assert equalize(x).flatten().tolist() == pytest.approx(wanted, abs=1)
    same = torch.full((1, 1, 2, 4), 7.0)
    assert torch.equal(equalize(same), same)
