"""Out-of-distribution sets: noise, held-out classes, and other sets in the task's shape."""

import numpy as np
import pytest
import torch
from scipy import stats

from scratchcard.contracts import Task, UserError
from scratchcard.data import Images
from scratchcard.data.digits import Digits
from scratchcard.data.held_out import HeldOut
from scratchcard.data.noise import GaussianNoise, UniformNoise
from scratchcard.data.pictures import fit
from scratchcard.testing import check_dataset

TASK = Task(3, 32, 32, 10)


@pytest.fixture(scope="module")
def gaussian() -> np.ndarray:
    return GaussianNoise(images=200).as_ood(TASK, Digits().splits()).pixels.numpy()


@pytest.mark.parametrize("data", [GaussianNoise(), UniformNoise(), HeldOut()])
def test_promises(data: GaussianNoise | UniformNoise | HeldOut) -> None:
    check_dataset(data)


def test_gaussian_noise_has_the_papers_distribution(gaussian: np.ndarray) -> None:
    values = gaussian / 255
    n = values.size
    # Clipped at two standard deviations on either side: Phi(-2) of the mass on each end, where
    # rounding to 8 bits adds half a level.
    for end in (0.0, 1.0):
        share = stats.norm.cdf(-2 + 0.5 / 255 / 0.25)
        assert (values == end).mean() == pytest.approx(share, abs=5 * np.sqrt(share / n))
    assert values.mean() == pytest.approx(0.5, abs=5 * 0.25 / np.sqrt(n))
    inner = values[(values > 0.25) & (values < 0.75)]
    assert len(inner) / n == pytest.approx(stats.norm.cdf(1) - stats.norm.cdf(-1), abs=0.005)


def test_uniform_noise_is_uniform() -> None:
    pixels = UniformNoise(images=200).as_ood(TASK, Digits().splits()).pixels.numpy()
    counts = np.bincount(pixels.ravel(), minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_noise_follows_its_seed(gaussian: np.ndarray) -> None:
    source = Digits().splits()
    again, other = (GaussianNoise(images=200, split_seed=s).as_ood(TASK, source) for s in (0, 1))
    assert (again.pixels.numpy() == gaussian).all()
    assert (other.pixels.numpy() != gaussian).any()


def test_noise_cannot_be_trained_on() -> None:
    for act in (GaussianNoise().task, UniformNoise().splits, HeldOut().load):
        with pytest.raises(UserError, match="can only serve as an out-of-distribution set"):
            act()
    with pytest.raises(UserError, match="val_images means nothing"):
        GaussianNoise(val_images=5)
    with pytest.raises(UserError, match=r"test_images means nothing .*; say images = 5 instead"):
        GaussianNoise(test_images=5)
    with pytest.raises(UserError, match="images = 0"):
        UniformNoise(images=0)


def test_held_out_gives_the_classes_left_out() -> None:
    data = Digits(held_out=(2, 5))
    images = HeldOut().as_ood(data.task(), data.splits())
    assert set(images.labels.tolist()) == {2, 5}
    with pytest.raises(UserError, match=r"add for example held_out = \[9\]"):
        HeldOut().as_ood(Digits().task(), Digits().splits())


def test_images_that_fit_are_untouched() -> None:
    test = Digits().splits().test
    assert fit(test, Task(1, 8, 8, 2)) is test
    assert torch.equal(Digits().as_ood(Task(1, 8, 8, 2), Digits().splits()).pixels, test.pixels)


def grey(array: np.ndarray) -> Images:
    return Images(torch.from_numpy(array[:, None].astype(np.uint8)), torch.arange(len(array)))


def test_halving_is_antialiased() -> None:
    checks = np.indices((16, 16)).sum(0)[None] % 2 * 255
    flat = fit(grey(checks), Task(1, 8, 8, 2)).pixels[..., 1:-1, 1:-1].int()
    assert (flat - 127).abs().max() <= 2


def test_other_aspects_are_cropped_about_the_centre() -> None:
    array = np.zeros((1, 4, 8))
    array[:, :, 2:6] = 200
    assert (fit(grey(array), Task(1, 4, 4, 2)).pixels == 200).all()


def test_grey_and_rgb() -> None:
    images = grey(np.arange(32).reshape(2, 4, 4))
    colour = fit(images, Task(3, 4, 4, 2))
    assert (colour.pixels == images.pixels).all()
    back = fit(colour, Task(1, 4, 4, 2))
    assert torch.equal(back.pixels, images.pixels)
    assert torch.equal(back.labels, images.labels)
    with pytest.raises(UserError, match="3 channels cannot be turned into 5"):
        fit(colour, Task(5, 4, 4, 2))
