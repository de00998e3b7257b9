"""One JPEG encoder for sets of different origin: where it comes in, and what it leaves."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, Source, Splits
from scratchcard.data.digits import Digits
from scratchcard.data.held_out import HeldOut
from scratchcard.data.noise import GaussianNoise, UniformNoise
from scratchcard.data.pictures import fit, reencode
from scratchcard.testing import check_dataset

STREAM = np.random.default_rng(0)


def smooth(n: int, channels: int, height: int = 24, width: int = 32) -> Images:
    """Coloured waves, with labels in turn."""
    y, x = np.mgrid[:height, :width] / 8
    phase = STREAM.random((n, channels, 1, 1)) * 6
    pixels = 127 + 120 * np.sin(x + phase) * np.cos(y + 2 * phase)
    return Images(torch.from_numpy(pixels.astype(np.uint8)), torch.arange(n) % 3)


@dataclass(frozen=True, kw_only=True)
class Waves(Dataset):
    channels: int = 3

    def source_task(self) -> Task:
        return Task(self.channels, 24, 32, 3)

    def load(self) -> Source:
        train, test, val = WAVES[self.channels]
        return Source(train, test, val, ("a", "b", "c"))


WAVES = {c: (smooth(12, c), smooth(6, c), smooth(3, c)) for c in (1, 3, 5)}


def encoded(pixels: torch.Tensor, quality: int) -> np.ndarray:
    """One image [C, H, W] after Pillow's JPEG, [H, W, C]."""
    array = pixels.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(array.squeeze()).save(file, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(file)).reshape(array.shape)


def sets(splits: Splits) -> dict[str, Images]:
    named = {name: getattr(splits, name) for name in ("train", "test", "val", "held_out")}
    assert None not in named.values()
    return named


@pytest.mark.parametrize("channels", [1, 3])
def test_every_split_is_what_pillow_makes_of_it(channels: int) -> None:
    data = Waves(channels=channels, held_out=(1,))
    plain, found = sets(data.splits()), sets(replace(data, jpeg=60).splits())
    for name, images in found.items():
        assert torch.equal(images.labels, plain[name].labels)
        assert images.pixels.dtype == torch.uint8
        for before, after in zip(plain[name].pixels, images.pixels, strict=True):
            np.testing.assert_array_equal(after.permute(1, 2, 0), encoded(before, 60))
        assert (images.pixels != plain[name].pixels).any()


def test_colour_is_halved_in_resolution_and_grey_is_not() -> None:
    # Columns red and blue in turn: 4:2:0 averages their chroma, whatever the quality.
    pixels = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    pixels[:, 0, :, ::2] = 200
    pixels[:, 2, :, 1::2] = 200
    images = Images(pixels, torch.zeros(1, dtype=torch.int64))
    red = reencode(images, 100).pixels[0, 0].int()
    assert int((red - pixels[0, 0]).abs().max()) > 60
    grey = Images(pixels[:, :1], images.labels)
    assert int((reencode(grey, 100).pixels.int() - grey.pixels).abs().max()) <= 2


def test_lower_quality_loses_more() -> None:
    images = WAVES[3][0]
    losses = [
        float((reencode(images, q).pixels.float() - images.pixels).square().mean())
        for q in (5, 30, 75, 95)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 5 * losses[-1]


def test_a_foreign_set_is_encoded_after_it_is_made_to_fit() -> None:
    task, source = Task(3, 8, 8, 10), Digits().splits()
    found = Waves(jpeg=40).as_ood(task, source).pixels
    fitted = fit(WAVES[3][1], task)
    assert torch.equal(found, reencode(fitted, 40).pixels)
    early = fit(reencode(WAVES[3][1], 40), task).pixels
    assert not torch.equal(found, early)


@pytest.mark.parametrize("kind", [GaussianNoise, UniformNoise])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_encoded_too(kind: type[UniformNoise], channels: int) -> None:
    task, source = Task(channels, 9, 11, 2), Digits().splits()
    plain, found = (kind(images=4, jpeg=q).as_ood(task, source).pixels for q in (None, 50))
    for before, after in zip(plain, found, strict=True):
        np.testing.assert_array_equal(after.permute(1, 2, 0), encoded(before, 50))


def test_held_out_classes_are_encoded_once_with_the_data() -> None:
    data = Digits(held_out=(3,), jpeg=50)
    images = HeldOut().as_ood(data.task(), data.splits())
    plain = HeldOut().as_ood(data.task(), replace(data, jpeg=None).splits())
    assert torch.equal(images.pixels, reencode(plain, 50).pixels)
    assert not torch.equal(images.pixels, reencode(images, 50).pixels)  # a second time shows
    with pytest.raises(UserError, match="move jpeg to its data table"):
        HeldOut(jpeg=50)


def test_it_makes_the_encoder_say_less_of_the_origin() -> None:
    """A set that was JPEG and one that was not: told apart by what a second pass changes."""
    ours, theirs = smooth(40, 3, 32, 32), reencode(smooth(40, 3, 32, 32), 50)

    def trace(images: Images) -> np.ndarray:
        again = reencode(images, 50).pixels.float()
        return np.asarray((again - images.pixels).abs().mean(dim=(1, 2, 3)))

    def auroc(one: np.ndarray, other: np.ndarray) -> float:
        return float((one[:, None] > other).mean() + (one[:, None] == other).mean() / 2)

    assert auroc(trace(ours), trace(theirs)) > 0.95
    both = [trace(reencode(images, 50)) for images in (ours, theirs)]
    assert auroc(*both) < 0.9


@pytest.mark.parametrize("quality", [0, -1, 101])
@pytest.mark.parametrize("kind", [Digits, UniformNoise])
def test_it_is_no_quality_beyond_100(quality: int, kind: type[Digits] | type[UniformNoise]) -> None:
    with pytest.raises(UserError, match=f"jpeg = {quality}, but must be a quality from 1 to 100"):
        kind(jpeg=quality)


def test_only_grey_and_colour_of_8_bits_can_be_encoded() -> None:
    with pytest.raises(UserError, match=r"5 channels, torch\.uint8, cannot be encoded"):
        Waves(channels=5, jpeg=50).splits()
    floats = Images(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=r"torch\.float32, cannot be encoded"):
        reencode(floats, 50)


class Deaf(Waves):
    """A kind with foreign images of its own that jpeg does not reach."""

    def as_ood(self, task: Task, source: Splits) -> Images:
        return fit(WAVES[3][2], task)


class Sound(Waves):
    def foreign(self, task: Task, source: Splits) -> Images:
        return fit(WAVES[3][2], task)


@pytest.mark.parametrize("make", [Waves, Sound, lambda: Waves(jpeg=30), lambda: Digits(jpeg=90)])
def test_kinds_keep_their_promises(make: Callable[[], Dataset]) -> None:
    check_dataset(make())


def test_a_kind_that_ignores_it_is_told() -> None:
    with pytest.raises(AssertionError, match="ignores jpeg; override foreign"):
        check_dataset(Deaf())
