"""Charts of twenty methods: each is told apart, and stands where its sparsity is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scratchcard.contracts import Reading
from scratchcard.report import charts, curves, figures, page, plots, summary, theme
from scratchcard.results import Results
from scratchcard.verdict import Verdict, judge, lineup
from tests import factory
from tests.factory import CAST, make_results

CONTROLS = CAST[-5:]


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = factory.everybody(examples=500)
    return results, judge(results)


def test_twenty_looks_are_distinct() -> None:
    looks = theme.looks(CAST, CONTROLS)
    assert len({(look.hue, look.shape, look.hollow) for look in looks.values()}) == len(CAST)
    assert {look.hue in theme.GREYS for label, look in looks.items() if label in CONTROLS} == {True}
    assert not [m for m in CAST[:-5] if looks[m].hue in theme.GREYS]
    assert looks["lth"].hue == looks["lrr"].hue
    assert (looks["lth"].hollow, looks["lrr"].hollow) == (False, True)
    many = theme.looks([f"method {i}" for i in range(60)]).values()
    assert len({(look.hue, look.shape, look.hollow) for look in many}) == 60
    uses = [sum(look.hue == hue for look in many) for hue in theme.HUES]
    assert max(uses) - min(uses) <= 1


def test_the_axis_has_the_rungs_of_the_ladder(study: tuple[Results, Verdict]) -> None:
    results, _ = study
    assert curves.ladder(results) == (0.36, 0.5904, 0.7903, 0.8926, 0.945)
    assert 0.5 in curves.targets(results)
    sparser = make_results(
        methods=("lth", "omp-1:8"), targets=(0.36, 0.59), ladders={"omp-1:8": (0.875,)}, seeds=1
    )
    assert curves.ladder(sparser) == (0.36, 0.59, 0.875), "no point may lie beyond the axis"
    assert curves.ladder(make_results(methods=(), seeds=1)) == ()


def test_curves_stand_where_their_networks_are(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    panel = next(p for p in plots.panels(results, verdict) if p.metric == "accuracy")
    assert [curve.method for curve in panel.curves] == list(lineup(results))
    at = {curve.method: [point.x for point in curve.points] for curve in panel.curves}
    assert at["long-dense"] == [1, 2, 3, 4, 5]
    assert at["lth"] == pytest.approx([1, 2, 3, 4, 5])
    assert len(at["omp-2:4"]) == 1
    assert 1 < at["omp-2:4"][0] < 2
    assert all(a < b for a, b in zip(at["channels"], at["lth"], strict=True))
    rows = charts.rows(panel, results)
    dense = [row for row in rows["points"] if row["who"] == "Long dense (control)"]
    assert [row["at"] for row in dense][:2] == ["dense, for 36 %", "dense, for 59 %"]
    assert [row["who"] for row in rows["points"] if row["bar"]] == ["One-shot magnitude (OMP), 2:4"]
    assert math.isclose(min(row["x"] for row in rows["points"]), at["channels"][0], abs_tol=1e-5)


def test_no_marker_is_filled_that_shall_be_hollow(study: tuple[Results, Verdict]) -> None:
    """Layers share their scale of fills by default, and the intervals' colours would win."""
    looks = list(theme.looks(CAST, CONTROLS).values())
    spec = charts.spec(looks, (0.36,), kind="linear")
    assert spec["resolve"]["scale"]["fill"] == "independent"
    means = next(
        layer for layer in spec["layer"] if layer["encoding"].get("shape", {}).get("field") == "m"
    )
    fills = means["encoding"]["fill"]["scale"]["range"]
    assert [fill == "var(--paper)" for fill in fills] == [look.hollow for look in looks]


def test_the_slider_opens_on_the_ladder() -> None:
    def effects(method: str, target: float, metric: str) -> float:
        return -0.4 if method == "lth" and target > 0.4 else 0.0

    results = make_results(
        methods=("lth", "omp-2:4", "random"),
        targets=(0.36, 0.79),
        ladders={"omp-2:4": (0.5,)},
        controls=("random",),
        effects=effects,
        seeds=10,
    )
    assert summary.chosen_rung(results, judge(results), curves.ladder(results)) == 0.36


def test_strips_leave_a_gap_where_a_method_has_no_rung(study: tuple[Results, Verdict]) -> None:
    rows = summary.badges(*study)[0].badges[0].rows
    strips = {row.title: row for row in rows}
    assert [call == "absent" for call in strips["SNIP"].calls] == [False, True, *[False] * 4]
    assert [c == "absent" for c in strips["One-shot magnitude (OMP), 2:4"].calls].count(False) == 1
    assert [row.control for row in rows] == [False] * 15 + [True] * 5


def test_figures_share_many_methods_out() -> None:
    assert [len(part) for part in figures.shared(list(CAST))] == [5, 5, 5, 5]
    assert [len(part) for part in figures.shared(list(CAST[:13]))] == [3, 3, 3, 4]
    assert [method for part in figures.shared(list(CAST)) for method in part] == list(CAST)


def test_an_estimate_of_next_to_nothing_is_drawn() -> None:
    """A trace estimated below 0: the error of its logarithm is beyond what exp can take."""
    made = make_results(seeds=2, examples=50, metrics=("accuracy", "hessian-trace"))
    networks = tuple(
        replace(m, readings={**m.readings, "hessian-trace": Reading(-1.0, 2.0, 50)})
        if (m.network.method, m.network.seed) == ("lth", 0)
        else m
        for m in made.networks
    )
    results = replace(made, networks=networks)
    found = next(p for p in plots.panels(results, judge(results)) if p.metric == "hessian-trace")
    ends = [end for c in found.curves for p in c.points for end in (p.lo, p.hi) if end is not None]
    assert ends
    assert all(math.isfinite(end) for end in ends)
    assert "Hessian trace" in page.render(results, judge(results))


def test_a_collapsed_network_does_not_take_the_axis() -> None:
    """Its reading of next to nothing stands at the edge, and the tooltip has it in full."""

    def effects(method: str, target: float, label: str) -> float:
        return -60.0 if method == "random" else 0.0

    results = make_results(metrics=("fidelity",), effects=effects, examples=50)
    (panel,) = plots.panels(results, judge(results))
    low, high = panel.window
    assert high < 1e9 * low
    drawn = charts.rows(panel, results)
    assert all(
        low * (1 - 1e-5) <= row["y"] <= high for k in ("points", "seeds") for row in drawn[k]
    )
    fallen = [row for row in drawn["points"] if row["who"] == results.methods["random"]]
    assert {row["y"] for row in fallen} == {charts.trim(low)}
    assert all("e\N{MINUS SIGN}" in row["value"] for row in fallen)
    assert "log scale, cut off" in page.render(results, judge(results))
