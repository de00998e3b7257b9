"""From image files to uint8 tensors, and from one image shape to another, with Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from scratchcard.contracts import Task, UserError
from scratchcard.data.images import Images

if TYPE_CHECKING:
    import torch
    from PIL import Image

Named = tuple[str, Path | IO[bytes]]
"""What to call an image file in an error, and the file."""

MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Encoded:
    """Rows of a source whose images are decoded only when they are taken.

    Attributes:
        labels: Class of each row, int64 [N].
        read: Row numbers to named image files, in their order.
        channels: 3 for RGB, 1 for grey.
        size: Height and width wanted; None if all images have one size.
    """

    labels: torch.Tensor
    read: Callable[[np.ndarray], Iterable[Named]]
    channels: int
    size: int | None

    def take(self, index: torch.Tensor | np.ndarray) -> Images:
        """Decode the rows at ``index``, in its order."""
        import torch

        where = np.asarray(index)
        pixels = decode(self.read(where), len(where), channels=self.channels, size=self.size)
        return Images(pixels, self.labels[torch.as_tensor(where)])


def check_options(channels: int, size: int | None) -> None:
    """Refuse channels and sizes that cannot be decoded to."""
    if channels not in MODES:
        raise UserError(f"channels = {channels}, but must be 3 (RGB) or 1 (grey)")
    if size is not None and size < 1:
        raise UserError(f"size = {size}, but must be a number of pixels such as 32")


def open_image(named: Named, channels: int, size: int | None) -> Image.Image:
    """One image, RGB or grey; its centre square, resized, if ``size`` is given."""
    from PIL import Image

    name, file = named
    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":
                raise UserError(f"{name} has more than 8 bits a channel; convert it to 8 bits")
            picture = image.convert(MODES[channels])
    except OSError as error:
        raise UserError(
            f"{name} cannot be decoded ({error}); replace it or leave it out"
        ) from error
    return picture if size is None else _fit(picture, size, size)


def decode(files: Iterable[Named], n: int, *, channels: int, size: int | None) -> torch.Tensor:
    """Pixels of ``n`` image files, uint8 [n, C, H, W]."""
    import torch

    pixels = np.empty((0, 0, 0, channels), dtype=np.uint8)
    for row, named in enumerate(files):
        array = _array(open_image(named, channels, size))
        if row == 0:
            pixels = np.empty((n, *array.shape), dtype=np.uint8)
        if array.shape != pixels.shape[1:]:
            (height, width, _), (first_height, first_width, _) = array.shape, pixels.shape[1:]
            raise UserError(
                f"images differ in size: {named[0]} has {width}x{height} pixels, the first "
                f"{first_width}x{first_height}; add size = {min(first_height, first_width)} "
                "(or another number) to the data table"
            )
        pixels[row] = array
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def fit(images: Images, task: Task) -> Images:
    """Images in the task's shape; the very same if they have it already."""
    import torch
    from PIL import Image

    if images.task_shape == (task.channels, task.height, task.width):
        return images
    channels = images.task_shape[0]
    if channels not in MODES or task.channels not in MODES:
        raise UserError(
            f"images of {channels} channels cannot be turned into {task.channels}; "
            "only grey (1) and RGB (3) can"
        )
    pixels = np.empty((len(images), task.height, task.width, task.channels), dtype=np.uint8)
    for row, array in enumerate(images.pixels.permute(0, 2, 3, 1).cpu().numpy()):
        picture = Image.fromarray(array[..., 0] if channels == 1 else array)
        picture = _fit(picture.convert(MODES[task.channels]), task.width, task.height)
        pixels[row] = _array(picture)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), images.labels.cpu())


def reencode(images: Images, quality: int) -> Images:
    """The images as they are after JPEG (baseline, 4:2:0, Pillow's tables) at this quality."""
    import torch
    from PIL import Image

    pixels = images.pixels.permute(0, 2, 3, 1).cpu().numpy()
    channels = pixels.shape[-1]
    if pixels.dtype != np.uint8 or channels not in MODES:
        raise UserError(
            f"images of {channels} channels, {images.pixels.dtype}, cannot be encoded as JPEG; "
            "remove jpeg, or take grey (1) or RGB (3) images of 8 bits (torch.uint8)"
        )
    decoded = np.empty_like(pixels)
    for row, array in enumerate(pixels):
        file = io.BytesIO()
        picture = Image.fromarray(array[..., 0] if channels == 1 else array)
        picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
        with Image.open(file) as found:
            decoded[row] = _array(found)
    return Images(torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous(), images.labels.cpu())


def _fit(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Cropped about the centre to the aspect wanted, then resized, antialiased."""
    from PIL import Image, ImageOps

    if picture.size == (width, height):
        return picture
    return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)


def _array(picture: Image.Image) -> np.ndarray:
    """Uint8 [H, W, C], grey images with one channel."""
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array
