"""Top-1 accuracy."""

from __future__ import annotations

from scratchcard.contracts import Reading
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading, parts_by_class


@metric(
    "accuracy",
    title="Accuracy",
    dimension="generalisation",
    better="higher",
    headline=True,
    margin=0.01,
)
def accuracy(logits: Predictions) -> Reading:
    """Share of test images whose largest logit is that of their label.

    Definition:
        An image counts if the class of its largest logit is its label; of equal logits the
        first class is taken. The parts are the accuracies within each class.

    Formula:
        accuracy = 1/N sum_i [argmax_k z_ik = y_i]

    Motivation:
        The one number every pruning paper reports, and the one that decides the paper's
        regions: a ticket is in region I if it is within 1.0 point of its dense twin.

    Advantages:
        No options, no scale, cheap; differences of two networks are paired image by image.

    Limitations:
        It hides which images changed: two networks of equal accuracy may disagree on many, and
        pruning hurts some classes more than others, hence the parts.

    Source:
        Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022.

    Args:
        logits: Predictions on the test split.

    >>> import numpy as np
    >>> z = np.array([[2, 0], [0, 2], [2, 0], [0, 2]], np.float32)
    >>> accuracy(Predictions(z, np.array([0, 1, 1, 1]))).value
    0.75
    """
    return mean_reading(logits.correct, parts=parts_by_class(logits.correct, logits.labels))
