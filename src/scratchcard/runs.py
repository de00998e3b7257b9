"""A study's folder and what is done there: plan, run, look, report.

``runs/store`` holds results by digest, shared by all studies; ``runs/NAME`` what one study shows.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scratchcard.contracts import UserError
from scratchcard.files import replace
from scratchcard.folder import Folder, name_of
from scratchcard.graph import Plan, Stage
from scratchcard.snapshot import Snapshot, folders_of, key_of, read_json, with_folders
from scratchcard.store import Damaged, Store
from scratchcard.watch import Watch

if TYPE_CHECKING:
    from scratchcard.engines import Event
    from scratchcard.study import Study

DAMAGES = 5
"""How many damaged results a run replaces before it suspects the disk."""


@dataclass(frozen=True)
class Summary:
    """How a study stands.

    Attributes:
        sentence: The verdict.
        report: The page.
        table: Every number, as CSV.
        missing: Stages without a result: they failed, wait for one that did, or were not run. Of a
            run of ``only`` one stage, those that this run was about.
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
    text = file.read_text(errors="replace")
    return _kept(folder, key_of(text, folders_of(data_root, file.parent), device))


def _kept(folder: Folder, key: str) -> Summary | None:
    snapshot = Snapshot.load(folder.snapshot, key)
    values = read_json(folder.summary)
    if snapshot is None or values.get("key") != key or not values["complete"]:
        return None
    store = folder.store
    if not folder.report.exists() or not all(store.has(digest) for digest in snapshot.plan.stages):
        return None
    return Summary(values["sentence"], folder.report, folder.table, missing=0, cached=True)


@dataclass(frozen=True)
class Prepared:
    """A study and its plan.

    Attributes:
        study: What to do.
        folder: Where its report goes.
        plan: Its graph.
        device: The kind of device the plan is for.
        key: What the plan rests on, but for files.
        files: Files (and folders of files) that the plan rests on.
    """

    study: Study
    folder: Folder
    plan: Plan
    device: str
    key: str
    files: tuple[Path, ...]

    def done(self) -> set[str]:
        """Digests that have a result."""
        return {digest for digest in self.plan.stages if self.folder.store.has(digest)}

    def keep(self) -> None:
        """Make this the plan of the study's folder, which must be locked."""
        Snapshot(self.plan, self.device).save(self.folder.snapshot, self.key, self.files)
        replace(self.folder.path / "study.toml", self.study.text)
        for record in self.folder.failures.glob("*.json"):
            if record.stem not in self.plan.stages:
                record.unlink()


def prepare(study: Study, home: Path | str, device: str = "auto") -> Prepared:
    """Plan ``study``; nothing is written.

    Raises:
        UserError: An unknown device, a published corrupted set lacks a kind, or the folder belongs
            to another study of the same name.
    """
    from scratchcard import plan
    from scratchcard.data.corruptions.official import check_kinds
    from scratchcard.data.corruptions.official import files as official_files
    from scratchcard.data.files import fingerprint
    from scratchcard.registry import CONCEPTS, DATASETS

    folder = Folder(Path(home), study.name)
    key = key_of(study.text, study.folders, device)
    before = Snapshot.load(folder.snapshot)
    # A study stays on the kind of device it began on.
    kind = before.device if device == "auto" and before is not None else _device(device)
    sources = {
        f"{table}.{label}": known.get(choice.kind).target(**choice.params).files()
        for table, choices, known in (
            ("data", study.data, DATASETS),
            ("ood", study.ood, DATASETS),
            ("transfer", study.transfer, DATASETS),
            ("concepts", study.concepts, CONCEPTS),
        )
        for label, choice in choices.items()
    }
    for path in study.corruptions.official.values():
        check_kinds(path, extra=study.corruptions.extra)
    sources |= {
        f"corruptions.{label}": official_files(path)
        for label, path in study.corruptions.official.items()
    }
    prints = {name: fingerprint(files) for name, files in sources.items()}
    watched = [path for files in sources.values() for path in with_folders(files)]
    watched += plan.plugin_files(study)
    planned = plan.build(study, prints, kind)
    return Prepared(study, folder, planned, kind, key, tuple(dict.fromkeys(watched)))


def run(
    study: Study | Prepared,
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
        study: From ``Study.load`` or ``Study.parse``; or prepared, and then ``home`` and ``device``
            are known.
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
    if workers is not None and workers < 1:
        raise UserError(f"workers = {workers} must be 1 or more")
    prepared = study if isinstance(study, Prepared) else prepare(study, home, device)
    folder, plan = prepared.folder, prepared.plan
    if only is None and (kept := _kept(folder, prepared.key)) is not None:
        return kept
    with folder.lock():
        prepared.keep()
        stages = _selected(plan, folder.store, only)
        workers = workers or default_workers(prepared.device)
        for _ in range(DAMAGES):
            missing = _compute(prepared, stages, workers, on_event)
            try:
                return dataclasses.replace(report(prepared), missing=missing)
            except Damaged as damage:
                folder.store.discard(damage.digest)
        raise UserError(f"results in {folder.store.root} are damaged again and again; is the disk?")


def _compute(
    prepared: Prepared, stages: list[Stage], workers: int, on_event: Callable[[Event], None]
) -> int:
    """Bring ``stages`` into the store; how many could not be."""
    from scratchcard.engines import local
    from scratchcard.stages import execute

    again = command(prepared)
    outcome = local.run(
        stages,
        prepared.folder.store,
        execute,
        workers=workers,
        failures=prepared.folder.failures,
        repeat=lambda stage: f"{again} --only {stage.digest[:12]}",
        on_event=Watch(prepared.folder, prepared.plan, on_event),
    )
    return len(outcome.failed) + len(outcome.blocked)


def report(prepared: Prepared, figures: Path | None = None) -> Summary:
    """Judge what has been measured so far; write tables, page and, if wanted, what papers take."""
    from scratchcard.collect import collect
    from scratchcard.long_table import cost_table, long_table, write_csv
    from scratchcard.report import page, publish, words
    from scratchcard.verdict import judge

    folder, plan = prepared.folder, prepared.plan
    missing = len(plan.stages) - len(prepared.done())
    results = collect(prepared.study, plan, folder.store, folder.failures)
    verdict = judge(results)
    sentence = words.headline(results, verdict)
    write_csv(long_table(results), folder.table)
    write_csv(cost_table(results), folder.path / "costs.csv")
    evidence = {"command": command(prepared)} | _versions(plan, folder.store)
    seconds = {
        digest: folder.store.provenance(digest)["seconds"]
        for digest, stage in plan.stages.items()
        if stage.kind == "measure" and folder.store.has(digest)
    }
    text = page.render(results, verdict, evidence=evidence, seconds=seconds)
    replace(folder.report, text)
    if figures is not None:
        publish.write(results, verdict, figures, evidence)
    values = {"key": prepared.key, "sentence": sentence, "complete": missing == 0}
    replace(folder.summary, json.dumps(values))
    return Summary(sentence, folder.report, folder.table, missing)


def command(prepared: Prepared) -> str:
    """The command that runs a study, from the working folder."""
    study, home = prepared.study, prepared.folder.home
    words = ["scratchcard", "run", study.source]
    if len(study.folders) > 1:
        words += ["--data-root", os.path.relpath(study.folders[0])]
    if home != Path("runs"):
        words += ["--runs", str(home)]
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
