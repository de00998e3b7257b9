"""The NLL against sklearn and where float32 probabilities underflow."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import log_loss

from scratchcard.metrics.calibration.nll import nll
from scratchcard.probe import Predictions


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_knowing_nothing_costs_log_k(classes: int) -> None:
    reading = nll(Predictions(np.full((20, classes), 7, np.float32), np.zeros(20, int)))
    assert reading.value == pytest.approx(np.log(classes), rel=1e-12)
    assert reading.stderr == pytest.approx(0, abs=1e-12)


def test_it_agrees_with_sklearn(simulate: Callable[..., Predictions]) -> None:
    p = simulate(500)
    wanted = log_loss(p.labels, p.probabilities, labels=np.arange(10))
    assert nll(p).value == pytest.approx(wanted, rel=1e-12)


def test_a_confident_mistake_costs_its_margin_and_not_infinity() -> None:
    p = Predictions(np.array([[1e4, 0], [1e4, 0]], np.float32), np.array([1, 0]))
    assert nll(p).value == 5000
