"""Noise: levels measured on flat images, and Poisson draws against their distribution function."""

import numpy as np
import pytest
import torch
from scipy import stats

from scratchcard.data.corruptions import CORRUPTIONS, SEVERITIES, Protocol, corrupt
from scratchcard.data.corruptions.draws import Draws
from scratchcard.data.corruptions.noise import shot_noise


def flat(level: int, n: int = 20) -> torch.Tensor:
    return torch.full((n, 3, 32, 32), level, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("severity", "sigma"), list(zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True))
)
def test_gaussian_noise_level_of_the_small_sets(severity: int, sigma: float) -> None:
    noisy = corrupt(flat(128), "gaussian_noise", severity).double()
    # Truncation to whole levels lowers the mean by 1/2 and adds a variance of 1/12.
    assert float(noisy.mean()) == pytest.approx(127.5, abs=5 * 255 * sigma / noisy.numel() ** 0.5)
    wanted = ((255 * sigma) ** 2 + 1 / 12) ** 0.5
    assert float(noisy.std()) == pytest.approx(wanted, rel=5 / (2 * noisy.numel()) ** 0.5)


@pytest.mark.parametrize(
    ("protocol", "sigma"), [("cifar", 0.06), ("tiny-imagenet", 0.08), ("imagenet", 0.12)]
)
def test_the_protocol_chooses_the_constants(protocol: Protocol, sigma: float) -> None:
    noisy = corrupt(flat(128), "gaussian_noise", 2, protocol=protocol).double()
    assert float(noisy.std()) == pytest.approx(255 * sigma, rel=0.02)


def test_speckle_noise_grows_with_the_pixel() -> None:
    dark, bright = (corrupt(flat(v), "speckle_noise", 4).double().std() for v in (50, 130))
    assert float(dark) == pytest.approx(50 * 0.16, rel=0.02)
    assert float(bright) == pytest.approx(130 * 0.16, rel=0.02)


@pytest.mark.parametrize(
    ("severity", "amount"), list(zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True))
)
def test_impulses_are_half_salt_half_pepper(severity: int, amount: float) -> None:
    noisy = corrupt(flat(100), "impulse_noise", severity)
    error = 5 * (amount / 2 / noisy.numel()) ** 0.5
    for value in (0, 255):
        assert float((noisy == value).double().mean()) == pytest.approx(amount / 2, abs=error)
    assert set(noisy.flatten().tolist()) == {0, 100, 255}


POINTS = (np.arange(2**10) + 0.5) / 2**10


class Given(Draws):
    """Draws that give the same numbers to every level."""

    def uniform(self, *shape: int, part: int = 0) -> torch.Tensor:
        return torch.from_numpy(POINTS).float().expand(1, *shape).clone()


@pytest.mark.parametrize("photons", [500.0, 50.0, 12.0, 3.0])
def test_shot_noise_inverts_the_distribution_function(photons: float) -> None:
    levels = torch.arange(256)[:, None].expand(256, len(POINTS)) / 255
    found = (shot_noise(levels[None], photons, Given(torch.zeros(1)))[0] * photons).round()
    steps = stats.poisson.cdf(np.arange(800), np.arange(256)[:, None] / 255 * photons)
    for count, step in zip(found.numpy(), steps, strict=True):
        near = np.abs(step - POINTS[:, None]).min(1) < 2**-22  # the resolution of the draws
        assert near.mean() < 0.01
        wanted = (step <= POINTS[:, None]).sum(1)
        assert np.array_equal(count[~near], wanted[~near])


def test_shot_noise_has_the_moments_of_counted_light() -> None:
    for severity, photons in ((1, 500), (5, 50)):
        noisy = corrupt(flat(80), "shot_noise", severity).double() + 0.5
        assert float(noisy.mean()) == pytest.approx(80, abs=0.3)
        assert float(noisy.std()) == pytest.approx(255 * (80 / 255 / photons) ** 0.5, rel=0.03)
    assert corrupt(flat(0), "shot_noise", 5).max() == 0


def test_severities_share_their_draws() -> None:
    mild, strong = (corrupt(flat(128), "gaussian_noise", s).double() - 128 for s in (1, 5))
    assert float(torch.corrcoef(torch.stack([mild.flatten(), strong.flatten()]))[0, 1]) > 0.99
    lightly, heavily = (corrupt(flat(9), "impulse_noise", s) != 9 for s in (1, 5))
    assert not (lightly & ~heavily).any()


def test_channels_differ_but_share_the_image() -> None:
    noisy = corrupt(flat(128, 1), "gaussian_noise", 5)[0].double()
    assert float(torch.corrcoef(noisy.flatten(1)).fill_diagonal_(0).abs().max()) < 0.2
    assert len(CORRUPTIONS["gaussian_noise"].cifar) == 5
