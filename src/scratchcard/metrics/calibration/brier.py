"""Brier score."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "brier",
    title="Brier score",
    dimension="calibration",
    better="lower",
    unit="",
    headline=True,
    margin=0.01,
    version=2,
)
def brier(logits: Predictions) -> Reading:
    """Squared distance of the probabilities from the truth, between 0 and 2.

    Definition:
        The squared error of the whole probability vector against the one-hot label, summed over
        classes (not divided by their number) and averaged over images. The part "noise floor"
        is what a network that is calibrated with exactly these probabilities would get on
        average; a value above that means over-confidence.

    Formula:
        Brier = 1/N sum_i sum_k (p_ik - [y_i = k])^2;  floor = 1/N sum_i sum_k p_ik (1 - p_ik)

    Motivation:
        A proper score like the NLL, but bounded, so that single images cannot decide it.

    Advantages:
        No bins and no options; one value an image, so differences are paired.

    Limitations:
        It mixes accuracy and calibration. Conventions differ: binary scores and some libraries
        give half of it, others divide by the number of classes. The noise floor differs from
        network to network: it is no bound.

    Source:
        Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather
        Review 78, 1950.

    Args:
        logits: Predictions on the test split.

    >>> flat = Predictions(np.zeros((5, 4), np.float32), np.zeros(5, np.int64))
    >>> brier(flat).value
    0.75
    """
    n, p = len(logits), logits.probabilities
    error = p.copy()
    error[np.arange(n), logits.labels] -= 1
    floor = Part(float((p * (1 - p)).sum() / n), 0.0, n)
    return mean_reading((error**2).sum(axis=1), parts={"noise floor": floor})
