"""What a study may hold besides, for the tests of the page: pies, bins, pictures, large numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scratchcard.contracts import MetricSpec, Reading
from scratchcard.metrics.calibration.binning import diagram
from scratchcard.results import Cell, Picture, Results, Rung, Share, Together
from scratchcard.seeds import numpy_stream
from tests.kinds import spec

PIE = spec("pie", "PIEs", "fairness", needs=("all_logits", "all_dense_logits"))


def with_pies(results: Results, missing: Mapping[tuple[str, float], str] | None = None) -> Results:
    """A metric of all seeds together: 1 % at every rung, or why it is missing there."""
    together = {}
    for cell in results.groups:
        if cell.method != "dense":
            why = (missing or {}).get((cell.method, cell.target))
            readings = {} if why else {"pie": Reading(0.01, 0.002, 500)}
            together[cell] = Together(readings, {"pie": why} if why else {}, {"pie": "d" * 32})
    return replace(results, metrics={**results.metrics, "pie": PIE}, together=together)


def with_reading(results: Results, kind: MetricSpec, reading: Reading) -> Results:
    """A metric that reads the same of every network."""
    networks = tuple(
        replace(m, readings={**m.readings, kind.name: reading}) for m in results.networks
    )
    return replace(results, metrics={**results.metrics, kind.name: kind}, networks=networks)


def with_bins(results: Results) -> Results:
    """ECE with the bins of its diagram, over-confident networks with 15 of them."""
    networks = []
    for m in results.networks:
        draw = numpy_stream(m.network.seed, m.network.method, str(m.network.target))
        confidence = draw.uniform(0.2, 1, 400)
        parts = diagram(confidence, draw.uniform(size=400) < confidence - 0.1, 15)
        networks.append(
            replace(m, readings={**m.readings, "ece": replace(m.readings["ece"], parts=parts)})
        )
    return replace(results, networks=tuple(networks))


def with_pictures(results: Results, shape: tuple[int, int, int] = (3, 32, 32)) -> Results:
    """Twelve noisy pictures at every rung, which no format makes smaller."""
    draw = numpy_stream(0, "pictures")
    sheets = {
        Rung(*setting, cell.target): tuple(
            Picture(
                i, draw.integers(0, 256, shape, np.uint8), f"class {i}", Share(5, 5), Share(i, 45)
            )
            for i in range(12)
        )
        for setting in results.settings
        for cell in results.groups
        if cell.target
    }
    return replace(results, sheets=sheets)


def cell(results: Results, method: str, target: float) -> Cell:
    """The cell of a method at a sparsity, of a study with one setting."""
    return Cell(*results.settings[0], method, target)
