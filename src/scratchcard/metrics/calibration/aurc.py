"""How well confidence tells which answers to withhold."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.calibration.equal_mass import ranks_of
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "aurc",
    title="AURC",
    dimension="calibration",
    better="lower",
    caution="Mostly accuracy: the part excess is what the confidence adds or wastes.",
    version=2,
)
def aurc(logits: Predictions) -> Reading:
    """Area under the risk-coverage curve: the error rate when only the surest answers count.

    Definition:
        Images are sorted by confidence, the surest first; the risk at coverage k/N is the error
        rate of the first k, and the area is the mean risk over k = 1..N. Equal confidences have
        no order: the mean over all their orders is taken, in closed form. Confidence is the
        largest softmax probability p, sorted by log(1 - p): the same order, without the ties
        that rounding makes of probabilities close to 1. Beside the area, the part "excess" is
        what remains after subtracting the area of the best order, all mistakes last; "noise
        floor" is the area that a network calibrated with exactly these confidences would have
        on average. That is no bound: a network that errs less than it fears comes out below.

    Formula:
        AURC = 1/N sum_(k=1..N) 1/k sum_(i<=k) wrong_i, a tied image counting as wrong with the
        error rate of its ties; excess = AURC - 1/N sum_(k=N-m+1..N) (k - N + m)/k, m mistakes;
        floor = AURC with 1 - p_i for wrong_i, exactly, as it is linear in them

    Motivation:
        A network that may hand doubtful images to a person is worth what its confidence says of
        where it errs. Pruning may keep accuracy and lose this.

    Advantages:
        No bins, no threshold, unchanged by any increasing map of the confidence; equal to the
        error rate if confidence says nothing.

    Limitations:
        Mostly decided by accuracy, and the few surest images weigh most: one mistake ranked first
        adds about (1 + log N)/N. It sees the order only: a network can rank well and be badly
        calibrated. Some papers integrate by trapezoids or multiply by 1000.

    Source:
        Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural
        Classifiers", ICLR 2019; the best area is exact here, where they approximate it by
        r + (1 - r) log(1 - r), r the error rate. Not in Chen et al., TMLR 2022.

    Args:
        logits: Predictions on the test split.

    >>> z = np.array([[3, 0], [2, 0], [1, 0], [1, 0]], np.float32)
    >>> reading = aurc(Predictions(z, np.array([0, 1, 0, 0])))
    >>> round(reading.value, 4), round(reading.parts["excess"].value, 4)
    (0.2708, 0.2083)
    """
    n = len(logits)
    doubt = log_doubt(logits)
    ranks, wrong = ranks_of(doubt), ~logits.correct

    def statistic(index: np.ndarray) -> np.ndarray:
        area = risk_area(ranks[index], wrong[index])
        return np.array([area, area - best_area(wrong[index])])

    return statistic_reading(
        statistic,
        [n],
        components={"area": n, "excess": n},
        first=True,
        parts={"noise floor": Part(risk_area(ranks, np.exp(doubt)), 0.0, n)},
    )


def log_doubt(logits: Predictions) -> np.ndarray:
    """The log of 1 - p, p the confidence, summed over the other classes so that it is exact [N]."""
    others = logits.log_probabilities.copy()
    others[np.arange(len(others)), logits.predicted] = -np.inf
    return np.asarray(logsumexp(others, axis=1))


def risk_area(ranks: np.ndarray, wrong: np.ndarray) -> float:
    """The mean risk over all coverages, and over all orders of equal ranks.

    Args:
        ranks: Whole numbers [N], the least first.
        wrong: Which images are answered wrongly, bool [N], or how likely each is to be.

    >>> risk_area(np.array([0, 0]), np.array([True, False]))
    0.5
    """
    counts = np.bincount(ranks)
    rate = np.bincount(ranks, weights=wrong) / np.maximum(counts, 1)
    errors = np.cumsum(np.repeat(rate, counts))
    return float(np.mean(errors / np.arange(1, len(ranks) + 1)))


def best_area(wrong: np.ndarray) -> float:
    """The least area that so many mistakes allow: all of them last.

    >>> best_area(np.array([True, False]))
    0.25
    """
    return risk_area(np.arange(len(wrong)), np.sort(wrong))
