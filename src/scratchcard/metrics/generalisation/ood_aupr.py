"""How purely the surest images are test images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.metrics.generalisation.ood_scores import Score, compare, foreign_first
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "ood-aupr",
    title="OoD AUPR (test images positive)",
    dimension="generalisation",
    better="higher",
    caution=(
        "It depends on how many foreign images there are to each test image, so it is not to be "
        "compared between sets, nor with papers whose foreign images are the positive class."
    ),
    version=2,
)
def ood_aupr(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
    *,
    score: Score = "max-softmax",
) -> Reading:
    """Area under the precision-recall curve of finding the test images among foreign ones.

    Definition:
        Images are sorted by how sure the network is. For every test image found, the precision
        is the share of test images among all those that are at least as sure; the average
        precision is its mean, and the value the mean of that over the foreign sets. In-distribution
        (test) images are the positive class; the parts "..., foreign positive" take the unsure
        end and make foreign images the positive class, which is the paper's way for ImageNet-O.
        Of a set that is told from some classes only, see ood-auroc.

    Formula:
        AP = sum_t (recall_t - recall_(t-1)) precision_t over the thresholds t that occur, falling;
        equal scores are one threshold, and nothing is interpolated. The scores are those of
        ood-auroc.

    Motivation:
        Where few images are foreign, or few are not, a ROC curve looks good at thresholds that
        nobody could use.

    Advantages:
        No threshold; it weighs the end of the order that matters, the surest images here and the
        least sure ones in the other parts.

    Limitations:
        Blind guessing gets N/(N + M) with N test images and M foreign ones, not 0.5, and a mean
        over sets of different sizes mixes different scales. Otherwise as ood-auroc.

    Source:
        Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples in Neural Networks", ICLR 2017 ("AUPR In" and "AUPR Out").

    Args:
        logits: Predictions on the test split.
        ood_logits: Name of each foreign set to its logits [M, K].
        ood_classes: Name of each foreign set that is told from some classes only to their
            numbers.
        score: "max-softmax", "max-logit", "energy" or "entropy".

    Raises:
        ValueError: No foreign set, an empty one, or logits that are not finite.
        UserError: An unknown score, or classes that the network does not tell.
        NotApplicable: No test image is of the classes that a foreign set is told from.

    >>> z = np.array([[3, 0], [1, 0]], np.float32)
    >>> reading = ood_aupr(Predictions(z, np.array([0, 0])), {"noise": z - [[1, 0]]}, {})
    >>> round(reading.value, 4), round(reading.parts["noise, foreign positive"].value, 4)
    (0.8333, 0.8333)
    """
    other = foreign_first(logits, ood_logits, ood_classes, score, average_precision)
    return compare(logits, ood_logits, ood_classes, score, average_precision, parts=other)


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """The average precision, of counts at each score, scores rising.

    >>> average_precision(np.array([0, 1, 1]), np.array([1, 0, 0]))
    1.0
    """
    found, wrong = np.cumsum(positive[::-1]), np.cumsum(negative[::-1])
    # Scores that a resample left out at the top stand for nothing: 0 of 1.
    precision = found / np.maximum(found + wrong, 1)
    return float((precision * positive[::-1]).sum() / found[-1])
