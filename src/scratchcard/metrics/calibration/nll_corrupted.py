"""Negative log-likelihood on corrupted images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.metrics.generalisation.corruption_scores import (
    by_kind,
    by_severity,
    cells_of,
    overall,
    weighted_reading,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "nll-corrupted",
    title="NLL (corrupted)",
    dimension="calibration",
    better="lower",
    unit="",
    scale="log",
    caution="It mixes accuracy and calibration, and the hardest kinds decide it.",
)
def nll_corrupted(corrupted_logits: Mapping[str, tuple[Predictions, ...]]) -> Reading:
    """Mean negative log-probability of the label on corrupted images, in nats.

    Definition:
        The cross-entropy in each of 75 cells, one of fifteen standard kinds of corruption at one
        of five severities, and the mean of these. Kinds, families and severities are parts. The
        four extra kinds are parts where a study has them, and enter no mean.

    Formula:
        NLL_cs = -1/N sum_i log p_i^cs(y_i), by log-softmax in float64; value = 1/75 sum_cs NLL_cs

    Motivation:
        A proper score where networks are known to be over-confident: on images unlike those of
        the training set.

    Advantages:
        No bins and no options. Each image gives one number, its mean over the cells, so
        differences are paired.

    Limitations:
        Unbounded: a few confident mistakes, and the hardest kinds, dominate the mean. What a
        higher error does and what over-confidence does is not told apart.

    Source:
        Ovadia et al., "Can You Trust Your Model's Uncertainty? Evaluating Predictive Uncertainty
        Under Dataset Shift", NeurIPS 2019; the kinds are those of Hendrycks and Dietterich,
        ICLR 2019.

    Args:
        corrupted_logits: Kind to Predictions at severities 1 to 5.

    Raises:
        ValueError: A standard kind is missing, or cells hold different images.

    >>> from scratchcard.contracts.corruptions import STANDARD
    >>> flat = Predictions(np.zeros((5, 4), np.float32), np.zeros(5, np.int64))
    >>> bool(np.isclose(nll_corrupted({kind: (flat,) * 5 for kind in STANDARD}).value, np.log(4)))
    True
    """
    cells = cells_of(corrupted_logits, _surprise)
    parts = by_kind(cells.kinds) | by_severity(cells.kinds)
    return weighted_reading(cells.values, overall(cells.kinds), parts)


def _surprise(p: Predictions) -> np.ndarray:
    return np.asarray(-p.log_probabilities[np.arange(len(p)), p.labels])
