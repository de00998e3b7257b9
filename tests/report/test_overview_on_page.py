"""The page's overview and rankings: where a radar's corners lie, what the tables say of whom."""

from __future__ import annotations

import math
import re

import pytest

from scratchcard.report import numbers, overview, page, ranking, web
from scratchcard.report.curves import ladder, targets
from scratchcard.results import Results
from scratchcard.verdict import Verdict, at_equal_budget, breaks, judge, reaches
from tests.factory import make_results
from tests.kinds import KINDS, spec

SETTING = ("digits", "mlp")


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = make_results(seeds=3, metrics=("accuracy", "nll", "ece", "mce"), examples=100)
    return results, judge(results)


def test_corners_lie_where_the_paper_puts_them(study: tuple[Results, Verdict]) -> None:
    results, _ = study
    target = targets(results)[-1]
    (radar,) = overview.radars(results, target)
    drawn = [one for one in web.webs(results, targets(results)) if one.rung == f"{target:g}"]
    (found,) = drawn
    assert [one.mark for one in found.networks] == ["", "m0", "m1", "m2"]
    for ring, method in zip(found.networks, ("dense", *results.methods), strict=False):
        corners = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", ring.path)
        places = [s.place for s in radar.spokes if s.method == method]
        assert len(corners) == len(places) == 4
        for i, ((x, y), place) in enumerate(zip(corners, places, strict=True)):
            radius = math.hypot(float(x), float(y))
            assert radius == pytest.approx(150 * (place + 0.2) / 1.3, abs=0.1)
            turn = math.atan2(float(x), -float(y)) % (2 * math.pi)
            assert turn == pytest.approx(i * math.pi / 2, abs=0.01)


def test_losses_are_those_of_the_worst_metric(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    (one,) = web.losses(results, verdict, ladder(results))
    assert len(one.datasets["points"]) == len(verdict.tickets)
    worst = {
        (results.methods[t.method], t.target): min(
            c.d / c.margin for c in t.comparisons.values() if c.margin
        )
        for t in verdict.tickets
    }
    assert sorted(row["y"] for row in one.datasets["points"]) == pytest.approx(
        sorted(worst.values()), rel=1e-5
    )
    assert all(row["lo"] <= row["y"] <= row["hi"] for row in one.datasets["points"])
    front = one.datasets["front"]
    assert front == sorted(front, key=lambda row: row["x"])
    assert [row["y"] for row in front] == sorted((row["y"] for row in front), reverse=True)


def test_the_tables_say_what_the_verdict_does(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    table = ranking.reach(results, verdict, SETTING)
    assert table is not None
    found = {(r.method, r.rule): r for r in reaches(results, verdict)}
    for row, method in zip(table.rows, results.methods, strict=True):
        for cell, rule in zip(row.cells[1:4], ranking.RULES, strict=True):
            assert cell.key == found[method, rule].sparsity
            assert (cell.text == "none") == (found[method, rule].sparsity == 0)
    sensitive = ranking.sensitive(results, breaks(results), SETTING)
    assert sensitive is not None
    ranks = [float(str(row.cells[1].key)) for row in sensitive.rows]
    assert ranks == sorted(ranks)
    assert len(ranks) == 4


def test_what_a_price_buys(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    prices = sorted({a.budget for a in at_equal_budget(results, verdict)})
    table = ranking.budgets(results, verdict, SETTING)
    assert table is not None
    assert [cell.text for cell in table.head[1:]] == [f"{price:.3g}" for price in prices]
    assert prices == [1.0, 2.0, 6.0]
    dear = next(row for row in table.rows if row.cells[0].text == results.methods["lth"])
    assert dear.cells[1].text == "—"  # one training buys no lottery ticket


def test_a_study_of_one_metric_has_no_radar() -> None:
    results = make_results(seeds=2, metrics=("accuracy",), examples=50)
    text = page.render(results, judge(results))
    assert 'class="web"' not in text
    assert 'id="overview"' in text  # its losses are there


@pytest.mark.parametrize(
    ("metric", "ends", "shown"),
    [
        ("accuracy", (0.102, 0.978), ("10", "98")),
        ("accuracy", (0.9705, 0.9783), ("97.05", "97.83")),
        ("ece", (0.006, -0.00895), ("0.6", "\N{MINUS SIGN}0.9")),
        ("nll", (0.0214, 1e-57), ("0.021", "0.000")),
        ("nll", (0.5, 0.5), ("0.50", "0.50")),
    ],
)
def test_ends_have_the_digits_that_tell_them_apart(
    metric: str, ends: tuple[float, float], shown: tuple[str, str]
) -> None:
    assert numbers.ends(KINDS[metric].spec, *ends) == shown


def test_large_ends_share_a_prefix() -> None:
    flops = spec("flops", "FLOPs", "efficiency", unit="", scale="log")
    assert numbers.ends(flops, 25e6, 900e3) == ("25 M", "1 M")


def test_the_contents_are_the_headings_of_the_sections(study: tuple[Results, Verdict]) -> None:
    text = page.render(*study)
    entries = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', text[text.index("<nav") :])
    headings = re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', text)
    assert entries == headings
    assert len(headings) > 5
