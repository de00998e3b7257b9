"""Images with labels, and the splits of a data set before and after a study's choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scratchcard.contracts import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Images:
    """Pixels [N, C, H, W] and labels int64 [N], on one device.

    Data sets give uint8. Pixels of a user's that are no multiples of 1/255 are kept as float32 in
    [0, 1], never rounded.
    """

    pixels: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        import torch

        if self.pixels.dtype not in (torch.uint8, torch.float32) or self.pixels.ndim != 4:
            raise UserError(
                f"pixels are {self.pixels.dtype} {list(self.pixels.shape)}, but must be uint8, "
                "or float32 in [0, 1], [N, C, H, W]"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.pixels.shape[:1]:
            raise UserError(
                f"labels are {self.labels.dtype} {list(self.labels.shape)}, "
                f"but must be int64 [{len(self.pixels)}], one for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def task_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def take(self, index: torch.Tensor | np.ndarray) -> Images:
        """The images at ``index``, in its order."""
        import torch

        where = torch.as_tensor(index, device=self.pixels.device)
        return Images(self.pixels[where], self.labels[where])

    def to(self, device: torch.device | str) -> Images:
        """The same images on ``device``."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def floats(self) -> torch.Tensor:
        """Pixels as float32 in [0, 1]: what a model takes."""
        import torch

        return self.pixels.float() / 255 if self.pixels.dtype == torch.uint8 else self.pixels


class Rows(Protocol):
    """One split of a source: labels at once, pixels only of the rows that are taken."""

    @property
    def labels(self) -> torch.Tensor:
        """Class of every row, int64 [N], on the CPU."""

    def take(self, index: torch.Tensor | np.ndarray) -> Images:
        """Decode the rows at ``index``, in its order."""


@dataclass(frozen=True)
class Source:
    """A data set as its files have it; ``Images`` will do as rows."""

    train: Rows
    test: Rows
    val: Rows | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """What a study uses.

    Attributes:
        train: For training, not augmented.
        test: Looked at once, with the last epoch's weights.
        val: For temperature and early decisions; None if there is none.
        held_out: Test images of the held-out classes with the source's labels; None without any.
        classes: Names of the classes that are left; label k is ``classes[k]``.
    """

    train: Images
    test: Images
    val: Images | None
    held_out: Images | None
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in ("test", "val", "held_out"):
            images: Images | None = getattr(self, part)
            if images is not None and images.task_shape != self.train.task_shape:
                raise UserError(
                    f"images of {part} have the shape {images.task_shape} (channels, height, "
                    f"width), those of train {self.train.task_shape}; bring them to one, with "
                    f"size = {self.train.task_shape[1]} where the data table has that option"
                )
