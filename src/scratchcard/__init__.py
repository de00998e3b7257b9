"""scratchcard: a report card for lottery tickets.

The table of contents; names are loaded when they are first used, so importing this is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scratchcard.contracts import (
        Context,
        Method,
        NotApplicable,
        Part,
        Reading,
        Task,
        UserError,
    )
    from scratchcard.masks import Masks
    from scratchcard.metrics.measure import measure
    from scratchcard.probe import Predictions
    from scratchcard.pruning.prune import prune, shrink
    from scratchcard.registry import dataset, method, metric, model
    from scratchcard.runs import run
    from scratchcard.study import Study

_HOMES = {
    "Context": "contracts",
    "Masks": "masks",
    "Method": "contracts",
    "NotApplicable": "contracts",
    "Part": "contracts",
    "Predictions": "probe",
    "Reading": "contracts",
    "Study": "study",
    "Task": "contracts",
    "UserError": "contracts",
    "dataset": "registry",
    "measure": "metrics.measure",
    "method": "registry",
    "metric": "registry",
    "model": "registry",
    "prune": "pruning.prune",
    "run": "runs",
    "shrink": "pruning.prune",
}

__all__ = [
    "Context",
    "Masks",
    "Method",
    "NotApplicable",
    "Part",
    "Predictions",
    "Reading",
    "Study",
    "Task",
    "UserError",
    "dataset",
    "measure",
    "method",
    "metric",
    "model",
    "prune",
    "run",
    "shrink",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
