"""Negative log-likelihood that a network would have with the right temperature."""

from __future__ import annotations

from dataclasses import replace

from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.temperature import scaled
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "nll-scaled",
    title="NLL (scaled)",
    dimension="calibration",
    better="lower",
    unit="",
    caution="What one temperature could mend is mended: it is not the NLL of the network as it is.",
    version=3,
)
def nll_scaled(logits: Predictions) -> Reading:
    """Mean negative log-probability of the label after temperature scaling, in nats.

    Definition:
        Each image's logits are divided by the temperature that minimises the NLL of all the
        other images, and the cross-entropy is averaged. The part "temperature" is the one that
        fits all of them; above 1 the network is over-confident. The part "noise floor" is what
        the scaled probabilities would get on average if they were right: their mean entropy, and
        1/N, to leading order the price of fitting one number to the other images.

    Formula:
        1/N sum_i -log softmax(z_i/T_i)(y_i),  T_i = argmin_T sum_(j != i) -log softmax(z_j/T)(y_j)

    Motivation:
        Pruning changes the size of the logits. NLL less this is the price of a wrong scale, which
        one number mends after training; what is left is real.

    Advantages:
        Unchanged when all logits are multiplied by a number; needs no validation split: no image
        is scaled by its own label, so nothing is learnt from what is judged.

    Limitations:
        Most temperatures T_i are one Newton step from the common one, off by second order in an
        image's share; where the step is far, as for the only mistake, they are fitted. A set with
        a handful of mistakes leaves the temperature uncertain (see its standard error). T stays
        within a factor of 100 of the logits' root mean square about each image's mean, and lies
        at an end if all answers are right or confidence is worthless.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, who fit on a
        validation split; leaving one out instead: Stone, "Cross-Validatory Choice and Assessment
        of Statistical Predictions", J. R. Stat. Soc. B 36, 1974. Not in Chen et al., TMLR 2022.

    Args:
        logits: Predictions on the test split.

    Raises:
        ValueError: Fewer than two images.

    >>> import numpy as np
    >>> z = np.array([[4, 0]] * 4000, np.float32)
    >>> reading = nll_scaled(Predictions(z, np.repeat([0, 1], [3000, 1000])))
    >>> round(reading.value, 3), round(reading.parts["temperature"].value, 3)
    (0.563, 3.641)
    """
    mended = scaled(logits)
    reading = nll(mended.predictions)
    floor = reading.parts["noise floor"]
    dearer = replace(floor, value=floor.value + 1 / len(logits))
    return replace(reading, parts={"temperature": mended.temperature, "noise floor": dearer})
