"""Batched crops and flips against a loop over images and pixels."""

import pytest
import torch

from scratchcard import seeds
from scratchcard.data.augment import Draws, augment, draw


def one_by_one(pixels: torch.Tensor, draws: Draws) -> torch.Tensor:
    out = torch.zeros_like(pixels)
    _, _, height, width = pixels.shape
    for b, image in enumerate(pixels):
        for y in range(height):
            for x in range(width):
                row = y + int(draws.top[b]) - draws.pad
                column = (width - 1 - x if draws.flip[b] else x) + int(draws.left[b]) - draws.pad
                if 0 <= row < height and 0 <= column < width:
                    out[b, :, y, x] = image[:, row, column]
    return out


@pytest.mark.parametrize(
    ("shape", "pad", "flip"),
    [
        ((9, 3, 8, 8), 2, True),
        ((5, 1, 6, 9), 4, True),
        ((5, 2, 7, 4), 3, False),
        ((4, 3, 5, 5), 0, True),
    ],
)
def test_same_bits_as_the_loop(shape: tuple[int, ...], pad: int, flip: bool) -> None:
    generator = seeds.torch_stream(0, "test")
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    draws = draw(len(pixels), pad=pad, flip=flip, generator=generator)
    got = augment(pixels, draws)
    assert got.dtype == torch.uint8
    assert torch.equal(got, one_by_one(pixels, draws))


def test_channels_last_gives_the_same() -> None:
    generator = seeds.torch_stream(1, "test")
    pixels = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=generator)
    draws = draw(6, pad=2, flip=True, generator=generator)
    last = pixels.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(last, draws), augment(pixels, draws))


def test_batches_see_what_the_epoch_drew() -> None:
    pixels = torch.randint(0, 256, (20, 1, 5, 5), dtype=torch.uint8)
    draws = draw(20, pad=1, flip=True, generator=seeds.torch_stream(0, "augment", 3))
    whole = augment(pixels, draws)
    order = torch.randperm(20)
    for batch in (order[:6], order[6:]):
        assert torch.equal(augment(pixels[batch], draws[batch]), whole[batch])


def test_draws_are_uniform_and_reproducible() -> None:
    draws, again = (
        draw(50_000, pad=4, flip=True, generator=seeds.torch_stream(0, "augment", 0))
        for _ in range(2)
    )
    assert torch.equal(draws.top, again.top)
    assert torch.equal(draws.flip, again.flip)
    for offsets in (draws.top, draws.left):
        counts = offsets.bincount()
        assert len(counts) == 9
        # Five standard deviations of a binomial with p = 1/9.
        assert (counts - 50_000 / 9).abs().max() < 5 * (50_000 * 8 / 81) ** 0.5
    assert abs(float(draws.flip.float().mean()) - 0.5) < 5 * 0.5 / 50_000**0.5
    assert torch.corrcoef(torch.stack([draws.top, draws.left]).float())[0, 1].abs() < 0.03


def test_nothing_asked_changes_nothing() -> None:
    pixels = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    draws = draw(4, pad=0, flip=False, generator=torch.Generator())
    assert torch.equal(augment(pixels, draws), pixels)
