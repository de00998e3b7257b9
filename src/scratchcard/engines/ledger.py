"""What became of each stage of a run: done, failed, blocked, or to be tried again.

The rules are here, once for all engines; an engine only moves stages to where they run.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from scratchcard.engines import Event, Outcome
from scratchcard.engines.order import Agenda
from scratchcard.files import replace
from scratchcard.graph import Stage
from scratchcard.store import Store

LIMIT = 3
"""How often a stage may lose its worker, or its stored result be damaged, before it has failed."""


class Ledger:
    """The state of one run; it also discards damaged results and writes the failure files."""

    def __init__(
        self,
        stages: Iterable[Stage],
        store: Store,
        *,
        on_event: Callable[[Event], None],
        failures: Path,
        repeat: Callable[[Stage], str],
    ) -> None:
        self.on_event = on_event
        self._store = store
        self._failures = failures
        self._repeat = repeat
        stages = tuple(stages)
        cached = {stage.digest for stage in stages if store.has(stage.digest)}
        self._agenda = Agenda(stages, lambda stage: stage.cost, cached)
        self._status: dict[str, Literal["open", "done", "cached", "failed", "blocked"]] = {}
        self._since: dict[str, float] = {}
        self._losses: Counter[str] = Counter()
        self._damages: Counter[str] = Counter()
        for digest, stage in self._agenda.stages.items():
            self._status[digest] = "cached" if digest in cached else "open"
            if digest in cached:
                self._failure_file(stage).unlink(missing_ok=True)
                on_event(Event("cached", stage))

    @property
    def ready(self) -> int:
        """How many stages could start now, at most."""
        return len(self._agenda)

    def next(self) -> Stage | None:
        """The stage that should start now; None if all others must wait, or there is none."""
        return self._agenda.pop()

    def started(self, stage: Stage, worker: int) -> None:
        """A worker has the stage."""
        self._since[stage.digest] = time.monotonic()
        self.on_event(Event("started", stage, worker))

    def progress(self, stage: Stage, share: float) -> None:
        """The stage reports how much of it is done, in [0, 1]."""
        self.on_event(Event("progress", stage, amount=share))

    def finished(self, stage: Stage) -> None:
        """The worker says that the stage is in the store."""
        if not self._store.has(stage.digest):
            self.raised(stage, "AssertionError", "it finished without a result in the store", "")
            return
        self._status[stage.digest] = "done"
        self._agenda.finish(stage.digest)
        self._failure_file(stage).unlink(missing_ok=True)
        seconds = time.monotonic() - self._since[stage.digest]
        self.on_event(Event("finished", stage, amount=seconds))

    def raised(self, stage: Stage, error: str, message: str, traceback: str) -> None:
        """The stage failed: record it, and block what waits for it."""
        self._status[stage.digest] = "failed"
        self._agenda.drop(stage.digest)
        record = {
            "label": stage.label,
            "digest": stage.digest,
            "kind": stage.kind,
            "error": error,
            "message": message,
            "traceback": traceback,
            "repeat": self._repeat(stage),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        replace(self._failure_file(stage), json.dumps(record, indent=2))
        self.on_event(Event("failed", stage, text=f"{error}: {message}"))
        self._block_followers(stage)

    def damaged(self, stage: Stage, digest: str, why: str) -> None:
        """The stage found the result ``digest`` damaged: do that one again, then the stage."""
        culprit = self._agenda.stages.get(digest)
        if culprit is None:
            self.raised(stage, "Damaged", f"{why}; {digest} is not part of this run", "")
            return
        if self._status[digest] in ("done", "cached"):  # else another stage has reported it
            self._store.discard(digest)
            self._damages[digest] += 1
            self.on_event(Event("damaged", culprit, text=why))
            if self._damages[digest] < LIMIT:
                self._status[digest] = "open"
                self._agenda.reopen(digest)
            else:
                self.raised(culprit, "Damaged", f"{LIMIT} times its stored result: {why}", "")
        self._try_again(stage)

    def lost(self, stage: Stage, worker: int, how: str) -> None:
        """The worker died with the stage in its hands."""
        if self._store.has(stage.digest):
            self.finished(stage)
            return
        self._losses[stage.digest] += 1
        self.on_event(Event("lost", stage, worker, text=how))
        if self._losses[stage.digest] < LIMIT:
            self._try_again(stage)
        else:
            message = f"the worker died {LIMIT} times ({how}); out of memory?"
            self.raised(stage, "WorkerDied", message, "")

    def outcome(self) -> Outcome:
        """What became of every stage."""
        assert "open" not in self._status.values(), "a run ends when nothing is left to do"

        def those(status: str) -> tuple[str, ...]:
            return tuple(digest for digest, mine in self._status.items() if mine == status)

        return Outcome(those("done"), those("cached"), those("failed"), those("blocked"))

    def _try_again(self, stage: Stage) -> None:
        for digest in stage.waits_for:
            if self._status.get(digest) in ("failed", "blocked"):
                self._block(stage, by=self._agenda.stages[digest])
                return
        self._agenda.reopen(stage.digest)

    def _block_followers(self, culprit: Stage) -> None:
        waiting = list(self._agenda.followers[culprit.digest])
        while waiting:
            digest = waiting.pop()
            if self._status[digest] == "open":
                self._block(self._agenda.stages[digest], by=culprit)
                waiting += self._agenda.followers[digest]

    def _block(self, stage: Stage, by: Stage) -> None:
        self._status[stage.digest] = "blocked"
        self._agenda.drop(stage.digest)
        self.on_event(Event("blocked", stage, text=by.label))

    def _failure_file(self, stage: Stage) -> Path:
        return self._failures / f"{stage.digest}.json"
