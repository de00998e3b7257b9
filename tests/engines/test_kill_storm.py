"""Workers and coordinators are killed and files damaged at random; no number may change."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from subprocess import Popen

from scratchcard.engines.local import run
from scratchcard.graph import Stage
from scratchcard.store import Store, alive
from tests.engines import toy

SIZE, SECONDS = 294, 0.015
BLOWS = ["worker"] * 10 + ["coordinator"] * 4 + ["damage"] * 8


def test_a_storm_of_kills_changes_no_number(tmp_path: Path) -> None:
    stages = toy.graph(SIZE, SECONDS)
    calm, store = Store(tmp_path / "calm"), Store(tmp_path / "store")
    failures = tmp_path / "failures"
    assert run(stages, calm, toy.execute, failures=failures, repeat=toy.repeat).complete

    struck, processes = storm(tmp_path, store, random.Random(2022))
    assert struck["worker"] >= 8
    assert struck["coordinator"] == 4
    assert struck["damage"] == 8

    with toy.coordinator(tmp_path, SIZE, SECONDS) as undisturbed:
        assert undisturbed.wait(60) == 0
    assert all(store.has(stage.digest) for stage in stages)
    assert store.find_prefix("") == calm.find_prefix("")
    assert hashes(store, stages) == hashes(calm, stages)
    assert [*store.root.glob("tmp/*"), *store.root.glob("work/*"), *failures.glob("*")] == []
    assert not any(alive(pid) for pid in processes)


def storm(root: Path, store: Store, dice: random.Random) -> tuple[Counter[str], set[int]]:
    """Start coordinators and strike until no blow is left; what was struck, and every worker."""
    blows = dice.sample(BLOWS, len(BLOWS))
    struck: Counter[str] = Counter()
    processes: set[int] = set()
    while blows:
        with toy.coordinator(root, SIZE, SECONDS) as coordinator:
            while blows and await_commits(store, dice.randint(2, 16), coordinator):
                time.sleep(dice.uniform(0, SECONDS))
                workers = [pid for pid in toy.workers(root) if alive(pid)]
                processes.update(workers)
                blow = blows.pop()
                if blow == "coordinator":
                    coordinator.kill()
                elif blow == "damage":
                    damage(store, dice.choice(store.find_prefix("")), dice)
                elif workers:
                    os.kill(dice.choice(workers), signal.SIGKILL)
                else:
                    continue  # all of them died a moment ago
                struck[blow] += 1
    return struck, processes


def await_commits(store: Store, number: int, coordinator: Popen[bytes]) -> bool:
    """Wait for so many new results; False if the coordinator has ended instead."""
    before = set(store.find_prefix(""))
    while coordinator.poll() is None:
        if len(set(store.find_prefix("")) - before) >= number:
            return True
        time.sleep(0.02)
    return False


def damage(store: Store, digest: str, dice: random.Random) -> None:
    """Cut one file of a committed stage short, or flip a bit in it."""
    path = dice.choice(sorted((store.root / digest[:2] / digest).iterdir()))
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    if dice.random() < 0.5:
        del data[at:]
    else:
        data[at] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def hashes(store: Store, stages: Iterable[Stage]) -> dict[str, dict[str, object]]:
    """Digest to the hash of each file of numbers; where and when they were made may differ."""
    found = {}
    for stage in stages:
        path = store.root / stage.digest[:2] / stage.digest / "manifest.json"
        found[stage.digest] = json.loads(path.read_text())["files"]
        del found[stage.digest]["provenance.json"]
    return found
