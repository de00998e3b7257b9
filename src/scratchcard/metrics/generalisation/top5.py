"""Top-5 accuracy."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import NotApplicable, Reading
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading, parts_by_class


@metric("top-5", title="Top-5 accuracy", dimension="generalisation", better="higher")
def top5(logits: Predictions) -> Reading:
    """Share of test images whose label is among the five classes of the largest logits.

    Definition:
        An image counts if fewer than five classes have a larger logit than its label; of equal
        logits the first classes are taken, as in accuracy. The parts are the shares within each
        class.

    Formula:
        top-5 = 1/N sum_i [#{k : z_ik > z_iy, or z_ik = z_iy and k < y} < 5],  y = y_i

    Motivation:
        ImageNet's images show more than one thing and its classes overlap; a pruned network may
        lose the first place of a label and still know it.

    Advantages:
        No options; paired image by image, like accuracy.

    Limitations:
        Of ten classes a blind guess has five: it means little below a hundred. Nothing is said of
        fewer than six classes, where it would be 1.

    Source:
        Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015.

    Args:
        logits: Predictions on the test split.

    Raises:
        NotApplicable: There are fewer than six classes.

    >>> z = np.tile(np.arange(6.0, dtype=np.float32), (6, 1))
    >>> round(top5(Predictions(z, np.arange(6))).value, 4)
    0.8333
    """
    if logits.classes < 6:
        raise NotApplicable(
            f"because five guesses are all there is to guess with {logits.classes} classes"
        )
    z, labels = logits.logits, logits.labels[:, None]
    own = np.take_along_axis(z, labels, axis=1)
    first = (z == own) & (np.arange(logits.classes) < labels)
    found = ((z > own) | first).sum(axis=1) < 5
    return mean_reading(found, parts=parts_by_class(found, logits.labels))
