"""The command line: parse, call, print.

Heavy things are imported inside the verbs: ``--help`` and a finished study answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, validators

from scratchcard.contracts import UserError

if TYPE_CHECKING:
    from scratchcard.graph import Plan
    from scratchcard.runs import Summary
    from scratchcard.study import Study

FINE, WRONG_INPUT, STAGES_FAILED, INTERRUPTED = 0, 2, 3, 130

app = App(
    name="scratchcard",
    help="A report card for lottery tickets: what a sparse network wins and loses against its "
    "dense twin, with error bars.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # main says how to go on
    help_format="plaintext",  # rich's Markdown takes a quarter of the time that help may take
)

DataRoot = Annotated[
    Path | None,
    Parameter(
        help="Folder where relative paths of the study are looked for first.",
        validator=validators.Path(exists=True, file_okay=False),
    ),
]
Home = Annotated[Path, Parameter(name="--runs", help="Folder of results, plans and reports.")]
Workers = Annotated[
    int | None,
    Parameter(help="Worker processes; default one a core.", validator=validators.Number(gte=1)),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="Kind of device.")]
RUNS = Path("runs")
DEMO = Path(__file__).parent / "demo.toml"


@app.command
def demo(*, runs: Home = RUNS, workers: Workers = None) -> int:
    """Run a real study on scikit-learn's handwritten digits; takes a minute or two."""
    return _run(DEMO, None, runs, workers, "cpu", None)


@app.command
def init(file: Path = Path("study.toml")) -> int:
    """Write a commented study file to start from.

    Args:
        file: Where to.
    """
    from scratchcard.snapshot import slug

    if file.exists():
        raise UserError(f"{file} exists already; name another file: scratchcard init OTHER.toml")
    text = DEMO.read_text().replace('name = "demo"', f'name = "{slug(file.stem)}"')
    file.write_text(text)
    print(f"Wrote {file}. Next: scratchcard plan {file}")
    return FINE


@app.command
def plan(
    study: Path,
    *,
    data_root: DataRoot = None,
    runs: Home = RUNS,
    workers: Workers = None,
    device: Device = "auto",
) -> int:
    """Say how many stages a study has, how many are done, and how long the rest will take.

    Args:
        study: The study file.
    """
    from scratchcard.engines.order import makespan
    from scratchcard.estimate import Estimate, rehearse
    from scratchcard.live import duration
    from scratchcard.runs import default_workers, prepare

    loaded = _load(study, data_root)
    prepared = prepare(loaded, runs, device)
    planned, done = prepared.plan, prepared.done()
    print(_counts(planned, done))
    if len(done) < len(planned.stages):
        estimate = Estimate.of(planned, prepared.folder.store, done)
        source = "from what is done"
        if not estimate.informed:
            estimate, source = rehearse(loaded), "from a few training steps; good to a factor of 2"
        count = workers or default_workers(prepared.device)
        seconds = makespan(planned.stages.values(), estimate.seconds, count, done=done)
        print(f"The rest will take about {duration(seconds)} with {count} workers ({source}).")
    return FINE


@app.command
def run(
    study: Path,
    *,
    data_root: DataRoot = None,
    runs: Home = RUNS,
    workers: Workers = None,
    device: Device = "auto",
    only: str | None = None,
) -> int:
    """Run what is missing of a study, judge it and write the report.

    Stop it at any moment; the next run goes on where it was.

    Args:
        study: The study file.
        only: Run just this stage again (the beginning of its digest), and what it needs.
    """
    return _run(study, data_root, runs, workers, device, only)


@app.command
def status(study: Path, *, runs: Home = RUNS) -> int:
    """Show where a study stands, also while another process runs it.

    Args:
        study: The study file, or the study's name.
    """
    import json

    from scratchcard.folder import Folder, name_of
    from scratchcard.snapshot import Snapshot

    folder = Folder(runs, name_of(study))
    snapshot = Snapshot.load(folder.snapshot)
    if snapshot is None:
        raise UserError(
            f'no study "{folder.name}" in {runs}; start one with: scratchcard run {study}'
        )
    done = {digest for digest in snapshot.plan.stages if folder.store.has(digest)}
    print(_counts(snapshot.plan, done))
    if folder.locked():
        print("A run is going on.")
        if folder.progress.exists():
            for row in json.loads(folder.progress.read_text())["running"]:
                print(f"  {row['label']}  {row['fraction']:.0%}")
    for record in sorted(folder.failures.glob("*.json")):
        if record.stem not in snapshot.plan.stages or record.stem in done:
            continue  # of another plan, or mended since
        failure = json.loads(record.read_text())
        print(f"failed: {failure['label']}: {failure['error']}: {failure['message']}")
        print(f"  repeat it: {failure['repeat']}")
    if folder.report.exists():
        print(f"Report: {folder.report}")
    return FINE


