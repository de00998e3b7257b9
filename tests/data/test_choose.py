"""Rows are chosen by class, at random, and without repetition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchcard.data.choose import choose

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def water_filled(counts: list[int], n: int) -> list[int]:
    """Give one image after the other to the class with the fewest that still has one."""
    given_out = [0] * len(counts)
    for _ in range(n):
        open_classes = [k for k in range(len(counts)) if given_out[k] < counts[k]]
        given_out[min(open_classes, key=lambda k: given_out[k])] += 1
    return given_out


@settings(deadline=None)
@given(label_lists, st.floats(0, 1), st.integers(0, 5))
def test_even_choice_is_water_filling(labels: list[int], share: float, seed: int) -> None:
    array, n = np.array(labels), int(share * len(labels))
    chosen = choose(array, n, np.random.default_rng(seed), even=True)
    assert len(set(chosen.tolist())) == n
    assert chosen.tolist() == sorted(chosen.tolist())
    got = np.bincount(array[chosen], minlength=5)
    want = water_filled(np.bincount(array, minlength=5).tolist(), n)
    assert sorted(got.tolist()) == sorted(want)


@settings(deadline=None)
@given(label_lists, st.floats(0, 1), st.integers(0, 5))
def test_choice_by_share_is_proportional(labels: list[int], share: float, seed: int) -> None:
    array, n = np.array(labels), int(share * len(labels))
    chosen = choose(array, n, np.random.default_rng(seed), even=False)
    counts = np.bincount(array, minlength=5)
    got = np.bincount(array[chosen], minlength=5)
    assert got.sum() == n
    assert (np.abs(got - counts * n / len(labels)) <= 1.5).all()


def test_more_rows_are_a_superset() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 200)
    for even in (True, False):
        few, many = (
            set(choose(labels, n, np.random.default_rng(3), even=even).tolist()) for n in (40, 90)
        )
        assert few < many


def test_other_seeds_choose_other_rows() -> None:
    labels = np.zeros(100, dtype=np.int64)
    first, second = (choose(labels, 50, np.random.default_rng(s), even=True) for s in (0, 1))
    assert set(first.tolist()) != set(second.tolist())
