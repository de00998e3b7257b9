"""The embedded engine: a coordinator in this process and long-lived worker processes beside it.

Everything a run needs to go on is in the store, so any process may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from scratchcard.contracts import UserError
from scratchcard.engines import Event, Execute, Outcome, ignore
from scratchcard.engines.ledger import Ledger
from scratchcard.graph import Stage
from scratchcard.store import Damaged, Store

TICK = 1.0
"""Seconds between two looks at the clock: the display moves at least so often."""
REPORT = 0.2
"""Seconds between two reports of progress by one stage, at least."""
STARTS = 5
"""How many workers in a row may die before they can take a stage."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def run(
    stages: Iterable[Stage],
    store: Store,
    execute: Execute,
    *,
    failures: Path,
    repeat: Callable[[Stage], str],
    workers: int = 2,
    threads: int = 1,
    on_event: Callable[[Event], None] = ignore,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Bring every stage into the store, as far as possible, and say what became of each.

    A stage that raises is recorded and what waits for it is blocked; the rest goes on. A worker
    that dies is replaced. Ctrl-C stops the workers and is raised again.

    Args:
        stages: The graph; inputs outside it must be in the store.
        store: Where results are and go.
        execute: Computes one stage; see ``scratchcard.engines.Execute``.
        failures: Folder for one JSON file for each failed stage.
        repeat: The command that repeats a stage, for its failure file.
        workers: Processes at work at a time, at most.
        threads: Of each worker.
        on_event: Told everything, in this process; it must be quick.
        environment: More variables for the workers.
    """
    if workers < 1 or threads < 1:
        raise UserError(f"workers = {workers} and threads = {threads} must both be 1 or more")
    store.sweep()
    ledger = Ledger(stages, store, on_event=on_event, failures=failures, repeat=repeat)
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict(environment or {})
    team = _Team(workers, (Path.cwd(), store, execute), variables)
    try:
        while team.hand_out(ledger):
            team.listen(ledger)
    finally:
        team.stop()
        store.sweep()
    return ledger.outcome()


@dataclass
class _Worker:
    """A worker process as the coordinator sees it."""

    number: int
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    stage: Stage | None = None


class _Team:
    """The worker processes; started when there is work for them, replaced when they die."""

    def __init__(self, size: int, job: tuple[Path, Store, Execute], env: Mapping[str, str]) -> None:
        self._size = size
        self._job = job
        self._environment = env
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._next_tick = time.monotonic() + TICK

    def hand_out(self, ledger: Ledger) -> bool:
        """Give stages to whoever is free; False once everything is over."""
        for worker in self._workers:
            if worker.ready and worker.stage is None:
                worker.stage = ledger.next()
                if worker.stage is not None:
                    ledger.started(worker.stage, worker.number)
                    with contextlib.suppress(ConnectionError):  # it has died: ``listen`` sees that
                        worker.pipe.send(worker.stage)
        busy = sum(worker.stage is not None for worker in self._workers)
        while len(self._workers) < min(self._size, busy + ledger.ready):
            self._hire()
        return busy > 0 or ledger.ready > 0

    def listen(self, ledger: Ledger) -> None:
        """Wait for news from the workers, for a tick at most."""
        sources = [source for w in self._workers for source in (w.pipe, w.process.sentinel)]
        wait(sources, max(0.0, self._next_tick - time.monotonic()))
        for worker in list(self._workers):
            alive = worker.process.is_alive()  # asked first: a dead one's last words still count
            if not self._hear(worker, ledger) or not alive:
                self._bury(worker, ledger)
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK
            ledger.on_event(Event("tick"))

    def stop(self) -> None:
        """End all workers; whatever they were at is as safe as if the power had failed."""
        for worker in self._workers:
            worker.process.kill()
        while self._workers:
            self._dismiss(self._workers[-1])

    def _hire(self) -> None:
        taken = {worker.number for worker in self._workers}
        number = next(n for n in range(self._size) if n not in taken)
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, *self._job), name=f"scratchcard worker {number}"
        )
        with _inherited(self._environment):
            process.start()
            self._workers.append(_Worker(number, process, mine))
        theirs.close()

    def _hear(self, worker: _Worker, ledger: Ledger) -> bool:
        """Take in what a worker has said; False if it will say no more."""
        while True:
            try:
                message = worker.pipe.recv() if worker.pipe.poll() else None
            except (EOFError, OSError):  # closed, perhaps in the middle of a message
                return False
            if message is None:
                return True
            self._note(worker, message, ledger)

    def _note(self, worker: _Worker, message: tuple[Any, ...], ledger: Ledger) -> None:
        what, *details = message
        if what == "ready":
            worker.ready = True
            self._failed_starts = 0
            return
        assert worker.stage is not None, f"a worker without a stage says {what}"
        if what == "progress":
            ledger.progress(worker.stage, *details)
            return
        stage, worker.stage = worker.stage, None
        tell: dict[str, Callable[..., None]] = {
            "finished": ledger.finished,
            "raised": ledger.raised,
            "damaged": ledger.damaged,
        }
        tell[what](stage, *details)

    def _bury(self, worker: _Worker, ledger: Ledger) -> None:
        worker.process.join(TICK)  # so that it can print its last words
        worker.process.kill()
        code = self._dismiss(worker)
        if worker.stage is not None:
            ledger.lost(worker.stage, worker.number, f"exit code {code}")
        if not worker.ready:
            self._failed_starts += 1
        if self._failed_starts == STARTS:
            raise RuntimeError(
                f"{STARTS} workers in a row died while starting (exit code {code}; their own "
                "words are above); a script that starts a run must do so below "
                '`if __name__ == "__main__":`, because workers import it'
            )

    def _dismiss(self, worker: _Worker) -> int | None:
        """Forget a killed worker and say how it ended."""
        worker.process.join()
        code = worker.process.exitcode
        worker.process.close()
        worker.pipe.close()
        self._workers.remove(worker)
        return code


@contextlib.contextmanager
def _inherited(environment: Mapping[str, str]) -> Iterator[None]:
    """Processes started inside have these variables from their first import on, and no Ctrl-C."""
    resource_tracker.ensure_running()  # otherwise the first start does it, and unblocks Ctrl-C
    before = {name: os.environ.get(name) for name in environment}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _work(pipe: Connection, folder: Path, store: Store, execute: Execute) -> None:
    """A worker's life: take a stage, compute it, say how it went; end with the coordinator."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    with contextlib.suppress(EOFError, ConnectionError):  # the coordinator is gone
        pipe.send(("ready",))
        while True:
            pipe.send(_attempt(pipe, pipe.recv(), store, execute))


def _attempt(pipe: Connection, stage: Stage, store: Store, execute: Execute) -> tuple[str, ...]:
    """Compute a stage; the answer is the name of a ``Ledger`` method and its arguments."""
    next_report = 0.0

    def progress(share: float) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT
            pipe.send(("progress", share))

    try:
        if not store.has(stage.digest):
            execute(stage, store, progress)
    except Damaged as error:
        return "damaged", error.digest, error.why
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, the rest must go on
        if store.has(stage.digest):  # another run was first, and removed the checkpoint
            return ("finished",)
        return "raised", type(error).__name__, str(error), traceback.format_exc()
    return ("finished",)


def _end_with_parent() -> None:
    """Leave at once when the coordinator dies, even in the middle of a stage."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is a child of its coordinator"
    # The parent's id is watched too: a process forked by it would hold the sentinel open.
    while os.getppid() == parent.pid and not wait([parent.sentinel], TICK):
        pass
    os._exit(1)
