"""Where a metric breaks: by hand on a line, and on studies whose truth is known."""

from __future__ import annotations

import math

import pytest

from scratchcard.results import Results
from scratchcard.verdict.sensitivity import breaks, crossing, longest, ranking
from tests.factory import make_results, no_effect
from tests.verdict.exact import exact_results


def test_crossing_is_linear_in_the_logarithm_of_density() -> None:
    # loss 0 at density 0.8, twice the margin at 0.8 ** 3: it crosses half way, at 0.8 ** 2
    assert crossing([0.2, 1 - 0.8**3], [0.0, 0.02], 0.01) == pytest.approx(1 - 0.8**2)
    assert crossing([0.2, 0.36], [0.0, 0.01], 0.01) == math.inf
    assert crossing([0.36, 0.5], [math.nan, math.nan], 0.01) == math.inf
    skipped = crossing([0.2, 0.36, 1 - 0.8**3], [0.0, math.nan, 0.02], 0.01)
    assert skipped == pytest.approx(1 - 0.8**2)
    assert 0.5 < crossing([0.5, 1.0], [0.0, 1.0], 0.01) <= 1.0


def test_the_first_to_break_comes_first_and_holds_the_truth() -> None:
    found = [b for b in breaks(make_results(methods=("random",))) if b.method == "random"]
    assert found[0].metric == "nll", "it wears fastest in the factory"
    assert [b.sparsity for b in found] == sorted(b.sparsity for b in found)
    # the truth: 2.5 x 1.6 (n / 7) ** 3 - 0.15 = 1 at rung n = 4.6, interpolated between 4 and 7
    nll = found[0]
    assert nll.lo is not None
    assert nll.hi is not None
    assert nll.lo <= nll.sparsity <= nll.hi
    assert 1 - 0.8**4 < nll.sparsity < 1 - 0.8**7


def test_intervals_need_seeds() -> None:
    (one, *_) = breaks(make_results(methods=("random",), seeds=1))
    assert (one.lo, one.hi, one.seeds) == (None, None, 1)
    (few, *_) = breaks(make_results(methods=("random",), seeds=3))
    assert few.lo is not None
    assert few.lo <= few.sparsity
    assert all(b.sparsity == math.inf for b in breaks(make_results(effects=no_effect)))


def test_failed_seeds_are_left_out() -> None:
    failed = {("lth", t, k): "killed" for t in (0.36, 0.5904) for k in (0, 1)}
    assert {b.seeds for b in breaks(make_results(targets=(0.36, 0.5904), failed=failed))} == {3, 5}


def made_to_break(where: dict[tuple[str, str], float], ladders: object = None) -> Results:
    """Each (method, metric) loses three margins from a rung on; others gain."""
    return exact_results(
        lambda method, target, seed, label: (
            -3.0 if target >= where.get((method, label), 2.0) else 0.5
        ),
        metrics=("accuracy", "ece", "brier"),
        methods=("lth", "omp", "random"),
        targets=(0.2, 0.36, 0.488, 0.59),
        seeds=1,
        controls=("random",),
        ladders=ladders,
    )


def test_metrics_are_ranked_over_methods() -> None:
    results = made_to_break(
        {
            ("lth", "ece"): 0.488,
            ("omp", "ece"): 0.36,
            ("omp", "accuracy"): 0.59,
            ("random", "brier"): 0.2,
        }
    )
    ece, accuracy, brier = ranking(results, breaks(results))
    # lth: ece 1, the others share 2 and 3; omp: ece 1, accuracy 2, brier 3
    assert [(one.metric, one.rank) for one in (ece, accuracy, brier)] == [
        ("ece", 1.0),
        ("accuracy", 2.25),
        ("brier", 2.75),
    ]
    assert (ece.first, ece.broken, ece.methods) == (2, 2, 2)
    assert (accuracy.first, accuracy.broken) == (0, 1)
    assert brier.sparsity == math.inf, "the control does not count"
    assert 0.36 < ece.sparsity < 0.488, "the later of the two"


def test_who_holds_longest_with_each_metric() -> None:
    where = {("lth", "ece"): 0.488, ("omp", "ece"): 0.36, ("omp", "brier"): 0.59}
    results = made_to_break(where, ladders={"lth": (0.2, 0.36, 0.488)})
    found = {one.metric: one for one in longest(results, breaks(results))}
    assert found["ece"].methods == ("lth",)
    assert not found["ece"].open
    # lth holds to 0.488, the end of its ladder; omp breaks later: nothing says lth would not
    assert found["brier"].methods == ("omp",)
    assert found["accuracy"].methods == ("omp",)
    assert found["accuracy"].open
    assert found["accuracy"].sparsity == 0.59


def test_nothing_holds_where_a_layer_has_collapsed() -> None:
    targets = (0.36, 0.5904, 0.7903)
    plain = make_results(methods=("random",), targets=targets, effects=no_effect)
    assert {b.sparsity for b in breaks(plain)} == {math.inf}
    gone = make_results(
        methods=("random",), targets=targets, effects=no_effect, collapsed={("random", 0.5904)}
    )
    found = breaks(gone)
    assert {(b.sparsity, b.lo, b.hi) for b in found} == {(0.5904, 0.5904, 0.5904)}
    assert {one.sparsity for one in longest(gone, found)} == {0.5904}
