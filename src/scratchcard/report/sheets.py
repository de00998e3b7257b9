"""Contact sheets: the test images that tickets forget, as small pictures inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from scratchcard.report import words
from scratchcard.report.cells import named
from scratchcard.report.curves import targets
from scratchcard.results import Picture, Results, Rung, Share

EXACT = 40
"""Pictures of at most so many pixels a side are kept as they are; PNG would be large beyond."""
LARGEST = 96
"""Pixels a side of the others, at most."""
QUALITY = 80
"""Of JPEG, which takes about 3 kB for a photo of that size."""


@dataclass(frozen=True)
class Thumbnail:
    """One picture of a sheet: a data: URI, the lines below it, and what stands for it in words."""

    source: str
    label: str
    dense: str
    tickets: str
    words: str
    exact: bool


@dataclass(frozen=True)
class Sheet:
    """The pictures of a data set and model at one rung, as the scorecards name rungs."""

    setting: str
    rung: str
    sparsity: str
    pictures: tuple[Thumbnail, ...]


def sheets(results: Results) -> list[Sheet]:
    """One for every rung of every setting, empty where nothing is damaged; none if all are."""
    found = [
        Sheet(
            named(setting, results),
            f"{target:g}",
            words.percent(target),
            tuple(map(_thumbnail, results.sheets.get(Rung(*setting, target), ()))),
        )
        for target in targets(results)
        for setting in results.settings
    ]
    return found if any(sheet.pictures for sheet in found) else []


def _thumbnail(picture: Picture) -> Thumbnail:
    source, exact = data_uri(picture.pixels)
    dense, tickets = _count(picture.dense), _count(picture.sparse)
    said = (
        f"Test image {picture.index}, of class {picture.label}: right in {dense} dense networks "
        f"and in {tickets} tickets"
    )
    return Thumbnail(source, picture.label, f"dense {dense}", f"tickets {tickets}", said, exact)


def _count(share: Share) -> str:
    return f"{share.right:,} of {share.of:,}"


def data_uri(pixels: np.ndarray) -> tuple[str, bool]:
    """A picture as a data: URI, and whether it has all its pixels.

    Args:
        pixels: ``uint8`` [C, H, W] with one channel (grey) or three.
    """
    rows = np.moveaxis(pixels, 0, -1)
    image = Image.fromarray(rows[..., 0] if rows.shape[-1] == 1 else rows)
    file, exact = io.BytesIO(), max(image.size) <= EXACT
    if exact:
        image.save(file, "PNG", optimize=True)
    else:
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        image.save(file, "JPEG", quality=QUALITY)
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", exact
