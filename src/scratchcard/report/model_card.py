"""A fragment for a model card of the Hugging Face Hub: results as metadata, verdict and tables.

The metadata is written as JSON, which YAML contains, so that no name can break it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from scratchcard.report import numbers, words
from scratchcard.report.cells import averaged
from scratchcard.report.escape import markdown
from scratchcard.report.paper_tables import as_markdown, tables
from scratchcard.results import Cell, Results
from scratchcard.verdict import Verdict, voters

TAGS = ("pruning", "sparsity", "lottery-ticket-hypothesis")


def card(results: Results, verdict: Verdict, evidence: Mapping[str, object]) -> str:
    """The fragment.

    Args:
        results: What was measured.
        verdict: What ``judge`` says of it.
        evidence: Versions and the command, by name, as on the page.
    """
    metadata = {"tags": list(TAGS), "model-index": index(results)}
    front = "\n".join(f"{name}:\n{_indented(value)}" for name, value in metadata.items())
    said = [
        f"---\n{front}\n---",
        f"# {markdown(results.study)}",
        markdown(words.headline(results, verdict)),
        as_markdown(tables(results, verdict)).rstrip(),
        _how(results, evidence),
    ]
    return "\n\n".join(filter(None, said)) + "\n"


def index(results: Results) -> list[dict[str, Any]]:
    """The Hub's ``model-index``: every ticket with its headline metrics, means over seeds.

    Fractions stay fractions; the standard error stands in a metric's name.
    """
    return [entry for cell in results.groups if (entry := _entry(results, cell))["results"]]


def _entry(results: Results, cell: Cell) -> dict[str, Any]:
    members = results.groups[cell]
    title = results.methods.get(cell.method, "Dense twin")
    sparsity = numbers.sparse(fmean(m.sparsity for m in members))
    read = {k: found for k in voters(results) if (found := averaged(members, k)) is not None}
    values = [
        {
            "type": label,
            "name": f"{results.metrics[label].title}{_error(error)}",
            "value": mean,
        }
        for label, (mean, error) in read.items()
    ]
    about = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": cell.data, "name": cell.data, "split": "test"},
        "metrics": values,
    }
    name = title if cell.method == "dense" else f"{title}, {sparsity} sparse"
    return {"name": f"{cell.model}, {name}", "results": [about] if values else []}


def _error(error: float) -> str:
    return f" (± {error:.2g})" if math.isfinite(error) else ""


def _indented(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _how(results: Results, evidence: Mapping[str, object]) -> str:
    """How to get these numbers again: the command, the study, the versions."""
    command = evidence.get("command", "scratchcard run study.toml")
    versions = ", ".join(f"{name} {value}" for name, value in evidence.items() if name != "command")
    fence = "`" * max(3, 1 + _longest(results.text))
    return "\n\n".join(
        filter(
            None,
            [
                "## How to reproduce",
                f"{fence}sh\n{command}\n{fence}",
                f"with this study:\n\n{fence}toml\n{results.text.rstrip()}\n{fence}",
                f"Made with {markdown(versions)}." if versions else "",
            ],
        )
    )


def _longest(text: str) -> int:
    """The longest run of back-quotes."""
    longest = run = 0
    for sign in text:
        run = run + 1 if sign == "`" else 0
        longest = max(longest, run)
    return longest
