"""Static calibration error: the calibration of every class's probability."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.calibration.binning import bin_of, expected_gaps
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "sce",
    title="SCE",
    dimension="calibration",
    better="lower",
    caution="Shrinks with the number of classes; never compare it with ECE.",
    version=2,
)
def sce(logits: Predictions, *, bins: int = 15) -> Reading:
    """Static calibration error: the calibration error of each class against the rest, averaged.

    Definition:
        For every class, images are binned by its probability, right or wrong, and the gap is
        the distance of the class's frequency in the bin from the mean probability. The parts
        are the errors of the classes, and what a network that is calibrated with exactly these
        probabilities would get on average ("noise floor").

    Formula:
        SCE = 1/K sum_k sum_b n_bk/N |freq_bk - mean p_bk|;
        floor = 1/(K N) sum_k sum_b E|X_bk - n_bk mean p_bk|, X_bk the images of class k in the
        bin, by De Moivre's closed form of the binomial distribution

    Motivation:
        ECE looks at the predicted class alone; uses that act on other probabilities (a rare
        disease at 5 %) need all of them honest.

    Advantages:
        Covers the whole probability vector; the parts show which classes suffer.

    Limitations:
        Most probabilities of most classes are close to 0, which makes it about K times smaller
        than ECE and insensitive; biased upwards by noise, like ECE: with many classes it is
        little else than its noise floor. It does not vote.

    Source:
        Nixon et al., "Measuring Calibration in Deep Learning", CVPR Workshops 2019. The paper's
        number of bins is unknown; 15 here.

    Args:
        logits: Predictions on the test split.
        bins: Number of equal-width bins, closed on the right.

    >>> flat = Predictions(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1]))
    >>> sce(flat).value
    0.25
    """
    n, classes = logits.logits.shape
    gap = logits.probabilities.copy()
    gap[np.arange(n), logits.labels] -= 1
    cells = (bin_of(logits.probabilities, bins) + bins * np.arange(classes)).ravel()

    def statistic(index: np.ndarray) -> np.ndarray:
        times = np.bincount(index, minlength=n)
        sums = np.bincount(cells, (gap * times[:, None]).ravel(), minlength=classes * bins)
        return np.asarray(np.abs(sums).reshape(classes, bins).sum(axis=1) / n)

    chance = logits.probabilities.ravel()
    floor = float(expected_gaps(chance, cells, classes * bins).sum() / (classes * n))
    return statistic_reading(
        statistic,
        [n],
        components={f"class {k}": n for k in range(classes)},
        parts={"noise floor": Part(floor, 0.0, n)},
    )
