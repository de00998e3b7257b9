"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchcard.files import replace


def test_replace_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    replace(path, "first")
    replace(path, "<p>é")
    assert path.read_text(encoding="utf-8") == "<p>é"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    replace(path, b"old")
    with pytest.raises(UnicodeEncodeError):
        replace(path, "\ud800")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
