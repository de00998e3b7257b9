"""The page as text: complete without JavaScript, escaped, small, and the same every time."""

from __future__ import annotations

import base64
import csv
import gzip
import html
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scratchcard.contracts import Reading
from scratchcard.long_table import long_table, write_csv
from scratchcard.report import curves, guide, page, plots, summary, tables, theme
from scratchcard.results import Results
from scratchcard.verdict import Verdict, breaks, judge
from tests import factory

EVIL = "<img src=x onerror=alert(1)>"
TWIN = ("dense", 0.0, 0)


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = factory.make_results(
        seeds=3,
        examples=1_000,
        failed={("omp", 0.945, 1): "the loss became nan", ("lth", 0.36, 0, "nll"): "overflow"},
        collapsed=[("random", 0.945)],
    )
    return results, judge(results)


@pytest.fixture(scope="module")
def text(study: tuple[Results, Verdict]) -> str:
    return page.render(*study, evidence={"command": "scratchcard run <study>"})


class Tables(HTMLParser):
    """The cells of every table, row by row, in the order of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self._in = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in = True

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in:
            self.tables[-1][-1][-1] += data


def embedded(text: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def rows(text: str, heading: str) -> list[list[str]]:
    """The first table whose first heading is ``heading``."""
    return next(t for t in Tables(text).tables if t[0][0] == heading)


def test_numbers_are_in_the_source_without_javascript(
    study: tuple[Results, Verdict], text: str
) -> None:
    results, _ = study
    table = rows(text, "Network")
    assert len(table) == 1 + len(results.groups)
    dense = table[1]
    accuracies = [
        m.readings["accuracy"].value for m in results.networks if m.network.method == "dense"
    ]
    shown, error = dense[3].split(" ± ")
    assert abs(float(shown) - 100 * sum(accuracies) / 3) <= float(error)
    assert dense[0] == "Dense twin"


def test_every_rung_has_a_scorecard(study: tuple[Results, Verdict], text: str) -> None:
    _, verdict = study
    cards = [t for t in Tables(text).tables if t[0][:2] == ["Method", "Outcome"]]
    assert len(cards) == 5
    ticket = next(t for t in verdict.tickets if (t.method, t.target) == ("random", 0.945))
    cells = next(row for row in cards[-1] if row[0].startswith("Random"))
    c = ticket.comparisons["accuracy"]
    assert c.margin is not None
    assert cells[1] == ticket.outcome
    assert cells[2].startswith(f"{c.d / c.margin:+.1f} m".replace("-", "\u2212"))
    assert str(c.call) in cells[2]


def test_failures_are_shown_with_their_reason(text: str) -> None:
    table = rows(text, "Network")
    cell = next(r for r in table if r[0].startswith("One-shot") and r[1] == "94.5 %")[3]
    assert cell.endswith("2 of 3 seeds")
    assert "seed 1: Accuracy" in text
    assert "the loss became nan" in text
    assert "no weights are left in fc2.weight" in text


def test_a_cell_without_any_reading_says_failed() -> None:
    results = factory.make_results(
        seeds=1, targets=(0.36,), examples=100, failed={("lth", 0.36, 0): "out of memory"}
    )
    text = page.render(results, judge(results))
    table = rows(text, "Network")
    assert next(r for r in table if r[0].startswith("Lottery"))[3] == "failedout of memory"
    assert "One seed" in text


@pytest.mark.parametrize(
    "results",
    [
        factory.make_results(methods=(), seeds=1, examples=50),
        factory.make_results(metrics=("churn", "class-gap"), seeds=1, examples=50),
        factory.make_results(
            methods=("lth",), targets=(0.5,), seeds=1, failed={("lth", 0.5, 0): "x", TWIN: "x"}
        ),
        factory.make_results(methods=("lth",), targets=(0.5,), seeds=2, failed={TWIN: "x"}),
    ],
    ids=["dense only", "nothing votes", "all failed", "one twin failed"],
)
def test_poor_studies_still_make_a_page(results: Results) -> None:
    text = page.render(results, judge(results))
    assert rows(text, "Network")[1][0] == "Dense twin"
    assert embedded(text, "charts")["specs"]


def test_unmeasured_dimensions_are_named(study: tuple[Results, Verdict], text: str) -> None:
    found = summary.badges(*study)[0].badges
    assert [b.state for b in found][2:] == ["Not measured yet"] * 2
    assert "Interpretability and loss landscape were not measured, so no ticket can pass" in text


def test_badge_holds_up_to_the_rung_before_the_first_doubt(
    study: tuple[Results, Verdict],
) -> None:
    results, verdict = study
    badge = summary.badges(results, verdict)[0].badges[0]
    for row in badge.rows:
        method = next(m for m, title in results.methods.items() if title == row.title)
        own = [t.dimensions["generalisation"] for t in verdict.tickets if t.method == method]
        assert row.calls == tuple(own)
    best = max(
        sum(all(call in ("better", "matches") for call in row.calls[: i + 1]) for i in range(5))
        for row in badge.rows
    )
    assert badge.state.endswith(f" {('36', '59', '79', '89.3', '94.5')[best - 1]} %")


def test_csv_is_the_long_table(study: tuple[Results, Verdict], text: str, tmp_path: Path) -> None:
    unpacked = gzip.decompress(base64.b64decode(embedded(text, "long-table")))
    write_csv(long_table(study[0]), tmp_path / "long.csv")
    assert unpacked == (tmp_path / "long.csv").read_bytes()
    assert len(list(csv.DictReader(io.StringIO(unpacked.decode())))) == len(long_table(study[0]))


def test_names_are_escaped_everywhere(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    results = replace(
        results,
        study=EVIL,
        text="</pre><script>alert(2)</script>",
        methods={**results.methods, "lth": EVIL},
    )
    text = page.render(results, verdict, evidence={EVIL: EVIL})
    assert EVIL not in text
    assert "img" not in Tables(text).tags
    assert Tables(text).tags.count("script") == 5
    assert html.escape(EVIL) in text
    assert any(
        row["who"] == EVIL for row in embedded(text, "charts")["panels"][0]["datasets"]["seeds"]
    )


def test_policy_allows_our_scripts_by_hash_and_no_eval(text: str) -> None:
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_a_big_study_stays_small_and_equal() -> None:
    results = factory.rows_2000()
    verdict = judge(results)
    text = page.render(results, verdict)
    assert len(text.encode()) < 3_000_000
    assert text == page.render(results, verdict)
    assert text.count("vegaEmbed = vegaEmbed") + text.count("vegaEmbed=") == 1


def panel_of(results: Results, metric: str) -> curves.Panel:
    found = plots.panels(results, judge(results))
    return next(panel for panel in found if panel.metric == metric)


def test_bands_do_not_stretch_the_axis() -> None:
    """Two seeds: their band is sixfold wider than they are apart."""
    panel = panel_of(factory.make_results(seeds=2, targets=(0.36,), methods=("lth",)), "accuracy")
    assert panel.band is not None
    values = [dot.value for dot in (*panel.dense, *panel.curves[0].dots)]
    low, high = panel.domain
    assert low <= min(values) < max(values) <= high
    assert high - low < 2 * (max(values) - min(values))
    assert high <= 100
    assert [panel.cut(v) for v in (-1e9, values[0], 1e9)] == [low, values[0], high]


def test_curves_are_means_of_the_seeds_in_percent(study: tuple[Results, Verdict]) -> None:
    panel = panel_of(study[0], "accuracy")
    curve = next(c for c in panel.curves if c.method == "lth")
    for point in curve.points:
        values = [
            m.readings["accuracy"].value
            for m in study[0].networks
            if (m.network.method, m.network.target) == ("lth", point.target)
        ]
        assert point.mean == pytest.approx(100 * sum(values) / len(values))
        assert point.lo is not None
        assert point.hi is not None
        c = point.comparison
        assert c is not None
        assert (point.lo - point.mean, point.hi - point.mean) == pytest.approx(
            (100 * (c.lo - c.d), 100 * (c.hi - c.d))
        )


def test_intervals_of_ratios_are_ratios(study: tuple[Results, Verdict]) -> None:
    """NLL is better when lower: a gain of ``hi`` is a division by exp(hi)."""
    import math

    point = panel_of(study[0], "nll").curves[0].points[0]
    c = point.comparison
    assert c is not None
    assert point.lo == pytest.approx(point.mean * math.exp(c.d - c.hi))
    assert point.hi == pytest.approx(point.mean * math.exp(c.d - c.lo))


def test_segments_take_the_worse_region_of_their_ends() -> None:
    def point(x: float, region: Any) -> curves.Point:
        return curves.Point(x, x, x, 0.0, None, None, 1, 1, region, None)

    a, b, c, d = (point(i, r) for i, r in enumerate(("I", "I", "II", "III")))
    runs = list(curves.Curve("m", (a, b, c, d), ()).runs())
    assert runs == [("I", (a, b)), ("II", (b, c)), ("III", (c, d))]


def test_unreached_sparsities_fall_between_rungs() -> None:
    rungs = [0.2, 0.36]
    assert curves.position(0.0, rungs) == 0
    assert curves.position(0.2, rungs) == pytest.approx(1)
    assert 1 < curves.position(0.3, rungs) < 2
    assert curves.position(1.0, rungs) == 2


def test_a_reading_that_is_not_finite_is_left_out_of_charts(
    study: tuple[Results, Verdict],
) -> None:
    results = study[0]
    broken: Mapping[str, Reading] = {"accuracy": Reading(float("nan"), float("nan"), 1)}
    first = replace(results.networks[0], readings=broken)
    results = replace(results, networks=(first, *results.networks[1:]))
    assert len(panel_of(results, "accuracy").dense) == 2
    text = page.render(results, judge(results))
    assert "NaN" not in json.dumps(embedded(text, "charts"))
    assert rows(text, "Network")[1][3].endswith("2 of 3 seeds")


def test_looks_are_distinct_up_to_eight_methods() -> None:
    names = ["lth", "lth-late", "random", "omp", "snip", "grasp", "synflow", "mine"]
    looks = theme.looks(names)
    assert len({look.hue for look in looks.values()}) == 8
    assert len({look.shape for look in looks.values()}) == 8
    assert looks["lth"].hue == theme.BLUE


def test_guide_reads_sections_and_leaves_code_out() -> None:
    doc = (
        "Share of errors.\n\nDefinition:\n    Errors over\n    images.\n\nFormula:\n    a\n    b\n"
        "Args:\n    test: Hidden.\n\nReturns:\n    Hidden too.\n\nSource: Someone (2020).\n"
    )
    assert guide.sections(doc) == [
        ("", "Share of errors."),
        ("Definition", "Errors over images."),
        ("Formula", "a\nb"),
        ("Source", "Someone (2020)."),
    ]


def test_breaks_mark_the_first(study: tuple[Results, Verdict]) -> None:
    table = tables.breaking(study[0], ("digits", "mlp"), breaks(study[0]))
    for row in table.rows:
        keys = [cell.key for cell in row.cells[1:] if isinstance(cell.key, float)]
        marked = [cell.key for cell in row.cells if cell.kind == "worse"]
        assert not marked or marked == [min(keys)]
