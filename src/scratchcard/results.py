"""What a study measured: every network with its readings, and the long table they make.

The table is rebuilt from the store whenever it is wanted; it is never edited.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from scratchcard.contracts import MetricSpec, Part, Reading, UserError
from scratchcard.files import replace
from scratchcard.graph import Network

Row = dict[str, object]


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


@dataclass(frozen=True)
class Measured:
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

    @property
    def position(self) -> float:
        """The sparsity it is drawn at: its own, or the target where nothing is cut.

        A dense network that is the control of a rung stands beside the tickets of that rung.
        """
        return self.sparsity or self.network.target

    @property
    def silent(self) -> Mapping[str, str]:
        """By label, why a metric says nothing about this network."""
        return {m: why for m, why in self.missing.items() if why.startswith(NOT_APPLICABLE)}

    @property
    def unread(self) -> Mapping[str, str]:
        """By label, why a reading failed or is still to come."""
        return {m: why for m, why in self.missing.items() if m not in self.silent}


class Cell(NamedTuple):
    """What the seeds of one ticket (or of the dense twin) have in common."""

    data: str
    model: str
    method: str
    target: float


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
        networks: All of them, failed ones too.
        margins: Label of each headline metric to the margin in force.
    """

    study: str
    profile: str
    text: str
    metrics: Mapping[str, MetricSpec]
    methods: Mapping[str, str]
    networks: tuple[Measured, ...]
    margins: Mapping[str, float]
    controls: frozenset[str] = frozenset()

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


def long_table(results: Results) -> list[Row]:
    """One number a row: every reading, its parts, and a row with a ``why`` for what is missing.

    There are no timings in it, so two runs of one study give identical bytes. ``subset`` is empty
    for the whole reading; ``delta`` is ``value - dense_value`` of the same seed, not oriented.
    """
    return [row for measured in results.networks for row in _rows(results, measured)]


def _rows(results: Results, measured: Measured) -> Iterator[Row]:
    who, twin = measured.network, results.twin(measured.network)
    for label, spec in results.metrics.items():
        reading = measured.readings.get(label)
        if reading is None and label not in measured.missing:
            continue  # a pair metric has nothing to say about the dense twin itself
        dense = twin.readings.get(label) if twin is not None else None
        dense_numbers = _numbers(dense)
        for subset, number in (_numbers(reading) or {"": None}).items():
            dense_number = dense_numbers.get(subset)
            yield {
                "study": results.study,
                "data": who.data,
                "model": who.model,
                "method": who.method,
                "target_sparsity": float(who.target),
                "sparsity": float(measured.sparsity),
                "seed": who.seed,
                "metric": label,
                "metric_version": spec.version,
                "dimension": spec.dimension,
                "subset": subset,
                "value": float(number.value) if number else None,
                "stderr": float(number.stderr) if number else None,
                "n": number.n if number else None,
                "higher_is_better": spec.better == "higher",
                "dense_value": float(dense_number.value) if dense_number else None,
                "delta": float(number.value - dense_number.value)
                if number and dense_number
                else None,
                "digest": who.measures.get(label),
                "dense_digest": twin.network.measures.get(label) if twin is not None else None,
                "why": None if number else measured.missing[label],
            }


def _numbers(reading: Reading | None) -> dict[str, Part | None]:
    """The reading and its parts by subset."""
    if reading is None:
        return {}
    return {"": Part(reading.value, reading.stderr, reading.n), **reading.parts}


def cost_table(results: Results) -> list[Row]:
    """What each network cost to train and its mask to find; the seconds differ between runs."""
    return [
        {
            "study": results.study,
            "data": measured.network.data,
            "model": measured.network.model,
            "method": measured.network.method,
            "target_sparsity": float(measured.network.target),
            "sparsity": float(measured.sparsity),
            "seed": measured.network.seed,
            "kept": measured.kept,
            "prunable": measured.prunable,
            "train_images": measured.train.images,
            "train_epochs": float(measured.train.epochs),
            "train_flops": float(measured.train.flops),
            "find_images": measured.find.images,
            "find_epochs": float(measured.find.epochs),
            "find_flops": float(measured.find.flops),
            "train_seconds": float(measured.train.seconds),
            "find_seconds": float(measured.find.seconds),
        }
        for measured in results.networks
    ]


def csv_text(rows: Sequence[Row]) -> str:
    """``rows`` as CSV.

    Floats have all their digits, an absent value is an empty cell, booleans are true and false.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    return text.getvalue()


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write ``csv_text`` in one step."""
    replace(path, csv_text(rows))


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Write ``rows`` as Parquet; a ``UserError`` says how to install what it takes."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"{path.name} needs pyarrow ({error}): pip install 'scratchcard[parquet]', "
            "or write CSV instead"
        ) from error
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    replace(path, sink.getvalue().to_pybytes())
