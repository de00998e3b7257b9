"""How unequal the accuracies of the classes are."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.fairness.by_class import class_statistic
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import parts_by_class


@metric(
    "class-spread",
    title="Spread of class accuracies",
    dimension="fairness",
    better="lower",
    caution=(
        "Chance alone spreads the accuracies of small classes (the part), and a network that is "
        "always right or always wrong has no spread."
    ),
)
def class_spread(logits: Predictions) -> Reading:
    """Standard deviation of the accuracies of the classes.

    Definition:
        The accuracy within each class is a part; the value is their standard deviation, every
        class counting the same. The part "by chance" is the spread that classes of equal accuracy
        would show because they have few images. Classes without images are left out.

    Formula:
        a_k = 1/n_k sum_(i: y_i = k) [argmax_j z_ij = k];  sqrt(1/K sum_k (a_k - mean a)^2);
        by chance sqrt((K-1)/K^2 sum_k v_k),  v_k = a_k (1 - a_k) / (n_k - 1)

    Motivation:
        Pruning may leave the accuracy as it is and take from weak classes to give to strong ones.

    Advantages:
        No options; the squares of both numbers may be subtracted, to leave the spread that is
        not chance.

    Limitations:
        It moves with the accuracy itself, which leaves no room for a spread near 0 and near 1. It
        says how unequal classes are, not which, and a class that is hard for every
        network is no fault of pruning: compare with the dense twin. Of classes with a handful of
        images the standard error is too small.

    Source:
        Ours in this form; Hooker et al., "Characterising Bias in Compressed Models", 2020, for
        the unevenness it looks for.

    Args:
        logits: Predictions on the test split.

    Raises:
        NotApplicable: All images are of one class.

    >>> z = np.array([[2, 0], [2, 0], [2, 0], [0, 2]], np.float32)
    >>> class_spread(Predictions(z, np.array([0, 0, 1, 1]))).value
    0.25
    """
    accuracies = parts_by_class(logits.correct, logits.labels)
    noise = np.array([part.stderr for part in accuracies.values()])
    expected = float(np.sqrt((len(noise) - 1) * np.mean(noise**2) / len(noise)))
    chance = Part(expected, 0.0, len(logits))
    return class_statistic(
        lambda means: float(means.std()),
        logits.correct,
        logits.labels,
        parts={"by chance": chance} | accuracies,
    )
