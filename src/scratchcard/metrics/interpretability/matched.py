"""Units at thresholds of their own for every concept, at which they are as large as it is."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.dissection import Replicated, expected
from scratchcard.metrics.interpretability.units import BLOCK, Units


def matched(units: Units, table: Table, counts: np.ndarray) -> tuple[np.ndarray, Replicated]:
    """The best concept of each live unit that may be active on as large an area as the concept.

    Large concepts are easily hit, so agreement is counted from chance: 0 is that of independent
    masks of the same areas, 1 that of equal ones. The concept is chosen on the layer's own grid;
    then its agreement is that of pixels.

    Args:
        units: Of the network.
        table: Of the concept set whose images it was shown.
        counts: Of each image, from ``dissection.repeats`` [N, 1 + R].

    Returns:
        The number of the concept [L], and the agreement of unit and concept [L, 1 + R].
    """
    shares, places = table.areas / table.total, prod(units.maps.shape[1:])
    limits = np.stack([_thresholds(units.maps[u], shares) for u in units.live])
    shared, active = _overlaps(units, table, limits)
    chosen = _above_chance(shared, active, shares * places, places).argmax(axis=1)
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


def _overlaps(units: Units, table: Table, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places where a unit exceeds its threshold for a concept: on the concept, and all [L, K].

    A place is on a concept by the share of it that the concept covers. At the size of the masks
    this would take three times as long as all other parts of netdissect together.
    """
    shared, active = (np.zeros(limits.shape) for _ in range(2))
    _, images, height, width = units.maps.shape
    step = max(1, BLOCK // max(len(limits) * height * width, table.pixels))
    for rows in (slice(start, start + step) for start in range(0, images, step)):
        maps = units.maps[units.live, rows].reshape(len(limits), -1)
        for concept, packed in enumerate(table.concepts.packed):
            on = np.unpackbits(packed[rows], axis=-1, count=table.pixels)
            masks = torch.from_numpy(on.reshape(-1, *units.size)).float()
            covered = adaptive_avg_pool2d(masks, (height, width)).numpy().ravel()
            over = (maps > limits[:, concept, None]).astype(np.float32)
            shared[:, concept] += over @ covered
            active[:, concept] += over.sum(axis=1)
    return shared, active


def _above_chance(
    inside: np.ndarray, one: np.ndarray, other: np.ndarray, total: np.ndarray | int
) -> np.ndarray:
    """How far the intersection over union of two areas in pixels is above chance, at most 1."""
    chance = expected(one / total, other / total)
    return np.asarray((inside / np.maximum(one + other - inside, 1) - chance) / (1 - chance))
