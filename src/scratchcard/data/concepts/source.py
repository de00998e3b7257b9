"""What every kind of concept set is: options, files, and a set for the networks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scratchcard.contracts import Task
from scratchcard.data.base import Splits
from scratchcard.data.concepts.base import Concepts


@dataclass(frozen=True, kw_only=True)
class ConceptSource(ABC):
    """A kind of concept set; its fields are the options of a study's concepts table."""

    def files(self) -> Mapping[str, Path]:
        """The files that the content fingerprint covers, by name within the set."""
        return {}

    @abstractmethod
    def concepts(self, task: Task, source: Splits) -> Concepts:
        """The set for networks of ``task`` that were trained on ``source``."""
