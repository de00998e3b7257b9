"""Accuracy of the class that fares worst."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from statistics import fmean

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.fairness.by_class import class_statistic
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import parts_by_class


@metric(
    "worst-class",
    title="Accuracy of the worst class",
    dimension="fairness",
    better="higher",
    caution=(
        "The worst class is chosen by the images it is measured on, so the number is too low, the "
        "more so the smaller the classes are; see the part that is chosen elsewhere."
    ),
)
def worst_class(logits: Predictions) -> Reading:
    """The lowest accuracy within a class.

    Definition:
        The accuracy within each class is a part, and the value is the smallest of them, chosen
        anew in every resample: networks may differ in which class it is. The part "chosen
        elsewhere" has no such bias: the worst class is chosen on every other image of each class
        and measured on the images between, then the other way round, and the two are averaged
        (over all classes that are equally bad, if there are several). It is left out if a class
        has fewer than four images, and classes without images always are.

    Formula:
        min_k a_k,  a_k = 1/n_k sum_(i: y_i = k) [argmax_j z_ij = k];
        chosen elsewhere (a_argmin(a') + a'_argmin(a)) / 2 of the two halves' a and a'

    Motivation:
        A mean can stay while one class is given up, and nobody uses a network on the mean class.

    Advantages:
        No options, nothing to tune; it cannot be bought with gains elsewhere.

    Limitations:
        The smallest of noisy numbers is too small: ten classes of equal accuracy 0.90 with 100
        images each give about 0.85. Chosen elsewhere, it is honest of the class that was chosen,
        but half of the images may choose another than the truly worst, so on average the truth
        lies between the two. The standard error leaves the bias out, and is too small for classes
        with a handful of images.

    Source:
        Sagawa et al., "Distributionally Robust Neural Networks", ICLR 2020 (of groups).

    Args:
        logits: Predictions on the test split.

    Raises:
        NotApplicable: All images are of one class.

    >>> z = np.array([[2, 0], [2, 0], [2, 0], [0, 2]], np.float32)
    >>> worst_class(Predictions(z, np.array([0, 0, 1, 1]))).value
    0.5
    """
    correct, labels = logits.correct, logits.labels
    return class_statistic(
        lambda means: float(means.min()),
        correct,
        labels,
        parts=_elsewhere(correct, labels) | parts_by_class(correct, labels),
    )


def _elsewhere(correct: np.ndarray, labels: np.ndarray) -> dict[str, Part]:
    """The unbiased part, or none if there are too few images."""
    half = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < 4:
            return {}
        half[own[::2]] = True
    one, other = (parts_by_class(correct[rows], labels[rows]) for rows in (half, ~half))
    found = [_measured(one, other), _measured(other, one)]
    error = sqrt(sum(part.stderr**2 for part in found)) / 2
    value = fmean(part.value for part in found)
    return {"chosen elsewhere": Part(value, error, sum(part.n for part in found))}


def _measured(chosen: Mapping[str, Part], elsewhere: Mapping[str, Part]) -> Part:
    """The classes that are worst in one half, in the other."""
    lowest = min(part.value for part in chosen.values())
    worst = [elsewhere[label] for label, part in chosen.items() if part.value == lowest]
    error = sqrt(sum(part.stderr**2 for part in worst)) / len(worst)
    return Part(fmean(part.value for part in worst), error, sum(part.n for part in worst))
