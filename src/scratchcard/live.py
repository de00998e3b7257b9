"""What a person sees while a study runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scratchcard.engines import Event
from scratchcard.engines.order import makespan
from scratchcard.estimate import Estimate
from scratchcard.graph import Plan

KINDS = ("data", "train", "mask", "logits", "occlude", "measure")
TABLE, LINE = 0.5, 10.0
"""Seconds between two looks of the live table, and between two plain lines."""


class Display:
    """Takes an engine's events; a context manager that owns the terminal's live region."""

    def __init__(self, plan: Plan, estimate: Estimate, workers: int, console: Console) -> None:
        self._plan, self._estimate, self._workers = plan, estimate, workers
        self._console = console
        self._done: set[str] = set()
        self._failed: dict[str, str] = {}
        self._running: dict[str, float] = {}
        self._started = self._shown = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event and show what has changed."""
        if event.stage is not None:
            self._note(event)
        if not self._console.is_terminal and event.kind in ("failed", "lost", "damaged"):
            self._line(event)
        # Not at every event: the time that is left takes a simulation of the whole graph.
        if time.monotonic() - self._shown > (TABLE if self._console.is_terminal else LINE):
            self._shown = time.monotonic()
            if self._console.is_terminal:
                self._live.update(self._table(), refresh=True)
            else:
                self._console.print(self._standing(), highlight=False)

    def _note(self, event: Event) -> None:
        assert event.stage is not None
        digest = event.stage.digest
        if event.kind in ("started", "progress"):
            self._running[digest] = event.amount
            return
        self._running.pop(digest, None)
        if event.kind in ("cached", "finished"):
            self._done.add(digest)
        if event.kind == "finished":
            self._estimate.learn(event.stage, event.amount)
        if event.kind == "failed":
            self._failed[digest] = event.text
        if event.kind == "damaged":
            self._done.discard(digest)

    def _line(self, event: Event) -> None:
        label = event.stage.label if event.stage else ""
        self._console.print(f"{event.kind}: {label}: {event.text}", highlight=False, markup=False)

    def _standing(self) -> str:
        """Done, running and left, in a line."""
        return (
            f"{len(self._done)} of {len(self._plan.stages)} stages done"
            + (f", {len(self._failed)} failed" if self._failed else "")
            + f", {duration(time.monotonic() - self._started)} passed, {self._remaining()}"
        )

    def _remaining(self) -> str:
        if not self._estimate.informed:
            return "time left not known yet"
        seconds = makespan(
            self._plan.stages.values(),
            lambda s: self._estimate.seconds(s) * (1 - self._running.get(s.digest, 0.0)),
            self._workers,
            done=self._done | self._failed.keys(),
        )
        return f"about {duration(seconds)} left"

    def _table(self) -> Group:
        total = Counter(stage.kind for stage in self._plan.stages.values())
        done = Counter(self._plan.stages[d].kind for d in self._done)
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for kind in KINDS:
            if total[kind]:
                bar = ProgressBar(total=total[kind], completed=done[kind], width=30)
                table.add_row(kind, bar, f"{done[kind]} of {total[kind]}")
        labels = [
            Text(f"  {self._plan.stages[d].label}" + (f"  {f:.0%}" if f else ""), style="dim")
            for d, f in self._running.items()
        ]
        failures = [
            Text(f"failed: {self._plan.stages[d].label}: {text}", style="red")
            for d, text in self._failed.items()
        ]
        return Group(table, Text(self._standing()), *labels, *failures[-5:])


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(42), duration(200), duration(9000)
    ('42 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
