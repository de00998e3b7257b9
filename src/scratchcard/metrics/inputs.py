"""A user's images as ``Images``, whatever they come in; pixels are never changed on the way."""

from __future__ import annotations

from inspect import Parameter
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Dataset as Registered
from scratchcard.data.base import Images, Splits
from scratchcard.probe import floats
from scratchcard.registry import DATASETS

Data: TypeAlias = str | Images | Tensor | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]
"""Images with labels, or images alone where labels are not needed."""


def as_images(data: Data, split: str = "test") -> Images:
    """Images and labels in memory, in the order in which ``data`` gives them.

    Args:
        data: The name of a registered data set, ``Images``, a pair of tensors, a data set or a
            loader of such pairs. Images are uint8 or float in [0, 1], [N, C, H, W]; labels are
            integers [N].
        split: Which split of a named data set.

    Raises:
        UserError: Something else, labels missing, or pixels outside [0, 1].

    >>> as_images((torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([3]))).pixels
    tensor([[[[  0, 255]]]], dtype=torch.uint8)
    """
    if isinstance(data, Images):
        return data
    if isinstance(data, str):
        found: Images | None = getattr(_named(data).splits(), split)
        if found is None:
            raise UserError(f'data set "{data}" has no {split} split by itself; pass the images')
        return found
    pixels, labels = _pixels_and_labels(data)
    if labels is None:
        raise UserError("labels are missing: give a pair (images, labels)")
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.ndim != 1:
        raise UserError(
            f"labels must be class numbers [N], not {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) != len(pixels):
        raise UserError(f"{len(pixels)} images have {len(labels)} labels")
    return Images(pixels, labels.long())


def as_pixels(data: Data, like: Images) -> Tensor:
    """Out-of-distribution images alone, uint8 or float32 [N, C, H, W]; labels may be missing.

    Args:
        data: As above; a named data set is made to fit ``like``.
        like: The in-distribution images.
    """
    if isinstance(data, str):
        task = Task(*like.task_shape, classes=2)
        source = Splits(train=like, test=like, val=None, held_out=None, classes=("0", "1"))
        return _named(data).as_ood(task, source).pixels
    return data.pixels if isinstance(data, Images) else _pixels_and_labels(data)[0]


def _named(kind: str) -> Registered:
    """The registered data set of that name, with its default options."""
    spec = DATASETS.get(kind)
    needed = [name for name, (_, default) in spec.parameters.items() if default is Parameter.empty]
    if needed:
        raise UserError(
            f'data set "{kind}" needs {", ".join(needed)}, so it has no name of its own; '
            "pass its images: scratchcard.data." + f"{spec.target.__name__}(...).splits().test"
        )
    dataset = spec.target()
    assert isinstance(dataset, Registered)
    return dataset


def _pixels_and_labels(data: Any) -> tuple[Tensor, Tensor | None]:
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=256)
    if isinstance(data, Tensor):
        return _compact(data), None
    if isinstance(data, DataLoader):
        batches = [_pair(batch) for batch in data]
        if not batches:
            raise UserError("the data loader gives no images")
        chunks = [_compact(pixels) for pixels, _ in batches]
        if any(chunk.dtype != torch.uint8 for chunk in chunks):
            chunks = [floats(chunk) for chunk in chunks]
        return torch.cat(chunks), torch.cat([labels for _, labels in batches])
    pixels, labels = _pair(data)
    return _compact(pixels), labels


def _pair(data: Any) -> tuple[Tensor, Tensor]:
    if isinstance(data, tuple | list) and len(data) == 2:
        pixels, labels = data
        if isinstance(pixels, Tensor) and isinstance(labels, Tensor):
            return pixels, labels
    raise UserError(
        f"data is {type(data).__name__}, but must be a pair of tensors (images, labels), "
        "or a data set or a loader that gives such pairs"
    )


def _compact(pixels: Tensor) -> Tensor:
    """The pixels as uint8 if that is what they are times 1/255, else as float32."""
    if pixels.ndim != 4 or not len(pixels):
        raise UserError(
            f"images must be [N, C, H, W] with at least one image, not {list(pixels.shape)}"
        )
    if pixels.dtype == torch.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not pixels.is_floating_point() or not (low >= 0 and high <= 1):
        raise UserError(
            f"pixels are {pixels.dtype} from {low:g} to {high:g}, but must be uint8, or float "
            "in [0, 1]; normalisation lives inside the model"
        )
    exact = pixels.float()
    rounded = (exact * 255).round().to(torch.uint8)
    return rounded if torch.equal(floats(rounded), exact) else exact
