"""A study's folder and what is done there: plan, run, look, report.

``runs/store`` holds results by digest, shared by all studies; ``runs/NAME`` what one study shows.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scratchcard.contracts import UserError
from scratchcard.files import replace
from scratchcard.folder import Folder, name_of
from scratchcard.graph import Plan, Stage
from scratchcard.snapshot import Snapshot, folders_of, key_of
from scratchcard.store import Store

if TYPE_CHECKING:
    from scratchcard.engines import Event
    from scratchcard.study import Study


@dataclass(frozen=True)
class Summary:
    """How a study stands.

    Attributes:
        sentence: The verdict.
        report: The page.
        table: Every number, as CSV.
        missing: Stages without a result: they failed, wait for one that did, or were not run.
        cached: Whether nothing had to be done.
    """

    sentence: str
    report: Path
    table: Path
    missing: int
    cached: bool = False


def finished(
    file: Path, data_root: Path | None = None, home: Path = Path("runs"), device: str = "auto"
) -> Summary | None:
    """The summary of a study that was run to the end and is still whole; None if work is left.

    Nothing heavy is loaded: no torch, no scipy, no scikit-learn.
    """
    if not file.is_file():
        return None
    folder = Folder(home, name_of(file))
    key = key_of(file.read_text(), folders_of(data_root, file.parent), device)
    return _kept(folder, key)


def _kept(folder: Folder, key: str) -> Summary | None:
    snapshot = Snapshot.load(folder.snapshot, key)
    if snapshot is None or not folder.summary.exists() or not folder.report.exists():
        return None
    values = json.loads(folder.summary.read_text())
    store = folder.store
    if values["key"] != key or not all(store.has(digest) for digest in snapshot.plan.stages):
        return None
    return Summary(values["sentence"], folder.report, folder.table, missing=0, cached=True)


def prepare(study: Study, home: Path | str, device: str = "auto") -> tuple[Folder, Plan, str]:
    """Plan ``study`` and keep the plan in its folder; gives the folder, the plan and its key."""
    from scratchcard import plan
    from scratchcard.data.files import fingerprint
    from scratchcard.registry import DATASETS

    folder = Folder(Path(home), study.name)
    key = key_of(study.text, study.folders, device)
    kept = Snapshot.load(folder.snapshot, key)
    if kept is not None:
        return folder, kept.plan, key
    files = {
        f"{table}.{label}": DATASETS.get(choice.kind).target(**choice.params).files()
        for table, choices in (("data", study.data), ("ood", study.ood))
        for label, choice in choices.items()
    }
    kind = _device(device)
    planned = plan.build(study, {name: fingerprint(f) for name, f in files.items()}, kind)
    folder.path.mkdir(parents=True, exist_ok=True)
    everything = [file for group in files.values() for file in group.values()]
    Snapshot(planned, kind).save(folder.snapshot, key, everything)
    replace(folder.path / "study.toml", study.text)
    return folder, planned, key


def run(
    study: Study,
    *,
    home: Path | str = "runs",
    engine: str = "local",
    workers: int | None = None,
    device: str = "auto",
    only: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Summary:
    """Run what is missing of ``study``, then judge and report it.

    Args:
        study: From ``Study.load`` or ``Study.parse``.
        home: Folder of the store and of the studies' folders.
        engine: ``"local"``: worker processes on this machine.
        workers: How many; default one a core, or one on a GPU.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        only: Run just the stage with this digest (or its beginning) again, and what it needs.
        on_event: Called with every ``Event`` of the engine.

    Raises:
        UserError: Wrong input, or the study is being run already.
    """
    if engine != "local":
        raise UserError(f'unknown engine "{engine}" (known: local)')
    from scratchcard.engines import local
    from scratchcard.stages import execute

    folder, plan, key = prepare(study, home, device)
    if only is None and (kept := _kept(folder, key)) is not None:
        return kept
    with folder.lock():
        store = folder.store
        local.run(
            _selected(plan, store, only),
            store,
            execute,
            workers=workers or default_workers(device),
            failures=folder.failures,
            repeat=lambda stage: f"{command(study, folder, device)} --only {stage.digest[:12]}",
            on_event=Watch(folder, plan, on_event),
        )
        return report(study, folder, plan, key)


def report(
    study: Study, folder: Folder, plan: Plan, key: str, figures: Path | None = None
) -> Summary:
    """Judge what has been measured so far; write tables, page and, if wanted, figures."""
    from scratchcard.collect import collect
    from scratchcard.report import figures as papers
    from scratchcard.report import page, words
    from scratchcard.results import cost_table, long_table, write_csv
    from scratchcard.verdict import judge

    results = collect(study, plan, folder.store, folder.failures)
    verdict = judge(results)
    sentence = words.headline(results, verdict)
    write_csv(long_table(results), folder.table)
    write_csv(cost_table(results), folder.path / "costs.csv")
    evidence = {"command": command(study, folder)} | _versions(plan, folder.store)
    replace(folder.report, page.render(results, verdict, evidence=evidence))
    if figures is not None:
        papers.write(results, verdict, figures)
    replace(folder.summary, json.dumps({"key": key, "sentence": sentence}))
    missing = sum(not folder.store.has(digest) for digest in plan.stages)
    return Summary(sentence, folder.report, folder.table, missing)


def command(study: Study, folder: Folder, device: str = "auto") -> str:
    """The command that runs a study, from the working folder."""
    words = ["scratchcard", "run", study.source]
    if len(study.folders) > 1:
        words += ["--data-root", os.path.relpath(study.folders[0])]
    if folder.home != Path("runs"):
        words += ["--runs", str(folder.home)]
    if device != "auto":
        words += ["--device", device]
    return shlex.join(words)


def _versions(plan: Plan, store: Store) -> dict[str, str]:
    """What the stages were computed with; several values where they differ."""
    found: dict[str, set[str]] = {}
    for digest in filter(store.has, plan.stages):
        provenance = store.provenance(digest)
        for name in ("scratchcard", "commit", "torch", "python", "cpu"):
            if provenance.get(name):
                found.setdefault(name, set()).add(str(provenance[name]))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


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


def _selected(plan: Plan, store: Store, only: str | None) -> list[Stage]:
    """All stages, or one of them, made new, with what it needs."""
    if only is None:
        return list(plan.stages.values())
    matches = [digest for digest in plan.stages if digest.startswith(only)]
    if len(matches) != 1:
        raise UserError(
            f'"{only}" is the beginning of {len(matches)} digests of this study; '
            "`scratchcard status` lists failed ones, the report's table all of them"
        )
    if store.has(matches[0]):
        store.discard(matches[0])
    wanted = plan.ancestors(matches[0])
    return [stage for digest, stage in plan.stages.items() if digest in wanted]


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError('device "cuda" was asked for, but torch sees no GPU here; use "cpu"')
    if name not in ("cpu", "cuda"):
        raise UserError(f'unknown device "{name}" (known: auto, cpu, cuda)')
    return name


def default_workers(device: str) -> int:
    """One a core; one on a GPU."""
    return 1 if _device(device) == "cuda" else len(os.sched_getaffinity(0))
