"""Churn against a count by hand, scipy's binomial test, and what must hold of any pair."""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from scratchcard.metrics.fairness.churn import churn, mcnemar
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS


def saying(predicted: list[int] | np.ndarray, labels: list[int] | np.ndarray) -> Predictions:
    logits = np.eye(4, dtype=np.float32)[np.asarray(predicted)]
    return Predictions(logits, np.asarray(labels))


def draw(n: int, seed: int) -> tuple[Predictions, Predictions]:
    stream = np.random.default_rng(seed)
    labels = stream.integers(4, size=n)
    dense, sparse = (
        np.where(stream.random(n) < a, labels, stream.integers(4, size=n)) for a in (0.8, 0.6)
    )
    return saying(sparse, labels), saying(dense, labels)


def test_a_count_by_hand() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    dense = saying([0, 0, 0, 1, 2, 2, 1, 2], labels)
    sparse = saying([0, 1, 2, 0, 2, 3, 1, 3], labels)
    reading = churn(sparse, dense)
    parts = {label: part.value for label, part in reading.parts.items()}
    assert reading.value == 3 / 8
    assert parts == {
        "correct to wrong": 2 / 8,
        "wrong to correct": 1 / 8,
        "disagreement": 5 / 8,  # two of them from one mistake to another
        "McNemar p": 1.0,
    }
    assert reading.examples is not None
    assert reading.examples.tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert reading.parts["McNemar p"].n == 3


@pytest.mark.parametrize("b", range(0, 40, 3))
def test_mcnemar_is_the_binomial_test(b: int) -> None:
    for c in range(0, 40, 4):
        wanted = binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar(b, c) == pytest.approx(wanted, rel=1e-9)
        assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_of_many_images() -> None:
    assert mcnemar(300, 420) == pytest.approx(binomtest(300, 720).pvalue, rel=1e-9)
    assert mcnemar(3000, 3000) == 1.0
    # The textbook's chi-squared form is 0.0253 for 0 against 5, the exact one 2/2^5.
    assert chi2.sf(5, 1) == pytest.approx(0.0253, abs=1e-4)
    assert mcnemar(0, 5) == 0.0625


@pytest.mark.parametrize("seed", range(3))
def test_what_holds_of_any_pair(seed: int) -> None:
    sparse, dense = draw(200, seed)
    one, other = churn(sparse, dense), churn(dense, sparse)
    parts = one.parts
    assert one.value == other.value
    assert parts["correct to wrong"].value == other.parts["wrong to correct"].value
    assert parts["correct to wrong"].value + parts["wrong to correct"].value == pytest.approx(
        one.value
    )
    loss = accuracy(dense).value - accuracy(sparse).value
    assert parts["correct to wrong"].value - parts["wrong to correct"].value == pytest.approx(loss)
    assert abs(loss) < one.value <= parts["disagreement"].value


def test_a_twin_does_not_churn() -> None:
    _, dense = draw(50, 0)
    reading = churn(dense, dense)
    assert (reading.value, reading.stderr) == (0.0, 0.0)
    assert reading.parts["disagreement"].value == 0
    assert reading.parts["McNemar p"].value == 1


def test_scaled_logits_do_not_churn_but_others_images_are_refused() -> None:
    sparse, dense = draw(50, 0)
    scaled = Predictions(sparse.logits * 1000, sparse.labels)
    assert churn(scaled, sparse).parts["disagreement"].value == 0
    with pytest.raises(ValueError, match="same images"):
        churn(sparse, Predictions(dense.logits, (dense.labels + 1) % 4))
    with pytest.raises(ValueError, match="same images"):
        churn(sparse, Predictions(dense.logits[1:], dense.labels[1:]))


@pytest.mark.parametrize("name", ["churn", "class-damage"])
def test_they_are_metrics_of_a_pair(name: str) -> None:
    spec = METRICS.get(name)
    assert (spec.scope, spec.dimension, spec.headline) == ("pair", "fairness", False)
