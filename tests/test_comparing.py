"""Studies beside each other, from the command line: compared, and merged into one."""

from __future__ import annotations

import csv
import io
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scratchcard as sc
from scratchcard import cli
from scratchcard.collect import collect
from scratchcard.comparing import compare, merge
from scratchcard.contracts import UserError
from scratchcard.long_table import csv_text, long_table
from scratchcard.runs import prepare
from scratchcard.stages import execute

STUDY = """
name = "one"
seeds = 4
methods = ["random"]
[data.pictures]
kind = "folder"
train = "pictures/train"
test = "pictures/test"
size = 4
[models.mlp]
hidden = [8]
[metrics]
accuracy = {}
nll = {}
[ladder]
sparsities = [0.5]
[training]
epochs = 4
batch_size = 8
lr = 0.03
"""
TWO = STUDY.replace('"one"', '"two"').replace('["random"]', '["omp", "random"]')
SLOW = STUDY.replace('"one"', '"slow"').replace("lr = 0.03", "lr = 0.0001")
MORE = STUDY.replace('"one"', '"more"').replace("random", "snip").replace("nll = {}", "ece = {}")
OTHER = STUDY.replace('"one"', '"other"').replace("size = 4", "size = 6")
RENAMED = STUDY.replace('"one"', '"renamed"').replace("data.pictures", "data.photos")
CLASH = (
    STUDY.replace('"one"', '"clash"').replace('methods = ["random"]\n', "")
    + '[methods.random]\nkind = "omp"\n'
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with studies, all but ``fresh`` run."""
    place = tmp_path_factory.mktemp("studies")
    for split, count in (("train", 24), ("test", 16)):
        for tone, cls in ((60, "cat"), (190, "dog")):
            for index in range(count):
                draw = np.random.default_rng([tone, index, len(split)])
                pixels = np.clip(draw.normal(tone, 20, (4, 4, 3)), 0, 255).astype(np.uint8)
                path = place / f"pictures/{split}/{cls}/{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    for text in (STUDY, TWO, SLOW, OTHER, RENAMED, MORE):
        run(place, written(place, text))
    written(place, CLASH)
    return place


def written(place: Path, text: str) -> Path:
    """The file of a study, named as it is."""
    file = place / f"{tomllib.loads(text)['name']}.toml"
    file.write_text(text)
    return file


def run(place: Path, file: Path) -> None:
    """What ``scratchcard run`` leaves, but for the page, in this process."""
    prepared = prepare(sc.Study.load(file), place / "runs", "cpu")
    prepared.keep()
    for digest, stage in prepared.plan.stages.items():
        if digest not in prepared.done():
            execute(stage, prepared.folder.store, lambda fraction: None)


def call(*words: object) -> int:
    code = cli.app(["report", *map(str, words)], result_action="return_value", exit_on_error=False)
    assert isinstance(code, int)
    return code


def test_a_change_of_recipe_shows(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ran / "one.toml", ran / "slow.toml", "--runs", ran / "runs") == 0
    text = capsys.readouterr().out
    assert "one (before) against slow (after): 4 readings of 2 cells" in text
    assert "Dense twin: NLL worse" in text
    page = ran / "runs/slow/compared-with-one.md"
    assert str(page) in text
    assert page.read_text().startswith("# one and slow\n")
    with page.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    both = []
    for name in ("one", "slow"):
        prepared = prepare(sc.Study.load(ran / f"{name}.toml"), ran / "runs")
        twins = [n.measures["nll"] for n in prepared.plan.networks if n.method == "dense"]
        both.append(np.mean([prepared.folder.store.result(one)["value"] for one in twins]))
    row = next(r for r in rows if (r["method"], r["metric"]) == ("dense", "nll"))
    assert [float(row["before"]), float(row["after"])] == pytest.approx(both)


def test_what_did_not_change_is_not_reported(ran: Path) -> None:
    text = compare(ran / "one.toml", ran / "two.toml", ran / "runs", ran).text
    assert "No reading changed beyond its error" in text
    assert "No verdict changed" in text
    assert "Only in two:\n  One-shot magnitude (OMP) at 50 %" in text


def test_studies_of_one_name_are_told_apart_by_their_folders(ran: Path) -> None:
    shutil.copytree(ran / "runs", ran / "old-runs", dirs_exist_ok=True)
    found = compare(ran / "old-runs/one", ran / "runs/one", data_root=ran)
    assert f"{ran}/old-runs/one (before) against {ran}/runs/one (after)" in found.text
    assert found.page == ran / "runs/one/compared-with-old-runs-one.md"


def test_other_data_cannot_be_compared(ran: Path) -> None:
    with pytest.raises(UserError, match=r"data\.pictures is not the same .*size \(4 against 6\)"):
        compare(ran / "one.toml", ran / "other.toml", ran / "runs")
    with pytest.raises(UserError, match="no data set in common: pictures against photos"):
        compare(ran / "one.toml", ran / "renamed.toml", ran / "runs")


def test_what_has_not_been_run_cannot_be_compared(ran: Path) -> None:
    written(ran, STUDY.replace('"one"', '"fresh"'))
    with pytest.raises(UserError, match="has not been run"):
        compare(ran / "one.toml", ran / "fresh.toml", ran / "runs")
    with pytest.raises(UserError, match=r'"nothing" is no file, no folder, and no name'):
        compare(ran / "one.toml", Path("nothing"), ran / "runs")
    with pytest.raises(UserError, match="are the same study"):
        compare(ran / "one.toml", ran / "runs/one", ran / "runs", ran)
    changed = ran / "changed.toml"
    changed.write_text(STUDY + "\n# a remark\n")
    with pytest.raises(UserError, match="has changed since it was run"):
        compare(changed, ran / "two.toml", ran / "runs")


def load(place: Path, *names: str) -> list[sc.Study]:
    return [sc.Study.load(place / f"{name}.toml") for name in names]


def test_merged_studies_are_judged_as_one(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        STUDY.replace('"one"', '"more"').replace("random", "snip").replace("nll = {}", "ece = {}")
    )
    (ran / "more.toml").write_text(more)
    sc.run(sc.Study.load(ran / "more.toml"), home=ran / "runs", workers=1, device="cpu")
    words = [ran / "one.toml", ran / "two.toml", "--merge", "both", "--runs", ran / "runs"]
    assert call(*words) == 0
    assert "not been measured" not in capsys.readouterr().out
    assert (ran / "runs/both/report.html").is_file()
    with (ran / "runs/both/results.csv").open() as file:
        rows = {(r["method"], r["seed"], r["metric"], r["subset"]): r for r in csv.DictReader(file)}
    for study in load(ran, "one", "two"):
        parts = prepare(study, ran / "runs")
        results = collect(study, parts.plan, parts.folder.store, parts.folder.failures)
        for row in csv.DictReader(io.StringIO(csv_text(long_table(results)))):
            key = (row["method"], row["seed"], row["metric"], row["subset"])
            assert rows[key] == row | {"study": "both"}
    assert {key[0] for key in rows} == {"dense", "random", "omp"}
    assert call(*words) == 0  # a merged study may be merged again

    # What one study did not measure is still to be run, and the study file says how.
    prepared = merge(load(ran, "one", "more"), "wide", ran / "runs")
    assert list(prepared.study.metrics) == ["accuracy", "nll", "ece"]
    assert 0 < len(prepared.plan.stages) - len(prepared.done()) <= 3 * 4
    again = sc.Study.parse(prepared.study.text, base=ran / "runs")  # its paths hold anywhere
    assert prepare(again, ran / "runs").plan.stages.keys() == prepared.plan.stages.keys()


def test_what_cannot_be_merged_says_why(ran: Path) -> None:
    runs = ran / "runs"
    with pytest.raises(UserError, match=r'"one" and "slow" cannot be merged: .* training\.lr,'):
        merge(load(ran, "one", "slow"), "both", runs)
    with pytest.raises(UserError, match=r"cannot be merged: they differ in data"):
        merge(load(ran, "one", "renamed"), "both", runs)
    with pytest.raises(UserError, match=r"methods\.random is one thing .* \[methods\.random-2\]"):
        merge(load(ran, "one", "clash"), "both", runs)
    fresh = STUDY.replace('"one"', '"fresh"').replace("seeds = 4", "seeds = [7]")
    written(ran, fresh)
    written(ran, fresh.replace('"fresh"', '"newer"').replace("random", "snip"))
    with pytest.raises(UserError, match="has not been run"):
        merge(load(ran, "fresh", "newer"), "both", runs)
    with pytest.raises(UserError, match="named twice"):
        merge(load(ran, "one", "one"), "both", runs)
    with pytest.raises(UserError, match=r'--merge "a b" is no name: take small letters'):
        merge(load(ran, "one", "two"), "a b", runs)
    with pytest.raises(UserError, match='--merge "store" is the folder of results'):
        merge(load(ran, "one", "two"), "store", runs)
    with pytest.raises(UserError, match='"slow" is the name of another study'):
        merge(load(ran, "one", "two"), "slow", runs)


def test_the_command_line_wants_two_or_a_name(ran: Path) -> None:
    one, two = ran / "one.toml", ran / "two.toml"
    with pytest.raises(UserError, match="two at a time"):
        call(one, two, one, "--runs", ran / "runs")
    with pytest.raises(UserError, match="two studies or more"):
        call(one, "--merge", "both", "--runs", ran / "runs")
