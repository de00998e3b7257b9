"""The metrics of a study by dimension, and what must be said beside one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from scratchcard.contracts import Dimension
from scratchcard.results import Results
from scratchcard.verdict import voters

ORDER: tuple[Dimension, ...] = get_args(Dimension)
SPEED = ("flops", "latency")
"""Metrics that a reader may take for a promise of speed."""
ZEROS = (
    "Unstructured sparsity makes no network faster here: ordinary kernels skip no zeros, so the "
    "latency of such tickets is about that of dense, and their FLOPs are what a kernel would do "
    "that skips them."
)


def by_dimension(results: Results) -> dict[Dimension, list[str]]:
    """Labels of the metrics of each dimension that has any, those that vote first."""
    votes = voters(results)
    ordered = sorted(results.metrics, key=lambda label: label not in votes)
    found = {
        dimension: [k for k in ordered if results.metrics[k].dimension == dimension]
        for dimension in ORDER
    }
    return {dimension: labels for dimension, labels in found.items() if labels}


def note(results: Results, setting: tuple[str, str], labels: Sequence[str]) -> str:
    """A line that belongs beside these metrics; empty if there is none."""
    fast = any(results.metrics[label].name in SPEED for label in labels)
    return ZEROS if fast and _has_zeros(results, setting) else ""


def _has_zeros(results: Results, setting: tuple[str, str]) -> bool:
    """Whether a ticket is as large as its dense twin, its cut weights held at zero."""
    tickets = [
        (m, results.twin(m.network))
        for m in results.networks
        if (m.network.data, m.network.model) == setting and m.sparsity > 0
    ]
    return any(twin is not None and m.parameters == twin.parameters for m, twin in tickets)
