"""Mean corruption error, normalised by the dense networks."""

from __future__ import annotations

from collections.abc import Mapping

from scratchcard.contracts import ErrorRates, NotApplicable, Reading
from scratchcard.contracts.corruptions import STANDARD
from scratchcard.metrics.generalisation.corruption_scores import (
    by_kind,
    by_severity,
    divided,
    errors_of,
    overall,
    rates_of,
    ratio,
    weighted_reading,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "mce",
    title="mCE",
    dimension="generalisation",
    better="lower",
    headline=True,
    margin=0.03,
    caution=(
        "Relative to this study's dense networks. Sets that are made here follow the protocol of "
        "CIFAR-C, but are not CIFAR-10-C: their draws and frost differ."
    ),
)
def mce(
    corrupted_logits: Mapping[str, tuple[Predictions, ...]], corruption_baseline: ErrorRates
) -> Reading:
    """Error on each of fifteen kinds of corruption as a share of the dense networks', averaged.

    Definition:
        Errors of a kind are summed over its five severities and divided by the same sum of the
        baseline, the mean of the dense networks of all seeds; the value is the mean of the
        fifteen ratios. At 1 a network errs as much as the dense ones do. Kinds and families are
        parts; of the parts "severity 1" to "severity 5" each is the mean over kinds of the ratio
        at that severity. The four extra kinds are parts where a study has them, and enter no
        mean. A part whose baseline makes no error is left out.

    Formula:
        mCE = 1/15 sum_c (sum_s E_cs / sum_s B_cs);  part of s: 1/15 sum_c (E_cs / B_cs)

    Motivation:
        Of the paper's measures of generalisation the one that sparsity hurts first. Kinds differ
        much in difficulty; a plain mean would be decided by the hardest.

    Advantages:
        The same denominators for all networks of a study, dense ones included: it is a mean over
        images, so differences are paired, and the dense networks average 1 exactly.

    Limitations:
        A kind at which the baseline hardly errs (brightness) weighs as much as the others and
        brings most of the noise. The noise of the baseline is not in the error bar; it
        stretches differences by a factor near 1 and cannot turn their sign kind by kind. Numbers
        of studies with other dense networks do not compare, and 0.9 of a poor baseline is poor:
        read it beside corruption-error. Of sets made here frost comes from computed textures, not
        from the official photographs, and every draw is its own.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
        and Perturbations", ICLR 2019, with AlexNet as the baseline (mce-alexnet). Chen et al.,
        TMLR 2022, draw dense networks at 100 % and publish no code for it: the dense baseline,
        the mean of ratios and the fifteen kinds are inferred.

    Args:
        corrupted_logits: Kind to Predictions at severities 1 to 5.
        corruption_baseline: Error rates of the dense networks.

    Raises:
        ValueError: A standard kind is missing, or cells hold different images.
        NotApplicable: The baseline makes no error on some standard kind.

    >>> import numpy as np
    >>> z = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32)
    >>> one_wrong = Predictions(z, np.array([0, 0, 0, 1]))
    >>> dense = ErrorRates(0.1, {kind: (0.1, 0.2, 0.2, 0.2, 0.3) for kind in STANDARD})
    >>> round(mce({kind: (one_wrong,) * 5 for kind in STANDARD}, dense).value, 4)
    1.25
    """
    cells = errors_of(corrupted_logits)
    rates = rates_of(corruption_baseline, cells.kinds)
    of_kind = rates.mean(axis=1, keepdims=True)
    perfect = [kind for kind, rate in zip(STANDARD, of_kind, strict=False) if not rate > 0]
    if perfect:
        raise NotApplicable(
            f"because the dense networks make no error on {', '.join(perfect)}: there is nothing "
            "to divide by"
        )
    whole = ratio(overall(cells.kinds), of_kind)
    parts = divided(by_kind(cells.kinds), of_kind) | divided(by_severity(cells.kinds), rates)
    return weighted_reading(cells.values, whole, parts)
