"""Under attack: accuracies by eps, the median smallest eps, and who shows which sign of masking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.generalisation.gradient_masking import gradient_masking
from scratchcard.report import attack, page
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


@pytest.fixture(scope="module")
def bare() -> Results:
    return make_results(
        methods=("random", "lth", "omp"),
        targets=(0.5, 0.75),
        seeds=2,
        examples=50,
        metrics=("accuracy",),
        controls=("random",),
        ladders={"omp": (0.75,)},
    )


def test_numbers_by_eps_with_dense_first(bare: Results) -> None:
    first, second = attack.tables(extras.with_attack(bare))
    assert first.caption == "50 % sparse · accuracy in % on 400 images"
    assert [cell.text for cell in first.head] == [
        *("Network", "Clean", "0.5/255", "2/255"),
        "Median smallest eps",
    ]
    texts = [[cell.text for cell in row.cells] for row in first.rows]
    assert texts == [
        ["Dense twin", "81.0 ± 1.0", "40.5 ± 0.5", "24.3 ± 0.3", "0.4"],
        ["Lottery tickets (LTH)", "71.0 ± 1.0", "35.5 ± 0.5", "21.3 ± 0.3", "0.4"],
        ["Random pruning", "71.0 ± 1.0", "35.5 ± 0.5", "21.3 ± 0.3", "0.4"],
    ]
    assert [row.kind for row in second.rows] == ["dense", "", "", "control"]


def test_curves_are_of_contenders_by_eps(bare: Results) -> None:
    found = attack.curves(extras.with_attack(bare))
    assert {d.method: list(d.rungs) for d in found} == {"lth": [0.5, 0.75], "omp": [0.75]}
    assert [(dot["x"], dot["y"]) for dot in found[1].dense] == [(0, 81), (0.5, 40.5), (2, 24.3)]
    assert found[1].rungs[0.75][0] == {"who": "tickets", "x": 0, "y": 66, "lo": 65, "hi": 67}


def test_signs_are_those_of_the_metric() -> None:
    doc = " ".join(str(gradient_masking.__doc__).split())
    assert all(f'"{sign}"' in doc for sign in attack.SIGNS)


def test_who_shows_which_sign(bare: Results) -> None:
    quiet = extras.with_attack(bare)
    assert {table.note for table in attack.tables(quiet)} == {
        "No network here shows a sign that its gradients are masked."
    }
    alarms = {
        ("lth", 1): "zero gradient",
        ("omp", 0): "stands 128/255",
        ("omp", 1): "stands 128/255",
    }
    first, second = attack.tables(extras.with_attack(bare, alarms))
    assert first.note == (
        "Signs of masked gradients, which flatter these curves: "
        "Lottery tickets (LTH) (zero gradient in 1 of 2 seeds)."
    )
    assert "(LTH) (zero gradient in 1 of 2 seeds) and One-shot magnitude (OMP)" in second.note
    assert second.note.endswith("(stands 128/255 in 2 of 2 seeds).")
    metrics = {k: spec for k, spec in quiet.metrics.items() if k != "gradient-masking"}
    assert attack.tables(replace(quiet, metrics=metrics))[0].note == ""


def test_a_large_share_is_no_sign_beyond_the_count(bare: Results) -> None:
    """Two alarms are those of the two largest shares."""
    shares = dict(zip(attack.SIGNS, (0.019, 0.5, 0.02, 0.03), strict=True))
    read = Reading(2.0, 0.0, 400, parts={k: Part(v, 0.0, 400) for k, v in shares.items()})
    results = extras.with_attack(bare)
    networks = tuple(
        replace(m, readings={**m.readings, "gradient-masking": read}) for m in results.networks
    )
    note = attack.tables(replace(results, networks=networks))[0].note
    both = "black box beats white box in 2 of 2 seeds, stands 128/255 in 2 of 2 seeds"
    assert f"Dense twin ({both})" in note
    assert "one step" not in note
    assert "zero gradient" not in note


def test_the_page_has_the_section_where_it_was_measured(bare: Results) -> None:
    results = extras.with_attack(bare)
    text = page.render(results, judge(results))
    assert '<h2 id="attack">' in text
    assert text.count("shows a sign that its gradients are masked") == 2
    assert '<h2 id="attack">' not in page.render(bare, judge(bare))
    tickets = tuple(m for m in results.networks if m.network.method != "dense")
    alone = replace(results, networks=tickets)
    assert attack.curves(alone) == []
    assert '<h2 id="attack">' in page.render(alone, judge(alone))
    dense = tuple(m for m in results.networks if m.network.method == "dense")
    assert attack.tables(replace(results, networks=dense)) == []
