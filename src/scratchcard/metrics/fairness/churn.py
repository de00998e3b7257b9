"""Images that only one of two networks has right."""

from __future__ import annotations

from scipy.special import bdtr

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.fairness.by_class import check_twins
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "churn",
    title="Churn",
    dimension="fairness",
    better="lower",
    caution=(
        "Two dense networks of different seeds churn too: that, and not 0, is what retraining "
        "costs by itself."
    ),
)
def churn(logits: Predictions, dense_logits: Predictions) -> Reading:
    """Share of test images on which the network and its dense twin are not both right or wrong.

    Definition:
        An image counts if exactly one of the two networks has it right. The parts "correct to
        wrong" (b of N) and "wrong to correct" (c of N), as seen from the dense twin, add up to the
        value, and their difference is the loss of accuracy. "disagreement" is the share of images
        that the two put in different classes, right or wrong, and "McNemar p" the chance of a
        difference of accuracy as large as this, or larger, if neither network were the better.

    Formula:
        (b + c)/N;  p = min(1, 2 P(X <= min(b, c))),  X binomial of b + c tosses of a fair coin

    Motivation:
        Two networks of equal accuracy may fail different people. Whoever replaces one by the other
        meets the images that change, not the mean.

    Advantages:
        Paired image by image; exact, and never below the difference of the accuracies.

    Limitations:
        It counts repairs like damage (see the parts). Nothing is said of which images change, nor
        of confidence. The p value speaks of these two networks on such images, not of the
        method: other seeds would differ too. Many tickets make many tests: correct for it.

    Source:
        Milani Fard et al., "Launch and Iterate: Reducing Prediction Churn", NeurIPS 2016 (their
        churn is the part "disagreement"); McNemar, Psychometrika 1947, in its exact form.

    Args:
        logits: Predictions on the test split.
        dense_logits: Those of the dense twin.

    Raises:
        ValueError: They are not predictions on the same images.

    >>> import numpy as np
    >>> right, wrong, labels = [2.0, 0.0], [0.0, 2.0], np.zeros(4, int)
    >>> dense = Predictions(np.array([right, right, right, wrong]), labels)
    >>> reading = churn(Predictions(np.array([right, wrong, wrong, right]), labels), dense)
    >>> reading.value, reading.parts["correct to wrong"].value
    (0.75, 0.5)
    """
    check_twins(logits, dense_logits)
    lost = dense_logits.correct & ~logits.correct
    won = logits.correct & ~dense_logits.correct
    shares = {
        "correct to wrong": lost,
        "wrong to correct": won,
        "disagreement": logits.predicted != dense_logits.predicted,
    }
    parts = {}
    for label, changed in shares.items():
        share = mean_reading(changed)
        parts[label] = Part(share.value, share.stderr, share.n)
    b, c = int(lost.sum()), int(won.sum())
    parts["McNemar p"] = Part(mcnemar(b, c), 0.0, b + c)
    return mean_reading(lost | won, parts=parts)


def mcnemar(b: int, c: int) -> float:
    """The exact two-sided p value of b images lost and c won.

    >>> mcnemar(0, 0), mcnemar(5, 0)
    (1.0, 0.0625)
    """
    return min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))
