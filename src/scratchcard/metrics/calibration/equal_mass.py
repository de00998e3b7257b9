"""Bins of equal numbers of images, shared by what sorts images by confidence."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import UserError


def ranks_of(score: np.ndarray) -> np.ndarray:
    """The place of each score among the distinct ones, from 0 for the least.

    >>> ranks_of(np.array([0.9, 0.5, 0.9])).tolist()
    [1, 0, 1]
    """
    return np.unique(score, return_inverse=True)[1].astype(np.int64)


def equal_mass(ranks: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each image, so that bins hold equal numbers, to one image where none are tied.

    Tied images share a bin, that of the middle of their places, so that the order of a data set
    does not matter; with ties or few images some bins stay empty.

    Args:
        ranks: ``ranks_of`` the scores [N], or a resample of it.
        bins: Number of bins, at least 1.

    Raises:
        UserError: Fewer bins than one.

    >>> equal_mass(np.array([0, 1, 2, 3, 4]), 2).tolist()
    [0, 0, 1, 1, 1]
    >>> equal_mass(np.array([1, 1, 1, 0]), 2).tolist()
    [1, 1, 1, 0]
    """
    if bins < 1:
        raise UserError(f"bins must be 1 or more, not {bins}; the field's standard is 15")
    counts = np.bincount(ranks)
    twice_middle = 2 * np.cumsum(counts) - counts  # in whole numbers: no rounding at borders
    return np.asarray((twice_middle * bins // (2 * len(ranks)))[ranks])
