"""Linear mode connectivity of the tickets of different methods."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from scratchcard.contracts import NotApplicable, Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.barriers import mean_barrier
from scratchcard.metrics.landscape.connectivity_barrier import connectivity_barrier
from scratchcard.registry import metric


@metric(
    "barrier-methods",
    title="Barrier to other methods' tickets",
    dimension="landscape",
    better="lower",
    unit="fraction",
    costly=True,
    caution="A mean over whatever methods the study has: compare it within one study only.",
)
def barrier_methods(
    model: nn.Module,
    other_models: Mapping[str, nn.Module],
    train: Images,
    test: Images,
    *,
    points: int = 5,
    images: int = 500,
    statistics: int = 1000,
    batch_size: int = 128,
) -> Reading:
    """How far the test error rises on the lines to the tickets of other methods, on average.

    Definition:
        As connectivity-barrier, from the ticket of each other method at the same sparsity and
        seed; the mean over methods, each a part. Methods that leave a network of another shape
        are left out.

    Formula:
        1/M sum_m max(0, max over a of E(a) - (1 - a) E(0) - a E(1)), E(a) the error of
        (1 - a) w_m + a w

    Motivation:
        Do methods that start alike find one basin by different masks, or different solutions?

    Advantages:
        Paired by images; the parts are a matrix of methods.

    Limitations:
        Those of connectivity-barrier. Tickets with disjoint masks meet in a mixture with more
        weights than either; five points see only broad barriers.

    Source:
        Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020;
        between methods as in Evci et al., "Gradient Flow in Sparse Neural Networks", AAAI 2022.

    Args:
        model: The ticket; it is left as it is.
        other_models: The tickets of other methods.
        train: Images of the training split, not augmented, for BatchNorm.
        test: Images of the test split.
        points: On each line, with its ends; 3 or more.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        statistics: How many training images BatchNorm's statistics are taken of; 0 for all.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: No other method left a network of this shape.
    """
    lines = {}
    for label, other in sorted(other_models.items()):
        try:
            lines[label] = connectivity_barrier(
                model,
                other,
                train,
                test,
                points=points,
                images=images,
                statistics=statistics,
                batch_size=batch_size,
            )
        except NotApplicable:
            continue
    return mean_barrier(lines, "because no other method left a network of this shape")
