"""What a run notes in its study's folder, so that another process can say where it stands."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scratchcard.files import replace
from scratchcard.folder import Folder
from scratchcard.graph import Plan

if TYPE_CHECKING:
    from scratchcard.engines import Event


class Watch:
    """Passes events on and notes progress in the study's folder, for ``status``."""

    def __init__(self, folder: Folder, plan: Plan, on_event: Callable[[Event], None]) -> None:
        self._folder, self._plan, self._on_event = folder, plan, on_event
        self._running: dict[str, float] = {}
        self._noted = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self._on_event(event)
        if event.stage is not None:
            if event.kind in ("started", "progress"):
                self._running[event.stage.digest] = event.amount
            else:
                self._running.pop(event.stage.digest, None)
        if time.monotonic() - self._noted > 1:
            self._noted = time.monotonic()
            running = [
                {"label": self._plan.stages[d].label, "fraction": f}
                for d, f in self._running.items()
            ]
            replace(self._folder.progress, json.dumps({"pid": os.getpid(), "running": running}))
