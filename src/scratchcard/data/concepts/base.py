"""A set of images with a mask of every concept, packed to bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.contracts import UserError
from scratchcard.data.images import Images


@dataclass(frozen=True, eq=False)
class Concepts:
    """N images and K concepts, each of them a mask over the pixels of all images.

    Attributes:
        images: Of the shape that the networks take; their labels are not used.
        names: Of the concepts, each once [K].
        categories: Of each concept [K]: "colour", "brightness", "texture", "position", "class",
            "superclass", "object", "part", "scene", "material", "shape".
        size: Height and width of the masks, which may be coarser than the images.
        packed: The masks, uint8 [K, N, B]: of each image rows of pixels one after the other, eight
            to a byte as ``numpy.packbits`` packs them, the last byte filled up with zeros.

    >>> import torch
    >>> images = Images(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2).long())
    >>> left = np.zeros((1, 2, 3, 3), dtype=bool)
    >>> left[..., 0] = True
    >>> concepts = Concepts.of(images, ["left"], ["position"], left)
    >>> concepts.packed.shape, float(concepts.areas()[0])
    ((1, 2, 2), 0.3333333333333333)
    """

    images: Images
    names: tuple[str, ...]
    categories: tuple[str, ...]
    size: tuple[int, int]
    packed: np.ndarray

    def __post_init__(self) -> None:
        h, w = self.size
        assert self.packed.dtype == np.uint8
        assert self.packed.shape == (len(self.names), len(self.images), -(-h * w // 8))
        assert len(self.categories) == len(self.names)
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise UserError(f'two concepts are called "{twice[0]}"; give each a name of its own')

    @classmethod
    def of(
        cls,
        images: Images,
        names: Sequence[str],
        categories: Sequence[str],
        masks: np.ndarray,
    ) -> Concepts:
        """From boolean masks [K, N, H, W]."""
        h, w = masks.shape[-2:]
        return cls(images, tuple(names), tuple(categories), (h, w), pack(masks))

    def mask(self, concept: int) -> np.ndarray:
        """Of one concept, bool [N, H, W]."""
        h, w = self.size
        bits = np.unpackbits(self.packed[concept], axis=-1, count=h * w)
        return bits.reshape(-1, h, w).astype(bool)

    def areas(self) -> np.ndarray:
        """Share of all pixels that each concept covers, float64 [K]."""
        h, w = self.size
        counts = np.bitwise_count(self.packed).sum(axis=(1, 2), dtype=np.int64)
        return np.asarray(counts / (len(self.images) * h * w))

    def present(self) -> np.ndarray:
        """In how many images each concept covers a pixel at least, int64 [K]."""
        return np.asarray(self.packed.any(axis=-1).sum(axis=1, dtype=np.int64))

    def take(self, concepts: Sequence[int] | np.ndarray) -> Concepts:
        """Those concepts, in that order, on the same images."""
        index = [int(k) for k in concepts]
        names, categories = ([of[k] for k in index] for of in (self.names, self.categories))
        return Concepts(self.images, tuple(names), tuple(categories), self.size, self.packed[index])

    def informative(self, *, min_images: int = 5, min_area: float = 0.0005) -> Concepts:
        """Without concepts that no unit can be told to detect, being nowhere or everywhere.

        Args:
            min_images: In how many images a concept must be present. A mask in fewer is a statement
                about these images, not about the concept.
            min_area: Share of all pixels that it must cover, and must leave uncovered; the default
                is a tenth of the 0.5 % of pixels in which network dissection calls a unit active.

        Raises:
            UserError: None is left.
        """
        areas = self.areas()
        kept = (self.present() >= min_images) & (areas >= min_area) & (areas <= 1 - min_area)
        if not kept.any():
            raise UserError(
                f"none of {len(self.names)} concepts is present in {min_images} of "
                f"{len(self.images)} images and covers {min_area:.2%} to {1 - min_area:.2%} of "
                "their pixels; take more images or lower these limits"
            )
        return self.take(np.flatnonzero(kept))


def pack(masks: np.ndarray) -> np.ndarray:
    """Bits of boolean masks [..., H, W], uint8 [..., B]; see ``Concepts.packed``."""
    return np.packbits(masks.reshape(*masks.shape[:-2], -1), axis=-1)


def distinct(names: Sequence[str], categories: Sequence[str]) -> tuple[str, ...]:
    """Names, followed by their category where several have the same.

    >>> distinct(["orange", "apple", "orange"], ["colour", "class", "class"])
    ('orange (colour)', 'apple', 'orange (class)')
    """
    counts = Counter(names)
    return tuple(
        f"{name} ({category})" if counts[name] > 1 else name
        for name, category in zip(names, categories, strict=True)
    )
