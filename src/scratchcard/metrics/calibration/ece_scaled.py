"""Expected calibration error that a network would have with the right temperature."""

from __future__ import annotations

from dataclasses import replace

from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.ece_debiased import ece_debiased
from scratchcard.metrics.calibration.temperature import scaled
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "ece-scaled",
    title="ECE (scaled)",
    dimension="calibration",
    better="lower",
    caution="What one temperature could mend is mended: it is not the ECE of the network as it is.",
    version=3,
)
def ece_scaled(logits: Predictions, *, bins: int = 15) -> Reading:
    """Expected calibration error after temperature scaling, without the bias of noise.

    Definition:
        Each image's logits are divided by the temperature that minimises the NLL of all the
        other images; of the scaled logits the debiased ECE is taken. The part "temperature" is
        the one that fits all images; above 1 the network is over-confident. The part "noise
        floor" is that of ece-debiased: 0, and how far a network strays from it whose scaled
        probabilities are right.

    Formula:
        ece-debiased of z_i/T_i,  T_i = argmin_T sum_(j != i) -log softmax(z_j/T)(y_j)

    Motivation:
        Most of a network's calibration error is one wrong number, the scale of its logits, which
        pruning changes and anyone can mend. What remains is miscalibration of another kind.

    Advantages:
        Unchanged when all logits are multiplied by a number; needs no validation split: no image
        is scaled by its own label.

    Limitations:
        Those of ece-debiased, and: the temperature minimises the NLL, not this error, which it
        may even raise. The error bar takes the temperatures as they are; fitting them anew in
        every resample gave the same bar to 7 % (500 images). See nll-scaled for how they are
        bounded and how exact they are.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, who fit on a
        validation split. Not in Chen et al., TMLR 2022.

    Args:
        logits: Predictions on the test split.
        bins: Number of equal-width bins, closed on the right.

    Raises:
        ValueError: Fewer than two images.

    >>> import numpy as np
    >>> z = np.array([[4, 0]] * 4000, np.float32)
    >>> reading = ece_scaled(Predictions(z, np.repeat([0, 1], [3000, 1000])))
    >>> reading.value < 0, round(reading.parts["temperature"].value, 3)
    (True, 3.641)
    """
    mended = scaled(logits)
    reading = ece_debiased(mended.predictions, bins=bins)
    return replace(reading, parts={"temperature": mended.temperature} | dict(reading.parts))
