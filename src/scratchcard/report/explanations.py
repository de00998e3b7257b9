"""Explanations side by side: where a ticket and its dense twin see most different reasons."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from scratchcard.report import parts, words
from scratchcard.report.album import Album, Shot
from scratchcard.report.cells import groups_of, named
from scratchcard.report.curves import targets
from scratchcard.report.sheets import LARGEST
from scratchcard.results import Results

METRIC = "explanation-agreement"
MOST = 4
"""Images of a method, if the page does not become too large."""
BUDGET = 24
"""Images on the page, unless that left a method without any."""
FOR, AGAINST = (0, 114, 178), (192, 79, 0)
"""Red, green and blue of what speaks for the class, and of what speaks against it."""
DEPTHS = 12
"""Of either colour: as many compress well."""


@dataclass(frozen=True)
class Pair:
    """An image with the maps of dense twin and ticket, as data: URIs."""

    shot: Shot
    dense: str
    sparse: str
    label: str
    cosine: str
    words: str


@dataclass(frozen=True)
class Line:
    """The images of one method."""

    title: str
    control: bool
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Sheet:
    """All methods of one rung."""

    heading: str
    rung: str
    lines: tuple[Line, ...]


def sheets(results: Results, album: Album) -> list[Sheet]:
    """One for every rung of every setting whose tickets were explained."""
    label = parts.label_of(results, METRIC)
    drawn = [cell for cell, own in results.pictures if own == label and cell.target]
    if label is None or not drawn:
        return []
    each = min(max(BUDGET // len(drawn), 1), MOST)
    found = []
    for target in targets(results):
        for setting in results.settings:
            lines = tuple(
                Line(
                    results.methods[cell.method],
                    cell.method in results.controls,
                    tuple(
                        _pairs(
                            results.pictures[cell, label],
                            results.classes.get(cell.data, ()),
                            each,
                            album,
                        )
                    ),
                )
                for cell, _ in groups_of(results, setting)
                if cell.target == target and cell in drawn
            )
            if lines:
                heading = filter(None, [named(setting, results), f"{words.percent(target)} sparse"])
                found.append(Sheet(" · ".join(heading), f"{target:g}", lines))
    return found


def _pairs(drawn: Any, names: Sequence[str], each: int, album: Album) -> Iterator[Pair]:
    for i in range(min(each, len(drawn["pixels"]))):
        dense, sparse = drawn["dense"][i], drawn["sparse"][i]
        full = float(max(np.abs(dense).max(), np.abs(sparse).max()))
        k = int(drawn["classes"][i])
        label = names[k] if k < len(names) else f"class {k}"
        cosine = words.two(float(drawn["cosines"][i]))
        yield Pair(
            album.add(drawn["pixels"][i]),
            heat(dense, full),
            heat(sparse, full),
            label,
            cosine,
            f"Reasons of the dense twin and of the ticket for {label}, cosine {cosine}",
        )


def heat(values: np.ndarray, full: float) -> str:
    """A map [H, W] as a picture: blue above 0, orange below, and clear at 0.

    Args:
        values: What is drawn.
        full: The size that has the fullest colour.
    """
    stride = -(-max(values.shape) // LARGEST)
    values = values[::stride, ::stride]
    depth = np.round(DEPTHS * np.clip(values / full if full else values, -1, 1)) / DEPTHS
    pixels = np.zeros((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((depth > 0)[..., None], FOR, AGAINST)
    pixels[..., 3] = np.round(235 * np.abs(depth))
    pixels[depth == 0] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(2 * DEPTHS + 1, Image.Quantize.FASTOCTREE).save(
        file, "PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
