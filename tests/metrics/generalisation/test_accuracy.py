"""Accuracy against counting."""

import numpy as np
from sklearn.metrics import accuracy_score, recall_score

from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.probe import Predictions


def test_it_agrees_with_sklearn_overall_and_by_class() -> None:
    stream = np.random.default_rng(0)
    p = Predictions(stream.normal(size=(200, 4)).astype(np.float32), stream.integers(4, size=200))
    reading = accuracy(p)
    assert reading.value == accuracy_score(p.labels, p.predicted)
    recalls = recall_score(p.labels, p.predicted, average=None)
    np.testing.assert_allclose([part.value for part in reading.parts.values()], recalls)
    assert sum(part.n for part in reading.parts.values()) == 200


def test_knowing_everything_and_nothing() -> None:
    labels = np.arange(30) % 3
    assert accuracy(Predictions(np.eye(3, dtype=np.float32)[labels], labels)).value == 1
    constant = accuracy(Predictions(np.zeros((30, 3), np.float32), labels))
    assert [part.value for part in constant.parts.values()] == [1, 0, 0]
