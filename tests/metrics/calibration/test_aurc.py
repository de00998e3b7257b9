"""AURC against closed forms, every order of ties, and sklearn's counts."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from scratchcard.metrics.calibration.aurc import aurc, best_area, risk_area
from scratchcard.probe import Predictions
from scratchcard.stats import resamples
from scratchcard.testing import check_metric

Make = Callable[..., Predictions]


def area_in_order(wrong: np.ndarray) -> float:
    """The definition, read aloud: the mean over k of the error rate of the first k."""
    return float(np.mean([wrong[:k].mean() for k in range(1, len(wrong) + 1)]))


def test_the_metric_conforms() -> None:
    check_metric("aurc")


def test_one_mistake_costs_by_its_place(confident: Make) -> None:
    n, confidence = 10, np.linspace(0.95, 0.55, 10)
    for place in range(n):
        correct = np.arange(n) != place
        harmonic = sum(1 / k for k in range(place + 1, n + 1)) / n
        reading = aurc(confident(confidence, correct))
        assert reading.value == pytest.approx(harmonic, abs=1e-14)
        assert reading.parts["excess"].value == pytest.approx(harmonic - 1 / n**2, abs=1e-14)


def test_it_is_the_mean_risk(simulate: Make) -> None:
    p = simulate(200, temperature=2.0)
    order = np.argsort(-p.confidence)
    risks = [1 - accuracy_score(p.labels[order[:k]], p.predicted[order[:k]]) for k in range(1, 201)]
    assert aurc(p).value == pytest.approx(np.mean(risks), abs=1e-12)


@pytest.mark.parametrize("ranks", [[0, 0, 0, 0, 0], [0, 1, 1, 1, 2], [0, 0, 1, 2, 2]])
def test_ties_count_as_the_mean_over_all_their_orders(ranks: list[int]) -> None:
    wrong = np.array([True, False, True, False, True])
    areas = [
        area_in_order(wrong[list(order)])
        for order in permutations(range(5))
        if all(np.diff(np.array(ranks)[list(order)]) >= 0)
    ]
    assert risk_area(np.array(ranks), wrong) == pytest.approx(np.mean(areas), abs=1e-14)
    assert np.ptp(areas) > 0.1  # taking the images as they come would not do


def test_confidence_that_says_nothing_gives_the_error_rate() -> None:
    p = Predictions(np.tile([2.0, 0.0], (40, 1)).astype(np.float32), np.repeat([1, 0], [10, 30]))
    assert aurc(p).value == pytest.approx(0.25, abs=1e-14)


def test_the_best_order_has_no_excess(confident: Make) -> None:
    reading = aurc(confident(np.linspace(0.95, 0.55, 20), np.arange(20) < 15))
    assert reading.value == pytest.approx(sum((k - 15) / k for k in range(16, 21)) / 20, abs=1e-14)
    assert reading.parts["excess"].value == pytest.approx(0, abs=1e-14)
    assert reading.parts["excess"].stderr == pytest.approx(0, abs=1e-14)


def test_the_best_area_tends_to_its_integral() -> None:
    wrong, r = np.arange(20_000) % 5 == 0, 0.2
    assert best_area(wrong) == pytest.approx(r + (1 - r) * np.log(1 - r), abs=1e-4)


def test_all_right_and_all_wrong_are_0_and_1(simulate: Make) -> None:
    p = simulate(30, 2)
    assert aurc(Predictions(p.logits, p.predicted)).value == 0
    worst = aurc(Predictions(p.logits, 1 - p.predicted))
    assert worst.value == 1
    assert worst.parts["excess"].value == 0


def test_confidences_that_round_to_1_keep_their_order() -> None:
    z = np.array([[60, 0], [50, 0], [40, 0]], np.float32)
    p = Predictions(z, np.array([0, 0, 1]))
    assert p.confidence.tolist() == [1, 1, 1]
    assert aurc(p).value == pytest.approx(1 / 9, abs=1e-14)


def test_it_does_not_change_with_the_scale_of_the_logits(simulate: Make) -> None:
    p = simulate(100, 2)
    wanted, found = aurc(p), aurc(Predictions(p.logits * 8, p.labels))
    assert found.value == wanted.value
    assert np.array_equal(np.asarray(found.replicates), np.asarray(wanted.replicates))


def test_a_resample_is_scored_as_if_it_were_the_set(simulate: Make) -> None:
    p = simulate(60)
    own = [Predictions(p.logits[i], p.labels[i]) for i in resamples([60], 5)]
    found = np.asarray(aurc(p).replicates)[:5]
    np.testing.assert_allclose(found, [aurc(drawn).value for drawn in own], atol=1e-14)


def test_the_bootstrap_error_is_that_of_fresh_data(simulate: Make) -> None:
    readings = [aurc(simulate(300, seed=seed)) for seed in range(40)]
    fresh = np.std([reading.value for reading in readings], ddof=1)
    assert np.mean([reading.stderr for reading in readings]) == pytest.approx(fresh, rel=0.35)