@app.command
def report(
    study: Path,
    *others: Path,
    data_root: DataRoot = None,
    runs: Home = RUNS,
    device: Device = "auto",
    figures: Annotated[Path | None, Parameter(validator=validators.Path(file_okay=False))] = None,
    merge: str | None = None,
) -> int:
    """Rebuild the report from what is measured so far; run nothing.

    Two studies are compared: readings that changed beyond the error, and verdicts.

    With --merge, studies of the same dense twins are reported as one.

    Args:
        study: The study file; to compare, the study before, or its folder (old-runs/demo).
        others: The study after, or its folder; with --merge, the other study files.
        figures: Folder for figures, the numbers behind them, tables and a model card.
        merge: Name of a new study that has the methods and metrics of all of them.
    """
    from scratchcard import comparing
    from scratchcard import runs as reports

    if merge is None and others:
        if len(others) > 1 or figures is not None:
            raise UserError(
                "several studies are compared two at a time and without --figures; to report them "
                "as one, add --merge NAME"
            )
        compared = comparing.compare(study, others[0], runs, data_root)
        print(f"{compared.text}\n\nReport: {compared.page}\nNumbers: {compared.table}")
        return FINE
    if merge is not None and not others:
        raise UserError("--merge needs two studies or more: scratchcard report A B --merge NAME")
    loaded = [_load(one, data_root) for one in (study, *others)]
    if merge is None:
        prepared = reports.prepare(loaded[0], runs, device)
    else:
        prepared = comparing.merge(loaded, merge, runs, device)
    with prepared.folder.lock():
        prepared.keep()
        _show(reports.report(prepared, figures))
    if figures is not None:
        print(f"Figures, tables, model card: {figures}")
    return FINE


@app.command
def explain(name: str | None = None) -> int:
    """Tell what a method, metric, model or kind of data set is: formula, source, use and limits.

    Args:
        name: Such as lth or ece; leave it out for a list of all.
    """
    from scratchcard.explain import catalogue, page

    print(catalogue() if name is None else page(name))
    return FINE


def main() -> None:
    """Entry point; exit codes: 0 fine, 2 wrong input, 3 some stages failed."""
    try:
        code = app(result_action="return_value", exit_on_error=False, print_error=True)
    except CycloptsError:  # it has been printed, with a suggestion
        code = WRONG_INPUT
    except BrokenPipeError:  # the reader has seen enough: `scratchcard explain | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FINE
    except (UserError, OSError) as error:
        print(f"scratchcard: {error}", file=sys.stderr)
        code = WRONG_INPUT
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _load(study: Path, data_root: Path | None) -> Study:
    from scratchcard.study import Study

    return Study.load(study, data_root=data_root)


def _run(
    file: Path,
    data_root: Path | None,
    home: Path,
    workers: int | None,
    device: str,
    only: str | None,
) -> int:
    from scratchcard import runs as studies

    if only is None and (summary := studies.finished(file, data_root, home, device)) is not None:
        _show(summary)
        return FINE

    from rich.console import Console

    from scratchcard.estimate import Estimate
    from scratchcard.live import Display

    prepared = studies.prepare(_load(file, data_root), home, device)
    planned, done = prepared.plan, prepared.done()
    count = workers or studies.default_workers(prepared.device)
    print(f"{_counts(planned, done)} Running with {count} workers.", flush=True)
    estimate = Estimate.of(planned, prepared.folder.store, done)
    with Display(planned, estimate, count, Console()) as display:
        summary = studies.run(prepared, workers=count, only=only, on_event=display)
    _show(summary)
    if summary.missing:
        print(
            f"{summary.missing} stages are missing; see: scratchcard status {file}", file=sys.stderr
        )
        return STAGES_FAILED
    return FINE


def _show(summary: Summary) -> None:
    print(f"\n{summary.sentence}\n\nReport: {summary.report}")


def _counts(planned: Plan, done: set[str]) -> str:
    from collections import Counter

    kinds = Counter(stage.kind for stage in planned.stages.values())
    of = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    networks = len(planned.networks)
    return f"{len(planned.stages)} stages ({of}) for {networks} networks; {len(done)} are done."


if __name__ == "__main__":
    main()
