"""SCE against brute force."""

from collections.abc import Callable

import numpy as np
import pytest

from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.sce import sce
from scratchcard.probe import Predictions
from scratchcard.stats import resamples

Make = Callable[..., Predictions]


def brute_force(p: Predictions, index: np.ndarray, k: int, bins: int) -> float:
    own, truth = p.probabilities[index, k], p.labels[index] == k
    total = 0.0
    for b in range(bins):
        inside = (own > b / bins) & (own <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(truth[inside].mean() - own[inside].mean())
    return total


def test_it_is_the_mean_over_classes_of_one_against_the_rest(simulate: Make) -> None:
    p = simulate(400, 4, temperature=1.5)
    reading = sce(p, bins=12)
    wanted = [brute_force(p, np.arange(400), k, 12) for k in range(4)]
    found = [reading.parts[f"class {k}"].value for k in range(4)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert [*reading.parts] == [*(f"class {k}" for k in range(4)), "noise floor"]
    assert reading.value == pytest.approx(np.mean(wanted), abs=1e-12)


def test_a_resample_is_scored_as_if_it_were_the_set(simulate: Make) -> None:
    p = simulate(60, 3)
    wanted = [np.mean([brute_force(p, i, k, 15) for k in range(3)]) for i in resamples([60], 20)]
    np.testing.assert_allclose(np.asarray(sce(p).replicates)[:20], wanted, atol=1e-12)


def test_of_two_classes_both_have_the_same_error(simulate: Make) -> None:
    # With one bin the gaps of a class and of its complement are equal and opposite.
    parts = sce(simulate(200, 2), bins=1).parts
    assert parts["class 0"].value == pytest.approx(parts["class 1"].value, abs=1e-12)


def test_it_is_far_smaller_than_ece(simulate: Make) -> None:
    p = simulate(5000, 50, temperature=2.0)
    assert sce(p).value < ece(p).value / 10
