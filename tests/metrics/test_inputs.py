"""Whatever images come in, their pixels and labels arrive unchanged."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.inputs import as_images, as_pixels
from scratchcard.probe import logits

PIXELS = torch.arange(600 * 4, dtype=torch.int64).remainder(256).to(torch.uint8).view(600, 1, 2, 2)
LABELS = torch.arange(600) % 3
ODD = torch.rand(600, 1, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "data",
    [
        Images(PIXELS, LABELS),
        (PIXELS, LABELS),
        (PIXELS / 255, LABELS.int()),
        [PIXELS.double() / 255, LABELS],
        TensorDataset(PIXELS, LABELS),
        DataLoader(TensorDataset(PIXELS / 255, LABELS), batch_size=7),
    ],
)
def test_every_form_gives_the_same_images(data: Any) -> None:
    images = as_images(data)
    assert images.pixels.dtype == torch.uint8
    assert torch.equal(images.pixels, PIXELS)
    assert torch.equal(images.labels, LABELS)
    assert torch.equal(as_pixels(data, images), PIXELS)


def test_floats_between_the_levels_are_kept_as_they_are() -> None:
    images = as_images((ODD, LABELS))
    assert torch.equal(images.floats(), ODD)
    assert torch.equal(images.to("cpu").take(np.array([3, 1])).floats(), ODD[[3, 1]])
    assert torch.equal(as_pixels(ODD, images), ODD)
    found = logits(torch.nn.Flatten(), images.pixels)
    assert np.array_equal(found, ODD.flatten(1).numpy())


def test_data_sets_go_by_name() -> None:
    test, train = as_images("digits"), as_images("digits", "train")
    assert test.task_shape == train.task_shape == (1, 8, 8)
    assert not torch.equal(test.pixels[:9], train.pixels[:9])
    noise = as_pixels("uniform-noise", test)
    assert noise.shape[1:] == test.pixels.shape[1:]
    assert as_pixels("digits", Images(PIXELS, LABELS)).shape[1:] == PIXELS.shape[1:]


def test_names_that_cannot_stand_alone_are_refused() -> None:
    with pytest.raises(UserError, match="needs train, test, so it has no name of its own"):
        as_images("parquet")
    with pytest.raises(UserError, match='did you mean "digits"'):
        as_images("digit")
    with pytest.raises(UserError, match="has no held_out split"):
        as_images("digits", "held_out")


def test_a_loader_whose_batches_differ_in_kind_keeps_both() -> None:
    mixed = torch.cat([PIXELS[:4] / 255, ODD[:4]])
    loader = DataLoader(TensorDataset(mixed, LABELS[:8]), batch_size=4)
    assert torch.equal(as_images(loader).floats(), mixed)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((ODD * 2 - 1, LABELS), "normalisation lives inside the model"),
        ((ODD * float("nan"), LABELS), "normalisation lives inside the model"),
        ((PIXELS.long(), LABELS), "torch.int64 from 0 to 255"),
        ((PIXELS[:, 0], LABELS), r"\[N, C, H, W\] with at least one image, not \[600, 2, 2\]"),
        ((PIXELS, LABELS[:5]), "600 images have 5 labels"),
        ((PIXELS, LABELS.float()), "class numbers"),
        (PIXELS, "labels are missing"),
        ("cifar10", 'unknown data set kind "cifar10"'),
        (DataLoader(TensorDataset(PIXELS[:0], LABELS[:0])), "no images"),
        (TensorDataset(PIXELS), "pair of tensors"),
    ],
)
def test_unusable_data_is_refused(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_images(data)
