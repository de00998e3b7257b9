"""Maps of many units on many images as one array: in memory, or in a file where they are many."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import prod
from tempfile import TemporaryFile, gettempdir

import numpy as np

from scratchcard.contracts import UserError

HELD = 2**30
"""Bytes that are held in memory. ResNet-20 answers 16 MB to 1,000 images of 32 pixels, WRN-28-10
8 GB to as many of 224."""


def gathered(batches: Iterable[np.ndarray], images: int) -> np.ndarray:
    """One array of what comes in batches.

    What is larger than ``HELD`` lies in a temporary file, which is gone with the array. Its pages
    are cached while there is memory to spare, and read again where there is not. To show a network
    all images once more for every few units would take no room on a disk, but hours.

    Args:
        batches: Maps of some images after another, float32 [b, U, h, w].
        images: How many there are in all, N.

    Returns:
        float32 [U, N, h, w].

    Raises:
        UserError: There is no room for the file.

    >>> gathered([np.ones((2, 5, 3, 3)), np.zeros((1, 5, 3, 3))], 3)[4, :, 0, 0]
    array([1., 1., 0.], dtype=float32)
    """
    rest = iter(batches)
    first = next(rest)
    units, *size = first.shape[1:]
    maps, done = _room((units, images, *size)), 0
    for batch in chain([first], rest):
        maps[:, done : done + len(batch)] = batch.swapaxes(0, 1)
        done += len(batch)
    return maps


def _room(shape: tuple[int, ...]) -> np.ndarray:
    """An array to be filled."""
    size = 4 * prod(shape)
    if size <= HELD:
        return np.empty(shape, np.float32)
    with TemporaryFile(buffering=0) as file:
        zeros, left = memoryview(bytes(2**24)), size
        try:
            # A disk that turned out to be full as the array is filled would end the process.
            while left:
                left -= file.write(zeros[:left])
        except OSError as error:
            raise UserError(
                f"activations of {size / 1e9:.1f} GB find no room in {gettempdir()} "
                f"({error.strerror}); name a larger folder in the environment variable TMPDIR, "
                "take fewer images, or look at a later layer"
            ) from error
        return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))
