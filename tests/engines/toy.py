"""Stages that take milliseconds and whose numbers show whether every input was whole.

Run as a program it is a coordinator that the tests can interrupt and kill.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from scratchcard.engines import Event
from scratchcard.engines.local import run
from scratchcard.graph import Stage
from scratchcard.store import Store


def stage(name: str, *inputs: Stage, seconds: float = 0.0, kind: str = "toy") -> Stage:
    """A stage that mixes its inputs' numbers; ``kind`` says what it does besides."""
    return Stage(
        kind,
        "1",
        {"name": name},
        {str(at): one.digest for at, one in enumerate(inputs)},
        local={"seconds": seconds},
        label=name,
        cost=1.0,
    )


def graph(size: int, seconds: float) -> list[Stage]:
    """Chains of five with three measures behind each link, and one stage over each chain."""
    stages: list[Stage] = []
    while len(stages) < size:
        chain = len(stages)
        links: list[Stage] = []
        for rung in range(5):
            links.append(stage(f"{chain} rung {rung}", *links[-1:], seconds=seconds))
            measures = [
                stage(f"{chain} measure {rung} {m}", links[-1], seconds=seconds) for m in range(3)
            ]
            stages += [links[-1], *measures]
        stages.append(stage(f"{chain} all", *links, seconds=seconds))
    return stages[:size]


def execute(one: Stage, store: Store, progress: Callable[[float], None]) -> None:
    """Mix the inputs' numbers into this stage's own, going on from a checkpoint if there is one."""
    if one.kind == "raise":
        raise RuntimeError(f"{one.label} was told to raise")
    if one.kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if one.kind == "die once" and not (store.scratch(one.digest) / "died").exists():
        (store.scratch(one.digest) / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if one.kind == "nothing":
        return
    numbers = np.random.default_rng(int(one.digest[:8], 16)).normal(size=64)
    for digest in one.inputs.values():
        numbers = np.sin(numbers + 3 * store.arrays(digest, "numbers")["numbers"])
        numbers += store.result(digest)["sum"]
    checkpoint = store.scratch(one.digest) / "half.npy"
    if not checkpoint.exists():
        time.sleep(one.local["seconds"] / 2)
        half = checkpoint.with_suffix(f".{os.getpid()}.npy")
        np.save(half, np.cos(numbers))
        half.replace(checkpoint)
    progress(0.5)
    time.sleep(one.local["seconds"] / 2)
    numbers += np.load(checkpoint)
    if one.kind == "die after commit":
        _commit(one, store, numbers)
        os.kill(os.getpid(), signal.SIGKILL)
    _commit(one, store, numbers)


def _commit(one: Stage, store: Store, numbers: np.ndarray) -> None:
    # "big": so large that only reading it shows damage.
    many = np.tile(numbers, 4096) if one.kind == "big" else numbers
    store.commit(
        one.digest,
        result={"sum": float(numbers.sum()), "threads": os.environ["OMP_NUM_THREADS"]},
        provenance={"pid": os.getpid(), "torch": "torch" in sys.modules},
        arrays={"numbers": {"numbers": many[:64], "many": many}},
    )


def repeat(one: Stage) -> str:
    """How a user would repeat a stage."""
    return f"toy --only {one.digest}"


@contextlib.contextmanager
def coordinator(root: Path, size: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process that brings ``graph(size, seconds)`` into ``root/store``; killed at the end.

    It has its own process group, its errors go to ``root/stderr``, its exit code is that of
    ``main``, and ``workers(root)`` lists its workers.
    """
    (root / "pids").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.engines.toy", str(root), str(size), str(seconds)]
    with (root / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stderr=errors, start_new_session=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def workers(root: Path) -> list[int]:
    """Process ids of the workers of the coordinator that started last."""
    try:
        return [int(pid) for pid in (root / "pids").read_text().split()]
    except FileNotFoundError:
        return []


def main(root: Path, size: int, seconds: float) -> int:
    """Bring ``graph`` into ``root/store`` with two workers; 3 if stages failed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored

    def note(event: Event) -> None:
        pids = " ".join(str(worker.pid) for worker in multiprocessing.active_children())
        (root / "pids.tmp").write_text(pids)
        (root / "pids.tmp").replace(root / "pids")

    outcome = run(
        graph(size, seconds),
        Store(root / "store"),
        execute,
        failures=root / "failures",
        repeat=repeat,
        on_event=note,
    )
    return 0 if outcome.complete else 3


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
