"""Expected calibration error over bins that hold equal numbers of images."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.calibration.binning import expected_gaps
from scratchcard.metrics.calibration.equal_mass import equal_mass, ranks_of
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "ece-mass",
    title="ECE (equal mass)",
    dimension="calibration",
    better="lower",
    caution="Above 0 even for a calibrated network: read it beside its noise floor.",
    version=2,
)
def ece_mass(logits: Predictions, *, bins: int = 15) -> Reading:
    """Expected calibration error over equally filled bins, also called adaptive.

    Definition:
        Images are sorted by the probability of their predicted class and cut into bins of equal
        numbers (to one image; equal confidences are never cut apart). The gap of a bin is the
        distance of its accuracy from its mean confidence. The part "noise floor" is what a
        calibrated network with these confidences would get on average, in closed form: nothing
        is simulated.

    Formula:
        ECE_m = sum_b n_b/N |acc_b - conf_b|, n_b about N/B;
        floor = 1/N sum_b E|X_b - n_b conf_b|, as for ece, and about
        1/N sqrt(2/pi) sum_b sqrt(sum_(i in b) p_i (1 - p_i))

    Motivation:
        A trained network is nearly always sure, so most of the equal-width bins hold a handful
        of images and the last one hides all the rest. Here every bin counts the same.

    Advantages:
        Resolves the confidences that a network really has; no bin is left to few images.

    Limitations:
        Biased upwards by noise, as ECE is. The borders depend on the network, and an image that
        crosses one moves the value by up to 2/N. Not netcal's ACE, which is the unweighted mean
        over equal-width bins, nor that of Nixon et al., which is taken class by class.

    Source:
        Nguyen and O'Connor, "Posterior Calibration and Exploratory Analysis for Natural Language
        Processing Models", EMNLP 2015; Nixon et al., "Measuring Calibration in Deep Learning",
        CVPR Workshops 2019. Not in Chen et al., TMLR 2022.

    Args:
        logits: Predictions on the test split.
        bins: Number of bins.

    >>> z = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]).astype(np.float32)
    >>> round(ece_mass(Predictions(z, np.array([0, 0, 0, 1])), bins=2).value, 4)
    0.15
    """
    gap = logits.confidence - logits.correct
    ranks = ranks_of(logits.confidence)

    def statistic(index: np.ndarray) -> float:
        sums = np.bincount(equal_mass(ranks[index], bins), weights=gap[index])
        return float(np.abs(sums).sum() / len(index))

    n = len(logits)
    floor = float(expected_gaps(logits.confidence, equal_mass(ranks, bins), bins).sum() / n)
    return statistic_reading(statistic, [n], parts={"noise floor": Part(floor, 0.0, n)})
