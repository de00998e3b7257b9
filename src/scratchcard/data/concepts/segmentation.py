"""Images with masks of class indices, from two folders or from a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.concepts.base import Concepts
from scratchcard.data.concepts.labelled import (
    Labelled,
    check_mask_size,
    cropped,
    gather,
    masks_of,
    open_labels,
)
from scratchcard.data.concepts.source import ConceptSource
from scratchcard.data.files import existing
from scratchcard.data.images import Splits
from scratchcard.data.parquet import check_column, parquet_module, read_images
from scratchcard.data.pictures import Named, open_image
from scratchcard.registry import concept_set

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif")

INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's modes of one channel of whole numbers; of P it is the place in the palette."""

Pair = tuple[Named, Named]
"""A picture's file and its mask's."""


@concept_set("segmentation")
@dataclass(frozen=True, kw_only=True)
class Segmentation(ConceptSource):
    """Segmented images: every pixel of a mask holds the number of its class.

    Either two folders, in which a picture and its mask have the same name but for the suffix, or a
    Parquet file with a column of each, as the Hugging Face Hub stores them. Pictures and masks are
    cropped about the centre to the networks' aspect; pictures are resized bilinearly, masks to the
    nearest pixel.

    Source: the layout of CamVid (Brostow et al., 2009), ADE20K and others.
    Limits: masks are grey or palette files (PNG) of class numbers; masks of colours must be
    converted. Small objects vanish from small masks.

    Attributes:
        images: Folder of the pictures, or the Parquet file.
        masks: Folder of the masks; left out for Parquet.
        names: Of the classes, in the order of their numbers, from 0.
        names_file: In place of ``names``: a text file of one name a line, from number 0, or of
            lines "number name".
        unlabelled: Numbers that stand for no class.
        category: Of all these concepts.
        limit: How many images, drawn by ``split_seed``; all if left out.
        mask_size: Height and width of the masks; the images' if left out.
        min_images: Classes present in fewer images are left out.
        image: Name of the Parquet column of pictures.
        mask: Name of the Parquet column of masks.
        split_seed: Decides which images.
    """

    images: Path
    masks: Path | None = None
    names: tuple[str, ...] = ()
    names_file: Path | None = None
    unlabelled: tuple[int, ...] = (255,)
    category: str = "object"
    limit: int | None = None
    mask_size: tuple[int, int] | None = None
    min_images: int = 5
    image: str = "image"
    mask: str = "mask"
    split_seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.names) == (self.names_file is not None):
            raise UserError(
                'name the classes by names = ["sky", ...] in the order of their numbers, or by '
                "names_file, but not by both"
            )
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit = {self.limit} leaves no image; leave it out to take all")
        check_mask_size(self.mask_size)

    def files(self) -> Mapping[str, Path]:
        """The Parquet file, or all pictures and masks; and the file of names."""
        found = {"names": existing(self.names_file, "names_file")} if self.names_file else {}
        if existing(self.images, "images").is_file():
            return found | {"images": self.images}
        for part, files in zip(("images", "masks"), self._folders(), strict=True):
            found |= {f"{part}/{stem}": path for stem, path in files.items()}
        return found

    def concepts(self, task: Task, source: Splits) -> Concepts:
        """A concept for each class that is present; ``source`` plays no part."""
        names = self._names()
        size = self.mask_size or (task.height, task.width)
        rows = (self._labelled(pair, names, task, size) for pair in self._pairs())
        return gather(rows, task, size, lambda k: (names[k], self.category), self.min_images)

    def _labelled(
        self, pair: Pair, names: Mapping[int, str], task: Task, size: tuple[int, int]
    ) -> Labelled:
        picture, mask = open_image(pair[0], task.channels, None), _open_mask(pair[1])
        shares = picture.width * mask.height, picture.height * mask.width
        if abs(shares[0] - shares[1]) > max(*picture.size, *mask.size):
            raise UserError(
                f"{pair[1][0]} has {mask.width}x{mask.height} pixels and its picture "
                f"{picture.width}x{picture.height}: not of one shape; take masks of the "
                "pictures' size"
            )
        labels = np.asarray(cropped(mask, task, size, smooth=False))
        masks = {k: bits for k, bits in masks_of(labels).items() if k not in self.unlabelled}
        for number in masks:
            if number not in names:
                raise UserError(
                    f"{pair[1][0]} has pixels of class {number}, which has no name (named are "
                    f"{_some(names)}); name it, or add it to unlabelled = {list(self.unlabelled)}"
                )
        small = cropped(picture, task, (task.height, task.width), smooth=True)
        return small, masks

    def _names(self) -> dict[int, str]:
        if self.names_file is None:
            return dict(enumerate(self.names))
        text = existing(self.names_file, "names_file").read_text(encoding="utf-8")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        words = [line.split(maxsplit=1) for line in lines]
        if lines and all(len(word) == 2 and word[0].isdecimal() for word in words):
            return {int(number): name for number, name in words}
        if not lines:
            raise UserError(f"{self.names_file} names no class; write one name a line into it")
        return dict(enumerate(lines))

    def _pairs(self) -> Iterator[Pair]:
        if existing(self.images, "images").is_file():
            yield from self._parquet()
            return
        pictures, masks = self._folders()
        stems = list(pictures)
        for row in self._chosen(len(stems)):
            picture, mask = pictures[stems[row]], masks[stems[row]]
            yield (str(picture), picture), (str(mask), mask)

    def _parquet(self) -> Iterator[Pair]:
        for column in (self.image, self.mask):
            check_column(self.images, column)
        rows = np.array(self._chosen(_count_rows(self.images)))
        pictures, masks = (read_images(self.images, c, rows) for c in (self.image, self.mask))
        for picture, (name, file) in zip(pictures, masks, strict=True):
            yield picture, (f"the mask in {name}", file)

    def _folders(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """Pictures and their masks, by name without suffix."""
        if self.masks is None:
            raise UserError(
                f'images = "{self.images}" is a folder; add masks = ... with the folder of masks, '
                "or name a Parquet file"
            )
        pictures, masks = _files(self.images, "images"), _files(self.masks, "masks")
        for stem in pictures:
            if stem not in masks:
                raise UserError(
                    f"{self.masks} has no mask {stem}.png for the picture {pictures[stem]}; add "
                    "it, or remove the picture"
                )
        return pictures, {stem: masks[stem] for stem in pictures}

    def _chosen(self, count: int) -> list[int]:
        if self.limit is None or self.limit >= count:
            return list(range(count))
        rng = seeds.numpy_stream(self.split_seed, "concepts", "segmentation")
        return [int(row) for row in np.sort(rng.choice(count, self.limit, replace=False))]


def _count_rows(path: Path) -> int:
    """Of a Parquet file, from its end."""
    return int(parquet_module().read_metadata(path).num_rows)


def _files(folder: Path, option: str) -> dict[str, Path]:
    paths = sorted(existing(folder, option).rglob("*"))
    found: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() in SUFFIXES:
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise UserError(f"{found[stem]} and {path} have one name; remove one of them")
            found[stem] = path
    if not found:
        raise UserError(f'{option} = "{folder}" holds no image ({", ".join(SUFFIXES)})')
    return found


def _open_mask(named: Named) -> Image.Image:
    """Of whole numbers in one channel."""
    from PIL import Image

    found = open_labels(named)
    if found.mode not in INDEX_MODES:
        raise UserError(
            f"{named[0]} is a mask of mode {found.mode}, but must hold class numbers in one "
            "channel (a grey or palette PNG); convert its colours to numbers"
        )
    # A palette is no part of the numbers.
    return Image.fromarray(np.asarray(found).astype(np.int32))


def _some(names: Mapping[int, str]) -> str:
    first: Sequence[str] = [f"{k} {name}" for k, name in list(names.items())[:12]]
    return ", ".join(first) + (", ..." if len(names) > 12 else "")
