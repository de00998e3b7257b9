"""From the store to results: every network of a plan with its readings, budgets and failures.

What is missing says why; nothing is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scratchcard.contracts import Part, Reading
from scratchcard.graph import Network, Plan
from scratchcard.registry import METHODS, METRICS
from scratchcard.results import NOT_RUN, Budget, Measured, Results
from scratchcard.store import Store
from scratchcard.study import Study

PAIRED = ("examples", "replicates")


def reading_to_json(reading: Reading) -> dict[str, Any]:
    """A reading without its arrays, as JSON values."""
    return {
        "value": reading.value,
        "stderr": reading.stderr,
        "n": reading.n,
        "params": dict(reading.params),
        "parts": {label: asdict(part) for label, part in reading.parts.items()},
        "paired": [name for name in PAIRED if getattr(reading, name) is not None],
    }


def read(store: Store, digest: str) -> Reading:
    """The reading that a ``measure`` stage left, with its arrays."""
    values = store.result(digest)
    arrays = store.arrays(digest, "paired") if values["paired"] else {}
    return Reading(
        value=values["value"],
        stderr=values["stderr"],
        n=values["n"],
        params=values["params"],
        parts={label: Part(**part) for label, part in values["parts"].items()},
        examples=arrays.get("examples"),
        replicates=arrays.get("replicates"),
    )


def collect(study: Study, plan: Plan, store: Store, failures: Path) -> Results:
    """Everything ``study`` has measured so far; ``failures`` is the engine's folder of records."""
    done = {digest for digest in plan.stages if store.has(digest)}
    budgets = _Budgets(plan, store, done)
    networks = _with_sizes(
        [_measured(network, plan, store, done, failures, budgets) for network in plan.networks]
    )
    specs = {label: METRICS.get(choice.kind) for label, choice in study.metrics.items()}
    return Results(
        study=study.name,
        profile=study.profile,
        text=study.text,
        metrics=specs,
        methods={label: _title(label, choice.kind) for label, choice in study.methods.items()},
        networks=networks,
        margins={
            label: study.verdict.margins.get(label, spec.margin)
            for label, spec in specs.items()
            if spec.headline and spec.margin is not None
        },
    )


def _title(label: str, kind: str) -> str:
    title = METHODS.get(kind).title
    return title if label == kind else f"{title}, {label}"


def _measured(
    network: Network,
    plan: Plan,
    store: Store,
    done: set[str],
    failures: Path,
    budgets: _Budgets,
) -> Measured:
    mask = store.result(network.mask) if network.mask in done else {}
    trained = store.result(network.weights) if network.weights in done else {}
    return Measured(
        network=network,
        sparsity=mask.get("sparsity", network.target),
        kept=mask.get("kept", 0),
        prunable=mask.get("total", 0),
        parameters=trained.get("parameters", 0),
        collapsed=tuple(mask.get("collapsed", ())),
        readings={m: read(store, d) for m, d in network.measures.items() if d in done},
        missing={
            m: _why(d, plan, done, failures) for m, d in network.measures.items() if d not in done
        },
        train=budgets.own(network),
        find=budgets.find(network),
    )


def _with_sizes(networks: Sequence[Measured]) -> tuple[Measured, ...]:
    """Dense twins have no mask: what is prunable in them is known from their tickets."""
    sizes = {(m.network.data, m.network.model): m.prunable for m in networks if m.prunable}
    return tuple(
        m
        if m.network.mask is not None
        else replace(m, kept=(n := sizes.get((m.network.data, m.network.model), 0)), prunable=n)
        for m in networks
    )


def _why(digest: str, plan: Plan, done: set[str], failures: Path) -> str:
    """The failure that a missing stage rests on, in a line."""
    for ancestor in sorted(plan.ancestors(digest) - done, key=lambda d: d != digest):
        record = failures / f"{ancestor}.json"
        if record.exists():
            failure = json.loads(record.read_text())
            return f"{failure['label']} failed: {failure['message']}"
    return NOT_RUN


class _Budgets:
    """Training images, FLOPs and seconds, counted once per trajectory."""

    def __init__(self, plan: Plan, store: Store, done: set[str]) -> None:
        self._plan = plan
        self._trained: Mapping[str, tuple[str, Budget]] = {
            digest: _spent(store, digest)
            for digest, stage in plan.stages.items()
            if stage.kind == "train" and digest in done
        }

    def own(self, network: Network) -> Budget:
        """What training the network itself took, from where its trajectory begins."""
        return self._total(network, own=True)

    def find(self, network: Network) -> Budget:
        """What had to be trained before, to find its mask."""
        return self._total(network, own=False)

    def _total(self, network: Network, *, own: bool) -> Budget:
        mine = self._trained.get(network.weights, ("", None))[0]
        runs: dict[str, list[Budget]] = {}
        for digest in self._plan.ancestors(network.weights) & self._trained.keys():
            trajectory, budget = self._trained[digest]
            if (trajectory == mine) == own:
                runs.setdefault(trajectory, []).append(budget)
        # A later checkpoint counts the images of the earlier ones too; their seconds add up.
        return Budget(
            images=sum(max(b.images for b in run) for run in runs.values()),
            flops=sum(max(b.flops for b in run) for run in runs.values()),
            seconds=sum(b.seconds for run in runs.values() for b in run),
        )


def _spent(store: Store, digest: str) -> tuple[str, Budget]:
    result = store.result(digest)
    seconds = store.provenance(digest)["seconds"]
    return result["trajectory"], Budget(result["images"], result["flops"], seconds)
