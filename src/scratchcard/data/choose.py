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
    shuffled = rng.permutation(len(labels))
    tie = rng.random(len(labels))
    rank = np.empty(len(labels))
    for cls in np.unique(labels):
        rows = shuffled[labels[shuffled] == cls]
        rank[rows] = np.arange(len(rows)) if even else (np.arange(len(rows)) + 0.5) / len(rows)
    return np.sort(np.lexsort((tie, rank))[:n])
