"""The Brier score against closed forms and sklearn."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from scratchcard.metrics.calibration.brier import brier
from scratchcard.probe import Predictions


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_knowing_nothing_scores_1_less_1_over_k(classes: int) -> None:
    p = Predictions(np.zeros((20, classes), np.float32), np.arange(20) % classes)
    assert brier(p).value == pytest.approx(1 - 1 / classes, rel=1e-12)


def test_two_classes_score_twice_the_binary_form(simulate: Callable[..., Predictions]) -> None:
    p = simulate(500, 2)
    assert brier(p).value == pytest.approx(2 * brier_score_loss(p.labels, p.probabilities[:, 1]))


def test_a_constant_predictor_splits_into_noise_and_miscalibration(
    confident: Callable[..., Predictions],
) -> None:
    p = confident([0.8] * 100, [True] * 65 + [False] * 35)
    a, c = 0.65, 0.8
    assert brier(p).value == pytest.approx(2 * (a * (1 - a) + (a - c) ** 2), abs=1e-6)


def test_right_and_wrong_without_doubt_are_0_and_2() -> None:
    p = Predictions(np.array([[1e4, 0], [1e4, 0]], np.float32), np.array([0, 1]))
    assert np.asarray(brier(p).examples).tolist() == [0, 2]
