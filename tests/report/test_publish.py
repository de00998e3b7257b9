"""What a paper takes besides figures: the numbers behind them, tables, and a model card."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex

from scratchcard.report import (
    drawn,
    escape,
    figures,
    model_card,
    overview,
    paper_tables,
    plots,
    publish,
    radar,
    theme,
)
from scratchcard.report.curves import ladder
from scratchcard.report.summary import chosen_rung
from scratchcard.results import Cell, Results
from scratchcard.verdict import Verdict, judge, voters
from tests import factory

METRICS = ("accuracy", "mce", "nll", "brier")
ODD = "a_b & 50% {of} #1 ~ ^ $x$ \\ | *it* <b> [l](u) \"q\": 'y'"


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = factory.make_results(
        methods=("lth", "random", "omp"),
        targets=(0.36, 0.7903),
        seeds=3,
        metrics=METRICS,
        examples=200,
        controls=("random",),
    )
    return results, judge(results)


@pytest.fixture(scope="module")
def folder(study: tuple[Results, Verdict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("published")
    publish.write(*study, place, {"command": "scratchcard run my.toml", "torch": "2.13"})
    return place


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"numbers/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_is_what_the_figure_draws(study: tuple[Results, Verdict], folder: Path) -> None:
    results, verdict = study
    panels = [p for p in plots.panels(results, verdict) if p.metric == "nll"]
    with rc_context(theme.rc()):
        axes = figures.one(results, panels).axes[0]
    rows = table(folder, "nll")
    colours = {m: k.hue.light.lower() for m, k in theme.looks(results.methods, {"random"}).items()}
    for method, colour in colours.items():
        own = [line for line in axes.lines if to_hex(str(line.get_color())) == colour]
        means = next(line for line in own if line.get_markersize() == 3.4)
        seeds = next(line for line in own if line.get_marker() == ".")
        for mark, line in (("mean", means), ("seed", seeds)):
            values = [float(r["value"]) for r in rows if (r["method"], r["mark"]) == (method, mark)]
            assert values == list(np.asarray(line.get_ydata()))
    band = next(r for r in rows if r["mark"] == "band")
    assert (float(band["lo"]), float(band["hi"])) == verdict_band(verdict)
    dense = [float(r["value"]) for r in rows if r["mark"] == "dense"]
    twins = [m for m in results.networks if m.network.method == "dense"]
    assert dense == [m.readings["nll"].value for m in twins]


def verdict_band(verdict: Verdict) -> tuple[float | None, float | None]:
    band = verdict.bands["digits", "mlp", "nll"]
    return band.lo, band.hi


def test_parquet_holds_the_same_and_an_overview_all_of_it(folder: Path) -> None:
    for name in ("accuracy", "overview", "radar", "pareto"):
        rows = table(folder, name)
        columns = pyarrow.parquet.read_table(folder / f"numbers/{name}.parquet").to_pydict()
        assert list(columns) == list(rows[0])
        for i, row in enumerate(rows):
            for key, text in row.items():
                value = columns[key][i]
                shown = "" if value is None else str(value)
                assert text == (shown.lower() if isinstance(value, bool) else shown)
    assert {row["metric"] for row in table(folder, "overview")} == set(METRICS)
    assert {row["unit"] for row in table(folder, "accuracy")} == {"%"}


def test_the_radar_runs_from_the_worst_to_the_best(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    (one,) = overview.radars(results, chosen_rung(results, verdict, ladder(results)))
    assert one.metrics == METRICS
    for label in METRICS:
        spokes = [s for s in one.spokes if s.metric == label]
        assert {s.method for s in spokes} == {"dense", "lth", "random", "omp"}
        sign = 1 if results.metrics[label].better == "higher" else -1
        gains = [sign * s.mean for s in spokes]
        low, high = min(gains), max(gains)
        assert [s.place for s in spokes] == pytest.approx([(g - low) / (high - low) for g in gains])
    figure = radar.figure(results, verdict)
    assert figure is not None
    assert (overview.CENTRE, overview.RIM) == (-0.2, 1.1)  # the paper's
    assert figure.axes[0].get_ylim() == (-0.2, 1.1)


def test_equal_networks_share_the_rim() -> None:
    results = factory.make_results(
        methods=("lth",), targets=(0.5,), seeds=1, metrics=METRICS, examples=50
    )
    dense = {m.network.method: m.readings for m in results.networks}["dense"]
    same = replace(results, networks=tuple(replace(m, readings=dense) for m in results.networks))
    (one,) = overview.radars(same, 0.5)
    assert {s.place for s in one.spokes} == {1.0}


def test_the_heading_of_a_single_radar_is_inside_it(study: tuple[Results, Verdict]) -> None:
    with rc_context(theme.rc()):
        figure = radar.figure(*study)
        assert figure is not None
        figure.draw_without_rendering()
        (heading,) = (text for text in figure.texts if text.get_text().startswith("Means"))
        assert heading.get_window_extent().x1 <= figure.bbox.x1


def test_two_axes_make_no_radar() -> None:
    few = factory.make_results(targets=(0.5,), seeds=1, metrics=("accuracy", "nll"), examples=50)
    assert radar.figure(few, judge(few)) is None


def test_pareto_takes_the_worst_metric_in_margins(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    places = overview.places(results, verdict, ("digits", "mlp"))
    assert len(places) == len(verdict.tickets)
    for place in places:
        losses = [c.d / c.margin for c in place.ticket.comparisons.values() if c.margin]
        assert place.margins == min(losses)
    rivals = [p for p in places if p.ticket.method != "random"]
    for place in places:
        beaten = any(
            other.density <= place.density and other.margins >= place.margins and other is not place
            for other in rivals
        )
        assert place.best == (place in rivals and not beaten)


def test_tables_print_the_mean_to_the_digits_of_its_error(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    (one,) = paper_tables.tables(results, verdict)
    dense, *blocks = one.blocks
    members = results.groups[Cell("digits", "mlp", "lth", 0.7903)]
    values = [100 * m.readings["accuracy"].value for m in members]
    text = blocks[1].lines[0].entries[0].text
    mean, error = (float(part) for part in text.split(" ± "))
    digits = len(text.split(" ± ")[1].partition(".")[2])
    assert mean == pytest.approx(fmean(values), abs=0.51 * 10**-digits)
    assert error == pytest.approx(stdev(values) / math.sqrt(3), abs=0.51 * 10**-digits)
    assert len(text.split(" ± ")[0].partition(".")[2]) == digits
    assert dense.lines[0].entries[0].mark == ""
    calls = {c.call for t in verdict.tickets for k, c in t.comparisons.items() if k in METRICS}
    marks = {e.mark for block in blocks for line in block.lines for e in line.entries}
    assert {paper_tables.MARKS[call] for call in calls if call} >= marks - {"(+)"}
    assert [line.outcome for line in blocks[0].lines][-1] == ""  # the control is not judged


def test_captions_say_over_how_many_seeds(study: tuple[Results, Verdict]) -> None:
    (three,) = paper_tables.tables(*study)
    assert "Means over 3 seeds ± standard error." in three.caption
    single = factory.make_results(seeds=1, targets=(0.5,), metrics=METRICS, examples=50)
    (one,) = paper_tables.tables(single, judge(single))
    assert "One seed ± standard error over test examples." in one.caption
    results, verdict = study
    fewer = replace(results, networks=results.networks[:-1])
    (some,) = paper_tables.tables(fewer, verdict)
    assert "Means over up to 3 seeds" in some.caption


def odd(results: Results) -> Results:
    return replace(results, study=ODD, methods={m: f"{ODD} {m}" for m in results.methods})


def test_latex_survives_any_name(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    text = paper_tables.as_latex(paper_tables.tables(odd(results), verdict))
    body = text.split("\n", 1)[1]  # the first line is a comment
    plain = re.sub(r"\\[\\{}&%$#_]", "", body)
    assert "%" not in plain
    assert "#" not in plain
    assert plain.count("$") % 2 == 0
    assert plain.count("{") == plain.count("}")
    assert not re.findall(r"[^\x00-\x7f]", plain)
    rows = [line for line in body.split("\n") if line.endswith(r"\\") and "multicolumn" not in line]
    assert len(rows) == 1 + 1 + 2 * 3
    separators = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
    assert separators == {len(METRICS) + 1}
    for environment in ("table", "tabular"):
        assert body.count(rf"\begin{{{environment}}}") == body.count(rf"\end{{{environment}}}")


def test_numbers_for_latex() -> None:
    assert escape.latex_number("\u22120.028 ± 0.010") == r"$-0.028 \pm 0.010$"
    assert escape.latex_number("81.5 ± 0.3 M") == r"$81.5 \pm 0.3$\,M"
    assert escape.latex_number("3.1 ± unknown") == r"$3.1 \pm\,?$"
    assert escape.latex_number("not run") == "not run"


def test_markdown_tables_keep_their_columns(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    text = paper_tables.as_markdown(paper_tables.tables(odd(results), verdict))
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len(rows) == 2 + 1 + 2 * 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(METRICS) + 4}
    assert r"\*it\*" in text
    assert r"\<b\>" in text


def metadata(card: str) -> dict[str, Any]:
    """The front matter: keys at the margin, each with a JSON value indented below."""
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert front is not None
    parts = re.split(r"^([\w-]+):\n", front[1] + "\n", flags=re.MULTILINE)[1:]
    for value in parts[1::2]:
        assert all(line.startswith("  ") for line in value.rstrip("\n").split("\n"))
    return {key: json.loads(value) for key, value in zip(parts[::2], parts[1::2], strict=True)}


def test_the_model_card_has_the_hubs_metadata(study: tuple[Results, Verdict], folder: Path) -> None:
    results, verdict = study
    card = (folder / "model-card.md").read_text()
    index = metadata(card)["model-index"]
    assert len(index) == len(results.groups)
    for entry, members in zip(index, results.groups.values(), strict=True):
        assert set(entry) == {"name", "results"}
        (found,) = entry["results"]
        assert found["task"]["type"] == "image-classification"
        assert found["dataset"]["type"] == "digits"
        assert [m["type"] for m in found["metrics"]] == list(voters(results))
        for metric in found["metrics"]:
            values = [m.readings[metric["type"]].value for m in members]
            assert metric["value"] == pytest.approx(fmean(values))
    assert "scratchcard run my.toml" in card
    assert "torch 2.13" in card
    assert paper_tables.as_markdown(paper_tables.tables(results, verdict)).strip() in card


def test_no_name_breaks_the_model_card(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    strange = replace(odd(results), text='name = "```"\n')
    card = model_card.card(strange, verdict, {})
    names = [entry["name"] for entry in metadata(card)["model-index"]]
    assert f"mlp, {ODD} lth, 36 % sparse" in names
    assert card.count("````") == 4


def test_a_study_that_measured_nothing_is_published_too(tmp_path: Path) -> None:
    failed = {(m, t, 0): "it failed" for m, t in (("dense", 0.0), ("lth", 0.5))}
    results = factory.make_results(
        methods=("lth",), targets=(0.5,), seeds=1, metrics=("accuracy",), failed=failed
    )
    publish.write(results, judge(results), tmp_path)
    assert metadata((tmp_path / "model-card.md").read_text())["model-index"] == []
    assert drawn.pareto_rows(results, judge(results)) == []
    assert "failed" in (tmp_path / "tables.md").read_text()
