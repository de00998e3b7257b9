"""The units of a layer as masks: where each of them is among its most active."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.concepts.base import Concepts, pack
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.interpretability.bits import words
from scratchcard.metrics.interpretability.layers import activations

ROUNDING = 1e-6
"""A difference of at most this share of the largest activation is float32's rounding."""
BLOCK = 2**22
"""Pixels that are held at once while activations are made as large as the masks."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a layer: what they answer, and from where on they count as active.

    Attributes:
        layer: Its name.
        maps: float32 [U, N, h, w].
        thresholds: What an activation must exceed, float32 [U].
        live: Numbers of the units that have a most active share: so often are they above their
            least answer, and not at the largest more often than that [L].
        size: Of the masks.
    """

    layer: str
    maps: np.ndarray
    thresholds: np.ndarray
    live: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        concepts: Concepts,
        *,
        layer: str = "",
        quantile: float = 0.005,
        batch_size: int = 64,
        checked: bool = True,
    ) -> Units:
        """Show a network the images of a concept set.

        Args:
            model: The network; it is left as it is.
            concepts: Images and masks.
            layer: As for ``layers.activations``.
            quantile: The share of all places in all images at which a unit counts as active.
            batch_size: Images per forward pass.
            checked: Whether the network's answers must be logits, and finite.

        Raises:
            UserError: An option out of range, or a layer that there is not.
            NotApplicable: No layer tells places apart.
            ValueError: There is one image only, or the network answers with what is no number.
        """
        check_counts(batch_size=batch_size)
        if not 0 < quantile < 1:
            raise UserError(f"quantile = {quantile}, but must be a share between 0 and 1")
        if len(concepts.images) < 2:
            raise ValueError("a concept set needs at least 2 images, not 1")
        name, maps = activations(
            model, concepts.images.pixels, layer=layer, batch_size=batch_size, checked=checked
        )
        found = [_threshold(unit, quantile) for unit in maps]
        thresholds, alive = (np.array(column) for column in zip(*found, strict=True))
        return cls(name, maps, thresholds, np.flatnonzero(alive), concepts.size)

    def check_alive(self) -> None:
        """Refuse a layer without live units."""
        if not len(self.live):
            raise NotApplicable(
                f"because every unit of the layer {self.layer} is dead: none varies over the "
                "images, at the share of places that the quantile asks for"
            )

    def large(self, units: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Some images after another, and their maps at the size of the masks [u, n, H, W]."""
        height, width = self.size
        step = max(1, BLOCK // (len(units) * height * width))
        # As products of matrices, bilinear interpolation is several times faster.
        down, across = (
            interpolate(torch.eye(old)[None], size=new, mode="linear")[0]
            for old, new in zip(self.maps.shape[2:], self.size, strict=True)
        )
        for start in range(0, self.maps.shape[1], step):
            some = slice(start, start + step)
            yield some, (down.T @ (torch.from_numpy(self.maps[units, some]) @ across)).numpy()

    def masks(self, units: np.ndarray) -> np.ndarray:
        """Where the upsampled activation of units exceeds their threshold, words [u, N, W]."""
        limits = self.thresholds[units][:, None, None, None]
        return np.concatenate([words(pack(maps > limits)) for _, maps in self.large(units)], axis=1)

    def live_masks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Every live unit with its mask in words [N, W]; few are held at once."""
        bits = self.maps.shape[1] * self.size[0] * self.size[1]
        blocks = max(1, len(self.live) * bits // (BLOCK * 8))
        for units in np.array_split(self.live, min(blocks, len(self.live))):
            yield from zip(units.tolist(), self.masks(units), strict=True)


def _threshold(unit: np.ndarray, quantile: float) -> tuple[np.float32, bool]:
    """What this share of a unit's answers exceeds, and whether they exceed the least one."""
    answers = unit.ravel()
    count = min(max(1, round(quantile * answers.size)), answers.size - 1)
    below, above = np.partition(answers, (-count - 1, -count))[[-count - 1, -count]]
    least, most, size = answers.min(), answers.max(), np.abs(answers).max()
    # Above its least answer often enough, and above what it answers more often than that.
    alive = bool(np.isfinite(size)) and above - least > ROUNDING * size and most > below
    # Half way, where rounding decides nothing.
    middle = below + (above - below) / 2 if alive else below
    return np.float32(middle if middle < above else below), alive
