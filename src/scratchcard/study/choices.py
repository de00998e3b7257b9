"""What a study chooses from the registries: labels, kinds and options, with mistakes collected."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from scratchcard.contracts import MetricSpec, Spec, UserError
from scratchcard.registry import Registry
from scratchcard.study.lines import KeyPath
from scratchcard.study.problems import Problems, show, unknown

S = TypeVar("S", bound=Spec)
Profile = Literal["default", "paper"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = ("dense",)


class Choice(BaseModel):
    """One thing a study uses.

    Attributes:
        label: What the study calls it.
        kind: Its name in the registry.
        params: Every option with its value: the default, else the profile's, else the study's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    kind: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Chooser:
    """Reads sections such as ``methods``.

    Attributes:
        problems: Where mistakes go.
        profile: Which constants metrics get.
        folders: Where relative paths are looked for, in this order.
    """

    problems: Problems
    profile: Profile
    folders: tuple[Path, ...]

    def section(
        self, name: str, raw: object, registry: Registry[S], *, but: str = ""
    ) -> dict[str, Choice]:
        """The choices of a section that are right, by label in the order of the file.

        Args:
            name: Of the section.
            raw: What the file says.
            registry: Where kinds are found.
            but: A label that is no choice.
        """
        choices = {}
        for label, options in self._tables(name, raw).items():
            if label == but:
                continue
            path = (name, label)
            if not _LABEL.fullmatch(label) or label in _RESERVED:
                self.problems.add(
                    path,
                    f"{show(label)} cannot be a label: take letters, digits, '.', '_' and '-', "
                    f"and not {', '.join(map(show, _RESERVED))}; the kind can be named apart from "
                    'the label: kind = "..."',
                )
            named = (*path, "kind") if "kind" in options else path
            kind = options.pop("kind", label)
            if not isinstance(kind, str):
                self.problems.add(named, f"must be a name in quotes, not {show(kind)}")
                continue
            try:
                spec = registry.get(kind)
            except UserError as error:
                self.problems.add(named, str(error))
                continue
            params = self._params(path, spec, options)
            if params is not None:
                choices[label] = Choice(label=label, kind=kind, params=params)
        return choices

    def defaults(self, spec: Spec) -> dict[str, Any]:
        """The options of ``spec`` before the study has its say."""
        own = {name: default for name, (_, default) in spec.parameters.items()}
        paper = spec.paper if isinstance(spec, MetricSpec) and self.profile == "paper" else {}
        return {**own, **paper}

    def _tables(self, name: str, raw: object) -> dict[str, dict[str, Any]]:
        """Both forms of a section, a list of names or tables by label, as tables."""
        add = self.problems.add
        tables: dict[str, dict[str, Any]] = {}
        if isinstance(raw, list):
            for index, label in enumerate(raw):
                if not isinstance(label, str):
                    add((name, index), f"must be a name in quotes, not {show(label)}")
                elif label in tables:
                    add((name, index), f"{show(label)} is listed twice")
                else:
                    tables[label] = {}
                    self.problems.alias((name, label), of=(name, index))
        elif isinstance(raw, dict):
            for label, options in raw.items():
                if isinstance(options, dict):
                    tables[label] = dict(options)
                else:
                    add((name, label), f"must be a table of options, not {show(options)}")
        else:
            add((name,), f"must be a list of names or tables [{name}.LABEL], not {show(raw)}")
        return tables

    def _params(
        self, path: KeyPath, spec: Spec, options: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Every option of ``spec``, or None if one is wrong."""
        before = len(self.problems)
        params = self.defaults(spec)
        for key, raw in options.items():
            if key in spec.parameters:
                params[key] = self.problems.option((*path, key), spec.parameters[key][0], raw)
            else:
                self.problems.add((*path, key), unknown("option", key, spec.parameters))
        for key, value in params.items():
            if value is inspect.Parameter.empty:
                self.problems.add((*path, key), "is required")
            else:
                params[key] = self._found((*path, key), value)
        return params if len(self.problems) == before else None

    def _found(self, path: KeyPath, value: Any) -> Any:
        """``value`` with every path in it made absolute."""
        if isinstance(value, tuple):
            return tuple(self._found((*path, index), item) for index, item in enumerate(value))
        if not isinstance(value, Path):
            return value
        return existing_path(value, self.folders, path, self.problems)


def existing_path(
    value: Path, folders: tuple[Path, ...], path: KeyPath, problems: Problems
) -> Path:
    """``value`` made absolute; that it is nowhere is noted at the key ``path``."""
    places = [folder / value.expanduser() for folder in folders]
    for place in places:
        if place.exists():
            return place
    looked = " and ".join(dict.fromkeys(map(str, places)))
    problems.add(
        path, f'"{value}" does not exist (looked for {looked}; --data-root names another folder)'
    )
    return value
