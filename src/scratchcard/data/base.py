"""What every kind of data set is: fields, splits, and its use as an out-of-distribution set.

A kind supplies the source; holding out classes, limits and validation are done here, by seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.choose import choose

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


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A kind of data set; its fields are the options of a study's data table.

    Attributes:
        val_images: How many images are taken from train for validation, each class by its share,
            where the source has no validation split.
        train_images: Keep only that many for training, an equal number a class as far as possible;
            all if absent.
        test_images: The same for testing.
        held_out: Classes (numbers, from 0) removed from every split; the others are renumbered
            without gaps. Their test images can serve as an out-of-distribution set.
        split_seed: Decides which images are taken wherever only some are; the same for every
            seed of the study.
    """

    val_images: int = 0
    train_images: int | None = None
    test_images: int | None = None
    held_out: tuple[int, ...] = ()
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.val_images < 0:
            raise UserError(f"val_images = {self.val_images} is negative; 0 means no validation")
        for name in ("train_images", "test_images"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UserError(f"{name} = {count} keeps no image; leave it out to keep them all")

    def files(self) -> Mapping[str, Path]:
        """The files that the content fingerprint covers, by name within the data set.

        A name says the file's part (``train/cat/1.png``) and nothing of the machine. Nothing to
        cover, the default, is right for a set that is computed.
        """
        return {}

    @abstractmethod
    def source_task(self) -> Task:
        """What a model of the whole source must fit; cheap, nothing is decoded."""

    @abstractmethod
    def load(self) -> Source:
        """The whole source: all classes, no limits, validation only if the files have one."""

    def task(self) -> Task:
        """What a model must fit, without the held-out classes; cheap."""
        task = self.source_task()
        kept = len(self._kept(task.classes))
        return Task(task.channels, task.height, task.width, kept)

    def splits(self) -> Splits:
        """Load, hold out classes, take validation from train, then apply the limits."""
        source = self.load()
        kept = self._kept(len(source.classes))
        train = _of_classes(source.train, kept)
        val_rows, val = source.train, np.empty(0, dtype=np.int64)
        if source.val is not None:
            if self.val_images:
                raise UserError(
                    f"val_images = {self.val_images}, but the data set has its own validation "
                    "split; leave val_images out"
                )
            val_rows, val = source.val, _of_classes(source.val, kept)
        elif self.val_images:
            if self.val_images >= len(train):
                raise UserError(
                    f"val_images = {self.val_images} leaves nothing of {len(train):,} training "
                    "images; take fewer"
                )
            val = self._some(source.train, train, self.val_images, "val", even=False)
            train = np.setdiff1d(train, val)
        train = self._limit(source.train, train, "train", self.train_images)
        held = _of_classes(source.test, np.array(self.held_out, dtype=np.int64))
        if self.test_images is not None:
            held = self._limit(source.test, held, "held out", min(self.test_images, len(held)))
        return Splits(
            train=_relabelled(source.train.take(train), kept),
            test=self._test(source),
            val=_relabelled(val_rows.take(val), kept) if len(val) else None,
            held_out=source.test.take(held) if len(held) else None,
            classes=tuple(source.classes[k] for k in kept),
        )

    def as_ood(self, task: Task, source: Splits) -> Images:
        """Out-of-distribution images for networks of ``task`` trained on ``source``.

        By default the own test split; images of another shape are cropped to the task's aspect
        about the centre, resized (bilinear, antialiased) and turned to grey or RGB.
        """
        from scratchcard.data.pictures import fit

        return fit(self._test(self.load()), task)

    def _test(self, source: Source) -> Images:
        kept = self._kept(len(source.classes))
        rows = _of_classes(source.test, kept)
        rows = self._limit(source.test, rows, "test", self.test_images)
        return _relabelled(source.test.take(rows), kept)

    def _kept(self, classes: int) -> np.ndarray:
        """The classes that are not held out, sorted."""
        for cls in self.held_out:
            if not 0 <= cls < classes:
                raise UserError(
                    f"held_out = {list(self.held_out)} names class {cls}, but the data set has "
                    f"{classes} classes, 0 to {classes - 1}"
                )
        kept = np.setdiff1d(np.arange(classes), self.held_out)
        if len(kept) < 2:
            raise UserError(
                f"held_out = {list(self.held_out)} leaves {len(kept)} of {classes} classes, "
                "but a classifier needs two; hold out fewer"
            )
        return kept

    def _limit(self, rows: Rows, index: np.ndarray, part: str, count: int | None) -> np.ndarray:
        if count is None:
            return index
        if count > len(index):
            raise UserError(
                f"{part}_images = {count}, but there are only {len(index):,} {part} images; "
                "take fewer, or leave it out to keep them all"
            )
        return self._some(rows, index, count, part, even=True)

    def _some(
        self, rows: Rows, index: np.ndarray, count: int, part: str, *, even: bool
    ) -> np.ndarray:
        """``count`` out of the rows at ``index``, by the split's own stream."""
        rng = seeds.numpy_stream(self.split_seed, "split", part)
        labels = rows.labels.numpy()[index]
        taken: np.ndarray = index[choose(labels, count, rng, even=even)]
        return taken


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution(Dataset):
    """A kind that can only serve as an out-of-distribution set: there is nothing to train on."""

    def __post_init__(self) -> None:
        for name in ("val_images", "train_images", "test_images", "held_out"):
            if getattr(self, name):
                raise UserError(f"{name} means nothing for an out-of-distribution set; remove it")

    def source_task(self) -> Task:
        """Refused."""
        raise self._refusal()

    def load(self) -> Source:
        """Refused."""
        raise self._refusal()

    @abstractmethod
    def as_ood(self, task: Task, source: Splits) -> Images:
        """Out-of-distribution images for networks of ``task`` trained on ``source``."""

    def _refusal(self) -> UserError:
        return UserError(
            f"{type(self).__name__} can only serve as an out-of-distribution set; "
            "name another data set to train and test on"
        )


def _of_classes(rows: Rows, classes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(rows.labels.numpy(), classes))


def _relabelled(images: Images, kept: np.ndarray) -> Images:
    """Labels as positions in ``kept``, which is sorted."""
    import torch

    return Images(images.pixels, torch.searchsorted(torch.as_tensor(kept), images.labels))
