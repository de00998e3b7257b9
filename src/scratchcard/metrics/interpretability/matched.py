"""Units at thresholds of their own for every concept, at which they are as large as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.dissection import Replicated, expected
from scratchcard.metrics.interpretability.units import Units


def matched(units: Units, concepts: Concepts, counts: np.ndarray) -> tuple[np.ndarray, Replicated]:
    """The best concept of each live unit that may be active on as large an area as the concept.

    Large concepts are easily hit, so agreement is counted from chance: 0 is that of independent
    masks of the same areas, 1 that of equal ones.

    Args:
        units: Of the network.
        concepts: The set whose images it was shown.
        counts: Of each image, from ``dissection.repeats`` [N, 1 + R].

    Returns:
        The number of the concept [L], and the agreement of unit and concept [L, 1 + R].
    """
    table = Table.of(concepts)
    limits = np.stack([_thresholds(units.maps[u], table.areas / table.total) for u in units.live])
    shared, active = _overlaps(units, concepts, limits)
    chosen = _above_chance(shared, active, table.areas, table.total).argmax(axis=1)
    thresholds = units.thresholds.copy()
    thresholds[units.live] = limits[np.arange(len(chosen)), chosen]
    found = []
    for (_, mask), concept in zip(
        replace(units, thresholds=thresholds).live_masks(), chosen, strict=True
    ):
        pixels = (mask & table.words[concept], mask, table.words[concept])
        inside, one, other = (
            np.bitwise_count(each).sum(axis=1, dtype=np.float64) @ counts for each in pixels
        )
        found.append(_above_chance(inside, one, other, table.pixels * counts.sum(axis=0)))
    return chosen, np.stack(found)


def _thresholds(unit: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What a unit exceeds at so many of its places [K]; its least answer where it never can."""
    answers = np.sort(unit, axis=None)
    counts = np.clip(np.round(shares * answers.size).astype(int), 1, answers.size - 1)
    below, above = answers[-counts - 1], answers[-counts]
    middle = below + (above - below) / 2
    return np.asarray(np.where(middle < above, middle, below))


def _overlaps(
    units: Units, concepts: Concepts, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels where a unit exceeds its threshold for a concept: on the concept, and all [L, K]."""
    shared, active = (np.zeros(limits.shape, np.int64) for _ in range(2))
    pixels = units.size[0] * units.size[1]
    for start in range(0, len(units.live), 64):
        some = units.live[start : start + 64]
        for rows, maps in units.large(some):
            on = np.unpackbits(concepts.packed[:, rows], axis=-1, count=pixels)
            masks = on.astype(bool).reshape(len(on), *maps.shape[1:])
            for u, unit in enumerate(maps, start):
                for k, limit in enumerate(limits[u]):
                    over = unit > limit
                    active[u, k] += np.count_nonzero(over)
                    shared[u, k] += np.count_nonzero(over & masks[k])
    return shared, active


def _above_chance(
    inside: np.ndarray, one: np.ndarray, other: np.ndarray, total: np.ndarray | int
) -> np.ndarray:
    """How far the intersection over union of two areas in pixels is above chance, at most 1."""
    chance = expected(one / total, other / total)
    return np.asarray((inside / np.maximum(one + other - inside, 1) - chance) / (1 - chance))
