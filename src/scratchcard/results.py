"""What a study measured: every network with its readings, and the long table they make.

The table is rebuilt from the store whenever it is wanted; it is never edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scratchcard.contracts import MetricSpec, Reading
from scratchcard.plan import Network


@dataclass(frozen=True)
class Budget:
    """What a network cost: training images seen, training FLOPs (multiply and add), seconds."""

    images: int
    flops: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """A network and what was read off it.

    Attributes:
        network: Who it is.
        sparsity: The exact share of prunable weights that are zero (0.0 for the dense twin).
        kept: How many prunable weights are left.
        prunable: How many there are.
        parameters: How many parameters the model has in all.
        collapsed: Names of prunable layers without a single weight left.
        readings: By label of the metric; a failed one is absent.
        missing: By label of the metric: why it is absent.
        train: Budget of this network's own training.
        find: Budget of everything that had to be trained before to find its mask.
    """

    network: Network
    sparsity: float
    kept: int
    prunable: int
    parameters: int
    collapsed: tuple[str, ...]
    readings: Mapping[str, Reading]
    missing: Mapping[str, str]
    train: Budget
    find: Budget


@dataclass(frozen=True)
class Results:
    """A study's networks, in the order dense first, then by method, target and seed.

    Attributes:
        study: Its name.
        profile: ``default`` or ``paper``.
        text: The study file, for the reader of a report.
        metrics: Label to spec, in the study's order.
        methods: Label to title, in the study's order (without ``dense``).
        networks: All of them, failed ones too.
        margins: Label of each headline metric to the margin in force.
    """

    study: str
    profile: str
    text: str
    metrics: Mapping[str, MetricSpec]
    methods: Mapping[str, str]
    networks: tuple[Measured, ...]
    margins: Mapping[str, float]
