"""Where a result comes from: versions, commit, machine and times.

None of it enters a digest; it stands beside a result so that a surprise can be traced.
"""

from __future__ import annotations

import functools
import platform
import re
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any


def provenance(seconds: float, **extra: Any) -> dict[str, Any]:
    """What to store beside a result that took ``seconds`` and is finished now.

    Args:
        seconds: Wall time spent.
        extra: Whatever else is worth knowing: the device, the threads; JSON values.
    """
    finished = datetime.now(UTC)
    return {
        **_surroundings(),
        "started": (finished - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        **extra,
    }


@functools.cache
def _surroundings() -> dict[str, Any]:
    """What stays the same as long as this process lives."""
    return {
        "scratchcard": _version("scratchcard"),
        "commit": _commit(Path(__file__).resolve().parents[2]),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": _cpu(),
    }


def _version(package: str) -> str | None:
    """The installed version, without importing the package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(checkout: Path) -> str | None:
    """The commit of a git checkout, with ``-dirty`` if files differ from it; None if it is none."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(checkout), "describe"]
    command += ["--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return run.stdout.strip() or None


def _cpu() -> str:
    """The processor's name as people know it."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
