"""Mean corruption error beyond the clean error, normalised by the dense networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import ErrorRates, NotApplicable, Part, Reading
from scratchcard.contracts.corruptions import STANDARD
from scratchcard.metrics.generalisation.corruption_scores import (
    by_kind,
    combine,
    divided,
    errors_of,
    overall,
    rates_of,
    ratio,
    weighted_reading,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading, statistic_reading

LEAST = 0.005
"""Smallest loss of the baseline that is divided by: below half a point it is mostly noise."""


@metric(
    "mce-relative",
    title="Relative mCE",
    dimension="generalisation",
    better="lower",
    caution="A network that errs more on clean images has less to lose: read it beside accuracy.",
)
def mce_relative(
    logits: Predictions,
    corrupted_logits: Mapping[str, tuple[Predictions, ...]],
    corruption_baseline: ErrorRates,
) -> Reading:
    """What corruption adds to the error, as a share of what it adds for the dense networks.

    Definition:
        The rise of the error from clean to corrupted images, summed over the severities of a
        kind, over the same sum of the baseline, the mean of the dense networks of all seeds;
        averaged over the fifteen standard kinds. At 1 a network loses as much as the dense ones
        do. Kinds and families are parts, and the extra kinds where a study has them; these enter
        no mean, and are left out where the baseline does not lose.

    Formula:
        value = 1/15 sum_c (sum_s (E_cs - E) / sum_s (B_cs - B)),  E and B the clean errors

    Motivation:
        Is a sparse network worse on corrupted images because it is worse on all? mce cannot tell.

    Advantages:
        If the corrupted images are those of the test split, the clean error of each is taken off
        its own corrupted ones: a mean over images, paired between networks.

    Limitations:
        It flatters a network that errs on clean images already, and a constant predictor has 0:
        never alone a sign of quality. Small denominators make it noisy, and their noise is not
        in the error bar. Where the corrupted images are others than the test split's (official
        files and a part of the test images), the luck of the draw does not cancel from corrupted
        to clean; the two sets are resampled on their own, and images in both make this error bar
        a little too wide.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
        and Perturbations", ICLR 2019 ("Relative mCE"), whose baseline is AlexNet; ours is mce's.

    Args:
        logits: Predictions on the test split, clean.
        corrupted_logits: Kind to Predictions at severities 1 to 5.
        corruption_baseline: Error rates of the dense networks.

    Raises:
        ValueError: A standard kind is missing, or cells hold different images.
        NotApplicable: On some standard kind the baseline loses less than 0.005, on average over
            severities.

    >>> z = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32)
    >>> clean, worse = (Predictions(z, np.array(y)) for y in ([0, 0, 0, 1], [0, 0, 1, 1]))
    >>> dense = ErrorRates(0.1, {kind: (0.2,) * 5 for kind in STANDARD})
    >>> round(mce_relative(clean, {kind: (worse,) * 5 for kind in STANDARD}, dense).value, 4)
    2.5
    """
    cells = errors_of(corrupted_logits)
    loss = _loss(corruption_baseline, cells.kinds)
    whole = ratio(overall(cells.kinds), loss)
    parts = divided(by_kind(cells.kinds), loss)
    wrong = ~logits.correct
    if np.array_equal(logits.labels, cells.labels):
        more = np.subtract(cells.values, wrong, dtype=np.int8)
        return weighted_reading(more, whole, parts)
    return _apart(cells.values, wrong, whole, parts)


def _loss(baseline: ErrorRates, kinds: tuple[str, ...]) -> np.ndarray:
    """Mean loss of the baseline on each kind [C, 1]; NaN for extra kinds that it hardly loses on.

    Raises:
        NotApplicable: It hardly loses on a standard one.
    """
    loss = rates_of(baseline, kinds).mean(axis=1, keepdims=True) - baseline.clean
    usable = loss >= LEAST
    kept = [kind for kind, fit in zip(STANDARD, usable, strict=False) if not fit]
    if kept:
        raise NotApplicable(
            f"because the error of the dense networks rises by less than {LEAST:.1%} under "
            f"{', '.join(kept)}: a share of so little means nothing"
        )
    return np.where(usable, loss, np.nan)


def _apart(
    values: np.ndarray, wrong: np.ndarray, whole: np.ndarray, parts: Mapping[str, np.ndarray]
) -> Reading:
    """The reading if clean and corrupted images are two sets [C, S, M] and [N]."""
    clean = mean_reading(wrong)

    def part(weights: np.ndarray) -> Part:
        own, scale = mean_reading(combine(weights, values)), weights.sum()
        error = np.hypot(own.stderr, scale * clean.stderr)
        return Part(own.value - float(scale) * clean.value, float(error), own.n)

    corrupted, scale = combine(whole, values), whole.sum()
    m, n = len(corrupted), len(wrong)

    def statistic(index: np.ndarray) -> float:
        return float(corrupted[index[:m]].mean() - scale * wrong[index[m:] - m].mean())

    own = {label: part(weights) for label, weights in parts.items()}
    return statistic_reading(statistic, [m, n], parts=own)
