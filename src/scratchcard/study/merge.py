"""Studies of the same dense twins made into one: the methods and metrics of all of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from scratchcard.contracts import UserError
from scratchcard.study import lines
from scratchcard.study.choices import Choice
from scratchcard.study.reader import EVERY
from scratchcard.study.study import Study

OWN = ("name", "plugins", "methods", "metrics", "text", "source", "folders")
"""What merged studies may differ in; methods and metrics of one label may not."""
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
    for section in ("methods", "metrics"):
        _check_labels(section, studies)
    raws = [tomllib.loads(study.text) for study in studies]
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
    root = first.folders[0] if len(first.folders) > 1 else None
    return Study.parse(text, base=first.folders[-1], data_root=root, file=source)


def _check_alike(one: Study, other: Study) -> None:
    keys = [key for key in type(one).model_fields if key not in OWN]
    differ = [key for key in keys if getattr(one, key) != getattr(other, key)]
    if differ:
        raise UserError(
            f'"{one.name}" and "{other.name}" cannot be merged: they differ in '
            f"{', '.join(differ)}, and only methods and metrics may differ; to see what changed, "
            "compare them without --merge"
        )


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
