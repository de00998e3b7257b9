"""A study's folder over time: what is served again, made again, and cleaned up."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import scratchcard as sc
from scratchcard.contracts import UserError
from scratchcard.runs import finished, prepare, report

STUDY = """
name = "NAME"
seeds = [0]
plugins = ["my_share"]
methods = ["random"]
[data.pictures]
kind = "folder"
train = "pictures/train"
test = "pictures/test"
size = 4
[models.mlp]
hidden = [4]
[metrics.accuracy]
[metrics.share]
[ladder]
sparsities = [0.5]
[training]
epochs = 1
batch_size = 8
"""

METRIC = '''
from scratchcard import Predictions, Reading, metric
from scratchcard.stats import mean_reading

@metric("share", title="Share", dimension="fairness", better="higher")
def share(logits: Predictions) -> Reading:
    """A number of its own."""
    return mean_reading(logits.correct * 0.0 + VALUE)
'''


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for split, count in (("train", 8), ("test", 6)):
        for cls in ("cat", "dog"):
            for index in range(count):
                picture(tmp_path / f"pictures/{split}/{cls}/{index}.png", index)
    (tmp_path / "my_share.py").write_text(METRIC.replace("VALUE", "0.25"))
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(STUDY.replace("NAME", name))
    return tmp_path


def run(place: Path, name: str = "one", **options: Any) -> Any:
    study = sc.Study.load(place / f"{name}.toml")
    return sc.run(study, home=place / "runs", workers=1, device="cpu", **options)


def values(place: Path, metric: str, name: str = "one") -> set[str]:
    with (place / f"runs/{name}/results.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["metric"] == metric and not r["subset"]]
    return {row["value"] for row in rows}


def served(place: Path, name: str = "one") -> bool:
    return finished(place / f"{name}.toml", None, place / "runs", "cpu") is not None


def test_a_partial_report_is_not_served_as_the_finished_one(place: Path) -> None:
    """Another study of the same content fills the store; the empty report must not stay."""
    prepared = prepare(sc.Study.load(place / "one.toml"), place / "runs", "cpu")
    prepared.folder.path.mkdir(parents=True)
    prepared.keep()
    assert report(prepared).missing == len(prepared.plan.stages)
    run(place, "two")
    assert not served(place)
    assert run(place).missing == 0
    assert "" not in values(place, "accuracy")
    assert served(place)


def test_what_changes_makes_the_study_run_again(place: Path) -> None:
    run(place)
    assert served(place)
    assert values(place, "share") == {"0.25"}
    (place / "my_share.py").write_text(METRIC.replace("VALUE", "0.75"))
    assert not served(place), "the plug-in changed"
    import sys

    del sys.modules["my_share"]  # as in a new process
    run(place)
    assert values(place, "share") == {"0.75"}
    picture(place / "pictures/test/cat/new.png", 99)
    assert not served(place), "a picture was added"
    summary = run(place)
    rows = summary.table.read_text()
    assert ",13," in rows, "13 test pictures now"
    assert served(place)
    assert run(place).cached


def test_a_damaged_array_is_made_again_when_the_report_needs_it(place: Path) -> None:
    before = run(place).table.read_bytes()
    prepared = prepare(sc.Study.load(place / "one.toml"), place / "runs", "cpu")
    digest = prepared.plan.networks[0].measures["accuracy"]
    path = place / f"runs/store/{digest[:2]}/{digest}/paired.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    (place / "runs/one/summary.json").write_text("{")  # a power cut's leftover
    assert run(place).table.read_bytes() == before
    assert prepared.folder.store.arrays(digest, "paired")


def test_failure_records_go_with_what_they_are_about(place: Path) -> None:
    text = (place / "one.toml").read_text()
    (place / "one.toml").write_text(text.replace("batch_size = 8", "batch_size = 2\nlr = 1e20"))
    failed = run(place)
    records = list((place / "runs/one/failed").glob("*.json"))
    assert failed.missing > 0
    assert records
    (place / "one.toml").write_text(text)
    assert run(place).missing == 0
    assert not list((place / "runs/one/failed").glob("*.json"))


def test_only_counts_what_it_was_about(place: Path) -> None:
    prepared = prepare(sc.Study.load(place / "one.toml"), place / "runs", "cpu")
    data = next(s for s in prepared.plan.stages.values() if s.kind == "data")
    assert run(place, only=data.digest[:8]).missing == 0
    assert prepared.done() == {data.digest}
    store = prepared.folder.store
    made = store.provenance(data.digest)["finished"]
    time.sleep(1.1)
    run(place, only=data.digest)
    assert store.provenance(data.digest)["finished"] != made, "it was made again"
    with pytest.raises(UserError, match="is the beginning of 0 digests"):
        run(place, only="zzz")


def test_wrong_wishes_are_refused(place: Path) -> None:
    study = sc.Study.load(place / "one.toml")
    with pytest.raises(UserError, match="workers = 0 must be 1 or more"):
        sc.run(study, home=place / "runs", workers=0)
    with pytest.raises(UserError, match='unknown device "tpu"'):
        sc.run(study, home=place / "runs", device="tpu")
    with pytest.raises(UserError, match='unknown engine "dask"'):
        sc.run(study, engine="dask")
