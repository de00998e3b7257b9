"""The local engine finishes what can be finished, whatever happens to its workers."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scratchcard.contracts import UserError
from scratchcard.engines import Event, Outcome
from scratchcard.engines.local import run
from scratchcard.graph import Stage
from scratchcard.store import Store, alive
from tests.engines import toy


@dataclass
class Lab:
    """A store, and all that was said while stages were brought into it."""

    root: Path
    events: list[Event] = field(default_factory=list)
    processes: int = 0

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    def note(self, event: Event) -> None:
        self.events.append(event)
        self.processes = max(self.processes, len(multiprocessing.active_children()))

    def run(self, stages: Iterable[Stage], workers: int = 1, threads: int = 1) -> Outcome:
        self.events.clear()
        outcome = run(
            stages,
            self.store,
            toy.execute,
            workers=workers,
            threads=threads,
            failures=self.root / "failures",
            repeat=toy.repeat,
            on_event=self.note,
        )
        assert multiprocessing.active_children() == []
        return outcome

    def labels(self, kind: str) -> list[str]:
        return [e.stage.label for e in self.events if e.kind == kind and e.stage is not None]

    def failure(self, stage: Stage) -> dict[str, str]:
        record = json.loads((self.root / "failures" / f"{stage.digest}.json").read_text())
        return {key: str(value) for key, value in record.items()}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def numbers_file(store: Store, stage: Stage) -> Path:
    return store.root / stage.digest[:2] / stage.digest / "numbers.safetensors"


def test_a_chain_goes_first_on_one_worker_and_is_never_run_again(lab: Lab) -> None:
    side = toy.stage("side")
    first = toy.stage("first", seconds=3)  # until the other worker has started, too
    second = toy.stage("second", first, kind="train")
    stages = [side, first, second]
    outcome = lab.run(stages, workers=3)
    assert lab.processes == 2
    assert outcome == Outcome(tuple(s.digest for s in stages), (), (), ())
    assert lab.labels("started")[:2] == ["first", "side"]
    assert sorted(lab.labels("finished")) == ["first", "second", "side"]

    third = toy.stage("third", second)
    lab.processes = 0
    outcome = lab.run([*stages, third], workers=3)
    assert lab.processes == 1
    assert (outcome.done, len(outcome.cached)) == ((third.digest,), 3)
    assert lab.labels("started") == ["third"]

    lab.processes = 0
    assert len(lab.run([*stages, third]).cached) == 4
    assert lab.processes == 0


def test_workers_have_their_threads_before_anything_is_imported(lab: Lab) -> None:
    before = dict(os.environ)
    stage = toy.stage("only")
    lab.run([stage], threads=3)
    assert lab.store.result(stage.digest)["threads"] == "3"
    assert lab.store.provenance(stage.digest)["torch"] is False
    assert dict(os.environ) == before


def test_the_display_hears_of_progress_and_of_time(lab: Lab) -> None:
    lab.run([toy.stage("slow", seconds=1.1)])
    kinds = [event.kind for event in lab.events if event.kind != "tick"]
    assert kinds == ["started", "progress", "finished"]
    assert "tick" in [event.kind for event in lab.events]
    assert [e.amount for e in lab.events if e.kind == "progress"] == [0.5]
    assert next(e.amount for e in lab.events if e.kind == "finished") >= 1.1


def test_a_failure_stops_only_what_waits_for_it(lab: Lab) -> None:
    bad = toy.stage("bad", kind="raise")
    child = toy.stage("child", bad)
    grandchild = toy.stage("grandchild", child)
    good = toy.stage("good")
    mended = lab.root / "failures" / f"{good.digest}.json"
    mended.parent.mkdir()
    mended.write_text("{}")
    outcome = lab.run([bad, child, grandchild, good])
    assert outcome.done == (good.digest,)
    assert outcome.failed == (bad.digest,)
    assert outcome.blocked == (child.digest, grandchild.digest)
    assert not outcome.complete
    assert {e.text for e in lab.events if e.kind == "blocked"} == {"bad"}
    record = lab.failure(bad)
    assert record["message"] == "bad was told to raise"
    assert (record["error"], record["kind"], record["label"]) == ("RuntimeError", "raise", "bad")
    assert record["repeat"] == f"toy --only {bad.digest}"
    assert "toy.py" in record["traceback"]
    assert [path.name for path in mended.parent.iterdir()] == [f"{bad.digest}.json"]


def test_dead_workers_are_replaced(lab: Lab) -> None:
    once = toy.stage("once", kind="die once")
    late = toy.stage("late", kind="die after commit")
    never = toy.stage("never", kind="die")
    last = toy.stage("last", once, late)
    outcome = lab.run([once, late, never, last])
    assert outcome.done == (once.digest, late.digest, last.digest)
    assert outcome.failed == (never.digest,)
    assert sorted(lab.labels("lost")) == ["never", "never", "never", "once"]
    assert lab.labels("started").count("late") == 1
    assert "died 3 times (exit code -9); out of memory?" in lab.failure(never)["message"]


def test_a_stage_must_leave_a_result(lab: Lab) -> None:
    empty = toy.stage("empty", kind="nothing")
    assert lab.run([empty]).failed == (empty.digest,)
    assert "without a result" in lab.failure(empty)["message"]


def test_damage_that_only_a_reader_sees_is_mended(lab: Lab) -> None:
    big = toy.stage("big", kind="big")
    readers = [toy.stage(f"reader {n}", big) for n in range(3)]
    lab.run([big])
    whole = numbers_file(lab.store, big).read_bytes()
    flip_last_byte(numbers_file(lab.store, big))
    assert lab.store.has(big.digest)
    outcome = lab.run([big, *readers], workers=2)
    assert outcome.complete
    assert outcome.done == tuple(s.digest for s in (big, *readers))
    assert lab.labels("damaged") == ["big"]
    assert numbers_file(lab.store, big).read_bytes() == whole


def test_what_is_damaged_again_and_again_has_failed(lab: Lab) -> None:
    big = toy.stage("big", kind="big")
    reader = toy.stage("reader", big)

    def break_it(event: Event) -> None:
        lab.note(event)
        if event.kind == "finished" and event.stage == big:
            flip_last_byte(numbers_file(lab.store, big))

    outcome = run(
        [big, reader],
        lab.store,
        toy.execute,
        failures=lab.root / "failures",
        repeat=toy.repeat,
        on_event=break_it,
    )
    assert (outcome.failed, outcome.blocked) == ((big.digest,), (reader.digest,))
    assert lab.labels("damaged") == ["big"] * 3
    assert "changed since it was written" in lab.failure(big)["message"]


def test_a_missing_input_from_outside_is_named(lab: Lab) -> None:
    missing = toy.stage("missing")
    reader = toy.stage("reader", missing)
    assert lab.run([reader]).failed == (reader.digest,)
    assert f"{missing.digest} is not part of this run" in lab.failure(reader)["message"]


def test_there_must_be_a_worker(lab: Lab) -> None:
    with pytest.raises(UserError, match="workers = 0"):
        lab.run([], workers=0)


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from scratchcard.engines.local import run\n"
        "from scratchcard.store import Store\n"
        "from tests.engines import toy\n"
        f"run([toy.stage('a')], Store(Path({str(tmp_path)!r})), toy.execute,\n"
        f"    failures=Path({str(tmp_path)!r}), repeat=toy.repeat)\n"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "5 workers in a row died while starting" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1]


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_coordinator(tmp_path: Path, number: signal.Signals) -> None:
    store = Store(tmp_path / "store")
    with toy.coordinator(tmp_path, size=21, seconds=0.2) as coordinator:
        wait_until(lambda: len(store.find_prefix("")) >= 2, 10)
        workers = toy.workers(tmp_path)
        assert [alive(pid) for pid in workers] == [True, True]
        if number == signal.SIGINT:
            os.killpg(coordinator.pid, number)  # as a terminal does: to the workers as well
        else:
            coordinator.kill()
        coordinator.wait(5)
        wait_until(lambda: not any(alive(pid) for pid in workers), 2)
    if number == signal.SIGINT:
        stderr = (tmp_path / "stderr").read_text()
        assert stderr.splitlines()[-1] == "KeyboardInterrupt"
        assert stderr.count("Traceback") == 1
        assert list(store.root.glob("tmp/*")) == []
    finished = store.find_prefix("")
    assert 0 < len(finished) < 21
    outcome = Lab(tmp_path).run(toy.graph(21, 0.0), workers=2)
    assert outcome.complete
    assert set(finished) <= set(outcome.cached)
