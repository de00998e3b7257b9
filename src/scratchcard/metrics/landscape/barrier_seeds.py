"""Linear mode connectivity of the tickets of one method from seed to seed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.barriers import mean_barrier
from scratchcard.metrics.landscape.connectivity_barrier import connectivity_barrier
from scratchcard.registry import metric


@metric(
    "barrier-seeds",
    title="Barrier between seeds",
    dimension="landscape",
    better="lower",
    unit="fraction",
    costly=True,
    caution="Seeds start apart here, so that a permutation of units may take the barrier away.",
)
def barrier_seeds(
    all_models: Mapping[int, nn.Module],
    train: Images,
    test: Images,
    *,
    points: int = 5,
    images: int = 500,
    statistics: int = 1000,
    batch_size: int = 128,
) -> Reading:
    """How far the test error rises on the lines between a method's tickets of different seeds.

    Definition:
        As connectivity-barrier, between the networks of each seed and the next; the mean over
        these pairs, each a part.

    Formula:
        1/(S-1) sum_s max(0, max over a of E(a) - (1 - a) E(0) - a E(1)), E(a) the error of
        (1 - a) w_s + a w_(s+1)

    Motivation:
        A yardstick for the other barriers: what unrelated networks of the same method have.

    Advantages:
        Paired by images; two lines for three seeds.

    Limitations:
        Those of connectivity-barrier. Seeds differ in initialisation too, and networks that
        compute the same with their units in another order have a barrier between them. The error
        bar is over images, not over seeds.

    Source:
        Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020;
        on permutations Entezari et al., ICLR 2022.

    Args:
        all_models: Seed to network.
        train: Images of the training split, not augmented, for BatchNorm.
        test: Images of the test split.
        points: On each line, with its ends; 3 or more.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        statistics: How many training images BatchNorm's statistics are taken of; 0 for all.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: A single seed, or networks of different shapes.
    """
    lines = {
        f"seeds {one} to {two}": connectivity_barrier(
            all_models[two],
            all_models[one],
            train,
            test,
            points=points,
            images=images,
            statistics=statistics,
            batch_size=batch_size,
        )
        for one, two in pairwise(sorted(all_models))
    }
    return mean_barrier(lines, "because one seed has no other to be joined to")
