"""The whole path by the command line, on a study of a few seconds: what a user does and sees."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

import scratchcard as sc
from scratchcard.data.base import Images
from scratchcard.folder import Folder
from scratchcard.registry import METRICS
from scratchcard.runs import prepare

STUDY = """
name = "tiny"
seeds = 2
[data.digits]
test_share = 0.3
[ood.uniform-noise]
images = 100
[models.mlp]
hidden = [24]
[methods.random]
[methods.omp]
rewind = "1ep"
[methods.lth]
rate = 0.5904
rewind = "1ep"
[ladder]
rungs = [4, 8]
[training]
epochs = 4
lr = 0.1
"""


def scratchcard(*arguments: str | Path, cwd: Path, code: int = 0) -> str:
    """Run the command line; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "scratchcard.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study, run once."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(STUDY)
    scratchcard("run", "tiny.toml", cwd=folder)
    return folder


def table(place: Path, name: str = "tiny") -> list[dict[str, str]]:
    with (place / "runs" / name / "results.csv").open() as file:
        return list(csv.DictReader(file))


def value(rows: list[dict[str, str]], **where: str) -> float:
    (row,) = [r for r in rows if all(r[k] == v for k, v in where.items()) and not r["subset"]]
    return float(row["value"])


def test_every_network_has_every_metric(place: Path) -> None:
    rows = [row for row in table(place) if not row["subset"]]
    networks = {(r["method"], r["target_sparsity"], r["seed"]) for r in rows if r["seed"]}
    assert len(networks) == 2 * (1 + 3 * 2)
    whole: dict[str, int] = Counter(row["metric"] for row in rows)
    scopes = {name: METRICS.get(name).scope for name in whole}
    tickets = 3 * 2
    wanted = {"network": len(networks), "pair": 2 * tickets, "group": tickets}
    assert whole == {name: wanted[scope] for name, scope in scopes.items()}
    assert set(scopes.values()) == set(wanted)
    silent = {row["metric"] for row in rows if row["why"]}
    assert silent == {"imbalance-amplification"}, "the digits are balanced"
    numbers = [row for row in rows if row["metric"] not in silent]
    assert all(row["value"] and row["stderr"] and row["n"] for row in numbers)


def test_sparsity_is_exact(place: Path) -> None:
    rows = table(place)
    total = 64 * 24 + 24 * 10
    for rung in (4, 8):
        target = round(1 - 0.8**rung, 12)
        found = {r["sparsity"] for r in rows if float(r["target_sparsity"]) == target}
        assert found == {repr(1 - (total - round(target * total)) / total)}


def test_a_second_run_is_served_from_the_cache(place: Path) -> None:
    before = (place / "runs/tiny/results.csv").stat().st_mtime_ns
    code = (
        "import sys; from scratchcard.cli import app;"
        "app(['run', 'tiny.toml'], result_action='return_value');"
        "print('LOADED', *[m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    started = time.monotonic()
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True
    ).stdout
    assert time.monotonic() - started < 3
    assert out.splitlines()[-1].strip() == "LOADED"
    assert "Report: runs/tiny/report.html" in out
    assert (place / "runs/tiny/results.csv").stat().st_mtime_ns == before


def test_plan_and_status_say_where_it_stands(place: Path) -> None:
    assert re.search(
        r"(\d+) stages .* 14 networks; \1 are done", scratchcard("plan", "tiny.toml", cwd=place)
    )
    for name in ("tiny.toml", "tiny"):
        assert "14 networks" in scratchcard("status", name, cwd=place)
    (place / "fresh.toml").write_text(
        STUDY.replace('"tiny"', '"fresh"').replace("seeds = 2", "seeds = [7]")
    )
    out = scratchcard("plan", "fresh.toml", cwd=place)
    assert "for 7 networks" in out
    assert re.search(r"will take about .* with \d+ workers", out)
    assert "no study" in scratchcard("status", "nothing", cwd=place, code=2)


def test_python_gives_the_same_numbers(place: Path, tmp_path: Path) -> None:
    study = sc.Study.load(place / "tiny.toml")
    summary = sc.run(study, home=tmp_path, workers=1)
    assert summary.table.read_bytes() == (place / "runs/tiny/results.csv").read_bytes()


def test_prune_and_measure_agree_with_the_study(place: Path) -> None:
    study = sc.Study.load(place / "tiny.toml")
    prepared = prepare(study, place / "runs", "auto")
    folder, plan = prepared.folder, prepared.plan
    network = next(n for n in plan.networks if n.method == "omp")
    mask = plan.stages[network.mask or ""]
    from scratchcard.stages.work import Work

    dense = Work(mask, folder.store, lambda fraction: None).network("network")
    masks = sc.prune(dense, "omp", sparsity=network.target, seed=network.seed)
    stored = folder.store.arrays(mask.digest, "masks")
    assert all((masks.pack()[name] == bits).all() for name, bits in stored.items())

    stage = plan.stages[network.measures["ece"]]
    test = folder.store.arrays(stage.inputs["data"], "test")
    images = Images(torch.from_numpy(test["pixels"]), torch.from_numpy(test["labels"]))
    work = Work(plan.stages[network.measures["fgsm"]], folder.store, lambda fraction: None)
    for metric in ("ece", "fgsm", "accuracy"):
        reading = sc.measure(work.network("model"), metric, images)
        rows = table(place)
        target, seed = str(network.target), str(network.seed)
        found = value(rows, method="omp", target_sparsity=target, seed=seed, metric=metric)
        assert reading.value == found


