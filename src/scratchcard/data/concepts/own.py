"""Concepts made from the evaluation images themselves: nothing to download, at any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.choose import choose
from scratchcard.data.concepts import colours, superclasses, textures
from scratchcard.data.concepts.base import Concepts, distinct, pack
from scratchcard.data.concepts.source import ConceptSource
from scratchcard.data.images import Images, Splits
from scratchcard.registry import concept_set

POSITIONS = ("top", "bottom", "left", "right", "centre")

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness (ITU-R BT.601)."""

LARGEST = 112
"""Pixels of the longer side of the masks, as of Broden's. The maps that they are compared with have
7 to 56, and at 224 all that reads masks would take four times as long and 280 MB for 1,000 images.
"""

BATCH_PIXELS = 250_000
"""How many are worked on at a time."""

SAMPLE_PIXELS = 2_000_000
"""From how many thresholds of textures are taken."""


@concept_set("own", version=2)
@dataclass(frozen=True, kw_only=True)
class Own(ConceptSource):
    """Colours, textures, positions, classes and super-classes of the test images themselves.

    Source: categories and the eleven colours follow Broden (Bau et al., Network Dissection, CVPR
    2017); the rules are our own, see ``own_concepts``.
    Limits: rules are no annotators: they know no objects or parts, and nothing of what is seen but
    its class. Positions are controls: a unit that detects them sees its padding, not its input.

    Attributes:
        images: How many test images, an equal number a class as far as possible; all if fewer.
        superclasses: Name to names of classes, such as ``{animal = ["cat", "dog"]}``; those known
            of CIFAR's classes if left out.
        split_seed: Decides which images.
    """

    images: int = 1000
    superclasses: Mapping[str, Sequence[str]] | None = None
    split_seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UserError(f"images = {self.images}, but must be at least 1, such as 1000")

    def concepts(self, task: Task, source: Splits) -> Concepts:
        """From the test split, without concepts that are nowhere or everywhere."""
        labels = source.test.labels.cpu().numpy()
        rng = seeds.numpy_stream(self.split_seed, "concepts", "own")
        rows = choose(labels, min(self.images, len(labels)), rng, even=True)
        found = own_concepts(source.test.take(rows), source.classes, self.superclasses)
        return found.informative(min_images=min(5, len(rows)))


def own_concepts(
    images: Images,
    classes: Sequence[str] = (),
    superclasses: Mapping[str, Sequence[str]] | None = None,
) -> Concepts:
    """Concepts of the images themselves, with masks at their resolution, or at 112 pixels.

    Images of a side above ``LARGEST`` are made smaller first (bilinear, with antialiasing), and all
    is found in what is left.

    - Colours: of each pixel, see ``colours.colours``; of grey images its third of the brightness.
    - Textures: of each pixel's surroundings, see ``textures.responses``; the shares of all pixels
      that respond most, ``textures.SHARES`` (smooth has more on ties, the others fewer). Thresholds
      are taken from evenly spaced images of two million pixels in all.
    - Positions: thirds of the image at its four sides, and the middle half of its height and width.
    - Classes and super-classes: whole images, by their labels; none if ``classes`` is empty.

    A name that several categories have is followed by its category, as in "orange (class)". All
    concepts are there, those without a pixel too: see ``Concepts.informative``.

    Args:
        images: Grey or RGB, of any size, with their labels.
        classes: Name of each label.
        superclasses: Name to names of classes; by default ``superclasses.known``.

    Raises:
        UserError: Images of other channels, labels without a name, or a super-class of a class
            that is not there.
    """
    channels = images.task_shape[0]
    if channels not in (1, 3) or not len(images):
        raise UserError(
            f"there are {len(images)} images of {channels} channels, but concepts are made of "
            "grey (1) or RGB (3) images, one at least"
        )
    tones, category = (
        (colours.NAMES, "colour") if channels == 3 else (colours.BRIGHTNESS, "brightness")
    )
    groups = _groups(images, classes, superclasses)
    every = {
        category: tones,
        "texture": textures.NAMES,
        "position": POSITIONS,
        "class": tuple(classes),
        "superclass": tuple(groups),
    }
    limits = _thresholds(images)
    packed = np.concatenate(
        [_masks(pixels, limits) for pixels in _batches(images)], axis=1, dtype=np.uint8
    )
    whole = _whole(images, classes, groups)
    named = [(name, kind) for kind, names in every.items() for name in names]
    kinds = tuple(kind for _, kind in named)
    return Concepts(
        images,
        distinct([name for name, _ in named], kinds),
        kinds,
        _size(images),
        np.concatenate([packed, whole]),
    )


