"""What a paper takes from a study, in one folder: figures, their numbers, tables, a model card.

PDF and SVG with fonts embedded, the same bytes for the same results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from scratchcard.files import replace
from scratchcard.long_table import Row, write_csv, write_parquet
from scratchcard.report import drawn, figures, model_card, paper_tables, pareto, plots, radar, theme
from scratchcard.report.curves import Panel
from scratchcard.results import Results
from scratchcard.verdict import Verdict, voters

FEW = 9
"""Panels that an overview has where no metric votes."""


def write(
    results: Results,
    verdict: Verdict,
    folder: Path,
    evidence: Mapping[str, object] | None = None,
) -> list[Path]:
    """Write all of it; returns the paths.

    ``NAME.pdf`` and ``NAME.svg`` are figures and ``numbers/NAME.csv`` what they draw, with
    ``numbers/NAME.parquet`` where pyarrow is installed.

    Args:
        results: What was measured.
        verdict: What ``judge`` says of it.
        folder: Where to; it need not be there.
        evidence: Versions and the command, by name, as on the page.
    """
    behind = folder / "numbers"
    behind.mkdir(parents=True, exist_ok=True)
    paths = []
    with rc_context(theme.rc()):
        for title, figure, rows in _figures(results, verdict):
            name = re.sub(r"[^\w.-]+", "-", title)
            paths += _save(figure, folder, name)
            paths += _numbers(rows, behind, name)
    found = paper_tables.tables(results, verdict)
    texts = {"model-card.md": model_card.card(results, verdict, evidence or {})}
    if found:
        texts["tables.tex"] = paper_tables.as_latex(found)
        texts["tables.md"] = paper_tables.as_markdown(found)
    for name, text in texts.items():
        replace(folder / name, text)
    return paths + [folder / name for name in texts]


def _figures(results: Results, verdict: Verdict) -> Iterator[tuple[str, Figure, list[Row]]]:
    """Each figure with its name and its numbers."""
    panels = plots.panels(results, verdict)
    for metric in dict.fromkeys(panel.metric for panel in panels):
        mine = [panel for panel in panels if panel.metric == metric]
        yield metric, figures.one(results, mine), drawn.panel_rows(results, mine)
    for name, mine in _overviews(results, panels).items():
        yield name, figures.overview(results, mine), drawn.panel_rows(results, mine)
    if (figure := radar.figure(results, verdict)) is not None:
        yield "radar", figure, drawn.radar_rows(results, verdict)
    if (figure := pareto.figure(results, verdict)) is not None:
        yield "pareto", figure, drawn.pareto_rows(results, verdict)


def _overviews(results: Results, panels: Sequence[Panel]) -> dict[str, list[Panel]]:
    """The headline metrics of a setting on a page, and all metrics of a dimension on another."""
    votes, found = voters(results), dict[str, list[Panel]]()
    for setting in results.settings:
        own = [panel for panel in panels if (panel.data, panel.model) == setting]
        where = "-".join(["", *setting]) if len(results.settings) > 1 else ""
        found[f"overview{where}"] = [p for p in own if p.metric in votes] or own[:FEW]
        for panel in own:
            found.setdefault(f"overview-{panel.spec.dimension}{where}", []).append(panel)
    return {name: some for name, some in found.items() if some}


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    dates: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is found; each file would find it again
    paths = []
    for kind, metadata in dates.items():
        path = folder / f"{name}.{kind}"
        figure.savefig(path, metadata=metadata)
        paths.append(path)
    return paths


def _numbers(rows: Sequence[Row], folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}.csv"]
    write_csv(rows, paths[0])
    if find_spec("pyarrow") is not None:
        paths.append(folder / f"{name}.parquet")
        write_parquet(rows, paths[1])
    return paths
