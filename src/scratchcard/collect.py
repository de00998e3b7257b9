"""From the store to results: every network of a plan with its readings, budgets and failures.

What is missing says why; nothing is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.forgotten import most_forgotten
from scratchcard.graph import Group, Network, Plan, Stage
from scratchcard.registry import METHODS, METRICS
from scratchcard.results import (
    NOT_APPLICABLE,
    NOT_RUN,
    Budget,
    Cell,
    Measured,
    Picture,
    Results,
    Rung,
    Together,
)
from scratchcard.store import Store
from scratchcard.study import Study

PAIRED = ("examples", "replicates")
NO_READING = "not_applicable"
"""The key of the reason in the result of a metric that says nothing about a network."""


def reading_to_json(reading: Reading) -> dict[str, Any]:
    """A reading without its arrays, as JSON values."""
    return {
        "value": reading.value,
        "stderr": reading.stderr,
        "n": reading.n,
        "params": dict(reading.params),
        "parts": {label: asdict(part) for label, part in reading.parts.items()},
        "paired": [name for name in PAIRED if getattr(reading, name) is not None],
        "pictures": bool(reading.pictures),
    }


def read(store: Store, digest: str) -> Reading:
    """The reading that a ``measure`` stage left, with its arrays but for pictures."""
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
    found = Results(
        study=study.name,
        profile=study.profile,
        text=study.text,
        metrics=specs,
        methods={label: _title(label, choice.kind) for label, choice in study.methods.items()},
        networks=networks,
        together={
            Cell(group.data, group.model, group.method, group.target): _together(
                group, plan, store, done, failures
            )
            for group in plan.groups
        },
        controls=frozenset(
            label for label, choice in study.methods.items() if METHODS.get(choice.kind).control
        ),
        margins={
            label: study.verdict.margins.get(label, spec.margin)
            for label, spec in specs.items()
            if spec.headline and spec.margin is not None
        },
    )
    return replace(
        found,
        sheets=_sheets(found, plan, store),
        pictures=_pictures(found, store, done),
        classes=_classes(plan, store, done),
    )


def _classes(plan: Plan, store: Store, done: set[str]) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each data set."""
    splits = {n.data: plan.stages[n.weights].inputs["data"] for n in plan.networks}
    return {
        data: tuple(store.result(digest)["classes"])
        for data, digest in splits.items()
        if digest in done
    }


def _pictures(
    results: Results, store: Store, done: set[str]
) -> dict[tuple[Cell, str], Mapping[str, np.ndarray]]:
    """What metrics drew of the first seed of each cell."""
    return {
        (cell, label): store.arrays(digest, "pictures")
        for cell, members in results.groups.items()
        for label, digest in members[0].network.measures.items()
        # Stores of old say nothing of pictures.
        if digest in done and store.result(digest).get("pictures")
    }


def _sheets(results: Results, plan: Plan, store: Store) -> dict[Rung, tuple[Picture, ...]]:
    """The images that are forgotten at each rung."""
    splits = {
        network.data: plan.stages[network.weights].inputs["data"] for network in plan.networks
    }
    sheets = {}
    for rung, images in most_forgotten(results).items():
        digest = splits[rung.data]
        classes = store.result(digest)["classes"]
        index = [image.index for image in images]
        pixels, labels = (store.rows(digest, "test", name, index) for name in ("pixels", "labels"))
        sheets[rung] = tuple(
            Picture(image.index, pixel, classes[label], image.dense, image.sparse)
            for image, pixel, label in zip(images, pixels, labels, strict=True)
        )
    return sheets


def _title(label: str, kind: str) -> str:
    title = METHODS.get(kind).title
    return title if label == kind else f"{label} ({kind})"


def _together(group: Group, plan: Plan, store: Store, done: set[str], failures: Path) -> Together:
    readings, missing = _read_all(group.measures, plan, store, done, failures)
    return Together(readings, missing, group.measures)


