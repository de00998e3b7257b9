"""Negative log-likelihood."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "nll",
    title="NLL",
    dimension="calibration",
    better="lower",
    unit="",
    headline=True,
    margin=0.05,
    scale="log",
    version=2,
)
def nll(logits: Predictions) -> Reading:
    """Mean negative log-probability of the label, in nats.

    Definition:
        The cross-entropy on the test split: how surprised the network is by the truth. The part
        "noise floor" is how surprised it expects to be, its mean entropy: what it would get on
        average if it were calibrated with exactly these probabilities. A value above that means
        over-confidence.

    Formula:
        NLL = -1/N sum_i log p_i(y_i), by log-softmax in float64;
        floor = -1/N sum_i sum_k p_ik log p_ik

    Motivation:
        A proper score: only the true probabilities minimise it, so it rewards being both
        accurate and honest.

    Advantages:
        No bins and no options; by log-softmax it stays finite where the probability underflows.

    Limitations:
        Unbounded: a few confident mistakes dominate the mean. It mixes accuracy and calibration;
        networks are compared by ratios, since its scale depends on the task. The noise floor
        differs from network to network: it is no bound, and a modest network has a high one.

    Source:
        Good, "Rational Decisions", J. R. Stat. Soc. B 14, 1952; mean over images as in the code
        of Chen et al., TMLR 2022.

    Args:
        logits: Predictions on the test split.

    >>> flat = Predictions(np.zeros((5, 4), np.float32), np.zeros(5, np.int64))
    >>> bool(np.isclose(nll(flat).value, np.log(4)))
    True
    """
    n, log_p = len(logits), logits.log_probabilities
    floor = Part(float(-(logits.probabilities * log_p).sum() / n), 0.0, n)
    return mean_reading(-log_p[np.arange(n), logits.labels], parts={"noise floor": floor})
