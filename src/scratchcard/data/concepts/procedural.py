"""Drawn images whose concepts are known exactly: colour x texture x shape x position."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from scratchcard import seeds
from scratchcard.contracts import Task, UserError
from scratchcard.data.concepts.base import Concepts, pack
from scratchcard.data.concepts.source import ConceptSource
from scratchcard.data.images import Images, Splits
from scratchcard.registry import concept_set

COLOURS = {
    "red": (0.9, 0.1, 0.1),
    "yellow": (1.0, 0.87, 0.1),
    "green": (0.1, 0.8, 0.15),
    "blue": (0.1, 0.2, 0.9),
    "purple": (0.5, 0.1, 0.8),
}
"""Colours that keep their name where a texture makes them darker."""

TONES = {"dark": (0.02,), "bright": (0.98,)}
"""In place of colours for networks of grey images."""

TEXTURES = ("plain", "horizontal stripes", "vertical stripes", "checks")
SHAPES = ("disc", "square", "triangle", "cross")
POSITIONS = ("top", "bottom", "left", "right")

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of the image's quarters."""

SHADE = 0.7
"""What every second stripe or field of a texture has of its colour; the rest is black, and
medium grey in grey images."""

COVER = 0.4
"""Share that a shape covers of its patch; the triangle would touch the patch's sides at 0.5."""

PATCH = 0.85
"""Side of a patch over that of its quarter; its place within the quarter is drawn."""

SMALLEST = 8

BACKGROUNDS = ("noise", "test")


@concept_set("procedural")
@dataclass(frozen=True, kw_only=True)
class Procedural(ConceptSource):
    """Drawn objects with exact masks: what concept detection finds here can be right or wrong.

    Each image has two objects, each in a quarter of its own. Colour, texture and shape of the
    objects in a quarter run through all combinations, so that all values are as frequent as each
    other to within one object a quarter, and all shapes are of one area as nearly as pixels allow.
    A concept is the pixels of the objects that have it ("top": that lie in an upper quarter). The
    background is grey, so that a colour is nowhere else.

    Source: probe sets with planted concepts, as in the tests of compositional explanations (Mu and
    Andreas, NeurIPS 2020); drawings and constants are our own.
    Limits: images unlike any that the networks were trained on; below 32 pixels a side shapes can
    hardly be told apart.

    Attributes:
        images: How many; multiples of 480 balance all combinations exactly (192 for grey images).
        background: "noise", or "test": test images of the data set, in grey and at half contrast.
        seed: Decides the draw; the same for every seed of the study.
    """

    images: int = 480
    background: str = "noise"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UserError(f"images = {self.images}, but must be at least 1, such as 480")
        if self.background not in BACKGROUNDS:
            raise UserError(
                f'background = "{self.background}", but must be one of: {", ".join(BACKGROUNDS)}'
            )

    def concepts(self, task: Task, source: Splits) -> Concepts:
        """The set in the networks' shape; of ``source`` the test images, if they are wanted."""
        test = source.test if self.background == "test" else None
        shape = task.channels, task.height, task.width
        return procedural_concepts(shape, self.images, backgrounds=test, seed=self.seed)


@dataclass(frozen=True)
class _Thing:
    """An object: values of its factors, and its mask [H, W]."""

    colour: str
    texture: str
    shape: str
    cell: tuple[int, int]
    mask: np.ndarray

    def has(self, concept: str) -> bool:
        row, column = self.cell
        places = (("top", "bottom")[row], ("left", "right")[column])
        return concept in (self.colour, self.texture, self.shape, *places, "object")


