"""Concepts from labels of pixels: pictures and labels cropped alike, masks gathered by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from scratchcard.contracts import Task, UserError
from scratchcard.data.concepts.base import Concepts, distinct, pack
from scratchcard.data.images import Images
from scratchcard.data.pictures import Named

if TYPE_CHECKING:
    from PIL import Image

Labelled = tuple["Image.Image", Mapping[int, np.ndarray]]
"""A picture in the networks' shape, and of each label in it the packed mask, uint8 [B]."""


def cropped(
    picture: Image.Image, task: Task, size: tuple[int, int], *, smooth: bool
) -> Image.Image:
    """The middle part with the aspect of ``task``, resized to ``size`` (height, width).

    Args:
        picture: Of any size.
        task: Whose height and width give the aspect.
        size: What is wanted.
        smooth: Bilinear and antialiased, for pictures; else the nearest pixel, for labels.
    """
    from PIL import Image

    side = min(picture.width / task.width, picture.height / task.height)
    width, height = side * task.width, side * task.height
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    return picture.resize(
        size[::-1],
        Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST,
        box=(left, top, left + width, top + height),
    )


def open_labels(named: Named) -> Image.Image:
    """An image file that holds numbers, as it is."""
    from PIL import Image

    name, file = named
    try:
        with Image.open(file) as labels:
            return labels.copy()
    except OSError as error:
        raise UserError(f"{name} cannot be decoded ({error}); replace it") from error


def check_mask_size(size: tuple[int, int] | None) -> None:
    """Refuse what is not a height and a width."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise UserError(
            f"mask_size = {list(size)}, but must be height and width in pixels, such as [112, 112]"
        )


def masks_of(labels: np.ndarray) -> dict[int, np.ndarray]:
    """The packed mask of each label in a map [H, W] of them."""
    return {int(label): pack(labels == label) for label in np.unique(labels)}


def gather(
    rows: Iterable[Labelled],
    task: Task,
    size: tuple[int, int],
    named: Callable[[int], tuple[str, str]],
    min_images: int,
) -> Concepts:
    """A concept for each label that is present in ``min_images`` images, by rising label.

    Args:
        rows: Picture by picture; memory holds the masks that are present, and no others.
        task: The networks'.
        size: Height and width of the masks.
        named: Label to name and category.
        min_images: Labels in fewer are left out.
    """
    import torch

    pictures: list[np.ndarray] = []
    found: list[Mapping[int, np.ndarray]] = []
    for picture, masks in rows:
        pictures.append(np.asarray(picture).reshape(task.height, task.width, task.channels))
        found.append(masks)
    counts = Counter(label for masks in found for label in masks)
    labels = sorted(label for label, count in counts.items() if count >= min_images)
    if not labels:
        raise UserError(
            f"no label is present in {min_images} of {len(found)} images; take more images or "
            "lower min_images"
        )
    packed = np.zeros((len(labels), len(found), -(-size[0] * size[1] // 8)), dtype=np.uint8)
    for k, label in enumerate(labels):
        for n, masks in enumerate(found):
            if label in masks:
                packed[k, n] = masks[label]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    images = Images(pixels, torch.zeros(len(found), dtype=torch.long))
    names, categories = zip(*map(named, labels), strict=True)
    return Concepts(images, distinct(names, categories), categories, size, packed)
