"""Recognise a finished study without loading anything heavy: its text, its data, this package.

A snapshot is the plan of the last run with the key it was made under; if nothing that enters the
key has changed, the plan still holds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchcard.files import replace
from scratchcard.graph import Plan

FORMAT = 2


@dataclass(frozen=True)
class Snapshot:
    """The plan of a study, where its data lay, and on which kind of device it runs."""

    plan: Plan
    device: str

    @classmethod
    def load(cls, path: Path, key: str | None = None) -> Snapshot | None:
        """The snapshot in ``path``; None if there is none or it no longer holds.

        Args:
            path: The file.
            key: What ``key_of`` gives now; None to take the snapshot as it is.
        """
        values = read_json(path)
        if values.get("format") != FORMAT:
            return None
        if key is not None and (values["key"] != key or _stat(values["files"]) != values["files"]):
            return None
        return cls(Plan.from_json(values["plan"]), values["device"])

    def save(self, path: Path, key: str, files: Iterable[Path]) -> None:
        """Write it, whole or not at all."""
        values = {
            "format": FORMAT,
            "key": key,
            "files": _stat([[str(file), 0, 0] for file in files]),
            "device": self.device,
            "plan": self.plan.to_json(),
        }
        replace(path, json.dumps(values))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none, or it is not whole."""
    try:
        values = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def with_folders(files: Mapping[str, Path]) -> list[Path]:
    """Files by name within a data set, and the folders below its root: a new file changes those."""
    depth = {name: len(Path(name).parts) - 1 for name in files}
    folders = {file.parents[i] for name, file in files.items() for i in range(depth[name])}
    return [*files.values(), *sorted(folders)]


def folders_of(data_root: Path | None, base: Path) -> tuple[Path, ...]:
    """Where the relative paths of a study are looked for: the data root, then beside the file."""
    return tuple(folder.resolve() for folder in (data_root, base) if folder is not None)


def slug(name: str) -> str:
    """A name of a study made from a file's.

    >>> slug("My study (2)")
    'my-study-2'
    """
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "study"


def key_of(text: str, folders: Iterable[Path], device: str) -> str:
    """A hash of everything that could change the plan, but for the data files."""
    package = Path(__file__).parent
    sources = sorted(p for p in package.rglob("*") if p.suffix in (".py", ".j2", ".css", ".js"))
    stamp = [[str(p.relative_to(package)), p.stat().st_size, p.stat().st_mtime_ns] for p in sources]
    identity = [text, [str(folder) for folder in folders], device, stamp]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _stat(files: Iterable[list[Any]]) -> list[list[Any]]:
    """Each file with its size and time now; -1 where it is gone."""
    found = []
    for name, *_ in files:
        path = Path(name)
        status = path.stat() if path.exists() else None
        found.append(
            [name, status.st_size, status.st_mtime_ns] if status is not None else [name, -1, -1]
        )
    return found
