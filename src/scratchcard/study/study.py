"""A study as a typed object: read from TOML or from Python, with every mistake named at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchcard.contracts import Task, UserError
from scratchcard.study import lines
from scratchcard.study.choices import Choice
from scratchcard.study.problems import Problem, Problems, StudyError
from scratchcard.study.reader import Reader
from scratchcard.study.sections import (
    Corruptions,
    Head,
    Ladder,
    Pruning,
    Training,
    VerdictRules,
)


class Study(Head):
    """Data sets x models x methods x ladder x seeds, and what is measured.

    Attributes:
        data: What networks are trained and tested on; this and the next six by label.
        tasks: What a model of each data set must fit.
        ood: Out-of-distribution sets.
        transfer: Other labelled data sets, on which features are probed.
        concepts: Concept sets, for network dissection.
        models: Architectures.
        methods: Pruning methods.
        metrics: What is measured.
        training: The recipe.
        ladder: The sparsities.
        pruning: What may be pruned.
        corruptions: How test images are corrupted.
        verdict: Margins other than the metrics' own.
        text: The study as TOML.
        source: The file, as it was named.
        folders: Where relative paths are looked for, in this order; plug-ins only in the last, the
            study's own.
    """

    data: Mapping[str, Choice]
    tasks: Mapping[str, Task]
    ood: Mapping[str, Choice]
    transfer: Mapping[str, Choice]
    concepts: Mapping[str, Choice]
    models: Mapping[str, Choice]
    methods: Mapping[str, Choice]
    metrics: Mapping[str, Choice]
    training: Training
    ladder: Ladder
    pruning: Pruning
    corruptions: Corruptions
    verdict: VerdictRules
    text: str
    source: str
    folders: tuple[Path, ...]

    @classmethod
    def load(cls, path: Path | str, *, data_root: Path | None = None) -> Study:
        """The study in a TOML file.

        Args:
            path: The file; relative paths in it are looked for beside it.
            data_root: A folder where they are looked for first.

        Raises:
            StudyError: With every mistake and its line.
        """
        path = Path(path)
        if path.is_dir():
            message = f"is a folder; name a study's file, such as {path / 'study.toml'}"
            raise StudyError((Problem(str(path), None, "", message),))
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or f"not UTF-8 text ({error})"
            raise StudyError((Problem(str(path), None, "", f"cannot be read: {reason}"),)) from None
        return cls.parse(text, base=path.parent, data_root=data_root, file=str(path))

    @classmethod
    def parse(
        cls,
        raw: Mapping[str, Any] | str,
        *,
        base: Path | None = None,
        data_root: Path | None = None,
        file: str = "study",
    ) -> Study:
        """A study from TOML text, or from nested mappings of the same shape.

        Args:
            raw: The text or the mappings.
            base: Where relative paths and plug-ins are looked for; default the working folder.
            data_root: A folder where relative paths are looked for first.
            file: What to call the study in messages, and by default itself.

        Raises:
            StudyError: With every mistake and, for text, its line.
        """
        text = _text(raw, file)
        content = _content(text, file)
        problems = Problems(file, lines.key_lines(text) if isinstance(raw, str) else {})
        folders = tuple(folder.resolve() for folder in (data_root, base or Path()) if folder)
        parts = Reader(content, problems, folders).parts()
        problems.stop_if_any()
        return cls(**parts, text=text, source=file, folders=folders)


def _text(raw: Mapping[str, Any] | str, file: str) -> str:
    try:
        return raw if isinstance(raw, str) else lines.write(raw)
    except UserError as error:
        raise StudyError((Problem(file, None, "", str(error)),)) from None


def _content(text: str, file: str) -> dict[str, Any]:
    """The tables of a TOML text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
        line = int(place[2]) if place else text.count("\n") + 1
        message = f"column {place[3]}: {place[1]}" if place else str(error)
        raise StudyError((Problem(file, line, "", f"not TOML: {message}"),)) from None
