"""How well confidence tells test images from images of another kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.metrics.generalisation.ood_scores import Score, compare, tally
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "ood-auroc",
    title="OoD ROC-AUC",
    dimension="generalisation",
    better="higher",
    headline=True,
    margin=0.01,
    caution="It judges one score, the confidence; other scores can order networks otherwise.",
    version=2,
)
def ood_auroc(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
    *,
    score: Score = "max-softmax",
) -> Reading:
    """Area under the ROC curve of telling test images from foreign ones by confidence.

    Definition:
        The chance that a random test image is more confident than a random foreign one, ties
        counting half; averaged over the foreign sets, which are the parts. Confidence is the
        largest softmax probability in the form of log-odds: the same order, without the ties
        that float32 makes of probabilities close to 1. Other scores are an option. A foreign set
        may come with classes that it is to be told from (ImageNet-O: 200 of 1,000): then only
        test images of these classes count, and the logits of all others are left out before the
        score is taken.

    Formula:
        s(x) = max_k z_k - log sum_(j != k) exp z_j;  AUROC = P(s_id > s_ood) + P(s_id = s_ood)/2;
        "max-logit" is max_k z_k, "energy" log sum_k exp z_k, and "entropy" sum_k p_k log p_k.

    Motivation:
        A network in use should be less sure of what it was never taught. Pruning changes the
        scale of the logits, and with it what is confident.

    Advantages:
        No threshold, 0.5 for blind guessing, unchanged by any increasing map of the score.

    Limitations:
        Sets that went through another pipeline (resizing, JPEG) are told apart trivially;
        overlapping classes cannot be. It says nothing of a good threshold. Networks compare
        otherwise under another score: pruning changes the norm of the logits. Near and far
        sets weigh the same in the mean: read the parts.

    Source:
        Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples in Neural Networks", ICLR 2017; Liu et al., "Energy-based Out-of-distribution
        Detection", NeurIPS 2020; Hendrycks et al., ICML 2022 (the largest logit).

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

    >>> z = np.array([[3, 0], [2, 0]], np.float32)
    >>> ood_auroc(Predictions(z, np.array([0, 0])), {"noise": z - [[1, 0]]}, {}).value
    0.875
    """
    return compare(logits, ood_logits, ood_classes, score, _area)


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Mann-Whitney with mid-ranks: P(inside > outside) + P(equal)/2.

    >>> auroc(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    0.875
    """
    return _area(*tally(inside, outside))


def _area(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The AUROC from counts; twice the wins are integers, so it is exact."""
    wins = mine @ (2 * np.cumsum(theirs) - theirs)
    return float(wins / (2 * mine.sum() * theirs.sum()))
