"""The AUROC against its closed form, sklearn, and the trap of float32 probabilities."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from scratchcard.metrics.generalisation.ood_auroc import auroc, ood_auroc
from scratchcard.metrics.generalisation.ood_scores import log_odds
from scratchcard.probe import Predictions
from scratchcard.stats import resamples


def by_sklearn(inside: np.ndarray, outside: np.ndarray) -> float:
    truth = np.repeat([1, 0], [len(inside), len(outside)])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def binary(log_odds: np.ndarray) -> np.ndarray:
    """Logits of two classes with these log-odds of the first."""
    return np.stack([log_odds, np.zeros_like(log_odds)], axis=1).astype(np.float32)


@pytest.mark.parametrize("d", [0.0, 1.0, 2.5])
def test_two_normals_give_the_closed_form(d: float) -> None:
    stream = np.random.default_rng(0)
    inside, outside = stream.normal(size=20_000) + 20 + d, stream.normal(size=20_000) + 20
    own = Predictions(binary(inside), np.zeros(20_000, int))
    reading = ood_auroc(own, {"far": binary(outside)}, {})
    assert abs(reading.value - norm.cdf(d / np.sqrt(2))) < 4 * reading.stderr
    assert reading.stderr < 0.004


def test_ties_are_counted_half_as_in_sklearn() -> None:
    stream = np.random.default_rng(0)
    inside, outside = stream.integers(3, 12, size=500), stream.integers(0, 9, size=300)
    assert auroc(inside, outside) == pytest.approx(by_sklearn(inside, outside), abs=1e-12)
    assert auroc(inside, outside) + auroc(outside, inside) == pytest.approx(1, abs=1e-12)
    assert auroc(np.exp(inside), np.exp(outside)) == auroc(inside, outside)
    assert auroc(np.ones(5), np.ones(9)) == 0.5


def test_a_constant_predictor_knows_nothing() -> None:
    own = Predictions(np.ones((20, 3), np.float32), np.zeros(20, int))
    reading = ood_auroc(own, {"noise": np.ones((30, 3), np.float32)}, {})
    assert (reading.value, reading.stderr) == (0.5, 0.0)


def test_the_score_orders_like_the_largest_probability() -> None:
    z = np.random.default_rng(0).normal(size=(200, 5)) * 2
    confidence = softmax(z, axis=1).max(axis=1)
    np.testing.assert_allclose(log_odds(z), np.log(confidence / (1 - confidence)), rtol=1e-9)


def test_confident_networks_get_no_ties_from_float32() -> None:
    stream = np.random.default_rng(0)
    z = (stream.normal(size=(2000, 10)) * 60).astype(np.float32)
    foreign = (stream.normal(size=(2000, 10)) * 40).astype(np.float32)
    found = ood_auroc(Predictions(z, np.zeros(2000, int)), {"far": foreign}, {}).value
    largest = (softmax(z, axis=1).max(axis=1), softmax(foreign, axis=1).max(axis=1))
    assert largest[0].dtype == np.float32
    assert len(np.unique(largest[0])) < 1500
    assert abs(by_sklearn(*largest) - found) > 0.005
    ordered = [np.sort(part.astype(np.float64), axis=1) for part in (z, foreign)]
    exact = [part[:, -1] - logsumexp(part[:, :-1], axis=1) for part in ordered]
    assert found == pytest.approx(by_sklearn(exact[0], exact[1]), abs=1e-12)


def test_the_value_is_the_mean_over_sets_and_parts_are_theirs() -> None:
    stream = np.random.default_rng(0)
    own = Predictions((stream.normal(size=(300, 4)) * 3).astype(np.float32), np.zeros(300, int))
    sets = {
        "near": (stream.normal(size=(100, 4)) * 2).astype(np.float32),
        "far": stream.normal(size=(50, 4)).astype(np.float32),
    }
    reading = ood_auroc(own, sets, {})
    alone = {name: ood_auroc(own, {name: foreign}, {}) for name, foreign in sets.items()}
    assert reading.value == pytest.approx(np.mean([one.value for one in alone.values()]))
    for name, one in alone.items():
        assert reading.parts[name].value == one.value
        assert reading.parts[name].stderr == pytest.approx(one.stderr, rel=0.2)
        assert reading.parts[name].n == len(sets[name])


def test_the_order_of_the_sets_changes_no_bit() -> None:
    rng = np.random.default_rng(3)
    p = Predictions(rng.normal(size=(60, 3)), rng.integers(0, 3, 60))
    sets = {"far": rng.normal(size=(50, 3)), "a near one": rng.normal(size=(70, 3))}
    one, two = (ood_auroc(p, dict(order), {}) for order in (sets.items(), reversed(sets.items())))
    assert one.replicates is not None
    assert two.replicates is not None
    assert np.array_equal(one.replicates, two.replicates)


def test_a_resample_is_scored_as_if_it_were_the_set() -> None:
    stream = np.random.default_rng(0)
    z = (stream.normal(size=(80, 3)) * 3).astype(np.float32)
    foreign = stream.normal(size=(60, 3)).astype(np.float32)
    reading = ood_auroc(Predictions(z, np.zeros(80, int)), {"far": foreign}, {})
    scores = np.concatenate([log_odds(z), log_odds(foreign)])
    wanted = [by_sklearn(scores[i[:80]], scores[i[80:]]) for i in resamples([80, 60], 40)]
    assert reading.replicates is not None
    np.testing.assert_allclose(reading.replicates[:40], wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({}, "at least one"),
        ({"far": np.zeros((0, 2))}, 'set "far"'),
        ({"far": np.zeros((4, 3))}, r"not \[M, 2\]"),
        ({"far": np.full((4, 2), np.nan)}, "not a number"),
    ],
)
def test_unusable_sets_are_refused(foreign: dict[str, np.ndarray], message: str) -> None:
    own = Predictions(np.zeros((5, 2), np.float32), np.zeros(5, int))
    with pytest.raises(ValueError, match=message):
        ood_auroc(own, foreign, {})
