"""Pictures that several places of the page show, each stored once: SVG uses them by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scratchcard.report.sheets import data_uri


@dataclass(frozen=True)
class Shot:
    """A picture: its name on the page, its size in pixels, and its data: URI."""

    name: str
    width: int
    height: int
    source: str
    exact: bool


@dataclass
class Album:
    """The pictures so far, by their data: URI."""

    shots: dict[str, Shot] = field(default_factory=dict)

    def add(self, pixels: np.ndarray) -> Shot:
        """A picture, stored unless it was before.

        Args:
            pixels: ``uint8`` [C, H, W] with one channel (grey) or three.
        """
        source, exact = data_uri(pixels)
        height, width = pixels.shape[1:]
        shot = Shot(f"shot-{len(self.shots)}", width, height, source, exact)
        return self.shots.setdefault(source, shot)
