"""What every kind of data set is: fields, splits, and its use as an out-of-distribution set.

A kind supplies the source; everything that is done to it by seed or by choice is done here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.choose import choose, long_tail
from scratchcard.data.images import Images, Rows, Source, Splits
from scratchcard.data.pictures import fit, reencode

__all__ = ["Dataset", "Images", "OutOfDistribution", "Rows", "Source", "Splits"]


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
        imbalance: Ratio of the largest to the smallest class of a long-tailed training split:
            of K classes, class k keeps n imbalance^(-k/(K-1)) images, rounded down, with the
            largest n for which there are enough of every class (Cui et al., CVPR 2019). With
            ``train_images``, exactly so many are kept, in these proportions. Validation and test
            are as without it; 1 leaves the classes of train as they are.
        jpeg: Quality, 1 to 100, at which every image is encoded as JPEG (4:2:0) and decoded again
            once it has its final size, so that sets of different origin bear the same traces of
            an encoder: give it to the data and to every out-of-distribution set alike.
        own_classes: As an out-of-distribution set, be told only from those classes of the data
            set that have the names of this set's classes (the rule of ImageNet-O). Where files
            give no names, classes are called by their numbers.
        split_seed: Decides which images are taken wherever only some are; the same for every
            seed of the study.
    """

    val_images: int = 0
    train_images: int | None = None
    test_images: int | None = None
    held_out: tuple[int, ...] = ()
    imbalance: float = 1
    jpeg: int | None = None
    own_classes: bool = False
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.val_images < 0:
            raise UserError(f"val_images = {self.val_images} is negative; 0 means no validation")
        for name in ("train_images", "test_images"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UserError(f"{name} = {count} keeps no image; leave it out to keep them all")
        if not 1 <= self.imbalance < math.inf:
            raise UserError(
                f"imbalance = {self.imbalance:g}, but must be 1 or more, such as 100: the largest "
                "class over the smallest"
            )
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise UserError(f"jpeg = {self.jpeg}, but must be a quality from 1 to 100, such as 75")

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
        self._check_trainable()
        task = self.source_task()
        kept = len(self._kept(task.classes))
        return Task(task.channels, task.height, task.width, kept)

    def splits(self) -> Splits:
        """Load, hold out classes, take validation from train, apply the limits and re-encode."""
        self._check_trainable()
        source = self.load()
        kept = self._kept(len(source.classes))
        train, val = self._validation(source, kept)
        train = (
            self._limit(source.train, train, "train", self.train_images)
            if self.imbalance == 1
            else self._long_tailed(source, kept, train)
        )
        held = _of_classes(source.test, np.array(self.held_out, dtype=np.int64))
        if self.test_images is not None:
            held = self._limit(source.test, held, "held out", min(self.test_images, len(held)))
        return Splits(
            train=self._encoded(_relabelled(source.train.take(train), kept)),
            test=self._encoded(self._test(source)),
            val=self._encoded(_relabelled(val, kept)) if val is not None else None,
            held_out=self._encoded(source.test.take(held)) if len(held) else None,
            classes=tuple(source.classes[k] for k in kept),
        )

    def as_ood(self, task: Task, source: Splits) -> Images:
        """Out-of-distribution images for networks of ``task`` trained on ``source``.

        Those that ``foreign`` gives, re-encoded if ``jpeg`` says so.
        """
        return self._encoded(self.foreign(task, source))

    def foreign(self, task: Task, source: Splits) -> Images:
        """Images for ``as_ood``, in the task's shape; a kind may have others than these.

        By default the own test split; images of another shape are cropped to the task's aspect
        about the centre, resized (bilinear, antialiased) and turned to grey or RGB.
        """
        return fit(self._test(self.load()), task)

    def told_from(self, source: Splits) -> tuple[int, ...] | None:
        """Numbers of the classes of ``source`` that are named like this set's own, rising.

        None without ``own_classes``: told from all of them.

        Raises:
            UserError: A name is that of none of them, or of several.
        """
        if not self.own_classes:
            return None
        names = self.load().classes
        own = dict.fromkeys(names[k] for k in self._kept(len(names)))
        for wrong, said in ((0, "no class"), (2, "several classes")):
            found = [name for name in own if min(source.classes.count(name), 2) == wrong]
            if found:
                raise UserError(
                    f"own_classes = true, but the data set has {said} of the name "
                    f"{_listed(found)} ({len(found)} of {len(own)} names); name classes alike in "
                    "both sets, each once, or remove own_classes"
                )
        return tuple(sorted(source.classes.index(name) for name in own))

    def _check_trainable(self) -> None:
        if self.own_classes:
            raise UserError(
                "own_classes = true is for out-of-distribution sets; remove it from a set that is "
                "trained on"
            )

    def _validation(self, source: Source, kept: np.ndarray) -> tuple[np.ndarray, Images | None]:
        """Rows of train that are left for training, and the images for validation, if any."""
        train = _of_classes(source.train, kept)
        if source.val is not None:
            if self.val_images:
                raise UserError(
                    f"val_images = {self.val_images}, but the data set has its own validation "
                    "split; leave val_images out"
                )
            val = _of_classes(source.val, kept)
            return train, source.val.take(val) if len(val) else None
        if not self.val_images:
            return train, None
        if self.val_images >= len(train):
            raise UserError(
                f"val_images = {self.val_images} leaves nothing of {len(train):,} training "
                "images; take fewer"
            )
        val = self._some(source.train, train, self.val_images, "val", even=False)
        return np.setdiff1d(train, val), source.train.take(val)

    def _test(self, source: Source) -> Images:
        kept = self._kept(len(source.classes))
        rows = _of_classes(source.test, kept)
        rows = self._limit(source.test, rows, "test", self.test_images)
        return _relabelled(source.test.take(rows), kept)

    def _encoded(self, images: Images) -> Images:
        return images if self.jpeg is None else reencode(images, self.jpeg)

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

    def _long_tailed(self, source: Source, kept: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Rows out of those at ``index``, fewer and fewer a class; ``train_images`` if given."""
        rng = seeds.numpy_stream(self.split_seed, "split", "train")
        labels = np.searchsorted(kept, source.train.labels.numpy()[index])
        ordered = index[long_tail(labels, len(kept), self.imbalance, rng)]
        count = self.train_images or len(ordered)
        if count > len(ordered):
            raise UserError(
                f"train_images = {count}, but imbalance = {self.imbalance:g} leaves only "
                f"{len(ordered):,} images; take fewer, a smaller ratio, or leave it out"
            )
        taken: np.ndarray = np.sort(ordered[:count])
        empty = np.setdiff1d(kept, source.train.labels.numpy()[taken])
        if len(empty):
            raise UserError(
                f"imbalance = {self.imbalance:g} leaves no training image of the class "
                f'"{source.classes[empty[0]]}"; take a smaller ratio or more images'
            )
        return taken


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution(Dataset):
    """A kind that can only serve as an out-of-distribution set: there is nothing to train on."""

    def __post_init__(self) -> None:
        for name in (
            "val_images", "train_images", "test_images", "held_out", "imbalance", "own_classes"
        ):  # fmt: skip
            if getattr(self, name) != getattr(Dataset, name):
                drawn = name == "test_images" and hasattr(self, "images")
                mend = f"say images = {self.test_images} instead" if drawn else "remove it"
                raise UserError(
                    f"{name} means nothing for this kind of out-of-distribution set; {mend}"
                )
        super().__post_init__()

    def source_task(self) -> Task:
        """Refused."""
        raise self._refusal()

    def load(self) -> Source:
        """Refused."""
        raise self._refusal()

    @abstractmethod
    def foreign(self, task: Task, source: Splits) -> Images:
        """Images for ``as_ood``, in the task's shape."""

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


def _listed(names: list[str]) -> str:
    """The first few of many names, quoted."""
    return ", ".join(f'"{name}"' for name in names[:5]) + (", ..." if len(names) > 5 else "")
