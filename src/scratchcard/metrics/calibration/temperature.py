"""One temperature for all logits, and each image scaled by what the others say it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from scratchcard.contracts import Part
from scratchcard.probe import Predictions

RANGE = 100.0
"""Temperatures lie within this factor of the logits' root mean square about their mean."""
FAR = 0.05
"""Newton steps of this share of the inverse temperature, or more, are too far to be trusted."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """Logits divided by temperatures that did not see their own labels.

    Attributes:
        predictions: The scaled logits, float64, with their labels.
        temperature: The common temperature, fitted on all images, with its standard error.
    """

    predictions: Predictions
    temperature: Part


def scaled(logits: Predictions) -> Scaled:
    """Scale each image by the temperature that fits all the others best.

    That of the others is one Newton step away from the common one, so leaving out every image
    costs no more than one fit; the error is of second order in the step, and the few images whose
    step is far, such as the only mistake, are left out of a fit of their own. Leaving out
    single images is cross-fitting with as many folds as images. Unlike two halves it depends
    neither on the order of the images nor on a draw, and it fits on all the data but one image.

    Raises:
        ValueError: A single image has no others.
    """
    n = len(logits)
    if n < 2:
        raise ValueError(f"a temperature is fitted on the other images: 2 at least, not {n}")
    z, size = _standardised(logits.logits)
    common = _inverse(z, logits.labels)
    slope, curvature = _slopes(z, logits.labels, common)
    bend = curvature.sum() - curvature
    usable = bend > 1e-9 * curvature.sum()  # what is less is rounding
    step = np.divide(slope.sum() - slope, bend, out=np.zeros(n), where=usable)
    others = np.clip(common - step, 1 / RANGE, RANGE)
    for one in np.flatnonzero(np.abs(step) >= FAR * common):
        rest = np.arange(n) != one
        others[one] = _inverse(z[rest], logits.labels[rest])
    temperature = size / common
    error = temperature / common * _ratio(np.sqrt((slope**2).sum()), curvature.sum())
    return Scaled(
        Predictions(z * others[:, None], logits.labels), Part(temperature, float(error), n)
    )


def fit_temperature(logits: Predictions) -> float:
    """The temperature T that minimises the NLL of softmax(z/T), in float64.

    The NLL is convex in 1/T, so the root of its slope is unique. Where there is none inside the
    range, because all answers are right (T = 0 would be best) or because confidence is worth
    nothing (T infinite), the end of the range is returned; 1 if no logit differs from another.

    >>> z = np.tile([4.0, 0.0], (100, 1))  # right three times in four: log 3 is honest
    >>> t = fit_temperature(Predictions(z, np.repeat([0, 1], [75, 25])))
    >>> bool(np.isclose(t, 4 / np.log(3)))
    True
    """
    z, size = _standardised(logits.logits)
    return size / _inverse(z, logits.labels)


def _standardised(logits: np.ndarray) -> tuple[np.ndarray, float]:
    """Logits about their mean, float64, over their root mean square; and that number."""
    z = logits.astype(np.float64)
    z -= z.mean(axis=1, keepdims=True)
    size = float(np.sqrt(np.mean(z**2))) or 1.0
    return z / size, size


def _inverse(z: np.ndarray, labels: np.ndarray) -> float:
    """The inverse temperature of standardised logits."""

    def slope(log_inverse: float) -> float:
        return float(_slopes(z, labels, np.exp(log_inverse))[0].sum())

    end = float(np.log(RANGE))
    if not z.any():
        return 1.0
    if slope(end) <= 0:
        return RANGE
    if slope(-end) >= 0:
        return 1 / RANGE
    return float(np.exp(brentq(slope, -end, end, xtol=1e-12)))


def _slopes(z: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of each image's NLL by the inverse temperature, [N] each."""
    p = softmax(inverse * z, axis=1)
    mean = (p * z).sum(axis=1)
    variance = (p * (z - mean[:, None]) ** 2).sum(axis=1)
    return mean - z[np.arange(len(z)), labels], variance


def _ratio(above: float, below: float) -> float:
    """A quotient; 0 where there is nothing to divide by."""
    return above / below if below > 0 else 0.0
