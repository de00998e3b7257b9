"""Networks whose calibration is known, because labels are drawn from it."""

from collections.abc import Callable

import numpy as np
import pytest

from scratchcard.probe import Predictions


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Predictions]:
    """Labels are drawn from softmax(z / temperature): calibrated at 1, over-confident above."""

    def draw(
        n: int, classes: int = 10, *, scale: float = 3.0, temperature: float = 1.0, seed: int = 0
    ) -> Predictions:
        stream = np.random.default_rng(seed)
        z = stream.normal(size=(n, classes)) * scale
        labels = (z / temperature + stream.gumbel(size=z.shape)).argmax(axis=1)
        return Predictions(z.astype(np.float32), labels)

    return draw


@pytest.fixture(scope="session")
def confident() -> Callable[[list[float], list[bool]], Predictions]:
    """Two classes, the first predicted with a given confidence, rightly or wrongly."""

    def predict(confidence: list[float], correct: list[bool]) -> Predictions:
        p = np.array(confidence)
        other = np.maximum(1 - p, 1e-300)  # ln gives -690, and a probability of 1.0 exactly
        z = np.log(np.stack([p, other], axis=1))
        return Predictions(z.astype(np.float32), 1 - np.array(correct, dtype=np.int64))

    return predict
