"""The folder of a study: where its plan, progress, failures and report are, and who runs it now."""

from __future__ import annotations

import fcntl
import os
import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scratchcard.contracts import UserError
from scratchcard.snapshot import slug
from scratchcard.store import Store


@dataclass(frozen=True)
class Folder:
    """Where a study's plan, progress, failures and report are."""

    home: Path
    name: str

    @property
    def path(self) -> Path:
        """``runs/NAME``."""
        return self.home / self.name

    @property
    def store(self) -> Store:
        """Results by digest."""
        return Store(self.home / "store")

    @property
    def snapshot(self) -> Path:
        """The plan of the last run."""
        return self.path / "plan.json"

    @property
    def failures(self) -> Path:
        """Records of failed stages."""
        return self.path / "failed"

    @property
    def summary(self) -> Path:
        """The verdict in a sentence, and the key of the plan it belongs to."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def table(self) -> Path:
        """Every number, one a row."""
        return self.path / "results.csv"

    @property
    def progress(self) -> Path:
        """What a run that goes on now is doing."""
        return self.path / "progress.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One run at a time; the lock goes with its process, however that ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise UserError(
                    f'study "{self.name}" is being run by {owner}; watch it with '
                    "`scratchcard status`, or wait"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def locked(self) -> bool:
        """Whether a run goes on now."""
        if not (self.path / "lock").exists():
            return False
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def name_of(study: Path) -> str:
    """The name of the study in a file; a word that is no file is taken for a name."""
    if not study.is_file():
        return str(study)
    try:
        name = tomllib.loads(study.read_text(errors="replace")).get("name")
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{study} is not TOML: {error}") from None
    return name if isinstance(name, str) else slug(study.stem)
