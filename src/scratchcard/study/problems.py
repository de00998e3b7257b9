"""Mistakes in a study file: collected all at once, in plain words, each with its line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from scratchcard.contracts import UserError
from scratchcard.registry import did_you_mean
from scratchcard.study.lines import KeyPath

T = TypeVar("T", bound=BaseModel)

_LIST = "must be a list in brackets, not {bad}"
_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "value_error": "{error}",
    "int_type": "must be a whole number, not {bad}",
    "int_from_float": "must be a whole number, not {bad}",
    "float_type": "must be a number, not {bad}",
    "finite_number": "must be finite, not {bad}",
    "bool_type": "must be true or false, not {bad}",
    "string_type": "must be text in quotes, not {bad}",
    "path_type": "must be a path in quotes, not {bad}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": "must be a table, not {bad}",
    "model_type": "must be a table, not {bad}",
    "too_short": "needs at least {min_length} of them, not {actual_length}",
    "too_long": "takes at most {max_length} of them, not {actual_length}",
    "literal_error": "{bad} is not one of {expected}",
    "greater_than": "must be above {gt}, not {bad}",
    "greater_than_equal": "must be at least {ge}, not {bad}",
    "less_than": "must be below {lt}, not {bad}",
    "less_than_equal": "must be at most {le}, not {bad}",
}
"""Types of pydantic's errors in our words; ``bad`` is the value, the rest pydantic's context."""

_OPTION = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands and what would mend it; ``line`` is None if it has no place."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}  {self.key}: {self.message}" if self.key else f"{place}  {self.message}"


class StudyError(UserError):
    """A study cannot be run as it is written; ``problems`` holds every mistake that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Problems:
    """The mistakes found so far in one file, whose keys stand on ``lines``."""

    def __init__(self, file: str, lines: Mapping[KeyPath, int]) -> None:
        self.file = file
        self._lines = dict(lines)
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def alias(self, path: KeyPath, of: KeyPath) -> None:
        """Let ``path`` stand where ``of`` stands."""
        if of in self._lines:
            self._lines[path] = self._lines[of]

    def add(self, path: KeyPath, message: str) -> None:
        """Note a mistake at ``path``; a key that is not there has the line of its table."""
        ends = range(len(path), 0, -1)
        line = next((self._lines[path[:end]] for end in ends if path[:end] in self._lines), None)
        self._found.append(Problem(self.file, line, _dotted(path), message))

    def stop_if_any(self) -> None:
        """Raise a ``StudyError`` with everything found, in the order of the file."""
        if self._found:
            raise StudyError(tuple(sorted(self._found, key=lambda p: p.line or math.inf)))

    def section(self, path: KeyPath, kind: type[T], raw: object) -> T | None:
        """``raw`` as a ``kind``, or None and its mistakes noted."""
        return self._checked(path, TypeAdapter(kind), raw, known=kind.model_fields)  # type: ignore[no-any-return]

    def option(self, path: KeyPath, hint: Any, raw: object) -> Any:
        """``raw`` as the type ``hint``, or None and its mistakes noted."""
        return self._checked(path, TypeAdapter(hint, config=_OPTION), raw, known=())

    def _checked(
        self, path: KeyPath, kind: TypeAdapter[Any], raw: object, known: Iterable[str]
    ) -> Any:
        # Through JSON, pydantic's strict mode takes lists for tuples and text for paths, as wanted.
        try:
            return kind.validate_json(json.dumps(raw, default=str), strict=True)
        except ValidationError as error:
            messages: dict[KeyPath, list[str]] = {}
            for detail in error.errors(include_url=False):
                messages.setdefault(_place(detail, raw), []).append(_explain(detail, known))
        for place, ways in messages.items():
            self.add((*path, *place), ", or ".join(ways))
        return None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that means nothing.

    >>> unknown("option", "rat", ["rate", "rewind"])
    'unknown option; did you mean "rate"? (known: rate, rewind)'
    """
    names = list(known)
    return f"unknown {what}{did_you_mean(name, names)} (known: {', '.join(names) or 'none'})"


def show(value: object) -> str:
    """A value as the study file would write it, shortened."""
    if isinstance(value, float):
        return repr(value)
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(path: KeyPath) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _place(detail: ErrorDetails, raw: Any) -> KeyPath:
    """Pydantic's location without the names of union branches, which are no keys of the file."""
    path: KeyPath = ()
    for part in detail["loc"]:
        within = isinstance(raw, list) and isinstance(part, int) and part < len(raw)
        if within or (isinstance(raw, dict) and part in raw):
            path, raw = (*path, part), raw[part]
    return (*path, *detail["loc"][-1:]) if detail["type"] == "missing" else path


def _explain(detail: ErrorDetails, known: Iterable[str]) -> str:
    kind, bad = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return unknown("option", str(detail["loc"][-1]), known)
    if kind not in _WORDS:
        return f"{detail['msg'].lower()}, not {show(bad)}"
    context = detail.get("ctx", {})
    hint = ""
    if kind == "literal_error" and isinstance(bad, str):
        hint = did_you_mean(bad, re.findall(r"'(.*?)'", context["expected"]))
    limits = {key: f"{v:g}" if isinstance(v, float) else v for key, v in context.items()}
    return _WORDS[kind].format(bad=show(bad), **limits) + hint
