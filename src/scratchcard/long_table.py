"""A study's results as rows: the long table of every number, and what each network cost.

They are rebuilt from the store whenever they are wanted, and never edited.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.files import replace
from scratchcard.results import Cell, Measured, Results

Row = dict[str, object]


def long_table(results: Results) -> list[Row]:
    """One number a row: every reading, its parts, and a row with a ``why`` for what is missing.

    There are no timings in it (but those a study asks for by name, such as ``latency``), so two
    runs of one study give identical bytes. ``subset`` is empty for the whole reading, ``seed`` for
    a reading of all seeds together; ``delta`` is ``value - dense_value`` of the same seed, not
    oriented.
    """
    own = [row for measured in results.networks for row in _rows(results, measured)]
    return own + [row for cell in results.together for row in _rows_together(results, cell)]


def _rows(results: Results, measured: Measured) -> Iterator[Row]:
    who, twin = measured.network, results.twin(measured.network)
    cell = Cell(who.data, who.model, who.method, who.target)
    for label in results.metrics:
        reading = measured.readings.get(label)
        if reading is None and label not in measured.missing:
            continue  # a pair metric has nothing to say about the dense twin itself
        dense = twin.readings.get(label) if twin is not None else None
        about = {
            "sparsity": float(measured.sparsity),
            "seed": who.seed,
            "digest": who.measures.get(label),
            "dense_digest": twin.network.measures.get(label) if twin is not None else None,
            "why": measured.missing.get(label),
        }
        yield from _lines(results, cell, label, about, reading, dense)


def _rows_together(results: Results, cell: Cell) -> Iterator[Row]:
    found = results.together[cell]
    sparsity = mean(measured.sparsity for measured in results.groups[cell])
    for label, digest in found.digests.items():
        about = {
            "sparsity": sparsity,
            "seed": None,
            "digest": digest,
            "dense_digest": None,
            "why": found.missing.get(label),
        }
        yield from _lines(results, cell, label, about, found.readings.get(label), None)


def _lines(
    results: Results,
    cell: Cell,
    label: str,
    about: Mapping[str, object],
    reading: Reading | None,
    dense: Reading | None,
) -> Iterator[Row]:
    """The rows of one reading, or the one that says why there is none."""
    spec, dense_numbers = results.metrics[label], _numbers(dense)
    for subset, number in (_numbers(reading) or {"": None}).items():
        dense_number = dense_numbers.get(subset)
        yield {
            "study": results.study,
            "data": cell.data,
            "model": cell.model,
            "method": cell.method,
            "target_sparsity": float(cell.target),
            "sparsity": about["sparsity"],
            "seed": about["seed"],
            "metric": label,
            "metric_version": spec.version,
            "dimension": spec.dimension,
            "subset": subset,
            "value": float(number.value) if number else None,
            "stderr": float(number.stderr) if number else None,
            "n": number.n if number else None,
            "higher_is_better": spec.better == "higher",
            "dense_value": float(dense_number.value) if dense_number else None,
            "delta": float(number.value - dense_number.value) if number and dense_number else None,
            "digest": about["digest"],
            "dense_digest": about["dense_digest"],
            "why": None if number else about["why"],
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
