"""Drawn images against their own masks, and against the rules for concepts of any image."""

from itertools import product

import numpy as np
import pytest
import torch

from scratchcard.contracts import Task, UserError
from scratchcard.data import Images, Splits
from scratchcard.data.concepts import Concepts
from scratchcard.data.concepts.colours import NAMES, colours
from scratchcard.data.concepts.procedural import (
    COLOURS,
    POSITIONS,
    SHAPES,
    TEXTURES,
    TONES,
    Procedural,
    planted,
    procedural_concepts,
)


def masks(concepts: Concepts) -> dict[str, np.ndarray]:
    return {name: concepts.mask(k) for k, name in enumerate(concepts.names)}


@pytest.fixture(scope="module")
def drawn() -> Concepts:
    return procedural_concepts((3, 32, 32), 480)


def test_colours_are_where_the_masks_say_and_nowhere_else(drawn: Concepts) -> None:
    found = colours(drawn.images.floats().numpy())
    for name in COLOURS:
        assert (masks(drawn)[name] == (found == NAMES.index(name))).all(), name


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 24, 40), (3, 128, 128)])
def test_each_object_has_one_value_of_each_factor(shape: tuple[int, int, int]) -> None:
    concepts = procedural_concepts(shape, 12)
    mask = masks(concepts)
    paints = tuple(TONES if shape[0] == 1 else COLOURS)
    for values in (paints, TEXTURES, SHAPES, POSITIONS[:2], POSITIONS[2:]):
        counts = np.sum([mask[value] for value in values], axis=0)
        assert (counts == mask["object"]).all()
    rows, columns = np.indices(shape[1:])
    assert not (mask["top"] & (rows >= shape[1] / 2)).any()
    assert not (mask["left"] & (columns >= shape[2] / 2)).any()
    assert concepts.images.task_shape == shape
    assert concepts.size == shape[1:]


def test_all_combinations_are_equally_frequent(drawn: Concepts) -> None:
    mask = masks(drawn)
    counts = []
    for values in product(COLOURS, TEXTURES, SHAPES, POSITIONS[:2], POSITIONS[2:]):
        there = np.logical_and.reduce([mask[value] for value in values])
        counts.append(int(there.any(axis=(1, 2)).sum()))
    assert len(counts) == 320
    assert set(counts) == {3}


def test_areas_are_balanced() -> None:
    for side, tolerance in ((32, 0.08), (64, 0.03)):
        concepts = procedural_concepts((3, side, side), 480)
        area = dict(zip(concepts.names, concepts.areas(), strict=True))
        for values in (COLOURS, TEXTURES, SHAPES, POSITIONS):
            of = np.array([area[value] for value in values])
            assert of == pytest.approx(of.mean(), rel=tolerance)


def test_plain_objects_are_of_one_colour_and_stripes_are_not(drawn: Concepts) -> None:
    mask, pixels = masks(drawn), drawn.images.pixels.numpy().astype(int)
    n, y, x = np.nonzero(mask["plain"] & mask["red"])
    assert len(np.unique(pixels[n, :, y, x], axis=0)) == 1
    striped = mask["horizontal stripes"]
    for shift, axis, same in ((1, 2, True), (1, 1, False)):
        both = striped & np.roll(striped, shift, axis)
        step = (pixels == np.roll(pixels, shift, axis + 1)).all(axis=1)[both]
        assert step.all() if same else not step.any()


def test_shapes_look_like_themselves() -> None:
    concepts = procedural_concepts((3, 64, 64), 60)
    mask = masks(concepts)
    for n, form in product(range(60), SHAPES):
        for column in ("left", "right"):
            of = mask[form][n] & mask[column][n] & mask["top"][n]
            if not of.any():
                continue
            rows = of.sum(axis=1)[of.any(axis=1)]
            if form == "square":
                assert (rows == len(rows)).all()
            if form == "triangle":
                assert (np.diff(rows) >= 0).all()
                assert rows[-1] > 3 * rows[0]
            if form == "disc":
                assert of.sum() == pytest.approx(np.pi / 4 * len(rows) ** 2, rel=0.05)
            if form == "cross":
                assert len(np.unique(rows)) == 2
                assert of.sum() == pytest.approx(5 / 9 * len(rows) ** 2, rel=0.1)


def test_a_seed_decides_everything() -> None:
    one, same, other = (procedural_concepts((3, 16, 16), 9, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.images.pixels, same.images.pixels)
    assert (one.packed == same.packed).all()
    assert not torch.equal(one.images.pixels, other.images.pixels)
    assert not (one.packed == other.packed).all()


def test_planted_formula_pixel_by_pixel(drawn: Concepts) -> None:
    mask = masks(drawn)
    found = planted(drawn, "red", ("or", "blue"), ("and not", "square"), ("and", "top"))
    rng = np.random.default_rng(0)
    hits = 0
    for n, y, x in zip(*(rng.integers(0, m, 20_000) for m in found.shape), strict=True):
        has = {name: bool(mask[name][n, y, x]) for name in ("red", "blue", "square", "top")}
        expected = (has["red"] or has["blue"]) and not has["square"] and has["top"]
        assert found[n, y, x] == expected
        hits += expected
    assert hits > 100


def test_real_backgrounds_lie_behind_the_objects() -> None:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (5, 3, 16, 16), dtype=np.uint8))
    test = Images(pixels, torch.zeros(5).long())
    splits = Splits(test, test, None, None, ("a", "b"))
    concepts = Procedural(images=10, background="test").concepts(Task(3, 16, 16, 2), splits)
    free = ~masks(concepts)["object"]
    grey = concepts.images.pixels.numpy()
    assert (grey[:, 0] == grey[:, 1])[free].all()
    behind = 63.75 + 0.5 * pixels.float().mean(dim=1).numpy()
    for n in range(10):
        close = [np.abs(grey[n, 0] - one)[free[n]].max() < 0.51 for one in behind]
        assert sum(close) == 1


def test_mistakes() -> None:
    with pytest.raises(UserError, match="8 pixels a side or more, not on 3x4x32"):
        procedural_concepts((3, 4, 32), 4)
    with pytest.raises(UserError, match='background = "test2"'):
        Procedural(background="test2")
    with pytest.raises(UserError, match="images = 0"):
        Procedural(images=0)
    small = Images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1).long())
    with pytest.raises(UserError, match=r"shape \(3, 8, 8\)"):
        procedural_concepts((3, 16, 16), 4, backgrounds=small)
