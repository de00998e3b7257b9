"""What the page's scripts read: charts, where numbers are from, and the long table, as JSON.

None of it can end the script element that it stands in.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from scratchcard.long_table import csv_text, long_table
from scratchcard.report import charts, curves, parts, reliability, small, theme, web
from scratchcard.results import Results


def drawings(
    results: Results,
    looks: Sequence[theme.Look],
    rungs: Sequence[float],
    panels: Sequence[curves.Panel],
    diagrams: Sequence[small.Diagram],
    losses: Sequence[web.Losses],
) -> Markup:
    """Every chart's specification and data."""
    return _json(
        {
            "specs": {
                axis: {
                    kind: charts.spec(looks, rungs, kind=kind, steps=axis == "log")
                    for kind in charts.KINDS
                }
                for axis in ("log", "linear")
            },
            "panels": [
                {
                    "kind": "log" if panel.log else "linear",
                    "label": f"{panel.title} against sparsity",
                    "datasets": charts.rows(panel, results),
                }
                for panel in panels
            ]
            + [{"kind": "margins", "label": web.LABEL, "datasets": one.datasets} for one in losses],
            "small": _small(diagrams),
            "diagrams": [
                {
                    "kind": d.kind,
                    "label": d.label,
                    "dense": d.dense,
                    "rungs": {f"{target:g}": dots for target, dots in d.rungs.items()},
                }
                for d in diagrams
            ],
        }
    )


def _small(diagrams: Sequence[small.Diagram]) -> dict[str, Any]:
    """The specification of each kind of diagram that there is."""
    kinds: dict[str, list[small.Diagram]] = {}
    for diagram in diagrams:
        kinds.setdefault(diagram.kind, []).append(diagram)
    titles = {"severity": ("severity", "error, %"), "eps": ("eps, in 1/255", "right, %")}
    return {
        kind: parts.spec(own, *titles[kind]) if kind in titles else reliability.spec()
        for kind, own in kinds.items()
    }


def origins(command: object, seconds: Mapping[str, float]) -> Markup:
    """How a reading is made again, and what it took, by the beginning of its digest."""
    taken = {digest[:12]: round(spent, 2) for digest, spent in seconds.items()}
    return _json({"command": command, "seconds": taken})


def table(results: Results) -> Markup:
    """The long table's CSV, gzipped, in base64: a fifth of its size."""
    text = csv_text(long_table(results))
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode())


def _json(value: object) -> Markup:
    """JSON that cannot leave a script element: every ``<`` is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
