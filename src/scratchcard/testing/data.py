"""A conformance suite for data sets: what the base class promises."""

from __future__ import annotations

from dataclasses import replace

import torch

from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, OutOfDistribution, Splits, fingerprint
from scratchcard.data.pictures import reencode


def check_dataset(dataset: Dataset) -> None:
    """Check that a data set keeps the promises of ``scratchcard.data.Dataset``.

    One that can only serve as an out-of-distribution set is checked as such.
    """
    assert fingerprint(dataset.files()) == fingerprint(dataset.files()), "its fingerprint changes"
    if isinstance(dataset, OutOfDistribution):
        any_task = Task(3, 8, 8, 2)
        _check_ood(dataset, any_task, example_splits(any_task))
        _check_encoded(dataset, any_task, example_splits(any_task))
        return
    task, splits = dataset.task(), dataset.splits()
    named = {"train": splits.train, "test": splits.test, "val": splits.val}
    parts = {name: images for name, images in named.items() if images is not None}
    assert len(splits.classes) == task.classes, (
        f"task() says {task.classes} classes, splits() has {len(splits.classes)}"
    )
    again = dataset.splits()
    for name, images in parts.items():
        assert len(images), f"{name} is empty"
        assert images.task_shape == (task.channels, task.height, task.width), (
            f"{name} has images of shape {images.task_shape}, but task() says {task}"
        )
        low, high = int(images.labels.min()), int(images.labels.max())
        assert -1 < low <= high < task.classes, (
            f"{name} has labels from {low} to {high} for {task.classes} classes"
        )
        assert _same(images, getattr(again, name)), f"{name} differs between two calls of splits()"
    _check_disjoint(parts)
    _check_ood(dataset, task, splits)
    other = 3 if task.channels == 1 else 1
    _check_ood(dataset, Task(other, task.height + 1, task.width + 2, 2), splits)
    _check_encoded(dataset, task, splits)


def _check_ood(dataset: Dataset, task: Task, source: Splits) -> None:
    images = dataset.as_ood(task, source)
    assert len(images), "as_ood() gives no image"
    assert images.task_shape == (task.channels, task.height, task.width), (
        f"as_ood() gives images of shape {images.task_shape} for {task}"
    )
    assert _same(images, dataset.as_ood(task, source)), "as_ood() differs between two calls"


def _check_encoded(dataset: Dataset, task: Task, source: Splits) -> None:
    """That a kind with images of its own gives them by ``foreign``, where ``jpeg`` reaches them."""
    try:
        plain, encoded = (replace(dataset, jpeg=quality) for quality in (None, 20))
    except UserError:
        return  # it says by itself that it has no use for the option
    images = plain.as_ood(task, source)
    if images.pixels.dtype == torch.uint8:
        assert _same(encoded.as_ood(task, source), reencode(images, 20)), (
            "as_ood() ignores jpeg; override foreign() in its place"
        )


def _check_disjoint(parts: dict[str, Images]) -> None:
    """Real sets hold a few exact duplicates; more than 5 % is a split gone wrong."""
    rows = {
        name: [image.numpy().tobytes() for image in part.pixels] for name, part in parts.items()
    }
    names = list(rows)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            seen = set(rows[first])
            shared = sum(row in seen for row in rows[second]) / len(rows[second])
            assert shared <= 0.05, f"{shared:.0%} of the images of {second} are in {first} too"


def example_splits(task: Task) -> Splits:
    """Eight random images in every role."""
    shape = (8, task.channels, task.height, task.width)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(8) % task.classes)
    return Splits(images, images, images, images, tuple(str(k) for k in range(task.classes)))


def _same(first: Images, second: Images) -> bool:
    return torch.equal(first.pixels, second.pixels) and torch.equal(first.labels, second.labels)
