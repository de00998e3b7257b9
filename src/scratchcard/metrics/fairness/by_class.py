"""Statistics of the means of classes, over resamples that leave no class out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.probe import Predictions
from scratchcard.stats import statistic_reading


def class_statistic(
    statistic: Callable[[np.ndarray], float],
    values: np.ndarray,
    labels: np.ndarray,
    *,
    parts: Mapping[str, Part] | None = None,
) -> Reading:
    """A reading of a statistic of the means of the classes that have images.

    Args:
        statistic: Of the means [K], classes rising, to a number.
        values: One number or bool per image [N].
        labels: Its class [N].
        parts: Components known beforehand.

    Returns:
        Over resamples of the images of each class, so the same for networks of one test split.

    Raises:
        NotApplicable: All images are of one class.

    >>> correct, labels = np.array([1, 0, 0, 1]), np.array([3, 1, 3, 1])
    >>> class_statistic(np.ptp, correct, labels).value
    0.0
    """
    _, sizes = np.unique(labels, return_counts=True)
    if len(sizes) < 2:
        raise NotApplicable("because all test images are of one class")
    ordered = values[np.argsort(labels, kind="stable")].astype(np.float64)
    starts = np.cumsum(sizes) - sizes

    def over(index: np.ndarray) -> float:
        return statistic(np.add.reduceat(ordered[index], starts) / sizes)

    return statistic_reading(over, sizes.tolist(), parts=parts)


def check_twins(logits: Predictions, dense_logits: Predictions) -> None:
    """Refuse predictions that are not of the same images.

    Raises:
        ValueError: Their labels differ.
    """
    if not np.array_equal(logits.labels, dense_logits.labels):
        raise ValueError("the two networks were not shown the same images: their labels differ")
