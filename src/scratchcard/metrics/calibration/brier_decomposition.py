"""What the squared error of a network's confidence is made of."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.calibration.equal_mass import equal_mass, ranks_of
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading

TERMS = (
    "reliability",
    "resolution",
    "uncertainty",
    "within-bin variance",
    "within-bin covariance",
    "score",
)


@metric(
    "brier-decomposition",
    title="Brier reliability",
    dimension="calibration",
    better="lower",
    unit="",
    caution="Above 0 even for a calibrated network, and blind to accuracy: read all its parts.",
)
def brier_decomposition(logits: Predictions, *, bins: int = 15) -> Reading:
    """Squared calibration error of the confidence, as one of the terms of its Brier score.

    Definition:
        The event is that the predicted class is right, its forecast p the confidence. Over bins
        of equal numbers of images (as in ece-mass) the squared error of the forecast splits into
        reliability (squared gaps of confidence and accuracy: the value), resolution (how far
        apart the bins' accuracies lie: more is better), uncertainty (of being right at all) and
        two small terms for what goes on inside the bins. All are parts, as are their sum
        ("score") and what a calibrated network with these confidences would get for a
        reliability on average ("noise floor").

    Formula:
        score = 1/N sum_i (p_i - c_i)^2 = reliability - resolution + uncertainty
        + within-bin variance - within-bin covariance, exactly, with
        reliability = sum_b n_b/N (conf_b - acc_b)^2, resolution = sum_b n_b/N (acc_b - acc)^2,
        uncertainty = acc (1 - acc), variance = 1/N sum_b sum_(i in b) (p_i - conf_b)^2,
        covariance = 2/N sum_b sum_(i in b) (p_i - conf_b)(c_i - acc_b);
        floor = 1/N sum_b 1/n_b sum_(i in b) p_i (1 - p_i)

    Motivation:
        The Brier score mixes what a network can mend afterwards (reliability) with what it
        cannot (telling its right answers from its wrong ones). Pruning may cost either.

    Advantages:
        Exact for any bins; a proper score, taken apart.

    Limitations:
        Of the confidence alone: "score" is not the metric brier, which sums over all classes
        (with two classes it is half of it). Reliability and resolution are biased upwards by
        noise, by the floor if the network is calibrated. A constant predictor reaches 0.

    Source:
        Murphy, "A New Vector Partition of the Probability Score", J. Applied Meteorology 12,
        1973; the terms within bins: Stephenson, Coelho and Jolliffe, "Two Extra Components in the
        Brier Score Decomposition", Weather and Forecasting 23, 2008.

    Args:
        logits: Predictions on the test split.
        bins: Number of bins.

    >>> z = np.log([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.6, 0.4]]).astype(np.float32)
    >>> reading = brier_decomposition(Predictions(z, np.array([0, 0, 0, 1])), bins=2)
    >>> round(reading.value, 4), round(reading.parts["score"].value, 4)
    (0.025, 0.155)
    """
    p, right = logits.confidence, logits.correct.astype(np.float64)
    ranks = ranks_of(p)

    def statistic(index: np.ndarray) -> np.ndarray:
        return _terms(p[index], right[index], equal_mass(ranks[index], bins))

    n = len(logits)
    floor = float(_means(p * (1 - p), equal_mass(ranks, bins)).sum() / n)
    return statistic_reading(
        statistic,
        [n],
        components=dict.fromkeys(TERMS, n),
        first=True,
        parts={"noise floor": Part(floor, 0.0, n)},
    )


def _means(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The mean of each bin; 0 for an empty one."""
    return np.asarray(np.bincount(where, weights=values) / np.maximum(np.bincount(where), 1))


def _terms(p: np.ndarray, right: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Every one of ``TERMS`` for forecasts and outcomes [N] in their bins."""
    confidence, accuracy, mean = _means(p, where)[where], _means(right, where)[where], right.mean()
    return np.array(
        [
            np.mean((confidence - accuracy) ** 2),
            np.mean((accuracy - mean) ** 2),
            mean * (1 - mean),
            np.mean((p - confidence) ** 2),
            2 * np.mean((p - confidence) * (right - accuracy)),
            np.mean((p - right) ** 2),
        ]
    )
