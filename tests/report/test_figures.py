"""Figures for papers: every file, real text, the paper's width, and the same bytes twice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.markers import CARETDOWN, CARETUP

from scratchcard.report import figures, plots, publish, theme
from scratchcard.results import Results
from scratchcard.verdict import Verdict, judge
from tests import factory


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = factory.make_results(
        methods=("lth", "random", "omp", "snip", "synflow"),
        targets=(0.36, 0.7903, 0.945),
        seeds=2,
        metrics=("accuracy", "nll"),
        examples=100,
    )
    return results, judge(results)


@pytest.fixture(scope="module")
def written(study: tuple[Results, Verdict], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return publish.write(*study, tmp_path_factory.mktemp("figures") / "new")


def test_one_figure_per_metric_overviews_and_the_numbers_of_each(written: list[Path]) -> None:
    names = {"accuracy", "nll", "overview", "pareto"}
    names |= {"overview-generalisation", "overview-calibration"}  # a radar needs three metrics
    drawn = [p for p in written if p.suffix in (".pdf", ".svg")]
    assert {p.name for p in drawn} == {f"{n}.{kind}" for n in names for kind in ("pdf", "svg")}
    assert all(p.stat().st_size > 5_000 for p in drawn)
    behind = {p.name for p in written if p.parent.name == "numbers"}
    assert behind == {f"{n}.{kind}" for n in names for kind in ("csv", "parquet")}
    assert {p.name for p in written if p not in drawn and p.name not in behind} == {
        "tables.tex",
        "tables.md",
        "model-card.md",
    }


def test_svg_keeps_text_and_pdf_embeds_truetype(written: list[Path]) -> None:
    svg = next(p for p in written if p.name == "accuracy.svg").read_text(encoding="utf-8")
    assert re.search(r"<text[^>]*>Accuracy\s↑\s\(%\)</text>", svg)
    assert 'width="468pt"' in svg  # 6.5 inches
    pdf = next(p for p in written if p.name == "accuracy.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_same_results_same_bytes(
    study: tuple[Results, Verdict], written: list[Path], tmp_path: Path
) -> None:
    for first, second in zip(written, publish.write(*study, tmp_path), strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_lines_are_solid_in_region_one_and_dashed_beyond(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    panels = [p for p in plots.panels(results, verdict) if p.metric == "accuracy"]
    with rc_context(theme.rc()):
        figure = figures.one(results, panels)
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert [text.get_text() for text in left.get_xticklabels()] == ["94.5", "79", "36", "0"]
    orange = theme.ORANGE.light.lower()
    lines = [
        line
        for line in left.lines
        if to_hex(str(line.get_color())) == orange and line.get_linestyle() != "None"
    ]
    regions = [t.region for t in verdict.tickets if t.method == "random"]
    assert regions[0] == "I"
    assert regions[-1] != "I"
    assert {line.get_linestyle() for line in lines} <= {"-", "--"}
    last = max(lines, key=lambda line: float(np.max(line.get_xdata())))
    assert last.get_linestyle() == "--"


def test_long_titles_are_folded_and_methods_of_one_rung_stand_apart() -> None:
    results = factory.make_results(targets=(0.5904,), metrics=("accuracy",), examples=50)
    spec = replace(results.metrics["accuracy"], title="Accuracy under an ensemble of attacks")
    results = replace(results, metrics={"accuracy": spec})
    panels = plots.panels(results, judge(results))
    with rc_context(theme.rc()):
        axes = figures.one(results, panels).axes[0]
    lines = axes.get_ylabel().split("\n")
    assert [" ".join(line.split()) for line in lines] == [
        "Accuracy under an ensemble",
        "of attacks ↑ (%)",
    ]
    means = [line for line in axes.lines if line.get_markersize() == 3.4]
    x = sorted(float(np.asarray(line.get_xdata())[0]) for line in means)
    assert len(x) == 3
    assert min(np.diff(x)) > 0.05


@pytest.mark.parametrize(("gain", "caret"), [(-60.0, CARETDOWN), (60.0, CARETUP)])
def test_what_lies_far_from_dense_is_marked_at_the_end_of_the_axis(gain: float, caret: int) -> None:
    def effects(method: str, target: float, label: str) -> float:
        return gain if method == "random" else 0.0

    results = factory.make_results(
        targets=(0.36, 0.5904), metrics=("fidelity",), effects=effects, examples=50
    )
    panels = plots.panels(results, judge(results))
    assert panels[0].band is not None
    dense = panels[0].band.mean
    with rc_context(theme.rc()):
        axes = figures.one(results, panels).axes[0]
    bottom, top = axes.get_ylim()
    assert bottom < dense < top
    assert top / bottom < 1e9
    ends = [(line.get_marker(), len(np.asarray(line.get_xdata()))) for line in axes.lines]
    carets = [(m, n) for m, n in ends if m in (CARETDOWN, CARETUP) and n]
    assert carets == [(caret, 2)]


def test_settings_become_rows_and_odd_names_are_safe(tmp_path: Path) -> None:
    results = factory.make_results(
        data=("digits", "$shapes"), targets=(0.36,), seeds=1, metrics=("accuracy",), examples=50
    )
    verdict = judge(results)
    paths = publish.write(results, verdict, tmp_path)
    svg = next(p for p in paths if p.name == "accuracy.svg").read_text(encoding="utf-8")
    assert "$shapes · mlp" in svg
    assert "digits · mlp" in svg
