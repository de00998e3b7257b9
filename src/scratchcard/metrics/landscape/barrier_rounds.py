"""Linear mode connectivity of successive sparsities of one method."""

from __future__ import annotations

from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.connectivity_barrier import connectivity_barrier
from scratchcard.registry import metric


@metric(
    "barrier-rounds",
    title="Barrier to the sparsity before",
    dimension="landscape",
    better="lower",
    unit="fraction",
    costly=True,
    caution="The highest of several noisy points: on few images above 0 without any barrier.",
)
def barrier_rounds(
    model: nn.Module,
    previous_model: nn.Module,
    train: Images,
    test: Images,
    *,
    points: int = 11,
    images: int = 1000,
    statistics: int = 2000,
    batch_size: int = 128,
) -> Reading:
    """How far the test error rises on the line from the ticket of the sparsity before.

    Definition:
        As connectivity-barrier, from the trained network of the same method and seed at the
        ladder's sparsity before; at the first sparsity from the dense twin.

    Formula:
        max(0, max over a of E(a) - (1 - a) E(0) - a E(1)), E(a) the error of (1 - a) w' + a w

    Motivation:
        Iterative pruning with rewinding works where successive tickets stay in one basin (Paul
        et al., ICLR 2023): the mask hands on where the basin is, round by round. Where the
        barrier opens, the next ticket no longer inherits anything.

    Advantages:
        Paired by images; the round at which a method leaves the basin is seen.

    Limitations:
        Those of connectivity-barrier. Steps of a coarse ladder are longer, so that only equal
        ladders can be compared; rounds between two rungs are not seen.

    Source:
        Paul et al., "Unmasking the Lottery Ticket Hypothesis: What's Encoded in a Winning
        Ticket's Mask?", ICLR 2023; Frankle et al., ICML 2020.

    Args:
        model: The ticket; it is left as it is.
        previous_model: The ticket of the sparsity before, or the dense twin.
        train: Images of the training split, not augmented, for BatchNorm.
        test: Images of the test split.
        points: On the line, with its ends; 3 or more.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        statistics: How many training images BatchNorm's statistics are taken of; 0 for all.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The networks are not of one architecture, as after removing channels.
    """
    return connectivity_barrier(
        model,
        previous_model,
        train,
        test,
        points=points,
        images=images,
        statistics=statistics,
        batch_size=batch_size,
    )
