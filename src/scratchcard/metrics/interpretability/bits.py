"""Masks over the pixels of many images, 64 pixels to a word, and how many pixels they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scratchcard.data.concepts.base import Concepts


def words(packed: np.ndarray) -> np.ndarray:
    """Masks in bytes [..., B], as ``Concepts`` has them, as words uint64 [..., W]."""
    *lead, size = packed.shape
    if size % 8 == 0 and packed.flags.c_contiguous:
        return packed.view(np.uint64)  # the same memory
    whole = np.zeros((*lead, -(-size // 8) * 8), np.uint8)
    whole[..., :size] = packed
    return whole.view(np.uint64)


def unpack(found: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks in words [..., W] as bool [..., H, W]."""
    height, width = size
    masks = np.unpackbits(found.view(np.uint8), axis=-1, count=height * width)
    return masks.reshape(*found.shape[:-1], height, width).astype(bool)


@dataclass(frozen=True, eq=False)
class Trace:
    """Where a unit is active: the words of its mask that are not empty.

    Attributes:
        places: Their numbers, rising: image times words an image, and word [M].
        words: uint64 [M].
    """

    places: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Trace:
        """Of a mask in words [N, W]."""
        places = np.flatnonzero(mask)
        return cls(places, mask.ravel()[places])

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(np.bitwise_count(self.words).sum(dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Table:
    """The masks of K concepts, to be compared with those of units.

    Attributes:
        concepts: The set. What is derived from it is as large, so one table should serve all.
    """

    concepts: Concepts

    @cached_property
    def words(self) -> np.ndarray:
        """Their masks, uint64 [K, N, W]."""
        return words(self.concepts.packed)

    @property
    def pixels(self) -> int:
        """Of a mask."""
        return self.concepts.size[0] * self.concepts.size[1]

    @cached_property
    def counts(self) -> np.ndarray:
        """Pixels of each concept in each image, int64 [K, N]."""
        return np.asarray(np.bitwise_count(self.words).sum(axis=2, dtype=np.int64))

    @cached_property
    def areas(self) -> np.ndarray:
        """Pixels of each concept, int64 [K]."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def total(self) -> int:
        """Pixels of all images."""
        return int(self.words.shape[1] * self.pixels)

    @cached_property
    def columns(self) -> np.ndarray:
        """The words with those of one place beside each other, [N W, K]."""
        return np.ascontiguousarray(self.words.reshape(len(self.words), -1).T)

    def shared(self, trace: Trace) -> np.ndarray:
        """Pixels that a unit shares with each concept, int64 [K]."""
        return np.asarray(self._shared(trace).sum(axis=0, dtype=np.int64))

    def shared_by_image(self, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
        """The images in which a unit is active [A], and the pixels shared in them, int64 [A, K]."""
        images, starts = np.unique(trace.places // self.words.shape[2], return_index=True)
        return images, np.add.reduceat(self._shared(trace), starts, axis=0, dtype=np.int64)

    def moved(self, trace: Trace, order: np.ndarray) -> Trace:
        """The unit's mask with each image's given to the image of this number [N]."""
        width = self.words.shape[2]
        return Trace(order[trace.places // width] * width + trace.places % width, trace.words)

    def ious(self, trace: Trace) -> np.ndarray:
        """Intersection over union of a unit with each concept [K]."""
        shared = self.shared(trace)
        return np.asarray(shared / np.maximum(trace.area + self.areas - shared, 1))

    def _shared(self, trace: Trace) -> np.ndarray:
        """Pixels shared with each concept, by word, uint8 [M, K]."""
        both = self.columns[trace.places]
        both &= trace.words[:, None]
        return np.asarray(np.bitwise_count(both))
