"""Equal-width bins of confidence, shared by the calibration errors."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import UserError


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
