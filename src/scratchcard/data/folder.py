"""Image files in one folder a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Dataset, Source
from scratchcard.data.choose import choose
from scratchcard.data.files import existing
from scratchcard.data.pictures import Encoded, Named, check_options
from scratchcard.registry import dataset

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")


@dataset("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Dataset):
    """Image files in one folder a class: ``train/cat/1.png``, ``train/dog/7.jpg``.

    Classes are the names of the folders, numbered in alphabetical order; files may lie deeper.
    Images are cropped about the centre to a square and resized (bilinear, antialiased). Only the
    images that a study uses are decoded.

    Source: the layout of ImageNet, as ``torchvision.datasets.ImageFolder`` reads it.
    Limits: images of 8 bits a channel; a rotation noted in a photograph's EXIF data is ignored;
    all decoded images are held in memory.

    Attributes:
        train: The folder with one folder a class.
        test: The same for testing; without it, ``test_share`` of train is drawn by ``split_seed``.
        val: The same for validation, if there is one.
        size: Side of the images in pixels.
        channels: 3 for RGB, 1 for grey.
        test_share: Share of each class of train that is tested on where ``test`` is missing.
    """

    train: Path
    size: int
    test: Path | None = None
    val: Path | None = None
    channels: int = 3
    test_share: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self.channels, self.size)
        if not 0 < self.test_share < 1:
            raise UserError(f"test_share = {self.test_share} is not between 0 and 1, such as 0.2")

    def files(self) -> Mapping[str, Path]:
        """Every image file, as ``part/class/file``."""
        return {
            f"{part}/{path.relative_to(root).as_posix()}": path
            for part, root in self._roots().items()
            for paths in _by_class(root).values()
            for path in paths
        }

    def source_task(self) -> Task:
        """From the options and the names of the class folders."""
        classes = _class_folders(self._roots()["train"])
        return Task(self.channels, self.size, self.size, len(classes))

    def load(self) -> Source:
        """Labels from the folders' names; images wait until they are taken."""
        splits = {part: _labelled(root) for part, root in self._roots().items()}
        classes = tuple(_class_folders(self.train))
        if "test" not in splits:
            paths, labels = splits["train"]
            rng = seeds.numpy_stream(self.split_seed, "split", "folder")
            test = choose(labels, round(self.test_share * len(labels)), rng, even=False)
            train = np.setdiff1d(np.arange(len(labels)), test)
            splits["train"] = [paths[row] for row in train], labels[train]
            splits["test"] = [paths[row] for row in test], labels[test]
        rows = {part: self._rows(*split) for part, split in splits.items()}
        return Source(rows["train"], rows["test"], rows.get("val"), classes)

    def _rows(self, paths: Sequence[Path], labels: np.ndarray) -> Encoded:
        import torch

        return Encoded(torch.from_numpy(labels), partial(_read, paths), self.channels, self.size)

    def _roots(self) -> dict[str, Path]:
        """The folder of each split; all must exist and have the same classes."""
        parts = {"train": self.train, "test": self.test, "val": self.val}
        roots = {part: existing(path, part) for part, path in parts.items() if path is not None}
        train = _class_folders(self.train)
        for part, root in roots.items():
            odd = sorted(set(train) ^ set(_class_folders(root)))
            if odd:
                raise UserError(
                    f"{part} ({root}) and train ({self.train}) differ in the class "
                    f'"{odd[0]}"; all splits must have the same class folders'
                )
        return roots


def _class_folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise UserError(f"{root} is a file; name the folder that holds one folder a class")
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise UserError(f"{root} has no folders; it must hold one folder a class")
    return names


def _by_class(root: Path) -> dict[str, list[Path]]:
    """Image files of every class, sorted."""
    found = {}
    for name in _class_folders(root):
        paths = (root / name).rglob("*")
        found[name] = sorted(p for p in paths if p.suffix.lower() in SUFFIXES)
        if not found[name]:
            raise UserError(f"{root / name} holds no image ({', '.join(SUFFIXES)}); remove it")
    return found


def _labelled(root: Path) -> tuple[list[Path], np.ndarray]:
    found = _by_class(root)
    counts = [len(paths) for paths in found.values()]
    return [p for paths in found.values() for p in paths], np.repeat(np.arange(len(counts)), counts)


def _read(paths: Sequence[Path], index: np.ndarray) -> Iterator[Named]:
    return ((str(paths[row]), paths[row]) for row in index)
