"""Lines of keys in TOML texts, and the writer."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.study.lines import KeyPath, key_lines, write

TEXT = r'''# rate = 1, [methods.lth]
seeds = [0, 1]  # seeds = 3
title = """
[methods.lth]
rate = "1" \""" """
quoted."a.b = c" = '\'

[methods.lth]  # the first
rate = 0.5
[methods . "lth-late"]
kind = "lth"
rate = 1.5e-3
deep.er = {rate = 1, list = [
    2,   # two
    [3, 4], "]",
  5]}
[[items]]
rate = 2
[[items]]
[items.sub]
rate = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("seeds",), 2),
        (("seeds", 1), 2),
        (("title",), 3),
        (("quoted", "a.b = c"), 6),
        (("methods",), 8),
        (("methods", "lth"), 8),
        (("methods", "lth", "rate"), 9),
        (("methods", "lth-late"), 10),
        (("methods", "lth-late", "rate"), 12),
        (("methods", "lth-late", "deep", "er", "rate"), 13),
        (("methods", "lth-late", "deep", "er", "list", 0), 14),
        (("methods", "lth-late", "deep", "er", "list", 1, 1), 15),
        (("methods", "lth-late", "deep", "er", "list", 2), 15),
        (("methods", "lth-late", "deep", "er", "list", 3), 16),
        (("items", 0, "rate"), 18),
        (("items", 1), 19),
    ],
)
def test_lines(path: KeyPath, line: int) -> None:
    assert tomllib.loads(TEXT)
    assert key_lines(TEXT)[path] == line
    assert key_lines(TEXT.replace("\n", "\r\n"))[path] == line


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
scalars = st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | names
values = scalars | st.lists(scalars, max_size=3)
tables = st.recursive(
    st.dictionaries(names, values, max_size=3),
    lambda inner: st.dictionaries(names, values | inner, max_size=3),
    max_leaves=6,
)


def _leaves(table: dict[str, Any], path: KeyPath = ()) -> list[KeyPath]:
    return [
        leaf
        for key, value in table.items()
        for leaf in (_leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)])
    ]


@settings(max_examples=150, deadline=None)
@given(tables)
def test_what_is_written_is_read_again_and_each_key_found(table: dict[str, Any]) -> None:
    text = write(table)
    assert tomllib.loads(text) == table
    found, lines = key_lines(text), text.split("\n")
    for leaf in _leaves(table):
        # Each pair has a line of its own, so reading that line alone must give the last key.
        assert list(tomllib.loads(lines[found[leaf] - 1])) == [leaf[-1]]


def test_python_values_are_written_as_toml_has_them() -> None:
    table = {"a": (1, 2), "b": range(2), "c": Path("x/y"), "d": np.int64(3), "e": np.float32(0.5)}
    assert tomllib.loads(write(table)) == {"a": [1, 2], "b": [0, 1], "c": "x/y", "d": 3, "e": 0.5}


@pytest.mark.parametrize("value", [None, [None], object(), {1}])
def test_what_toml_cannot_hold(value: Any) -> None:
    with pytest.raises(UserError, match=r"^a\.b: .* cannot be written"):
        write({"a": {"b": value}})
