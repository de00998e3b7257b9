"""Image classification sets in the Parquet layout of the Hugging Face Hub."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchcard.contracts import Task, UserError
from scratchcard.data.base import Dataset, Source
from scratchcard.data.files import existing
from scratchcard.data.pictures import Encoded, Named, check_options, open_image
from scratchcard.registry import dataset


@dataset("parquet")
@dataclass(frozen=True, kw_only=True)
class Parquet(Dataset):
    """Images in Parquet files, one file a split, as the Hugging Face Hub stores them.

    The image column holds structs of ``bytes`` (an encoded image file) and ``path``, the label
    column integers from 0. Class names come from the schema's metadata; without them, classes are
    numbered up to the largest label of train. Only the rows that a study uses are decoded.

    Source: https://huggingface.co/docs/hub/datasets-image
    Limits: one file a split, which is read into memory whole; needs pyarrow
    (``pip install "scratchcard[parquet]"``); images of 8 bits a channel.

    Attributes:
        train: The training file.
        test: The test file.
        val: The validation file, if there is one.
        image: Name of the image column.
        label: Name of the label column.
        size: Side in pixels to which images are cropped (about the centre) and resized (bilinear,
            antialiased); needed if they differ in size.
        channels: 3 for RGB, 1 for grey.
    """

    train: Path
    test: Path
    val: Path | None = None
    image: str = "image"
    label: str = "label"
    size: int | None = None
    channels: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self.channels, self.size)

    def files(self) -> Mapping[str, Path]:
        """The file of each split."""
        parts = {"train": self.train, "test": self.test, "val": self.val}
        return {part: existing(path, part) for part, path in parts.items() if path is not None}

    def source_task(self) -> Task:
        """From the schema, the labels and, without ``size``, the first image of train."""
        path = self.files()["train"]
        classes = len(self._classes(path))
        if self.size is not None:
            return Task(self.channels, self.size, self.size, classes)
        check_column(path, self.image)
        with parquet_module().ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=1, columns=[self.image]))
        named = next(_images(path, batch.column(0), np.zeros(1, dtype=np.int64)))
        first = open_image(named, self.channels, None)
        return Task(self.channels, first.height, first.width, classes)

    def load(self) -> Source:
        """Labels of every split; images wait until they are taken."""
        files = self.files()
        classes = self._classes(files["train"])
        splits = {part: self._rows(path, classes) for part, path in files.items()}
        return Source(splits["train"], splits["test"], splits.get("val"), classes)

    def _rows(self, path: Path, classes: tuple[str, ...]) -> Encoded:
        import torch

        names = _names(path, self.label)
        if names is not None and names != classes:
            raise UserError(
                f"{path} has the classes {_some(names)}, but train has {_some(classes)}; "
                "all splits must have the same classes in the same order"
            )
        labels = self._labels(path)
        if labels.max() >= len(classes):
            raise UserError(
                f"{path} has the label {labels.max()}, but there are {len(classes)} classes, "
                f"0 to {len(classes) - 1}; correct the file, or name the right label column"
            )
        check_column(path, self.image)
        read = partial(read_images, path, self.image)
        return Encoded(torch.from_numpy(labels), read, self.channels, self.size)

    def _classes(self, path: Path) -> tuple[str, ...]:
        names = _names(path, self.label)
        return names or tuple(str(k) for k in range(int(self._labels(path).max()) + 1))

    def _labels(self, path: Path) -> np.ndarray:
        check_column(path, self.label)
        column = parquet_module().read_table(path, columns=[self.label]).column(0)
        labels = column.to_numpy()
        if not len(labels) or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise UserError(
                f'column "{self.label}" of {path} must hold integers from 0, without gaps '
                f"(it holds {len(labels)} values of type {column.type}); "
                "name another with label = ..."
            )
        # A fresh array: pyarrow's own is read-only.
        return np.array(labels, dtype=np.int64)


def parquet_module() -> Any:
    """The module ``pyarrow.parquet``."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError('Parquet files need pyarrow: pip install "scratchcard[parquet]"') from error
    return pyarrow.parquet


def _schema(path: Path) -> Any:
    parquet = parquet_module()
    import pyarrow

    try:
        return parquet.read_schema(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a Parquet file ({error})") from error


def check_column(path: Path, column: str) -> None:
    """Refuse, with a ``UserError``, a file without that column."""
    columns = _schema(path).names
    if column not in columns:
        raise UserError(
            f'{path} has no column "{column}" (it has: {", ".join(columns)}); '
            "name it with image = ... or label = ..."
        )


def _names(path: Path, label: str) -> tuple[str, ...] | None:
    """Class names from the Hub's metadata; None if there are none."""
    metadata = _schema(path).metadata or {}
    info = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {})
    names = info.get("features", {}).get(label, {}).get("names")
    return tuple(str(name) for name in names) if names else None


def read_images(path: Path, column: str, index: np.ndarray) -> Iterator[Named]:
    """The pictures in some rows of a column, with a name for messages."""
    return _images(path, parquet_module().read_table(path, columns=[column]).column(0), index)


def _images(path: Path, structs: Any, index: np.ndarray) -> Iterator[Named]:
    """Named image files from the rows at ``index`` of a column of structs."""
    import pyarrow

    if not pyarrow.types.is_struct(structs.type) or structs.type.get_field_index("bytes") < 0:
        raise UserError(
            f"the image column of {path} is of type {structs.type}, "
            "but must hold structs of bytes and path, as the Hugging Face Hub writes them"
        )
    # Row by row: taking all at once copies, and overflows 32-bit offsets beyond 2 GB.
    for row in index.tolist():
        image = structs[row]
        data = image["bytes"].as_py() if image.is_valid else None
        if data is None:
            raise UserError(f"row {row} of {path} holds no image bytes; write the images into it")
        yield f"row {row} of {path}", io.BytesIO(data)


def _some(names: tuple[str, ...]) -> str:
    """The first few of many names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
