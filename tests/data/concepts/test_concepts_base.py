"""Packed masks against the plain ones they are made of."""

import numpy as np
import pytest
import torch

from scratchcard.contracts import UserError
from scratchcard.data import Images
from scratchcard.data.concepts import Concepts


def images(n: int, height: int = 5, width: int = 7) -> Images:
    return Images(torch.zeros(n, 3, height, width, dtype=torch.uint8), torch.zeros(n).long())


def random(k: int, n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((k, n, height, width)) < 0.3


def of(masks: np.ndarray) -> Concepts:
    names = [f"c{k}" for k in range(len(masks))]
    return Concepts.of(images(masks.shape[1]), names, ["object"] * len(masks), masks)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (8, 8), (3, 3)])
def test_masks_survive_packing(height: int, width: int) -> None:
    masks = random(3, 4, height, width)
    concepts = of(masks)
    assert concepts.packed.shape == (3, 4, -(-height * width // 8))
    assert (np.stack([concepts.mask(k) for k in range(3)]) == masks).all()


def test_areas_and_presence_leave_out_the_filling_of_the_last_byte() -> None:
    masks = random(3, 6, 3, 3)
    masks[1] = True
    masks[2, 1:] = False
    concepts = of(masks)
    assert concepts.areas() == pytest.approx(masks.mean(axis=(1, 2, 3)))
    assert concepts.areas()[1] == 1
    assert concepts.present().tolist() == masks.any(axis=(2, 3)).sum(axis=1).tolist()


def test_taken_concepts_keep_names_categories_and_masks() -> None:
    masks = random(4, 2, 4, 4)
    concepts = Concepts.of(images(2), "abcd", ["colour", "colour", "part", "scene"], masks)
    taken = concepts.take([3, 0])
    assert taken.names == ("d", "a")
    assert taken.categories == ("scene", "colour")
    assert (taken.mask(0) == masks[3]).all()


def test_concepts_that_are_nowhere_rare_or_everywhere_are_dropped() -> None:
    masks = np.zeros((6, 10, 10, 10), dtype=bool)
    masks[1] = True
    masks[2, :4] = True  # in 4 images
    masks[3, :5] = True  # in 5
    masks[4, :5, 0, 0] = True  # 5 pixels of 1,000: exactly 0.5 %
    masks[5] = True
    masks[5, :5, 0, 0] = False  # all but 0.5 %
    assert of(masks).informative(min_area=0.005).names == ("c3", "c4", "c5")
    assert of(masks).informative(min_area=0.006).names == ("c3",)
    assert of(masks).informative(min_images=4, min_area=0.006).names == ("c2", "c3")
    with pytest.raises(UserError, match="none of 6 concepts is present in 9 of 10 images"):
        of(masks).informative(min_images=9, min_area=0.006)


def test_names_are_given_once() -> None:
    with pytest.raises(UserError, match='two concepts are called "a"'):
        Concepts.of(images(1), "aba", ["part"] * 3, random(3, 1, 2, 2))
