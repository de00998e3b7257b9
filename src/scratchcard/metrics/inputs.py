"""A user's images as ``Images``, whatever they come in; pixels are never changed on the way."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.probe import floats

Data: TypeAlias = Images | Tensor | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]
"""Images with labels, or images alone where labels are not needed."""


def as_images(data: Data) -> Images:
    """Images and labels in memory, in the order in which ``data`` gives them.

    Args:
        data: ``Images``, a pair of tensors, a data set or a loader of such pairs. Images are
            uint8 or float in [0, 1], [N, C, H, W]; labels are integers [N].

    Raises:
        UserError: Something else, labels missing, or pixels outside [0, 1].

    >>> as_images((torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([3]))).pixels
    tensor([[[[  0, 255]]]], dtype=torch.uint8)
    """
    if isinstance(data, Images):
        return data
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


def as_pixels(data: Data) -> Tensor:
    """The images alone, uint8 or float32 [N, C, H, W]; labels may be missing."""
    return data.pixels if isinstance(data, Images) else _pixels_and_labels(data)[0]


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
        raise UserError(f"images must be [N, C, H, W], not {list(pixels.shape)}")
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
