"""ECE against brute force and the cases where it is known."""

from collections.abc import Callable

import numpy as np
import pytest

from scratchcard.contracts import UserError
from scratchcard.metrics.calibration.ece import ece
from scratchcard.probe import Predictions
from scratchcard.stats import resamples

Make = Callable[..., Predictions]


def brute_force(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    return total


@pytest.mark.parametrize("bins", [1, 10, 14, 15, 100])
def test_it_is_the_sum_over_bins(simulate: Make, bins: int) -> None:
    p = simulate(1000, temperature=2.0)
    wanted = brute_force(p.confidence, p.correct, bins)
    assert ece(p, bins=bins).value == pytest.approx(wanted, abs=1e-12)


def test_a_resample_is_scored_as_if_it_were_the_set(simulate: Make) -> None:
    p = simulate(100)
    wanted = [brute_force(p.confidence[i], p.correct[i], 15) for i in resamples([100], 40)]
    np.testing.assert_allclose(np.asarray(ece(p).replicates)[:40], wanted, atol=1e-12)


def test_confidence_1_counts_in_the_last_bin(confident: Make) -> None:
    p = confident([0.95, 1.0], [False, True])
    assert p.confidence[1] == 1.0
    assert ece(p, bins=10).value == pytest.approx(0.475, abs=1e-7)


def test_one_sign_of_miscalibration_gives_the_same_in_any_bins(confident: Make) -> None:
    stream = np.random.default_rng(0)
    confidence = stream.uniform(0.5, 1, size=500)
    p = confident(confidence, np.zeros(500, bool))
    for bins in (1, 7, 15, 200):
        assert ece(p, bins=bins).value == pytest.approx(p.confidence.mean(), abs=1e-12)


def test_a_constant_predictor_is_off_by_its_confidence(confident: Make) -> None:
    p = confident([0.8] * 100, [True] * 65 + [False] * 35)
    assert ece(p).value == pytest.approx(0.15, abs=1e-7)


@pytest.mark.parametrize("n", [300, 3000])
def test_the_noise_floor_is_what_calibrated_networks_get(simulate: Make, n: int) -> None:
    readings = [ece(simulate(n, seed=seed)) for seed in range(30)]
    measured = np.mean([reading.value for reading in readings])
    predicted = np.mean([reading.parts["noise floor"].value for reading in readings])
    assert predicted == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("bins", [0, -3])
def test_bins_must_be_counted(simulate: Make, bins: int) -> None:
    with pytest.raises(UserError, match=f"not {bins}"):
        ece(simulate(10), bins=bins)
