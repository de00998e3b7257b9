"""Public sets that lie beside a development checkout; skipped elsewhere."""

from pathlib import Path

import pytest

from scratchcard.contracts import Task
from scratchcard.data import Splits
from scratchcard.data.parquet import Parquet

SETS = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not SETS.is_dir(), reason="the public sets do not lie beside this checkout (../shared/data)"
)


def small(name: str, test: str, size: int | None = None) -> tuple[Parquet, Splits]:
    folder = SETS / name
    data = Parquet(
        train=folder / "train.parquet",
        test=folder / f"{test}.parquet",
        size=size,
        train_images=400,
        test_images=200,
    )
    return data, data.splits()


def test_cifar10_jpeg() -> None:
    data, splits = small("cifar10-jpeg", "test")
    assert data.task() == Task(3, 32, 32, 10)
    assert splits.classes[:3] == ("airplane", "automobile", "bird")
    assert splits.train.labels.bincount().tolist() == [40] * 10
    # The published channel means of CIFAR-10 are .491, .482 and .447.
    means = splits.train.floats().mean((0, 2, 3)).tolist()
    assert means == pytest.approx([0.491, 0.482, 0.447], abs=0.03)


def test_imagenette_at_32_pixels() -> None:
    data, splits = small("imagenette-128", "val", size=32)
    assert data.task() == Task(3, 32, 32, 10)
    assert splits.test.task_shape == (3, 32, 32)
    assert splits.classes[0] == "tench"


def test_tiny_imagenet_as_ood_for_grey_digits() -> None:
    data, splits = small("tiny-imagenet-32", "val")
    images = data.as_ood(Task(1, 8, 8, 10), splits)
    assert images.task_shape == (1, 8, 8)
    assert len(images) == 200
    grey = splits.test.floats().mean((1, 2, 3))
    assert (images.floats().mean((1, 2, 3)) - grey).abs().max() < 0.1
