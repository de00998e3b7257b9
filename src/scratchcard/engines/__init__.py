"""Where stages run: what every engine is given, says while it works, and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scratchcard.graph import Stage
from scratchcard.store import Store

Execute = Callable[[Stage, Store, Callable[[float], None]], None]
"""Computes a stage and commits it into the store, reporting progress in [0, 1].

A module-level function, because it is sent to other processes by name.
"""


@dataclass(frozen=True)
class Event:
    """Something worth showing happened.

    Attributes:
        kind: ``cached``: the result was there already; ``started``; ``progress``; ``finished``;
            ``failed``: it raised, and is recorded; ``blocked``: something that it waits for
            failed; ``lost``: its worker died; ``damaged``: its stored result is not whole any
            more; ``tick``: nothing, but a second has passed.
        stage: Which stage; None for a tick.
        worker: Number of the worker, for ``started`` and ``lost``.
        amount: The share that is done (``progress``), or the seconds it took (``finished``).
        text: The error (``failed``, ``lost``, ``damaged``), or who is to blame (``blocked``).
    """

    kind: Literal[
        "cached",
        "started",
        "progress",
        "finished",
        "failed",
        "blocked",
        "lost",
        "damaged",
        "tick",
    ]
    stage: Stage | None = None
    worker: int | None = None
    amount: float = 0.0
    text: str = ""


def ignore(event: Event) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Outcome:
    """Digests by what became of them, each in the order of the graph."""

    done: tuple[str, ...]
    cached: tuple[str, ...]
    failed: tuple[str, ...]
    blocked: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every stage has its result."""
        return not self.failed and not self.blocked
