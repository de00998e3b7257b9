"""Which rows of a data set to take, by label alone, so that only those are ever decoded."""

from __future__ import annotations

import numpy as np


def choose(labels: np.ndarray, n: int, rng: np.random.Generator, *, even: bool) -> np.ndarray:
    """Positions of ``n`` rows, sorted: a random draw within each class.

    Args:
        labels: Class of each row, [N].
        n: How many rows to take, at most N.
        rng: Decides which; a larger ``n`` with the same stream gives a superset.
        even: Equal counts a class as far as the classes last; else each class by its share of the
            rows (to within one).

    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    >>> np.bincount(labels[choose(labels, 6, np.random.default_rng(0), even=True)]).tolist()
    [3, 3]
    >>> np.bincount(labels[choose(labels, 6, np.random.default_rng(0), even=False)]).tolist()
    [4, 2]
    """
    assert 0 <= n <= len(labels)
    place, tie = _shuffled(labels, rng)
    rank = place if even else (place + 0.5) / np.bincount(labels)[labels]
    return np.sort(np.lexsort((tie, rank))[:n])


def long_tail(
    labels: np.ndarray, classes: int, ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Positions of rows whose classes become rarer exponentially, from class 0 to the last.

    Class k keeps n ratio^(-k/(classes-1)) rows, rounded down, with the largest n that every class
    allows.

    Args:
        labels: Class of each row, [N], from 0 to ``classes`` - 1.
        classes: How many there are, 2 or more.
        ratio: Of the largest to the smallest class, 1 or more.
        rng: Decides which; with the same stream, of classes of one size, a smaller ratio gives a
            superset, and ``choose`` draws the same rows of a class.

    Returns:
        In such an order that the first m, for any m, have these proportions too.

    >>> labels = np.repeat([0, 1, 2], 100)
    >>> np.bincount(labels[long_tail(labels, 3, 100, np.random.default_rng(0))]).tolist()
    [100, 10, 1]
    """
    place, tie = _shuffled(labels, rng)
    share = ratio ** (-np.arange(classes) / (classes - 1))
    rank = (place + 1) / share[labels]
    largest = (np.bincount(labels, minlength=classes) / share).min()
    order = np.lexsort((tie, rank))
    # Without the rounding of floats: 0.01 of 5000 images are 50.
    kept: np.ndarray = order[rank[order] <= largest * (1 + 1e-9)]
    return kept


def _shuffled(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """For each row a random place within its class, from 0, and a number to break ties by."""
    shuffled = rng.permutation(len(labels))
    tie = rng.random(len(labels))
    place = np.empty(len(labels))
    for cls in np.unique(labels):
        rows = shuffled[labels[shuffled] == cls]
        place[rows] = np.arange(len(rows))
    return place, tie
