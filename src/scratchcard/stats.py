"""Readings with error bars: means over examples, and statistics over paired bootstrap resamples.

The resamples depend on the sizes of the sets alone, so differences of networks are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.seeds import numpy_stream

RESAMPLES = 400
"""Replicates of a bootstrap: their standard deviation is then known to about 3.5 %."""


def resamples(strata: Sequence[int], count: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Bootstrap indices into the concatenated strata, each stratum resampled within itself.

    Every network measured on sets of the same sizes gets the same resamples.

    Args:
        strata: Sizes of the sets, each at least 1.
        count: How many index vectors to yield.

    Raises:
        ValueError: Single examples only: no resample differs, and an error of 0 would be a lie.

    Yields:
        Indices [sum(strata)], one vector at a time: 400 x 50,000 would not be cheap to hold.

    >>> [index.tolist() for index in resamples([2, 1], count=3)]
    [[0, 1, 2], [1, 0, 2], [0, 0, 2]]
    """
    if max(strata) < 2:
        raise ValueError(f"a standard error needs at least 2 examples, not {max(strata)}")
    stream = numpy_stream(0, "resamples", *strata)
    starts = np.cumsum([0, *strata[:-1]])
    for _ in range(count):
        yield np.concatenate(
            [
                start + stream.integers(size, size=size)
                for start, size in zip(starts, strata, strict=True)
            ]
        )


def sample_size(available: int, images: int = 0, stderr: float = 0.0) -> int:
    """How many of the images there are to take, for a costly metric.

    For a standard error it is 1 + 1/(4 stderr^2), rounded up: a share then has at most that one,
    whatever it is, and so has the mean of anything between 0 and 1. So every network is measured
    on the same images, and differences are paired.

    Args:
        available: How many there are; never more are taken.
        images: How many are wanted; 0 for all.
        stderr: The largest standard error that is wanted; 0 for no such wish.

    Raises:
        UserError: A number out of range, or both wishes at once.

    >>> sample_size(10_000, stderr=0.02), sample_size(10_000, 1000), sample_size(300, 1000)
    (626, 1000, 300)
    """
    if images < 0:
        raise UserError(f"images = {images}, but must be 0 for all, or how many to take")
    if not 0 <= stderr < 0.5:
        raise UserError(
            f"stderr = {stderr}, but must be 0 for no such wish, or a standard error below 0.5"
        )
    if images and stderr:
        raise UserError(
            f"images = {images} and stderr = {stderr} both say how many images to take; "
            "leave one of them out"
        )
    if stderr:
        # The standard error of a share s of n images is sqrt(s (1 - s)/(n - 1)).
        images = 1 + math.ceil(0.25 / stderr**2 - 1e-9)
    return min(images or available, available)


def mean_reading(
    values: np.ndarray,
    *,
    params: Mapping[str, Any] | None = None,
    parts: Mapping[str, Part] | None = None,
) -> Reading:
    """A reading whose value is the mean over examples.

    Args:
        values: One number or bool per example [N], N at least 2.
        params: The constants it was computed with.
        parts: Its components.

    Raises:
        ValueError: Fewer than two examples have no standard error.

    >>> reading = mean_reading(np.array([1, 0, 1, 0]))
    >>> reading.value, round(reading.stderr, 4)
    (0.5, 0.2887)
    """
    if len(values) < 2:
        raise ValueError(f"a standard error needs at least 2 examples, not {len(values)}")
    examples = values.astype(np.float64)
    return Reading(
        value=float(examples.mean()),
        stderr=float(examples.std(ddof=1) / np.sqrt(len(examples))),
        n=len(examples),
        params=dict(params or {}),
        parts=dict(parts or {}),
        examples=examples,
    )


def parts_by_class(values: np.ndarray, labels: np.ndarray) -> dict[str, Part]:
    """The mean over the examples of each class, labelled ``class 0`` and so on.

    Classes without examples are left out; one example borrows the spread of the whole set.
    """
    values = values.astype(np.float64)
    parts = {}
    for label in np.unique(labels):
        own = values[labels == label]
        spread = own.std(ddof=1) if len(own) > 1 else values.std()
        parts[f"class {label}"] = Part(
            float(own.mean()), float(spread / np.sqrt(len(own))), len(own)
        )
    return parts


def statistic_reading(
    statistic: Callable[[np.ndarray], float | np.ndarray],
    strata: Sequence[int],
    *,
    components: Mapping[str, int] | None = None,
    first: bool = False,
    params: Mapping[str, Any] | None = None,
    parts: Mapping[str, Part] | None = None,
    count: int = RESAMPLES,
) -> Reading:
    """A reading of any statistic of a set of examples, with a bootstrap standard error.

    Args:
        statistic: From indices into the concatenated strata to a number, or to one number for
            each component [S], whose mean is then the value.
        strata: Sizes of the sets.
        components: Label of each component, in order, to its number of examples.
        first: The value is the first component, not their mean.
        params: The constants it was computed with.
        parts: Components known beforehand.
        count: How many resamples.

    >>> x = np.arange(100.0)
    >>> reading = statistic_reading(lambda index: np.median(x[index]), [100])
    >>> reading.value, 2.5 < reading.stderr < 7.5
    (49.5, True)
    """
    values = np.atleast_1d(statistic(np.arange(sum(strata))))
    drawn = np.stack([np.atleast_1d(statistic(index)) for index in resamples(strata, count)])
    if first:
        value, replicates = values[0], drawn[:, 0]
    else:
        value, replicates = values.mean(), drawn.mean(axis=1)
    spread = drawn.std(axis=0, ddof=1)
    own = {
        label: Part(float(values[s]), float(spread[s]), n)
        for s, (label, n) in enumerate((components or {}).items())
    }
    return Reading(
        value=float(value),
        stderr=float(replicates.std(ddof=1)),
        n=sum(strata),
        params=dict(params or {}),
        parts=own | dict(parts or {}),
        replicates=replicates,
    )
