"""The README's commands: those on shipped data are run, the others planned."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.data.test_parquet import pictures, png, write

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> Iterator[list[str]]:
    """The words of every command in the README's shell blocks."""
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        yield from (words for line in block.splitlines() if (words := shlex.split(line, True)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository's root, with small stand-ins for the pictures."""
    folder = tmp_path_factory.mktemp("readme") / "scratchcard"
    (folder / "studies").mkdir(parents=True)
    for study in (ROOT / "studies").glob("*.toml"):
        (folder / "studies" / study.name).write_text(study.read_text())
        for name in re.findall(r'"(\S+\.parquet)"', study.read_text()):
            path = folder.parent / "shared/data" / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                stand_ins = [png(array) for array in pictures(6000, 0, 32, 32)]
                write(path, stand_ins, list(range(10)) * 600)
    return folder


def run(place: Path, words: list[str]) -> str:
    assert words[0] == "scratchcard"
    done = subprocess.run(
        [sys.executable, "-m", "scratchcard.cli", *words[1:]],
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_knows_the_two_commands() -> None:
    targets = [words[1] for words in commands() if words[0] == "make"]
    assert targets == ["demo", "test"]
    for target in targets:
        plan = ["make", "--dry-run", target]
        assert subprocess.run(plan, cwd=ROOT, capture_output=True, check=True).stdout


def test_the_demo_and_the_readmes_commands(place: Path) -> None:
    """One real demo (a minute or two); what `init` writes is the same study, so it is cached."""
    out = run(place, ["scratchcard", "demo"])
    assert "Report: runs/demo/report.html" in out
    again = run(place, ["scratchcard", "demo"])
    assert out.strip().split("\n\n")[-2:] == again.strip().split("\n\n"), "the same verdict"
    for words in (words for words in commands() if words[0] == "scratchcard"):
        long = any(word.startswith("studies/") for word in words)
        out = run(place, ["scratchcard", "plan", *words[2:]] if long else words)
        assert out.strip()
    assert (place / "runs/study/report.html").exists()
    tables = [(place / f"runs/{name}/results.csv").read_text() for name in ("demo", "study")]
    assert tables[0].replace("demo,", "study,") == tables[1]


def test_the_python_example_runs(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    study = (Path(str(sys.modules["scratchcard"].__path__[0])) / "demo.toml").read_text()
    study = re.sub(r"(?m)^(seeds|epochs) = \d+", r"\1 = 1", study)
    (tmp_path / "study.toml").write_text(study)
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, labels = torch.rand(9, 3, 2, 2), torch.arange(9) % 3
    another = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    names = {"model": model, "another": another, "optimizer": optimizer}
    exec(code, names | {"images": images, "labels": labels})
    assert sum(p.numel() for p in another.parameters()) < 12 * 8 + 8 + 8 * 3 + 3
    printed = capsys.readouterr().out
    assert "report.html" in printed
    assert (tmp_path / "masks.safetensors").exists()
