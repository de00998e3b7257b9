"""Equal-width bins of confidence: the noise in them, and the diagram that shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from scratchcard.contracts import Part, Reading, UserError

_ACCURACY, _CONFIDENCE = "accuracy at ", "confidence at "


@dataclass(frozen=True)
class Bin:
    """A bar of a reliability diagram.

    Attributes:
        lo: Where the bin begins, as printed; it holds more than that.
        hi: Where it ends, as printed.
        accuracy: Share of its images that are answered rightly.
        stderr: The standard error of the accuracy.
        confidence: Mean confidence of its images.
        n: How many there are.
    """

    lo: float
    hi: float
    accuracy: float
    stderr: float
    confidence: float
    n: int


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin (b/B, (b + 1)/B] of each confidence; 0 counts in the first, 1 in the last.

    >>> bin_of(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    if bins < 1:
        raise UserError(f"bins must be 1 or more, not {bins}; the field's standard is 15")
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1))


def noise(confidence: np.ndarray, where: np.ndarray, bins: int) -> np.ndarray:
    """Standard deviation of each bin's sum of gaps if the network is calibrated [bins]."""
    variance = np.bincount(where, weights=confidence * (1 - confidence), minlength=bins)
    return np.asarray(np.sqrt(variance))


def expected_gaps(chance: np.ndarray, where: np.ndarray, bins: int) -> np.ndarray:
    """Mean size of each bin's sum of gaps if events happen with these chances [bins].

    De Moivre's closed form for the binomial distribution, exact if the chances in a bin are
    equal, times the ratio of standard deviations where they are not. Normal noise would give
    sqrt(2/pi) standard deviations, far too much for a bin that expects less than one event.

    >>> expected_gaps(np.array([0.5, 0.5, 0.1]), np.array([0, 0, 1]), 2).round(12).tolist()
    [0.5, 0.18]
    """
    count = np.bincount(where, minlength=bins)
    mean = np.bincount(where, weights=chance, minlength=bins) / np.maximum(count, 1)
    equal = count * mean * (1 - mean)
    usable = equal > 0
    n, p = count[usable], mean[usable]
    above = np.minimum(np.floor(n * p) + 1, n)
    log_half = above * np.log(p) + (n - above + 1) * np.log1p(-p) - betaln(above, n - above + 1)
    gaps = np.zeros(bins)
    gaps[usable] = 2 * np.exp(log_half) / np.sqrt(equal[usable])
    return np.asarray(gaps * noise(chance, where, bins))


def diagram(confidence: np.ndarray, correct: np.ndarray, bins: int) -> dict[str, Part]:
    """Accuracy and mean confidence of every bin that is not empty, labelled by its ends.

    The accuracy's error is that of the binomial distribution at (right + 1) / (n + 2), so that
    a bin of one image is not thought certain.
    """
    where = bin_of(confidence, bins)
    places = max(2, len(str(bins - 1)))
    parts = {}
    for b in np.unique(where):
        p, right = confidence[where == b], correct[where == b]
        n, likely = len(p), (right.sum() + 1) / (len(p) + 2)
        span = f"{b / bins:.{places}f} to {(b + 1) / bins:.{places}f}"
        error = float(np.sqrt(likely * (1 - likely) / n))
        parts[_ACCURACY + span] = Part(float(right.mean()), error, n)
        parts[_CONFIDENCE + span] = Part(float(p.mean()), float(p.std() / np.sqrt(n)), n)
    return parts


def reliability(reading: Reading) -> list[Bin]:
    """The bins of a reading of ``ece``, the least confident first.

    >>> parts = diagram(np.array([0.9, 0.8]), np.array([True, False]), bins=2)
    >>> [bar] = reliability(Reading(0.35, 0.1, 2, parts=parts))
    >>> bar.lo, bar.hi, bar.accuracy, round(bar.confidence, 2), bar.n
    (0.5, 1.0, 0.5, 0.85, 2)
    """
    bars = []
    for label, part in reading.parts.items():
        if label.startswith(_ACCURACY):
            span = label.removeprefix(_ACCURACY)
            lo, hi = (float(end) for end in span.split(" to "))
            confidence = reading.parts[_CONFIDENCE + span].value
            bars.append(Bin(lo, hi, part.value, part.stderr, confidence, part.n))
    return sorted(bars, key=lambda bar: bar.lo)
