"""Under corruption: differences told by hand, in the order of the families, coloured if shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scratchcard.contracts.corruptions import FAMILIES, STANDARD
from scratchcard.report import corruption, page, parts
from scratchcard.report.cells import Cell, Table
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


@pytest.fixture(scope="module")
def results() -> Results:
    made = make_results(
        methods=("random", "lth", "omp"),
        targets=(0.1, 0.2),
        seeds=2,
        examples=50,
        metrics=("accuracy",),
        controls=("random",),
        ladders={"omp": (0.2,)},
    )
    return extras.with_corruption(made)


def row(table: Table, title: str) -> tuple[Cell, ...]:
    return next(row.cells for row in table.rows if row.cells[0].text == title)


def test_rows_are_families_with_their_kinds_and_severities(results: Results) -> None:
    first, second = corruption.tables(results)
    assert (first.rung, second.rung) == ("0.1", "0.2")
    assert [cell.text for cell in first.head] == [
        "Kind",
        "Dense twin",
        "Lottery tickets (LTH)",
        "Random pruning",
    ]
    assert [cell.small for cell in second.head] == ["", "error, %", "", "", "control"]
    kinds = [row.cells[0].text for row in first.rows if row.kind == "kind"]
    assert len(kinds) == len(set(kinds)) == len(STANDARD)
    assert [row.cells[0].text for row in first.rows if row.kind == "family"] == [
        "All fifteen kinds",
        *("Noise", "Blur", "Weather", "Digital"),
    ]
    titles = [row.cells[0].text for row in first.rows]
    assert titles[:3] == ["All fifteen kinds", "Noise", "Gaussian noise"]
    assert titles[titles.index("Digital") :] == [
        *("Digital", "Contrast", "Elastic transform", "Pixelate", "JPEG compression"),
        *(f"Severity {s}" for s in range(1, 6)),
    ]


def test_differences_by_hand(results: Results) -> None:
    """At 0.1, ten images of 200 more are wrong than of the twin, whatever the seed."""
    table = corruption.tables(results)[0]
    fog = STANDARD.index("fog")
    # Severities 1 to 5 are 3 on average; seeds 0 and 1 add 0 and 3 images.
    dense = 100 * (5 * (fog + 3) + 1.5) / 200
    assert [cell.text for cell in row(table, "Fog")[1:]] == [f"{dense:.1f}", "+5.0", "+5.0"]
    blur = [STANDARD.index(kind) for kind in FAMILIES["blur"]]
    dense = 100 * (5 * (sum(blur) / 4 + 3) + 1.5) / 200
    assert row(table, "Blur")[1].text == f"{dense:.1f}"
    dense = 100 * (5 * (7 + 4) + 1.5) / 200
    assert row(table, "Severity 4")[1].text == f"{dense:.1f}"


def test_colour_says_direction_size_and_doubt() -> None:
    def shown(value: float, stderr: float, seeds: int = 3) -> Cell:
        return corruption._heat(parts.Mean(value, stderr, seeds))

    loss, gain = shown(0.1, 0.01), shown(-0.05, 0.01)
    assert (loss.text, loss.kind) == ("+10.0", "heat loss")
    assert (gain.text, gain.kind) == ("\u22125.0", "heat gain")
    assert loss.heat == 2 * gain.heat == corruption.DEEPEST // 2
    assert shown(0.5, 0.01).heat == corruption.DEEPEST
    # Student's t of two degrees of freedom, 90 %: 2.92; of the normal distribution 1.645.
    assert shown(0.0291, 0.01).kind == "none"
    assert shown(0.0293, 0.01).kind == "heat loss"
    assert shown(0.017, 0.01, 1).kind == "heat loss"
    assert shown(0.0, 0.0).kind == "none"


def test_made_here_is_never_called_official(results: Results) -> None:
    made = corruption.tables(results)[0].caption
    assert made == "10 % sparse · CIFAR-C protocol, 200 images"
    text = results.text + '[corruptions.official]\ndigits = "sets/CIFAR-10-C"\n'
    official = corruption.tables(replace(results, text=text))[0].caption
    assert official == "10 % sparse · CIFAR-10-C, 200 images"
    other = results.text + '[corruptions.official]\nletters = "sets/CIFAR-10-C"\n'
    assert corruption.tables(replace(results, text=other))[0].caption == made
    assert "CIFAR-10-C" not in page.render(results, judge(results))


def test_what_was_not_read_has_no_number(results: Results) -> None:
    """Seed 1 of LTH alone is left at 0.1, and nothing of OMP at all."""

    def unread(method: str, target: float, seed: int) -> bool:
        return method == "omp" or (method, target, seed) == ("lth", 0.1, 0)

    networks = tuple(
        replace(m, readings={}, missing={"corruption-error": "boom"})
        if unread(m.network.method, m.network.target, m.network.seed)
        else m
        for m in results.networks
    )
    first, second = corruption.tables(replace(results, networks=networks))
    assert row(first, "Fog")[2].hint.endswith("1 seed")
    assert "One-shot magnitude (OMP)" not in [cell.text for cell in second.head]
    tickets = tuple(m for m in results.networks if m.network.method != "dense")
    assert corruption.tables(replace(results, networks=tickets)) == []
    assert corruption.curves(replace(results, networks=tickets)) == []


def test_curves_over_severity(results: Results) -> None:
    found = corruption.curves(results)
    assert {d.method: list(d.rungs) for d in found} == {"lth": [0.1, 0.2], "omp": [0.2]}
    own = found[0].rungs[0.1]
    assert [dot["x"] for dot in own] == [1, 2, 3, 4, 5]
    middle = 100 * (5 * (7 + 1) + 10 + 1.5) / 200
    assert own[0] == {
        "who": "tickets",
        "x": 1,
        "y": middle,
        "lo": middle - 0.75,
        "hi": middle + 0.75,
    }
    assert [dot["who"] for dot in found[0].dense] == ["dense"] * 5


def test_the_page_has_the_section_where_it_was_measured(results: Results) -> None:
    text = page.render(results, judge(results))
    embedded = text[text.index('id="charts">') + len('id="charts">') :].partition("</script>")[0]
    charts = json.loads(embedded)
    assert [d["kind"] for d in charts["diagrams"]] == ["severity"] * 2
    assert list(charts["small"]) == ["severity"]
    assert '<h2 id="corruption">' in text
    assert '<h2 id="attack">' not in text
    assert 'class="heat loss" style="--h:15%"' in text  # 5 points of 20, of 60 %
    bare = make_results(seeds=1, examples=50, metrics=("accuracy",))
    assert '<h2 id="corruption">' not in page.render(bare, judge(bare))