def positions(height: int, width: int) -> np.ndarray:
    """Masks of ``POSITIONS``, bool [5, H, W]."""
    y = ((np.arange(height) + 0.5) / height)[:, None]
    x = ((np.arange(width) + 0.5) / width)[None]
    centre = (np.abs(y - 0.5) < 0.25) & (np.abs(x - 0.5) < 0.25)
    sides = [y < 1 / 3, y > 2 / 3, x < 1 / 3, x > 2 / 3, centre]
    return np.stack([np.broadcast_to(side, (height, width)) for side in sides])


def _size(images: Images) -> tuple[int, int]:
    """Height and width of the masks."""
    _, height, width = images.task_shape
    share = min(1.0, LARGEST / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def _batches(images: Images) -> Iterator[np.ndarray]:
    """Pixels as float32 in [0, 1], [b, C, H, W], of the masks' size, some images at a time."""
    _, height, width = images.task_shape
    step, size = max(1, BATCH_PIXELS // (height * width)), _size(images)
    for start in range(0, len(images), step):
        rows = np.arange(start, min(start + step, len(images)))
        pixels = images.take(rows).floats().cpu()
        if size != (height, width):
            from torch.nn.functional import interpolate  # planning needs no torch

            pixels = interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 1)
        yield pixels.numpy()


def _light(pixels: np.ndarray) -> np.ndarray:
    """Brightness, float32 [b, H, W]."""
    if pixels.shape[1] == 1:
        return np.asarray(pixels[:, 0])
    return np.asarray(np.einsum("nchw,c->nhw", pixels, np.array(LUMA, dtype=np.float32)))


def _thresholds(images: Images) -> list[float]:
    """Response from which on a pixel is among the top share of each texture."""
    height, width = _size(images)
    count = min(len(images), max(1, SAMPLE_PIXELS // (height * width)))
    rows = np.linspace(0, len(images) - 1, count).round().astype(np.int64)
    found: list[list[np.ndarray]] = [[] for _ in textures.NAMES]
    for pixels in _batches(images.take(rows)):
        for values, response in zip(found, textures.responses(_light(pixels)), strict=True):
            values.append(response.ravel())
    return [
        float(np.quantile(np.concatenate(values), 1 - share, method="lower"))
        for values, share in zip(found, textures.SHARES, strict=True)
    ]


def _masks(pixels: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Colours, textures and positions of some images, packed [K, b, B]."""
    grey = pixels.shape[1] == 1
    tone = colours.brightness(pixels) if grey else colours.colours(pixels)
    tones = len(colours.BRIGHTNESS) if grey else len(colours.NAMES)
    masks = [pack(tone == k) for k in range(tones)]
    for number, response in enumerate(textures.responses(_light(pixels))):
        # Ties at the lowest energy are all smooth; elsewhere they are where nothing is.
        above = response >= limits[0] if number == 0 else response > limits[number]
        masks.append(pack(above))
    places = pack(positions(*pixels.shape[2:]))
    masks += list(np.broadcast_to(places[:, None], (len(places), len(pixels), places.shape[-1])))
    return np.stack(masks)


def _groups(
    images: Images, classes: Sequence[str], groups: Mapping[str, Sequence[str]] | None
) -> dict[str, tuple[str, ...]]:
    """The super-classes, checked."""
    if classes and int(images.labels.max()) >= len(classes):
        raise UserError(
            f"an image has the label {int(images.labels.max())}, but there are names for "
            f"{len(classes)} classes only; name them all, or give classes = ()"
        )
    if groups is None:
        return superclasses.known(classes)
    for group, members in groups.items():
        for name in members:
            if name not in classes:
                raise UserError(
                    f'the super-class "{group}" has the class "{name}", which the data set has '
                    f"not (it has: {', '.join(classes) or 'no names'}); correct the name"
                )
    return {group: tuple(members) for group, members in groups.items()}


def _whole(
    images: Images, classes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Classes and super-classes, packed [K, N, B]: all pixels of an image or none."""
    full = pack(np.ones(_size(images), dtype=bool))
    labels = images.labels.cpu().numpy()
    members = [[k] for k in range(len(classes))]
    members += [[list(classes).index(name) for name in names] for names in groups.values()]
    has = np.array([np.isin(labels, numbers) for numbers in members], dtype=np.uint8)
    return np.asarray(has.reshape(len(members), len(labels), 1) * full)
