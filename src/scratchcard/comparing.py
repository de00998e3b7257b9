"""Studies beside each other: two compared, or several of the same dense twins made into one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchcard.contracts import UserError
from scratchcard.files import replace
from scratchcard.folder import Folder, name_of
from scratchcard.graph import Plan
from scratchcard.runs import Prepared, prepare
from scratchcard.snapshot import Snapshot, slug

if TYPE_CHECKING:
    from scratchcard.results import Results
    from scratchcard.study import Study
    from scratchcard.verdict import Verdict


@dataclass(frozen=True)
class Compared:
    """Two studies compared.

    Attributes:
        text: What changed, for a terminal.
        page: The same as Markdown.
        table: Every reading that both have, as CSV.
    """

    text: str
    page: Path
    table: Path


def compare(
    before: Path, after: Path, home: Path = Path("runs"), data_root: Path | None = None
) -> Compared:
    """Say what changed from one study to another, as they were last run.

    Args:
        before: A study's file, its name, or its folder (``old-runs/demo``).
        after: The other; the files are written to its folder.
        home: Folder of results, for files and names.
        data_root: Where relative paths of the studies are looked for first.

    Raises:
        UserError: A study has not been run, or they are not on the same data.
    """
    from scratchcard.changes import changes
    from scratchcard.long_table import write_csv
    from scratchcard.report import changed

    one, other = (_opened(study, home, data_root) for study in (before, after))
    if one.folder.path.resolve() == other.folder.path.resolve():
        raise UserError(f"{before} and {after} are the same study; name another to compare it with")
    _check_data(one, other)
    found = changes(one.judged, other.judged)
    names = _names(one, other)
    told = (found, _titled(one, other), names, _defined_differently(one, other))
    alike = one.folder.name == other.folder.name
    name = f"{one.folder.home.name}-{one.folder.name}" if alike else one.folder.name
    page, table = (
        other.folder.path / f"compared-with-{slug(name)}.{kind}" for kind in ("md", "csv")
    )
    replace(page, changed.page(*told))
    write_csv(changed.rows(found, other.judged[0]), table)
    return Compared(changed.text(*told), page, table)


def _titled(one: _Opened, other: _Opened) -> Results:
    """The results of the later study, which know the titles of both."""
    old, new = one.judged[0], other.judged[0]
    return dataclasses.replace(
        new, methods={**old.methods, **new.methods}, metrics={**old.metrics, **new.metrics}
    )


@dataclass(frozen=True)
class _Opened:
    """A study as it was last run."""

    folder: Folder
    plan: Plan
    judged: tuple[Results, Verdict]


def _opened(study: Path, home: Path, data_root: Path | None) -> _Opened:
    from scratchcard.collect import collect
    from scratchcard.study import Study
    from scratchcard.verdict import judge

    inside = study.is_dir()
    folder = Folder(study.parent, study.name) if inside else Folder(home, name_of(study))
    if not study.exists() and not folder.path.is_dir():
        raise UserError(
            f'"{study}" is no file, no folder, and no name of a study in {home}; name a study\'s '
            "file, or the folder it was run in"
        )
    snapshot, kept = Snapshot.load(folder.snapshot), folder.path / "study.toml"
    if snapshot is None or not kept.is_file():
        raise UserError(f"{study} has not been run: there is no plan in {folder.path}")
    text = kept.read_text(encoding="utf-8")
    if study.is_file() and study.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{study} has changed since it was run; run it again, or name what was run: "
            f"{folder.path}"
        )
    base = study.parent if study.is_file() else None
    loaded = Study.parse(text, base=base, data_root=data_root, file=str(study))
    _check_run(snapshot.plan, folder, study)
    results = collect(loaded, snapshot.plan, folder.store, folder.failures)
    return _Opened(folder, snapshot.plan, (results, judge(results)))


def _check_run(plan: Plan, folder: Folder, study: Path | str) -> None:
    if not any(s.kind == "measure" and folder.store.has(d) for d, s in plan.stages.items()):
        raise UserError(f"{study} has not been run: nothing is measured yet")


def _names(one: _Opened, other: _Opened) -> tuple[str, str]:
    """The names of both, or their folders where the names are the same."""
    if one.folder.name != other.folder.name:
        return one.folder.name, other.folder.name
    return str(one.folder.path), str(other.folder.path)


def _data(plan: Plan) -> dict[str, dict[str, Any]]:
    """What makes each data set what it is, by label: its fingerprint, kind and options."""
    found = {}
    for network in plan.networks:
        params = plan.stages[plan.stages[network.weights].inputs["data"]].params
        rest = {key: value for key, value in params.items() if key != "options"}
        found[network.data] = {**rest, **params.get("options", {})}
    return found


def _check_data(one: _Opened, other: _Opened) -> None:
    sets = _data(one.plan), _data(other.plan)
    names = _names(one, other)
    shared = [label for label in sets[0] if label in sets[1]]
    if not shared:
        raise UserError(
            f"{names[0]} and {names[1]} have no data set in common: "
            f"{', '.join(sets[0])} against {', '.join(sets[1])}"
        )
    for label in shared:
        a, b = sets[0][label], sets[1][label]
        differ = [
            f"{key} ({a.get(key, 'the default')} against {b.get(key, 'the default')})"
            for key in sorted({*a, *b})
            if a.get(key) != b.get(key)
        ]
        if differ:
            raise UserError(
                f"data.{label} is not the same in {names[0]} and {names[1]}: they differ in "
                f"{', '.join(differ)}, so their readings cannot be compared"
            )


def _definitions(plan: Plan) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The version and the options of each metric, by label."""
    measured = [network.measures for network in plan.networks]
    measured += [group.measures for group in plan.groups]
    return {
        label: (plan.stages[digest].version, plan.stages[digest].params)
        for measures in measured
        for label, digest in measures.items()
    }


def _defined_differently(one: _Opened, other: _Opened) -> list[str]:
    a, b = _definitions(one.plan), _definitions(other.plan)
    return [label for label in a if label in b and a[label] != b[label]]


def merge(studies: Sequence[Study], name: str, home: Path, device: str = "auto") -> Prepared:
    """The study of all methods and metrics of ``studies``, whose stages are theirs.

    Args:
        studies: Two or more, of the same dense twins.
        name: Of the new study, and of its folder.
        home: Folder of results.
        device: Kind of device they ran on.

    Raises:
        UserError: They are not alike, one has not been run, or the name is taken.
    """
    from scratchcard.study.merge import HEADER
    from scratchcard.study.merge import merge as merged
    from scratchcard.study.sections import checked_name

    try:
        checked_name(name)
    except ValueError as error:
        raise UserError(f"--merge {error}") from None
    kept = Folder(home, name).path / "study.toml"
    if kept.exists() and not kept.read_text(encoding="utf-8").startswith(HEADER):
        raise UserError(f'"{name}" is the name of another study in {home}; choose another name')
    one = merged(studies, name, str(kept))
    parts = [prepare(study, home, device) for study in studies]
    for part in parts:
        _check_run(part.plan, part.folder, part.study.source)
    whole = prepare(one, home, parts[0].device)
    twins = [_twins(part.plan) for part in parts]
    for part, own in zip(parts, twins, strict=True):
        if own != twins[0]:
            raise UserError(
                f'"{parts[0].study.name}" and "{part.study.name}" cannot be merged: their dense '
                "twins are not the same, for their data or devices differ"
            )
    return whole


def _twins(plan: Plan) -> set[str]:
    """Digests of the dense networks' weights."""
    return {network.weights for network in plan.networks if network.method == "dense"}
