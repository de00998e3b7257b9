"""The long table: complete, exact, the same bytes twice, and never half written."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scratchcard.contracts import UserError
from scratchcard.long_table import Row, cost_table, long_table, write_csv, write_parquet
from tests.factory import make_results, rows_2000

RESULTS = make_results(
    targets=(0.36,),
    seeds=2,
    failed={("lth", 0.36, 1): "diverged", ("omp", 0.36, 0, "nll"): "out of memory"},
)


def row(rows: list[Row], **wanted: object) -> Row:
    (found,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return found


def test_a_row_says_all_about_a_number() -> None:
    found = row(long_table(RESULTS), method="random", seed=1, metric="nll", subset="")
    ticket = next(
        m for m in RESULTS.networks if (m.network.method, m.network.seed) == ("random", 1)
    )
    dense = RESULTS.networks[1]
    reading, twin = ticket.readings["nll"], dense.readings["nll"]
    assert found == {
        "study": "synthetic",
        "data": "digits",
        "model": "mlp",
        "method": "random",
        "target_sparsity": 0.36,
        "sparsity": 0.36,
        "seed": 1,
        "metric": "nll",
        "metric_version": 1,
        "dimension": "calibration",
        "subset": "",
        "value": reading.value,
        "stderr": reading.stderr,
        "n": 2_000,
        "higher_is_better": False,
        "dense_value": twin.value,
        "delta": reading.value - twin.value,
        "digest": ticket.network.measures["nll"],
        "dense_digest": dense.network.measures["nll"],
        "why": None,
    }


def test_parts_are_rows_of_their_own() -> None:
    rows = [
        r
        for r in long_table(RESULTS)
        if (r["method"], r["seed"], r["metric"]) == ("omp", 0, "accuracy")
    ]
    assert [r["subset"] for r in rows] == ["", *(f"class {k}" for k in range(10))]
    part = RESULTS.networks[0].readings["accuracy"].parts["class 3"]
    assert rows[4]["dense_value"] == part.value
    assert rows[4]["n"] == 200


def test_missing_readings_and_absent_twins_are_shown() -> None:
    rows = long_table(RESULTS)
    missing = row(rows, method="omp", seed=0, metric="nll")
    assert (missing["value"], missing["delta"], missing["why"]) == (None, None, "out of memory")
    assert missing["dense_value"] is not None
    assert row(rows, method="lth", seed=1, metric="churn")["why"] == "diverged"
    assert not [r for r in rows if (r["method"], r["metric"]) == ("dense", "churn")]
    churn = row(rows, method="lth", seed=0, metric="churn")
    assert (churn["dense_value"], churn["delta"], churn["dense_digest"]) == (None, None, None)
    orphan = replace(RESULTS, networks=RESULTS.networks[2:])
    assert all(r["dense_value"] is None for r in long_table(orphan))


def test_a_dense_network_is_its_own_twin() -> None:
    deltas = {r["delta"] for r in long_table(RESULTS) if r["method"] == "dense"}
    assert deltas == {0.0}


def test_csv_is_exact_and_the_same_twice(tmp_path: Path) -> None:
    rows = long_table(RESULTS)
    slower = [
        replace(m, train=replace(m.train, seconds=9e9), find=replace(m.find, seconds=9e9))
        for m in RESULTS.networks
    ]
    write_csv(rows, tmp_path / "a.csv")
    write_csv(long_table(replace(RESULTS, networks=tuple(slower))), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with (tmp_path / "a.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows)
    for got, wanted in zip(read, rows, strict=True):
        assert got["value"] == ("" if wanted["value"] is None else repr(wanted["value"]))
        assert got["higher_is_better"] in ("true", "false")
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    write_csv([{"a": 1.5}], path)

    def full(self: Path, data: bytes) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        write_csv([{"a": 2.5}], path)
    assert path.read_text() == "a\n1.5\n"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_holds_the_same_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
    rows = long_table(RESULTS)
    write_parquet(rows, tmp_path / "table.parquet")
    assert parquet.read_table(tmp_path / "table.parquet").to_pylist() == rows


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'scratchcard\[parquet\]'"):
        write_parquet([], tmp_path / "table.parquet")


def test_costs_are_one_row_per_network() -> None:
    rows = cost_table(RESULTS)
    assert len(rows) == len(RESULTS.networks)
    lth = row(rows, method="lth", seed=0)
    assert lth["find_images"] == 5 * 1_437 * 20
    assert (lth["kept"], lth["prunable"]) == (6_400, 10_000)
    assert row(rows, method="dense", seed=0)["find_flops"] == 0.0


def test_groups_and_settings_follow_the_study() -> None:
    big = rows_2000()
    assert big.settings == (("digits", "mlp"), ("shapes", "mlp"))
    assert len(big.groups) == 50
    assert sum(len(m.readings) for m in big.networks) == 1_990
    assert all(len(members) == 5 for members in big.groups.values())
