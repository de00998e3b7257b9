"""The debiased ECE against simulation: unbiased at 0, the plain ECE where gaps are plain."""

from collections.abc import Callable

import numpy as np
import pytest

from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.ece_debiased import ece_debiased, without_noise
from scratchcard.probe import Predictions

Make = Callable[..., Predictions]


def test_a_calibrated_network_gets_0_on_average(simulate: Make) -> None:
    drawn = [simulate(300, seed=seed) for seed in range(40)]
    plain = np.array([ece(p).value for p in drawn])
    debiased = np.array([ece_debiased(p).value for p in drawn])
    error = debiased.std(ddof=1) / np.sqrt(40)
    assert plain.mean() > 0.05
    assert abs(debiased.mean()) < 0.15 * plain.mean()
    assert abs(debiased.mean()) < 3 * error + 0.002  # bins of few images are not quite normal
    assert debiased.min() < 0


def test_gross_miscalibration_is_what_the_plain_ece_says(simulate: Make) -> None:
    p = simulate(10_000, temperature=3.0)
    assert ece(p).value > 0.3
    assert ece_debiased(p).value == pytest.approx(ece(p).value, rel=2e-3)


def test_a_constant_predictor_is_off_by_its_confidence(confident: Make) -> None:
    p = confident([0.8] * 1000, [True] * 650 + [False] * 350)
    assert ece_debiased(p).value == pytest.approx(0.15, abs=1e-6)


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_closed_form_is_the_mean_of_random_halvings(gap: float) -> None:
    noise = np.random.default_rng(0).normal(size=400_000)
    halvings = np.sign(gap + noise) * (gap - noise)
    found = without_noise(np.array([gap]), np.array([1.0]))[0]
    assert found == pytest.approx(halvings.mean(), abs=4 * halvings.std() / np.sqrt(400_000))


def test_bias_is_0_at_0_and_bounded_as_documented() -> None:
    noise = np.random.default_rng(0).normal(size=200_000)
    truths = np.linspace(0, 4, 41)
    bias = [
        float(without_noise(true + noise, np.ones_like(noise)).mean()) - true for true in truths
    ]
    assert abs(bias[0]) < 0.01
    assert -0.49 < min(bias) < -0.47
    assert max(bias) < 0.01


def test_without_noise_a_gap_is_its_size() -> None:
    assert without_noise(np.array([-0.3, 0.0]), np.zeros(2)).tolist() == [0.3, 0.0]


def test_the_bootstrap_error_is_that_of_fresh_data(simulate: Make) -> None:
    readings = [ece_debiased(simulate(1000, temperature=1.5, seed=seed)) for seed in range(30)]
    fresh = np.std([reading.value for reading in readings], ddof=1)
    bootstrap = np.mean([reading.stderr for reading in readings])
    assert bootstrap == pytest.approx(fresh, rel=0.3)
