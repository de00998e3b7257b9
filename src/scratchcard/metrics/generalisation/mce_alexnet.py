"""Mean corruption error of ImageNet-C, normalised by AlexNet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from scratchcard.contracts import NotApplicable, Reading
from scratchcard.metrics.generalisation.corruption_scores import (
    by_kind,
    divided,
    errors_of,
    overall,
    ratio,
    weighted_reading,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric

ALEXNET: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
    }
)
"""AlexNet's error on ImageNet-C, averaged over severities; by name, since lists get re-ordered."""
CLASSES = 1000


@metric(
    "mce-alexnet",
    title="mCE (AlexNet)",
    dimension="generalisation",
    better="lower",
    caution=(
        "It compares with published numbers only on the files of ImageNet-C, 224 pixels wide and "
        "not resized."
    ),
)
def mce_alexnet(corrupted_logits: Mapping[str, tuple[Predictions, ...]]) -> Reading:
    """Error on each of fifteen kinds of corruption as a share of AlexNet's, averaged.

    Definition:
        The mCE of ImageNet-C: the errors of a kind, summed over its five severities and divided
        by AlexNet's published sum; averaged over the fifteen standard kinds. Kinds and families
        are parts; AlexNet's errors on the extra kinds are not published, so these are left out.

    Formula:
        mCE = 1/15 sum_c (1/5 sum_s E_cs / A_c),  A_c the mean error of AlexNet over severities

    Motivation:
        The number that papers on ImageNet report; a ResNet-50 has 0.767 (printed as 76.7).

    Advantages:
        A baseline outside of the study: numbers of different studies compare. A mean over images,
        so differences of networks are paired.

    Limitations:
        Only for ImageNet's thousand classes, with images of 224 pixels under ImageNet-C's
        protocol; that there are a thousand classes is all that is checked. Sets that are made
        here have other draws, no second JPEG compression and computed frost: near it at best, and
        no number to publish beside others. Files that were resized have lost some of their
        corruption.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
        and Perturbations", ICLR 2019; AlexNet's errors are those of their code. They are kept by
        name: public code is known that pairs the published list with kinds in another order.

    Args:
        corrupted_logits: Kind to Predictions at severities 1 to 5.

    Raises:
        ValueError: A standard kind is missing, or cells hold different images.
        NotApplicable: The network does not tell 1,000 classes.

    >>> z = np.eye(2, 1000, dtype=np.float32)
    >>> half = (Predictions(z, np.array([0, 0])),) * 5
    >>> reading = mce_alexnet({kind: half for kind in ALEXNET})
    >>> round(reading.parts["fog"].value, 6), round(0.5 / 0.819324, 6)
    (0.610259, 0.610259)
    """
    cells = errors_of(corrupted_logits)
    classes = corrupted_logits[cells.kinds[0]][0].classes
    if classes != CLASSES:
        raise NotApplicable(
            "because AlexNet's errors are of the 1,000 classes of ImageNet-C, and this network "
            f"tells {classes}"
        )
    rates = np.array([[ALEXNET.get(kind, np.nan)] for kind in cells.kinds])
    whole = ratio(overall(cells.kinds), rates)
    return weighted_reading(cells.values, whole, divided(by_kind(cells.kinds), rates))