def test_report_is_rebuilt_with_figures(place: Path) -> None:
    (place / "runs/tiny/report.html").unlink()
    out = scratchcard("report", "tiny.toml", "--figures", "figures", cwd=place)
    assert "runs/tiny/report.html" in out
    assert (place / "runs/tiny/report.html").stat().st_size > 10_000
    written = {p.name for p in (place / "figures").iterdir()}
    assert {"accuracy.pdf", "accuracy.svg", "numbers", "tables.tex", "model-card.md"} <= written


def test_a_damaged_result_is_made_again(place: Path) -> None:
    before = (place / "runs/tiny/results.csv").read_bytes()
    folder = Folder(place / "runs", "tiny")
    row = next(r for r in table(place) if r["method"] == "lth")
    results = [
        p for p in (place / "runs/store").glob(f"*/{row['digest']}/*") if p.suffix == ".json"
    ]
    for path in results:
        path.write_bytes(path.read_bytes()[:-9])
    assert not folder.store.has(row["digest"])
    scratchcard("run", "tiny.toml", cwd=place)
    assert (place / "runs/tiny/results.csv").read_bytes() == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_goes_on_where_it_was(place: Path, tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "tiny.toml").write_text(STUDY)
    command = [sys.executable, "-m", "scratchcard.cli", "run", "tiny.toml"]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A background job of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    store = tmp_path / "runs" / "store"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(store.glob("??/*"))) < 25:
        time.sleep(0.02)
    running.send_signal(signal.SIGSTOP)  # so that it cannot finish while it is looked at
    assert "A run is going on" in scratchcard("status", "tiny.toml", cwd=tmp_path)
    assert "is being run by process" in scratchcard("run", "tiny.toml", cwd=tmp_path, code=2)
    running.send_signal(how)
    running.send_signal(signal.SIGCONT)
    _, error = running.communicate(timeout=30)
    assert running.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in error
    assert (how != signal.SIGINT) or b"The same command goes on from here" in error
    kept = len(list(store.glob("??/*")))
    out = scratchcard("run", "tiny.toml", cwd=tmp_path)
    done = re.search(r"; (\d+) are done", out)
    assert done is not None
    assert int(done[1]) >= min(kept, 25) - 2
    theirs, ours = (p / "runs/tiny/results.csv" for p in (place, tmp_path))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_diverged_training_fails_alone(place: Path, tmp_path: Path) -> None:
    text = STUDY.replace("lr = 0.1", "lr = 1e9").replace('"tiny"', '"wild"')
    (tmp_path / "wild.toml").write_text(text)
    out = scratchcard("run", "wild.toml", cwd=tmp_path, code=3)
    assert "stages are missing" in out
    assert "diverged" in scratchcard("status", "wild.toml", cwd=tmp_path)
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs/wild/failed").glob("*.json")]
    assert records
    assert all("Traceback" in record["traceback"] for record in records)
    repeat = records[0]["repeat"].split()
    assert repeat[:2] == ["scratchcard", "run"]
    assert "diverged" in scratchcard(*repeat[1:], cwd=tmp_path, code=3)
    assert "failed" in (tmp_path / "runs/wild/report.html").read_text()
    assert any("diverged" in row["why"] for row in table(tmp_path, "wild"))


def test_init_writes_a_study_that_can_be_planned(tmp_path: Path) -> None:
    out = scratchcard("init", "mine.toml", cwd=tmp_path)
    assert "scratchcard plan mine.toml" in out
    assert "networks; 0 are done" in scratchcard("plan", "mine.toml", cwd=tmp_path)
    assert "exists already" in scratchcard("init", "mine.toml", cwd=tmp_path, code=2)


@pytest.mark.parametrize(
    ("name", "words"),
    [("lth", ["rewind", "Frankle", "rate = 0.2"]), ("ece", ["bins", "Guo", "Limitations"])],
)
def test_explain_tells_all(tmp_path: Path, name: str, words: list[str]) -> None:
    out = scratchcard("explain", name, cwd=tmp_path)
    for word in words:
        assert word in out
    assert name in scratchcard("explain", cwd=tmp_path)
    assert "did you mean" in scratchcard("explain", name + "x", cwd=tmp_path, code=2)


def test_wrong_input_gives_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        STUDY.replace("omp", "opm").replace("rungs = [4, 8]", "sparsities = [1.2]")
    )
    out = scratchcard("run", "bad.toml", cwd=tmp_path, code=2)
    assert "bad.toml:" in out
    assert 'did you mean "omp"' in out
    assert "1.2" in out
    assert "Traceback" not in out
    for wrong in (["run", "missing.toml"], ["fly"], ["run", "bad.toml", "--wrokers", "2"]):
        assert "Traceback" not in scratchcard(*wrong, cwd=tmp_path, code=2)


def test_help_is_quick(tmp_path: Path) -> None:
    def seconds() -> float:
        started = time.monotonic()
        assert "report card" in scratchcard("--help", cwd=tmp_path)
        return time.monotonic() - started

    # 0.2 s on a quiet machine; the promise is 0.3 s. A timed test must stand a busy one.
    assert min(seconds() for _ in range(3)) < 1.5
