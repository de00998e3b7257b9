"""Files that are there whole or not at all, whoever reads them and whatever ends the writer."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes | str) -> None:
    """Put ``content`` at ``path`` in one step; folders are made, text is UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
