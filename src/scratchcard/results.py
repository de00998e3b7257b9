"""What a study measured: every network with its readings, and those of all seeds together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from scratchcard.contracts import MetricSpec, Reading
from scratchcard.graph import Network

NOT_RUN = "not run yet"
"""Why a reading is missing when nothing failed."""
NOT_APPLICABLE = "not applicable: "
"""How the reason begins where a metric says nothing about a network."""


@dataclass(frozen=True)
class Budget:
    """What a network cost: training images seen, in epochs too, training FLOPs, and seconds.

    A multiplication and an addition are two FLOPs; the seconds of finding include scoring.
    """

    images: int
    epochs: float
    flops: float
    seconds: float


class Gaps:
    """Readings by label, and of those that are absent why."""

    readings: Mapping[str, Reading]
    missing: Mapping[str, str]

    @property
    def silent(self) -> Mapping[str, str]:
        """By label, why a metric says nothing here."""
        return {m: why for m, why in self.missing.items() if why.startswith(NOT_APPLICABLE)}

    @property
    def unread(self) -> Mapping[str, str]:
        """By label, why a reading failed or is still to come."""
        return {m: why for m, why in self.missing.items() if m not in self.silent}


@dataclass(frozen=True)
class Measured(Gaps):
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
        losses: Mean training loss of each epoch of its own training.
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
    losses: tuple[float, ...] = ()

    @property
    def position(self) -> float:
        """The sparsity it is drawn at: its own, or the target where nothing is cut.

        A dense network that is the control of a rung stands beside the tickets of that rung.
        """
        return self.sparsity or self.network.target


class Cell(NamedTuple):
    """What the seeds of one ticket (or of the dense twin) have in common."""

    data: str
    model: str
    method: str
    target: float


@dataclass(frozen=True)
class Together(Gaps):
    """What was read off the networks of all seeds of a cell together.

    Attributes:
        readings: By label of the metric; a failed one is absent.
        missing: By label of the metric: why it is absent.
        digests: By label of the metric, where it is stored.
    """

    readings: Mapping[str, Reading]
    missing: Mapping[str, str]
    digests: Mapping[str, str]


class Rung(NamedTuple):
    """All tickets of a data set and model at one sparsity."""

    data: str
    model: str
    target: float


class Share(NamedTuple):
    """How many networks are right, out of how many."""

    right: int
    of: int


@dataclass(frozen=True, eq=False)
class Picture:
    """A test image that sparse networks get wrong more often than dense ones.

    Attributes:
        index: Its place in the test split.
        pixels: ``uint8`` [C, H, W].
        label: Name of its true class.
        dense: How many dense networks get it right.
        sparse: How many tickets do.
    """

    index: int
    pixels: np.ndarray
    label: str
    dense: Share
    sparse: Share


@dataclass(frozen=True)
class Results:
    """A study's networks, in the order dense first, then by method, target and seed.

    Attributes:
        study: Its name.
        profile: ``default`` or ``paper``.
        text: The study file, for the reader of a report.
        metrics: Label to spec, in the study's order.
        methods: Label to title, in the study's order (without ``dense``).
        controls: Labels of the methods that are no contenders.
        together: By cell, what was read off all its seeds together.
        networks: All of them, failed ones too.
        margins: Label of each headline metric to the margin in force.
        sheets: By rung, the test images that its tickets forget, the most damaged first.
        pictures: By cell and label of the metric, what it drew of the first seed's network.
        classes: Label of each data set to the names of its classes.
    """

    study: str
    profile: str
    text: str
    metrics: Mapping[str, MetricSpec]
    methods: Mapping[str, str]
    networks: tuple[Measured, ...]
    margins: Mapping[str, float]
    controls: frozenset[str] = frozenset()
    together: Mapping[Cell, Together] = field(default_factory=dict)
    sheets: Mapping[Rung, tuple[Picture, ...]] = field(default_factory=dict)
    pictures: Mapping[tuple[Cell, str], Mapping[str, np.ndarray]] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def groups(self) -> Mapping[Cell, tuple[Measured, ...]]:
        """The networks that differ only in their seed, in the study's order."""
        groups: dict[Cell, list[Measured]] = {}
        for measured in self.networks:
            who = measured.network
            cell = Cell(who.data, who.model, who.method, who.target)
            groups.setdefault(cell, []).append(measured)
        return {cell: tuple(members) for cell, members in groups.items()}

    @cached_property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """Every (data, model), in the study's order."""
        return tuple(dict.fromkeys((cell.data, cell.model) for cell in self.groups))

    def twin(self, network: Network) -> Measured | None:
        """The dense network of the same data, model and seed; a dense network is its own twin."""
        return self._dense.get((network.data, network.model, network.seed))

    @cached_property
    def _dense(self) -> Mapping[tuple[str, str, int], Measured]:
        networks = ((measured.network, measured) for measured in self.networks)
        return {
            (who.data, who.model, who.seed): measured
            for who, measured in networks
            if who.method == "dense"
        }