def procedural_concepts(
    shape: tuple[int, int, int], images: int, *, backgrounds: Images | None = None, seed: int = 0
) -> Concepts:
    """Drawn images and the masks of all they show; see ``Procedural``.

    Args:
        shape: Channels (1 or 3), height and width of the images.
        images: How many.
        backgrounds: Images of this shape to draw on; noise if left out.
        seed: Decides the draw.
    """
    import torch

    channels, height, width = shape
    if channels not in (1, 3) or min(height, width) < SMALLEST:
        raise UserError(
            f"objects can be drawn on grey (1) or RGB (3) images of {SMALLEST} pixels a side or "
            f"more, not on {channels}x{height}x{width}"
        )
    rng = seeds.numpy_stream(seed, "concepts", "procedural")
    scenes = _scenes(shape, images, rng)
    pixels = _backgrounds(shape, images, backgrounds, rng)
    paints = TONES if channels == 1 else COLOURS
    for canvas, things in zip(pixels, scenes, strict=True):
        for thing in things:
            paint = np.array(paints[thing.colour], dtype=np.float32)[:, None, None]
            share = _texture(thing.texture, height, width)
            painted = share * paint + (1 - share) * (0.5 if channels == 1 else 0)
            canvas[:] = np.where(thing.mask, painted, canvas)
    kinds = {
        "brightness" if channels == 1 else "colour": tuple(paints),
        "texture": TEXTURES,
        "shape": SHAPES,
        "position": POSITIONS,
        "object": ("object",),
    }
    named = [(name, kind) for kind, names in kinds.items() for name in names]
    packed = np.zeros((len(named), images, -(-height * width // 8)), dtype=np.uint8)
    for n, things in enumerate(scenes):
        for thing in things:
            bits = pack(thing.mask)
            for k, (name, _) in enumerate(named):
                if thing.has(name):
                    packed[k, n] |= bits
    drawn = torch.from_numpy(np.rint(pixels * 255).astype(np.uint8))
    found = Images(drawn, torch.zeros(images, dtype=torch.long))
    names, categories = zip(*named, strict=True)
    return Concepts(found, names, categories, (height, width), packed)


def planted(concepts: Concepts, first: str, *steps: tuple[str, str]) -> np.ndarray:
    """The mask of a formula, from left to right, bool [N, H, W].

    Args:
        concepts: Where the names are from.
        first: A concept.
        steps: Operator ("or", "and", "and not") and concept, one after the other.

    >>> drawn = procedural_concepts((3, 16, 16), 8)
    >>> warm = planted(drawn, "red", ("or", "yellow"), ("and not", "disc"))
    >>> bool((warm & drawn.mask(drawn.names.index("disc"))).any())
    False
    """
    found = concepts.mask(concepts.names.index(first))
    for operator, name in steps:
        mask = concepts.mask(concepts.names.index(name))
        assert operator in ("or", "and", "and not")
        found = found | mask if operator == "or" else found & (mask ^ (operator == "and not"))
    return found


def _scenes(
    shape: tuple[int, int, int], images: int, rng: np.random.Generator
) -> list[list[_Thing]]:
    """Two objects for each image, all combinations equally often in each quarter."""
    channels, height, width = shape
    every = list(product(TONES if channels == 1 else COLOURS, TEXTURES, SHAPES))
    pairs = list(combinations(range(4), 2))
    order = rng.permutation(np.arange(images) % len(pairs))
    decks = [_deck(len(every), images, rng) for _ in CELLS]
    dealt = [0] * len(CELLS)
    scenes = []
    for pair in order:
        things = []
        for cell in pairs[pair]:
            colour, texture, form = every[decks[cell][dealt[cell]]]
            dealt[cell] += 1
            mask = _placed(form, CELLS[cell], (height, width), rng)
            things.append(_Thing(colour, texture, form, CELLS[cell], mask))
        scenes.append(things)
    return scenes


def _deck(kinds: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` numbers below ``kinds``: permutations of all, one after the other."""
    rounds = [rng.permutation(kinds) for _ in range(-(-count // kinds))]
    return np.concatenate(rounds)


def _placed(
    form: str, cell: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """The mask [H, W] of a shape somewhere in a quarter of the image."""
    quarter = size[0] // 2, size[1] // 2
    side = int(PATCH * min(quarter))
    top, left = (
        place * whole // 2 + int(rng.integers(room - side + 1))
        for place, whole, room in zip(cell, size, quarter, strict=True)
    )
    mask = np.zeros(size, dtype=bool)
    mask[top : top + side, left : left + side] = _form(form, side)
    return mask


def _form(form: str, side: int) -> np.ndarray:
    """The mask of a shape in its patch, covering the share ``COVER`` of it as nearly as it can.

    The pixels within some distance of the middle, by a measure whose circles have the shape. The
    middle may be that of a pixel or between pixels, whichever comes nearer to the share.
    """
    found = []
    for shift in (0, 1):
        place = (2 * np.arange(side) + 1 - side + shift) / side
        v, u = np.meshgrid(place, place, indexing="ij")
        distance = {
            "disc": np.hypot(u, v),
            "square": np.maximum(abs(u), abs(v)),
            "triangle": np.maximum(v, 2 * abs(u) - v),
            "cross": np.minimum(np.maximum(abs(u), 3 * abs(v)), np.maximum(3 * abs(u), abs(v))),
        }[form].round(6)
        found += [distance <= radius for radius in np.unique(distance)]
    return min(found, key=lambda mask: abs(float(mask.mean()) - COVER))


def _texture(texture: str, height: int, width: int) -> np.ndarray:
    """Share of the paint, float32 [H, W]: 1 or ``SHADE``, in stripes of a 32nd of the side."""
    stripe = max(1, min(height, width) // 32)
    rows = (np.arange(height) // stripe % 2)[:, None]
    columns = (np.arange(width) // stripe % 2)[None]
    dark = {
        "plain": np.zeros((height, width), dtype=bool),
        "horizontal stripes": rows + 0 * columns == 1,
        "vertical stripes": 0 * rows + columns == 1,
        "checks": rows != columns,
    }[texture]
    return np.where(dark, np.float32(SHADE), np.float32(1))


def _backgrounds(
    shape: tuple[int, int, int], images: int, given: Images | None, rng: np.random.Generator
) -> np.ndarray:
    """Grey, from 0.25 to 0.75, float32 [N, C, H, W]."""
    from scipy.ndimage import gaussian_filter

    _, height, width = shape
    if given is None:
        noise = rng.standard_normal((images, height, width)).astype(np.float32)
        noise += 4 * gaussian_filter(noise, min(height, width) / 16, axes=(1, 2), mode="wrap")
        light = 0.5 + 0.125 * noise
    else:
        if given.task_shape != shape:
            raise UserError(
                f"backgrounds have the shape {given.task_shape} (channels, height, width), but "
                f"{shape} is wanted; resize them"
            )
        rows = rng.permutation(np.arange(images) % len(given))
        light = 0.25 + 0.5 * given.take(rows).floats().mean(dim=1).cpu().numpy()
    grey = np.clip(light, 0.25, 0.75)[:, None]
    return np.repeat(grey, shape[0], axis=1)