def _read_all(
    measures: Mapping[str, str], plan: Plan, store: Store, done: set[str], failures: Path
) -> tuple[dict[str, Reading], dict[str, str]]:
    """What was read, and why the rest was not, by label of the metric."""
    ready = {m: store.result(d) for m, d in measures.items() if d in done}
    silent = {m: result[NO_READING] for m, result in ready.items() if NO_READING in result}
    readings = {m: read(store, measures[m]) for m in ready if m not in silent}
    missing = {
        m: f"{NOT_APPLICABLE}{silent[m]}" if m in silent else _why(d, plan, done, failures)
        for m, d in measures.items()
        if m not in readings
    }
    return readings, missing


def _measured(
    network: Network,
    plan: Plan,
    store: Store,
    done: set[str],
    failures: Path,
    budgets: _Budgets,
) -> Measured:
    mask = store.result(network.mask) if network.mask in done else {}
    readings, missing = _read_all(network.measures, plan, store, done, failures)
    trained = store.result(network.weights) if network.weights in done else {}
    return Measured(
        network=network,
        sparsity=mask.get("sparsity", network.target),
        kept=mask.get("kept", 0),
        prunable=mask.get("total", 0),
        parameters=trained.get("parameters", 0),
        collapsed=tuple(mask.get("collapsed", ())),
        readings=readings,
        missing=missing,
        train=budgets.own(network),
        find=budgets.find(network),
        losses=tuple(e["loss"] for e in trained.get("progress", {}).get("history", [])),
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
        self._settled = {
            digest: number
            for digest, stage in plan.stages.items()
            if stage.kind == "mask" and digest in done
            if (number := store.result(digest).get("settled")) is not None
        }
        self._trained: Mapping[str, tuple[str, Budget]] = {
            digest: _spent(store, stage)
            for digest, stage in plan.stages.items()
            if stage.kind == "train" and digest in done
        }
        self._scored = {
            digest: store.provenance(digest)["seconds"]
            for digest, stage in plan.stages.items()
            if stage.kind == "mask" and digest in done
        }

    def own(self, network: Network) -> Budget:
        """What training the network itself took, from where its trajectory begins."""
        return self._total(network, own=True)

    def find(self, network: Network) -> Budget:
        """What had to be trained and scored before, to find its mask."""
        return self._total(network, own=False)

    def _total(self, network: Network, *, own: bool) -> Budget:
        mine = self._trained.get(network.weights, ("", None))[0]
        runs: dict[str, list[Budget]] = {}
        used = self._plan.ancestors(network.weights, self._below)
        for digest in used & self._trained.keys():
            trajectory, budget = self._trained[digest]
            if (trajectory == mine) == own:
                runs.setdefault(trajectory, []).append(budget)
        scored = 0.0 if own else sum(self._scored[d] for d in sorted(used & self._scored.keys()))
        # A later checkpoint counts the images of the earlier ones too; their seconds add up.
        return Budget(
            images=sum(max(b.images for b in run) for run in runs.values()),
            epochs=sum(max(b.epochs for b in run) for run in runs.values()),
            flops=sum(max(b.flops for b in run) for run in runs.values()),
            seconds=sum(b.seconds for run in runs.values() for b in run) + scored,
        )

    def _below(self, stage: Stage) -> list[str]:
        """What a stage rests on, without the checkpoints after the one that a method chose.

        A checkpoint at an iteration is planned before those at epochs, but may lie later.
        """
        settled = self._settled.get(stage.inputs.get("mask", stage.digest))
        used = [digest for role, digest in stage.inputs.items() if not _beyond(role, settled)]
        images = self._images(stage.digest)
        return [*(d for d in stage.after if self._images(d) <= images), *used]

    def _images(self, digest: str) -> int:
        """Images that a training had seen; of one that is not done none are known."""
        return self._trained[digest][1].images if digest in self._trained else 0


def _beyond(role: str, settled: int | None) -> bool:
    """Whether an input is a numbered checkpoint (``start.3``) after the one chosen."""
    number = role.rpartition(".")[2]
    return settled is not None and number.isdigit() and int(number) > settled


def _spent(store: Store, stage: Stage) -> tuple[str, Budget]:
    """The trajectory that a training belongs to, and what it took from where that begins."""
    result = store.result(stage.digest)
    size = store.result(stage.inputs["data"])["sizes"]["train"]
    seconds = store.provenance(stage.digest)["seconds"]
    images = result["images"]
    return result["trajectory"], Budget(images, images / size, result["flops"], seconds)
