"""What the card of one ticket costs: each metric's seconds, and what pairing is worth.

    PYTHONPATH=src python benchmarks/card.py RUNS/STUDY METHOD

reads a finished study and prints a Markdown table for the first ticket of METHOD and its dense
twin: seconds of both readings with what only they need (the logits of their sets), and the
standard error of the difference over examples, paired (same images, masks, probes, noise) and not.
Their squared ratio is how many times more examples unpaired readings would need.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scratchcard.collect import NO_READING, read
from scratchcard.graph import Network, Plan
from scratchcard.registry import METRICS
from scratchcard.store import Store
from scratchcard.verdict.paired import Pair, example_variance

SHARED = ("data", "corrupt", "concepts", "train", "mask", "baseline")
"""Kinds of stages that are no part of a card: made once for all, or there before it."""


def main(folder: Path, method: str) -> None:
    """Print the table."""
    plan = Plan.from_json(json.loads((folder / "plan.json").read_text())["plan"])
    store = Store(folder.parent / "store")
    ticket = next(one for one in plan.networks if one.method == method)
    dense = next(one for one in plan.networks if one.method == "dense" and one.seed == ticket.seed)
    rows = [row for label in ticket.measures if (row := _row(label, plan, store, ticket, dense))]
    counted: set[str] = set()
    for row in rows:  # what several metrics share is paid by the first
        row.cost = _seconds(row.stages - counted, store)
        counted |= row.stages
    _print(rows, ticket)


class Row:
    """A metric of the ticket and its twin."""

    def __init__(self, label: str, stages: set[str], paired: float, unpaired: float) -> None:
        self.label, self.stages, self.paired, self.unpaired = label, stages, paired, unpaired
        self.cost = 0.0

    @property
    def gain(self) -> float:
        """How many times more examples it takes without pairing."""
        return (self.unpaired / self.paired) ** 2 if self.paired > 0 else math.nan


def _row(label: str, plan: Plan, store: Store, ticket: Network, dense: Network) -> Row | None:
    both = [one.measures[label] for one in (dense, ticket) if label in one.measures]
    if any(not store.has(digest) or NO_READING in store.result(digest) for digest in both):
        return None
    stages = {digest for one in both for digest in (one, *_needed(one, plan))}
    if len(both) < 2:
        return Row(label, stages, math.nan, math.nan)
    scale = METRICS.get(plan.stages[both[0]].params["kind"]).scale
    pair: Pair = (read(store, both[0]), read(store, both[1]))
    alone: Pair = (
        replace(pair[0], examples=None, replicates=None),
        replace(pair[1], examples=None, replicates=None),
    )
    paired, unpaired = (math.sqrt(example_variance([p], scale)) for p in (pair, alone))
    return Row(label, stages, paired, unpaired)


def _needed(digest: str, plan: Plan) -> Iterable[str]:
    """What must be there before a stage, and is made for it."""
    for below in plan.stages[digest].inputs.values():
        if plan.stages[below].kind not in SHARED:
            yield below
            yield from _needed(below, plan)


def _seconds(stages: set[str], store: Store) -> float:
    return float(sum(store.provenance(digest)["seconds"] for digest in stages))


def _print(rows: list[Row], ticket: Network) -> None:
    total = sum(row.cost for row in rows)
    print(f"{ticket.method} at {ticket.target:.1%}, seed {ticket.seed}: {total:.0f} s in all\n")
    print("| metric | s | share | s.e., paired | unpaired | examples saved |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in sorted(rows, key=lambda row: -row.cost):
        errors = (
            f"{row.paired:.3g} | {row.unpaired:.3g} | {row.gain:.1f} x"
            if math.isfinite(row.gain)
            else " | | "
        )
        print(f"| {row.label} | {row.cost:.1f} | {row.cost / total:.1%} | {errors} |")
    known = [row for row in rows if math.isfinite(row.gain)]
    spent = sum(row.cost for row in known)
    print(
        f"\nAt the same errors unpaired readings of these {len(known)} metrics would cost "
        f"{sum(row.cost * row.gain for row in known) / spent:.1f} times as much."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
