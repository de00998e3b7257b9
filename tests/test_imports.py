"""Imports point down only, and what must be quick loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scratchcard

ROOT = Path(scratchcard.__file__).parent

LAYERS = [
    ["contracts"],
    ["registry", "plugins", "seeds", "files", "prunable"],
    ["study", "graph", "provenance", "store"],
    ["plan", "snapshot", "folder"],
    ["models", "data", "masks", "guard", "structure", "connectivity", "probe", "stats"],
    ["pruning", "metrics", "training"],
    ["results", "long_table", "forgotten", "agreement", "changes", "collect", "verdict", "stages"],
    ["engines", "report"],
    ["estimate", "explain", "testing", "watch"],
    ["runs", "live"],
    ["comparing"],
    ["cli"],
]
"""From the ground up; a module may import its own layer and those below."""

LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
APART = {("pruning", "metrics"), ("metrics", "pruning")}
APART |= {(one, other) for one in ("pruning", "metrics") for other in ("store", "report")}


def imported(path: Path) -> Iterator[str]:
    """Names of the parts of scratchcard that a file imports, anywhere in it but for types."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "scratchcard":
                yield from (alias.name for alias in node.names)
            elif node.module.startswith("scratchcard."):
                yield node.module.split(".")[1]


FILES = [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for other in imported(path):
        assert LEVEL[other] <= LEVEL[own], f"{own} imports {other}, which lies above it"
        assert (own, other) not in APART, f"{own} must not know {other}"


def test_every_module_has_a_layer() -> None:
    modules = {p.relative_to(ROOT).parts[0].removesuffix(".py") for p in FILES}
    assert modules == set(LEVEL)


@pytest.mark.parametrize("module", ["", ".cli", ".contracts", ".graph", ".snapshot", ".runs"])
def test_what_must_be_quick_loads_nothing_heavy(module: str) -> None:
    heavy = ("torch", "scipy", "sklearn", "numpy", "pydantic", "altair", "matplotlib")
    allowed = ("numpy",) if module == ".runs" else ()
    code = f"import sys, scratchcard{module}; print(*[m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(found) - set(allowed)


def test_the_core_knows_no_method_or_metric_by_name() -> None:
    from scratchcard.registry import METHODS

    core = ("plan", "stages", "runs", "training", "store", "graph", "collect", "masks")
    files = [p for p in FILES if p.relative_to(ROOT).parts[0].removesuffix(".py") in core]
    assert len(files) > len(core)
    for file in files:
        text = file.read_text()
        assert not [name for name in METHODS.names() if f'"{name}"' in text], file
