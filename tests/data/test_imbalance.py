"""Long-tailed training splits: published counts, what is nested in what, and refusals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, Source
from scratchcard.data.choose import choose, long_tail
from scratchcard.data.digits import Digits
from scratchcard.data.noise import UniformNoise


@dataclass(frozen=True, kw_only=True)
class Numbered(Dataset):
    """Images that are their own number, in classes of these sizes, mixed; five of each to test."""

    sizes: tuple[int, ...] = (400, 400, 400, 400)

    def source_task(self) -> Task:
        return Task(1, 1, 2, len(self.sizes))

    def load(self) -> Source:
        classes = tuple("abcdefgh"[: len(self.sizes)])
        return Source(images(self.sizes, 0), images([5] * len(classes), 9000), None, classes)


def images(sizes: tuple[int, ...] | list[int], first: int) -> Images:
    labels = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    number = torch.arange(first, first + len(labels))
    pixels = torch.stack([number // 256, number % 256], dim=1).to(torch.uint8)
    return Images(pixels[:, None, None], labels)


def numbers(found: Images) -> set[int]:
    flat = found.pixels.flatten(1).long()
    return set((flat[:, 0] * 256 + flat[:, 1]).tolist())


def counts(data: Dataset) -> list[int]:
    return data.splits().train.labels.bincount().tolist()


@pytest.mark.parametrize(
    ("classes", "ratio", "total"),
    [
        (10, 100, 12_406), (10, 50, 13_996), (10, 10, 20_431),
        (100, 100, 10_847), (100, 50, 12_608), (100, 10, 19_573),
    ],
)  # fmt: skip
def test_cifar_is_cut_to_the_sizes_that_the_field_reports(
    classes: int, ratio: float, total: int
) -> None:
    labels = np.tile(np.arange(classes), 50_000 // classes)
    kept = long_tail(labels, classes, ratio, np.random.default_rng(0))
    assert len(set(kept.tolist())) == len(kept) == total
    if (classes, ratio) == (10, 100):
        wanted = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        assert np.bincount(labels[kept]).tolist() == wanted


def test_the_training_split_falls_and_nothing_else_changes() -> None:
    plain, tailed = (Numbered(val_images=40, imbalance=r).splits() for r in (1, 27))
    assert tailed.train.labels.bincount().tolist() == [390, 130, 43, 14]
    assert plain.val is not None
    assert tailed.val is not None
    assert numbers(tailed.val) == numbers(plain.val)
    assert tailed.val.labels.bincount().tolist() == [10] * 4
    assert numbers(tailed.test) == numbers(plain.test)
    assert numbers(tailed.train) < numbers(plain.train)
    assert tailed.train.labels.tolist() != sorted(tailed.train.labels.tolist())


def test_without_the_option_unequal_classes_stay() -> None:
    assert counts(Numbered(sizes=(10, 20, 5))) == [10, 20, 5]
    assert counts(Numbered(sizes=(10, 20, 5), imbalance=1.0)) == [10, 20, 5]


def test_the_ratio_holds_where_the_source_is_unequal() -> None:
    # Class 1 has 40 where 100 at the head would want 100/2: it sets the scale, 80.
    assert counts(Numbered(sizes=(100, 40, 100), imbalance=4)) == [80, 40, 20]


def test_the_tail_is_cut_after_classes_are_held_out() -> None:
    splits = Numbered(held_out=(0,), imbalance=100).splits()
    assert splits.classes == ("b", "c", "d")
    assert splits.train.labels.bincount().tolist() == [400, 40, 4]
    assert splits.held_out is not None
    assert len(splits.held_out) == 5


@pytest.mark.parametrize("n", [50, 111, 333, 400])
def test_train_images_is_how_many_there_are(n: int) -> None:
    found = counts(Numbered(sizes=(300,) * 3, imbalance=9, train_images=n))
    assert sum(found) == n
    # Of three classes 9 : 3 : 1, where rounding down favours the first.
    assert found == pytest.approx(np.array([9, 3, 1]) * n / 13, abs=1.5)


def test_more_images_and_smaller_ratios_are_supersets() -> None:
    data = Numbered(imbalance=50)
    few, some, every = (
        numbers(replace(data, train_images=n).splits().train) for n in (150, 300, None)
    )
    assert few < some < every
    tails = [numbers(Numbered(imbalance=r).splits().train) for r in (200, 50, 3, 1)]
    assert all(one < other for one, other in pairwise(tails))


def test_a_balanced_draw_takes_the_same_images_of_a_class() -> None:
    labels = np.tile(np.arange(4), 100)
    tail = long_tail(labels, 4, 8, np.random.default_rng(3))
    even = choose(labels, 100, np.random.default_rng(3), even=True)
    for k in range(4):
        own, other = (set(rows[labels[rows] == k].tolist()) for rows in (tail, even))
        assert own <= other or other <= own


def test_the_split_seed_decides() -> None:
    one, again, other = (Numbered(imbalance=9, split_seed=s).splits().train for s in (0, 0, 1))
    assert numbers(one) == numbers(again) != numbers(other)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=6),
    st.floats(1, 300),
    st.integers(0, 3),
)
def test_it_is_the_largest_such_set(sizes: list[int], ratio: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    kept = long_tail(labels, len(sizes), ratio, np.random.default_rng(seed))
    share = [ratio ** (-k / (len(sizes) - 1)) for k in range(len(sizes))]
    largest = min(size / s for size, s in zip(sizes, share, strict=True))
    found = np.bincount(labels[kept], minlength=len(sizes))
    for own, size, s in zip(found, sizes, share, strict=True):
        assert own <= size
        assert largest * s - 1 - 1e-6 < own <= largest * s + 1e-6


@pytest.mark.parametrize("ratio", [0.5, 0, -10, float("nan"), float("inf")])
def test_it_is_no_ratio_below_one(ratio: float) -> None:
    with pytest.raises(UserError, match=r"imbalance = .* must be 1 or more, such as 100"):
        Digits(imbalance=ratio)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Numbered(imbalance=500).splits(), 'no training image of the class "d"; take a sm'),
        (lambda: Numbered(imbalance=100, train_images=9).splits(), 'of the class "c"'),
        (
            lambda: Numbered(sizes=(9, 9, 9), imbalance=9, train_images=14).splits(),
            "train_images = 14, but imbalance = 9 leaves only 13 images",
        ),
        (lambda: UniformNoise(imbalance=2), "imbalance means nothing"),
    ],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        act()


def test_real_digits_get_a_tail() -> None:
    found = counts(Digits(imbalance=20))
    assert found == sorted(found, reverse=True)
    assert found[0] // 20 == found[-1]
