"""The files behind a data set: that they exist, and a hash of what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from scratchcard.contracts import UserError

MANY_FILES = 2_000
MANY_BYTES = 2_000_000_000


def existing(path: Path, option: str) -> Path:
    """``path``, or a ``UserError`` that names it."""
    if not path.exists():
        raise UserError(f'{option} = "{path}" does not exist; correct the path in the data table')
    return path


def fingerprint(files: Mapping[str, Path]) -> str:
    """Hash of a data set's files: 64 hexadecimal digits that do not depend on where they lie.

    Covers names and contents; beyond 2,000 files or 2 GB names, sizes and modification times.
    """
    for path in files.values():
        existing(path, "file")
    stats = {name: files[name].stat() for name in sorted(files)}
    large = len(files) > MANY_FILES or sum(s.st_size for s in stats.values()) > MANY_BYTES
    if large:
        return _sha256(f"{name}\0{s.st_size}\0{s.st_mtime_ns}\n" for name, s in stats.items())
    return _sha256(f"{name}\0{_contents(files[name])}\n" for name in stats)


def _contents(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()
