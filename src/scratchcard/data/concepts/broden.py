"""The Broden format of network dissection: ``index.csv``, ``label.csv`` and images of labels."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.concepts.base import Concepts, pack
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
from scratchcard.data.pictures import open_image
from scratchcard.registry import concept_set

FIXED = ("image", "split", "ih", "iw", "sh", "sw")
"""Columns of ``index.csv`` that are no categories."""


@dataclass(frozen=True)
class Label:
    """A row of ``label.csv``: its name, and in how many images it is of which category."""

    name: str
    frequency: Mapping[str, int]


@concept_set("broden")
@dataclass(frozen=True, kw_only=True)
class Broden(ConceptSource):
    """The Broadly and Densely Labelled Dataset, or a set of yours in its format.

    - ``index.csv``: a row an image with the columns image, split, ih, iw, sh, sw (heights and
      widths of the image and of its label images) and one a category. A category's field holds,
      separated by semicolons, names of label images (PNG) or numbers of labels of the whole image;
      nothing where the image has no labels of that category.
    - A pixel of a label image holds the number of its label, red + 256 green; 0 is none. Where an
      image has several label images of a category, a pixel has the labels of all.
    - ``label.csv``: number, name and category ("material(36);object(3)") of each label.
    - ``images/``: what ``index.csv`` names.

    A label is one concept, of the category in which most of its images have it.

    Source: Bau et al., Network Dissection: Quantifying Interpretability of Deep Visual
    Representations, CVPR 2017.
    Limits: 63,305 images of 1,197 labels are too many for most networks and machines: draw some.
    A label image is the same for all networks, so that labels are lost in masks much smaller.

    Attributes:
        folder: Where ``index.csv`` lies.
        categories: Which of the index's columns; all if left out.
        split: "train" or "val"; both if left out.
        limit: How many images, drawn by ``split_seed``; 0 for all.
        mask_size: Height and width of the masks; those of the label images if left out.
        min_images: Labels present in fewer of these images are left out.
        split_seed: Decides which images.
    """

    folder: Path
    categories: tuple[str, ...] = ()
    split: str = ""
    limit: int = 2000
    mask_size: tuple[int, int] | None = None
    min_images: int = 5
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UserError(f"limit = {self.limit} is negative; 0 takes all images")
        check_mask_size(self.mask_size)

    def files(self) -> Mapping[str, Path]:
        """The two tables, and all images of the rows that are used."""
        tables = self._tables()
        columns, rows = self._index(tables["index.csv"])
        named = [
            name
            for row in rows
            for name in (row["image"], *(item for item in _items(row, columns) if _is_file(item)))
        ]
        return tables | {f"images/{name}": self._image(name) for name in named}

    def _tables(self) -> dict[str, Path]:
        tables = {
            name: existing(self.folder, "folder") / name for name in ("index.csv", "label.csv")
        }
        for path in tables.values():
            if not path.exists():
                raise UserError(
                    f"{path} does not exist; folder must be the one with index.csv, label.csv and "
                    "images/, such as broden1_224"
                )
        return tables

    def concepts(self, task: Task, source: Splits) -> Concepts:
        """A concept for each label that is frequent enough; ``source`` plays no part."""
        files = self._tables()
        labels = _labels(files["label.csv"])
        columns, rows = self._index(files["index.csv"])
        size = self.mask_size or (int(rows[0]["sh"]), int(rows[0]["sw"]))

        def named(number: int) -> tuple[str, str]:
            if number not in labels:
                raise UserError(
                    f"{files['label.csv']} has no label {number}, which {files['index.csv']} or "
                    "one of its label images has; unpack the set again"
                )
            found = {k: n for k, n in labels[number].frequency.items() if k in columns}
            category = max(found, key=lambda k: found[k]) if found else columns[0]
            return labels[number].name, {"color": "colour"}.get(category, category)

        made = (self._labelled(row, columns, task, size) for row in rows)
        return gather(made, task, size, named, self.min_images)

    def _index(self, path: Path) -> tuple[list[str], list[dict[str, str]]]:
        """Columns of the categories, and the rows that are used."""
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            header = list(table.fieldnames or [])
            rows = [row for row in table if self.split in ("", row.get("split"))]
        missing = [name for name in FIXED if name not in header]
        if missing:
            raise UserError(
                f'{path} has no column "{missing[0]}" (it has: {", ".join(header)}); it must be '
                f"the index of Broden: {','.join(FIXED)} and one a category"
            )
        every = [name for name in header if name not in FIXED]
        for name in self.categories:
            if name not in every:
                raise UserError(
                    f'categories has "{name}", but those of {path} are {", ".join(every)}'
                )
        columns = [name for name in every if not self.categories or name in self.categories]
        if not rows:
            raise UserError(f'{path} has no image of split = "{self.split}"; leave split out')
        if 0 < self.limit < len(rows):
            rng = seeds.numpy_stream(self.split_seed, "concepts", "broden")
            rows = [rows[k] for k in np.sort(rng.choice(len(rows), self.limit, replace=False))]
        return columns, rows

    def _labelled(
        self, row: Mapping[str, str], columns: list[str], task: Task, size: tuple[int, int]
    ) -> Labelled:
        path = self._image(row["image"])
        picture = open_image((str(path), path), task.channels, None)
        found: dict[int, np.ndarray] = {}
        for item in _items(row, columns):
            for number, bits in self._item(item, task, size).items():
                if number:
                    found[number] = found.get(number, np.uint8(0)) | bits
        return cropped(picture, task, (task.height, task.width), smooth=True), found

    def _item(self, item: str, task: Task, size: tuple[int, int]) -> Mapping[int, np.ndarray]:
        """A label of the whole image, or those of a label image."""
        if not _is_file(item):
            return {int(item): pack(np.ones(size, dtype=bool))}
        from PIL import Image

        path = self._image(item)
        labels = open_labels((str(path), path))
        if labels.mode not in ("RGB", "RGBA", "P"):
            raise UserError(
                f"{path} is of mode {labels.mode}, but must be RGB: label = red + 256 green"
            )
        rgb = np.asarray(labels.convert("RGB")).astype(np.int32)
        numbers = Image.fromarray(rgb[..., 0] + 256 * rgb[..., 1])
        return masks_of(np.asarray(cropped(numbers, task, size, smooth=False)))

    def _image(self, name: str) -> Path:
        path = self.folder / "images" / name
        if not path.exists():
            raise UserError(
                f"{path} does not exist, but index.csv names it; unpack the set again, or remove "
                "the row"
            )
        return path


def _items(row: Mapping[str, str], columns: list[str]) -> list[str]:
    """What an image has in these categories."""
    return [item for column in columns for item in (row[column] or "").split(";") if item]


def _is_file(item: str) -> bool:
    """Whether it names a label image, and is no number of a label of the whole image."""
    return not item.isdecimal()


def _labels(path: Path) -> dict[int, Label]:
    """Label by number."""
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = {"number", "name", "category"} - set(table.fieldnames or [])
        if missing:
            raise UserError(
                f'{path} has no column "{min(missing)}"; it must be the labels of Broden: '
                "number,name,category,frequency,coverage,syns"
            )
        return {
            int(row["number"]): Label(row["name"], _frequency(row["category"])) for row in table
        }


def _frequency(text: str) -> dict[str, int]:
    """Images of each category: "material(36);object(3)", or just "scene"."""
    found = re.findall(r"([^;()]+)(?:\((\d+)\))?", text)
    return {name.strip(): int(count or 0) for name, count in found}
