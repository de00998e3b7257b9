"""The text of TOML files: the line of each key, and a writer for studies made in Python.

``tomllib`` gives values without their places and does not write.
"""

from __future__ import annotations

import json
import numbers
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchcard.contracts import UserError

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top: ``("methods", "lth", "rate")``, ``("seeds", 1)``."""

_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t\r]+ | \#[^\n]* )
    | (?P<text> \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<mark> [\[\]{}=,.\n] )
    | (?P<word> [^\s\[\]{}=,.\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    r"""The line (from 1) of every table, key and list item of a text that ``tomllib`` accepts.

    >>> key_lines("seeds = [0, 1]\n[methods.lth]  # IMP\nrate = 0.2\n")["methods", "lth", "rate"]
    3
    """
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    """One pass over the tokens of a TOML text."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._tokens: list[str] = []
        self._numbers: list[int] = []
        self._at = 0
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "blank":
                self._tokens.append(match[0])
                self._numbers.append(line)
            line += match[0].count("\n")

    def document(self) -> None:
        """Headers and pairs, to the end."""
        table: KeyPath = ()
        while token := self._next:
            if token == "\n":
                self._take()
            elif token == "[":
                table = self._header()
            else:
                self._pair(table)

    @property
    def _next(self) -> str:
        """The token that comes next, empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next
        self._at += 1
        return token

    def _note(self, path: KeyPath) -> None:
        """Whatever comes next is what ``path`` names; its first mention counts."""
        self.lines.setdefault(path, self._numbers[self._at])

    def _header(self) -> KeyPath:
        self._take()
        item = self._next == "["
        if not item:
            return self._key(())
        self._take()
        path = self._key(())
        self._take()
        count = 0
        while (*path, count) in self.lines:
            count += 1
        self.lines[*path, count] = self._numbers[self._at - 1]
        return (*path, count)

    def _pair(self, table: KeyPath) -> None:
        self._value(self._key(table))

    def _key(self, path: KeyPath) -> KeyPath:
        """A dotted key and the mark that ends it."""
        while self._next not in ("=", "]", ""):
            if self._next != ".":
                name = self._next
                path = (*path, next(iter(tomllib.loads(f"{name} = 0"))))
                self._note(path)
            self._take()
        self._take()
        return path

    def _value(self, path: KeyPath) -> None:
        if self._next == "[":
            self._list(path)
        elif self._next == "{":
            self._take()
            while self._next not in ("}", ""):
                if self._next in (",", "\n"):
                    self._take()
                else:
                    self._pair(path)
            self._take()
        else:
            while self._next not in ("\n", ",", "]", "}", ""):
                self._take()

    def _list(self, path: KeyPath) -> None:
        self._take()
        index = 0
        while self._next not in ("]", ""):
            if self._next in (",", "\n"):
                index += self._take() == ","
            else:
                self._note((*path, index))
                self._value((*path, index))
        self._take()


def write(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """TOML text of nested mappings of text, numbers, truth values, paths and lists.

    Raises:
        UserError: A value that TOML cannot hold.

    >>> print(write({"seeds": [0, 1], "methods": {"lth": {"rate": 0.2}}}))
    seeds = [0, 1]
    [methods]
    [methods.lth]
    rate = 0.2
    """
    head = [f"[{'.'.join(map(_key, path))}]"] if path else []
    pairs = [
        f"{_key(key)} = {_value(value, (*path, key))}"
        for key, value in table.items()
        if not isinstance(value, Mapping)
    ]
    tables = [
        write(value, (*path, key)) for key, value in table.items() if isinstance(value, Mapping)
    ]
    return "\n".join([*head, *pairs, *tables])


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(item, path) for item in value)}]"
    raise UserError(
        f"{'.'.join(path)}: {value!r} cannot be written in a study (known: text, numbers, true and "
        "false, paths, lists and tables); leave the key out to get its default"
    )
