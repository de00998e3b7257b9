"""The recipes of CONTRIBUTING.md, followed to the letter from outside the package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "CONTRIBUTING.md"

STUDY = """
name = "mine"
seeds = [0]
plugins = ["my_method", "my_metric"]
[data.digits]
[models.mlp]
hidden = [16]
[methods.saliency]
power = 0.5
[metrics.accuracy]
[metrics.log-odds]
[ladder]
sparsities = [0.9]
[training]
epochs = 2
"""

CONFORMANCE = """
import sys
sys.path.insert(0, ".")
import my_method, my_metric
from scratchcard.testing import check_method, check_metric
check_method("saliency")
check_metric("log-odds")
"""


def blocks() -> dict[str, str]:
    """File name to text of each Python block."""
    found = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", RECIPES.read_text(), re.DOTALL)
    return dict(found)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in blocks().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "mine.toml").write_text(STUDY)
    return tmp_path


def run(place: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_recipe_is_one_short_file() -> None:
    found = blocks()
    assert set(found) == {"my_method.py", "my_metric.py"}
    assert all(len(text.splitlines()) < 40 for text in found.values())


def test_a_study_runs_them(place: Path) -> None:
    out = run(place, sys.executable, "-m", "scratchcard.cli", "run", "mine.toml")
    assert "Report: runs/mine/report.html" in out
    rows = (place / "runs/mine/results.csv").read_text().splitlines()
    read = [row.split(",") for row in rows if ",log-odds,1,generalisation,," in row]
    assert {row[3] for row in read} == {"dense", "saliency"}
    assert "Saliency" in (place / "runs/mine/report.html").read_text()


def test_they_pass_the_conformance_suites(place: Path) -> None:
    run(place, sys.executable, "-c", CONFORMANCE)


def test_mistakes_in_their_options_are_named(place: Path) -> None:
    (place / "mine.toml").write_text(STUDY.replace("power", "powre"))
    done = subprocess.run(
        [sys.executable, "-m", "scratchcard.cli", "plan", "mine.toml"],
        cwd=place,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'did you mean "power"' in done.stderr
