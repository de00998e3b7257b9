"""Studies of the same dense twins made into one: the methods and metrics of all of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scratchcard.contracts import UserError
from scratchcard.study import lines
from scratchcard.study.choices import Choice
from scratchcard.study.reader import EVERY
from scratchcard.study.study import Study

OWN = ("name", "plugins", "methods", "metrics", "text", "source", "folders")
"""What merged studies may differ in; methods and metrics of one label may not."""
CHOICES = ("data", "ood", "transfer", "concepts", "models", "methods", "metrics")
"""Sections whose options may be paths."""
HEADER = "# Made by: scratchcard report"


def merge(studies: Sequence[Study], name: str, source: str) -> Study:
    """One study of all methods and metrics of ``studies``, whose other keys are the same.

    Args:
        studies: At least two.
        name: Of the new study.
        source: The file that it will be in.

    Raises:
        UserError: They differ in what makes dense twins, or in a label's meaning.
    """
    first, *others = studies
    for other in others:
        _check_alike(first, other)
        if other.text == first.text:
            raise UserError(f'"{other.name}" is named twice; name another study to merge it with')
    for section in ("methods", "metrics"):
        _check_labels(section, studies)
    raws = [_located(study) for study in studies]
    raw = {**raws[0], "name": name}
    plugins = dict.fromkeys(plugin for one in raws for plugin in one.get("plugins", ()))
    if plugins:
        raw["plugins"] = list(plugins)
    raw["methods"] = _union([one["methods"] for one in raws])
    metrics = [one.get("metrics", [EVERY]) for one in raws]
    if any(some != metrics[0] for some in metrics):
        raw["metrics"] = _union(metrics)
    named = " ".join(study.source for study in studies)
    text = f"{HEADER} {named} --merge {name}\n\n{lines.write(raw)}\n"
    return Study.parse(text, base=first.folders[-1], file=source)


def _located(study: Study) -> dict[str, Any]:
    """The keys of a study, its paths made absolute: the merged study lies in another folder."""
    raw = tomllib.loads(study.text)
    for section in CHOICES:
        if isinstance(tables := raw.get(section), dict):
            chosen = getattr(study, section)
            for label, options in tables.items():
                known = chosen[label].params if label in chosen else {}
                options |= {key: known[key] for key in options if _is_path(known.get(key))}
    if study.corruptions.official:
        raw["corruptions"]["official"] = study.corruptions.official
    return raw


def _is_path(value: object) -> bool:
    return isinstance(value, Path) or (isinstance(value, tuple) and any(map(_is_path, value)))


def _check_alike(one: Study, other: Study) -> None:
    keys = [key for key in type(one).model_fields if key not in OWN]
    differ = [name for key in keys for name in _differ(key, getattr(one, key), getattr(other, key))]
    if differ:
        raise UserError(
            f'"{one.name}" and "{other.name}" cannot be merged: they differ in '
            f"{', '.join(differ)}, and only methods and metrics may differ; to see what changed, "
            "compare them without --merge"
        )


def _differ(key: str, one: object, other: object) -> list[str]:
    """``key`` if its values differ; of a section the keys that do."""
    if isinstance(one, BaseModel):
        fields = type(one).model_fields
        return [f"{key}.{name}" for name in fields if getattr(one, name) != getattr(other, name)]
    return [key] if one != other else []


def _check_labels(section: str, studies: Sequence[Study]) -> None:
    seen: dict[str, tuple[Choice, Study]] = {}
    for study in studies:
        for label, choice in getattr(study, section).items():
            known, owner = seen.setdefault(label, (choice, study))
            if known != choice:
                raise UserError(
                    f'{section}.{label} is one thing in "{owner.name}" and another in '
                    f'"{study.name}"; give one of them another label, such as '
                    f'[{section}.{label}-2] with kind = "{choice.kind}"'
                )


def _union(sections: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """Sections in either form, lists of labels or tables, as one table."""
    tables = [
        section if isinstance(section, dict) else {label: {} for label in section}
        for section in sections
    ]
    return {label: options for table in tables for label, options in table.items()}
