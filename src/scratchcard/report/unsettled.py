"""Readings that say of themselves that they did not settle: iterations cut short, clocks disturbed.

A metric says so in a part of that name.
"""

from __future__ import annotations

from scratchcard.report import parts
from scratchcard.report.numbers import percent
from scratchcard.results import Results

SIGNS = {
    "residual": (0.1, "has not converged: a residual of up to {} is left"),
    "unconverged": (0.05, "has not converged on up to {} of the images"),
    "interrupted": (0.25, "was interrupted in up to {} of its measurements"),
}
"""Beginning of a part's name, to the value from which it is told, and the words."""


def unsettled(results: Results) -> list[str]:
    """A sentence for each metric and sign, with the worst of all networks."""
    said = []
    for label, spec in results.metrics.items():
        for sign, (limit, words) in SIGNS.items():
            found = [
                part.value
                for name in parts.names(results.networks, label)
                if name.split(",")[0] == sign
                for m in results.networks
                if (part := parts.of(m, label, name)) is not None
            ]
            if found and max(found) > limit:
                said.append(f"{spec.title} {words.format(percent(max(found)))}.")
    return said
