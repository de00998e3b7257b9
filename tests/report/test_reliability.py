"""Reliability diagrams: seeds pooled by hand, and drawn only where bins were read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scratchcard.contracts import Part, Reading
from scratchcard.report import page, reliability
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


@pytest.fixture(scope="module")
def results() -> Results:
    made = make_results(
        methods=("lth", "omp", "random"),
        targets=(0.36, 0.79),
        seeds=2,
        examples=50,
        metrics=("accuracy", "ece"),
        controls=("random",),
        ladders={"omp": (0.5,)},
    )
    return extras.with_bins(made)


def binned(*bars: tuple[str, float, float, float, int]) -> Reading:
    """A reading with the bins (span, accuracy, its error, confidence, n)."""
    parts = {}
    for span, accuracy, stderr, confidence, n in bars:
        parts[f"accuracy at {span}"] = Part(accuracy, stderr, n)
        parts[f"confidence at {span}"] = Part(confidence, 0.0, n)
    return Reading(0.1, 0.1, 100, parts=parts)


def test_seeds_are_pooled_by_their_images(results: Results) -> None:
    low, high = "0.40 to 0.47", "0.93 to 1.00"
    read = {
        0: binned((low, 0.5, 0.1, 0.42, 10), (high, 1.0, 0.02, 0.95, 30)),
        1: binned((high, 0.8, 0.06, 0.99, 90)),
    }
    networks = tuple(
        replace(m, readings={**m.readings, "ece": read[m.network.seed]}) for m in results.networks
    )
    found = reliability.diagrams(replace(results, networks=networks))
    assert found[0].dense == [
        {"who": "dense", "x": 42, "y": 50, "lo": 40, "hi": 60, "n": 10, "share": 0.0769},
        {"who": "dense", "x": 98, "y": 85, "lo": 80, "hi": 90, "n": 120, "share": 0.9231},
    ]


def test_contenders_alone_at_their_own_rungs(results: Results) -> None:
    found = reliability.diagrams(results)
    assert {d.method: list(d.rungs) for d in found} == {"lth": [0.36, 0.79], "omp": [0.5]}
    assert {dot["who"] for d in found for dots in d.rungs.values() for dot in dots} == {"tickets"}
    text = page.render(results, judge(results))
    embedded = text[text.index('id="charts">') + len('id="charts">') :].partition("</script>")[0]
    charts = json.loads(embedded)
    assert [list(d["rungs"]) for d in charts["diagrams"]] == [["0.36", "0.79"], ["0.5"]]
    assert text.count('id="diagram-') == 2
    assert '<figure style="--own: var(--m1)" data-m="m1">' in text


def test_no_diagram_without_bins_or_dense(results: Results) -> None:
    bare = tuple(
        replace(m, readings={k: replace(r, parts={}) for k, r in m.readings.items()})
        for m in results.networks
    )
    tickets = tuple(m for m in results.networks if m.network.method != "dense")
    blind = make_results(seeds=1, examples=50, metrics=("accuracy",))
    for poor in (replace(results, networks=bare), replace(results, networks=tickets), blind):
        assert reliability.diagrams(poor) == []
    text = page.render(blind, judge(blind))
    assert 'id="reliability"' not in text


def test_errors_are_cut_at_the_ends(results: Results) -> None:
    """A bar does not leave the diagram."""
    read = binned(("0.00 to 0.07", 0.0, 0.3, 0.05, 3), ("0.93 to 1.00", 1.0, 0.3, 0.99, 3))
    networks = tuple(replace(m, readings={**m.readings, "ece": read}) for m in results.networks)
    dense = reliability.diagrams(replace(results, networks=networks))[0].dense
    assert [(dot["lo"], dot["hi"]) for dot in dense] == [(0, 30), (70, 100)]
