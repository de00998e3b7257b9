"""Expected calibration error as the field reports it."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.calibration.binning import bin_of, diagram, expected_gaps
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "ece",
    title="ECE",
    dimension="calibration",
    better="lower",
    paper={"bins": 14},
    caution="Above 0 even for a calibrated network: read it beside its noise floor.",
    version=2,
)
def ece(logits: Predictions, *, bins: int = 15) -> Reading:
    """Expected calibration error: the mean gap between confidence and accuracy over bins.

    Definition:
        Images are put in equal-width bins by the probability of their predicted class; the gap
        of a bin is the distance of its accuracy from its mean confidence. The part "noise floor"
        is what a calibrated network with these confidences would get on average. The parts
        "accuracy at 0.60 to 0.67" and "confidence at 0.60 to 0.67", of every bin that is not
        empty, are the reliability diagram.

    Formula:
        ECE = sum_b n_b/N |acc_b - conf_b|;  floor = 1/N sum_b E|X_b - n_b conf_b|, X_b the right
        answers of a calibrated bin: by De Moivre's closed form of the binomial distribution, and
        about 1/N sqrt(2/pi) sum_b sqrt(sum_(i in b) p_i (1 - p_i))

    Motivation:
        Of the answers given with 90 % confidence, nine in ten should be right.

    Advantages:
        The number nearly every paper on calibration reports; in units of probability.

    Limitations:
        Biased upwards by noise (at 500 images by several points), so networks measured on sets
        of different sizes cannot be compared, and a little blind inside the bins. It does not
        vote in the verdict; ece-debiased does. A constant predictor can reach 0.

    Source:
        Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The official code of
        Chen et al., TMLR 2022, has 14 bins (15 edges) and drops confidences that round above 1;
        the profile paper has its bins, not its fault.

    Args:
        logits: Predictions on the test split.
        bins: Number of equal-width bins, closed on the right.

    >>> sure = np.log([[0.95, 0.05], [1.0, 1e-30]]).astype(np.float32)
    >>> round(ece(Predictions(sure, np.array([0, 1])), bins=10).value, 4)
    0.475
    """
    gap = logits.confidence - logits.correct
    where = bin_of(logits.confidence, bins)

    def statistic(index: np.ndarray) -> float:
        sums = np.bincount(where[index], weights=gap[index], minlength=bins)
        return float(np.abs(sums).sum() / len(index))

    n = len(logits)
    floor = float(expected_gaps(logits.confidence, where, bins).sum() / n)
    bars = diagram(logits.confidence, logits.correct, bins)
    return statistic_reading(statistic, [n], parts={"noise floor": Part(floor, 0.0, n)} | bars)
