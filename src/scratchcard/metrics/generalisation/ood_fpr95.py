"""How many foreign images pass where nearly all test images do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.metrics.generalisation.ood_scores import Score, compare, foreign_first
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "ood-fpr95",
    title="OoD FPR95 (test images positive)",
    dimension="generalisation",
    better="lower",
    caution=(
        "Two conventions are in use: here test images are positive; where foreign ones are, the "
        "number is another (the parts)."
    ),
    version=2,
)
def ood_fpr95(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
    *,
    score: Score = "max-softmax",
) -> Reading:
    """Share of foreign images that pass a threshold of sureness which 95 % of test images pass.

    Definition:
        The threshold is the highest score that at least 95 % of the test images reach; the value
        is the share of foreign images that reach it too, averaged over the foreign sets, which
        are parts. In-distribution (test) images are the positive class. The parts "..., foreign
        positive" are the other convention: the share of test images that are at most as sure as
        a threshold which at least 95 % of the foreign images do not exceed. Of a set that is told
        from some classes only, see ood-auroc.

    Formula:
        t = max {t : 1/N #{i : s_i >= t} >= 0.95};  FPR95 = 1/M #{j : s_j >= t}; the scores are
        those of ood-auroc.

    Motivation:
        A use must set a threshold, and seldom at the cost of one image in twenty of its own.

    Advantages:
        A number that a user can feel; it looks at one point of the ROC curve, where it hurts.

    Limitations:
        It rests on the test images near the threshold, so it is noisier than ood-auroc, and
        ties at the threshold pass together: a constant predictor gets 1. There is no
        interpolation between scores. Otherwise as ood-auroc.

    Source:
        Liang et al., "Enhancing the Reliability of Out-of-distribution Image Detection in Neural
        Networks", ICLR 2018 (test images positive); Yang et al., "OpenOOD", NeurIPS 2022 Datasets
        and Benchmarks (foreign images positive).

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
    >>> ood_fpr95(Predictions(z, np.array([0, 0])), {"noise": z - [[1, 0]]}, {}).value
    0.5
    """
    other = foreign_first(logits, ood_logits, ood_classes, score, fpr95)
    return compare(logits, ood_logits, ood_classes, score, fpr95, parts=other)


def fpr95(positive: np.ndarray, negative: np.ndarray) -> float:
    """The false positive rate at 95 % true positives, of counts at each score, scores rising.

    >>> fpr95(np.array([1, 0, 19]), np.array([3, 1, 0]))
    0.0
    """
    found, wrong = np.cumsum(positive[::-1]), np.cumsum(negative[::-1])
    wanted = -(-19 * found[-1] // 20)  # 0.95 n upwards, in integers: exactly 95 % is enough
    return float(wrong[np.searchsorted(found, wanted)] / wrong[-1])
