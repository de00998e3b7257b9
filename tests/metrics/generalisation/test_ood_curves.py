"""AUPR and FPR95, in both conventions, against closed forms and sklearn."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from scratchcard.contracts import Reading, UserError
from scratchcard.metrics.generalisation.ood_aupr import average_precision, ood_aupr
from scratchcard.metrics.generalisation.ood_fpr95 import fpr95, ood_fpr95
from scratchcard.metrics.generalisation.ood_scores import sureness, tally
from scratchcard.probe import Predictions
from scratchcard.stats import resamples

Metric = Callable[..., Reading]
Oracle = Callable[[np.ndarray, np.ndarray], float]


def joined(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    return truth, np.concatenate([positive, negative])


def sklearn_ap(positive: np.ndarray, negative: np.ndarray) -> float:
    return float(average_precision_score(*joined(positive, negative)))


def sklearn_fpr95(positive: np.ndarray, negative: np.ndarray) -> float:
    false, true, _ = roc_curve(*joined(positive, negative), drop_intermediate=False)
    return float(false[np.argmax(true >= 0.95 - 1e-9)])


def by_loop(positive: np.ndarray, negative: np.ndarray) -> float:
    """FPR95 by trying every threshold."""
    passing = [t for t in positive if np.mean(positive >= t) >= 0.95 - 1e-9]
    return float(np.mean(negative >= max(passing)))


def binary(log_odds: np.ndarray) -> np.ndarray:
    return np.stack([log_odds, np.zeros_like(log_odds)], axis=1).astype(np.float32)


def labelled(logits: np.ndarray) -> Predictions:
    return Predictions(logits, np.zeros(len(logits), int))


def draw(n: int, scale: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 4)) * scale).astype(np.float32)


CASES = [(ood_aupr, sklearn_ap), (ood_fpr95, sklearn_fpr95), (ood_fpr95, by_loop)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("metric", "oracle"), CASES)
def test_both_conventions_are_sklearns(metric: Metric, oracle: Oracle, ties: bool) -> None:
    own, foreign = draw(140, 3), draw(90, 2, seed=1)
    if ties:
        own, foreign = own.round(), foreign.round()
    mine, theirs = (sureness(z, "max-logit") for z in (own, foreign))
    reading = metric(labelled(own), {"far": foreign}, {}, score="max-logit")
    assert list(reading.parts) == ["far", "far, foreign positive"]
    assert reading.value == pytest.approx(oracle(mine, theirs), abs=1e-12)
    other = reading.parts["far, foreign positive"]
    assert other.value == pytest.approx(oracle(-theirs, -mine), abs=1e-12)
    assert other.value != reading.value
    assert other.stderr > 0


@pytest.mark.parametrize(("metric", "oracle"), CASES[:2])
def test_a_resample_is_scored_as_if_it_were_the_set(metric: Metric, oracle: Oracle) -> None:
    own, foreign = draw(80, 3).round(), draw(60, 2, seed=1).round()
    scores = np.concatenate([sureness(z, "energy") for z in (own, foreign)])
    reading = metric(labelled(own), {"far": foreign}, {}, score="energy")
    wanted = [oracle(scores[i[:80]], scores[i[80:]]) for i in resamples([80, 60], 40)]
    np.testing.assert_allclose(np.asarray(reading.replicates)[:40], wanted, atol=1e-12)


@pytest.mark.parametrize("d", [0.0, 1.0, 2.5])
def test_the_fpr_of_two_normals_has_a_closed_form(d: float) -> None:
    stream = np.random.default_rng(0)
    inside, outside = stream.normal(size=20_000) + 20 + d, stream.normal(size=20_000) + 20
    reading = ood_fpr95(labelled(binary(inside)), {"far": binary(outside)}, {})
    for found in (reading, reading.parts["far, foreign positive"]):  # symmetric
        assert abs(found.value - norm.cdf(norm.ppf(0.95) - d)) < 4 * found.stderr
        assert 0 < found.stderr < 0.02


def test_the_conventions_differ_where_the_spreads_do() -> None:
    stream = np.random.default_rng(0)
    inside, outside = stream.normal(size=20_000) + 30, 3 * stream.normal(size=20_000) + 27
    reading = ood_fpr95(labelled(binary(inside)), {"far": binary(outside)}, {})
    other = reading.parts["far, foreign positive"]
    assert abs(reading.value - norm.sf((3 - norm.ppf(0.95)) / 3)) < 4 * reading.stderr
    assert abs(other.value - norm.cdf(3 * norm.ppf(0.95) - 3)) < 4 * other.stderr
    assert other.value > reading.value + 0.5


def test_the_precision_of_a_count_by_hand() -> None:
    # From the surest: test, foreign, test and foreign at once, foreign.
    own, foreign = np.array([4.0, 2.0]), np.array([3.0, 2.0, 1.0])
    assert average_precision(*tally(own, foreign)) == pytest.approx((1 / 1 + 2 / 4) / 2)
    own, foreign = np.array([3.0, 1.0]), np.array([2.0])
    assert average_precision(*tally(own, foreign)) == pytest.approx((1 / 1 + 2 / 3) / 2)
    precision, recall, _ = precision_recall_curve(*joined(own, foreign))
    assert auc(recall, precision) == pytest.approx(19 / 24)  # straight lines are another number


@pytest.mark.parametrize("n", [20, 60, 140, 300, 340, 680])
def test_exactly_95_percent_is_enough(n: int) -> None:
    inside = np.arange(n, dtype=float)
    outside = np.array([n / 20 - 0.5, n / 20 - 1.5, -1.0, n])
    assert fpr95(*tally(inside, outside)) == 0.25


def test_dropping_points_of_the_curve_loses_the_threshold() -> None:
    one_of_each = np.arange(20.0)
    assert fpr95(*tally(one_of_each, one_of_each)) == 0.95
    false, true, _ = roc_curve(*joined(one_of_each, one_of_each))  # sklearn's default drops
    assert false[np.argmax(true >= 0.95)] == 1


def test_a_constant_predictor_gets_what_guessing_gets() -> None:
    own, far = labelled(np.ones((20, 3), np.float32)), {"noise": np.ones((30, 3), np.float32)}
    purity, passing = ood_aupr(own, far, {}), ood_fpr95(own, far, {})
    assert (purity.value, purity.stderr) == (0.4, 0.0)
    assert purity.parts["noise, foreign positive"].value == pytest.approx(0.6)
    assert (passing.value, passing.stderr) == (1.0, 0.0)
    assert passing.parts["noise, foreign positive"].value == 1


@pytest.mark.parametrize("metric", [ood_aupr, ood_fpr95])
def test_perfect_separation_and_several_sets(metric: Metric) -> None:
    own = labelled(binary(np.linspace(10, 20, 30)))
    sets = {"far": binary(np.linspace(0.1, 5, 20)), "same": binary(np.linspace(10, 20, 30))}
    reading = metric(own, sets, {})
    best = 1.0 if metric is ood_aupr else 0.0
    far, same = reading.parts["far"], reading.parts["same"]
    assert (far.value, far.stderr, far.n) == (best, 0.0, 20)
    assert reading.parts["far, foreign positive"].value == best
    assert reading.value == pytest.approx((far.value + same.value) / 2)
    assert reading.n == 30 + 20 + 30


@pytest.mark.parametrize("metric", [ood_aupr, ood_fpr95])
def test_unusable_input_is_refused(metric: Metric) -> None:
    own = labelled(np.zeros((5, 2), np.float32))
    for foreign, message in [
        ({}, "at least one"),
        ({"far": np.zeros((0, 2))}, 'set "far"'),
        ({"far": np.full((4, 2), np.inf)}, "infinite"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(own, foreign, {})
    with pytest.raises(UserError, match="odin"):
        metric(own, {"far": np.zeros((4, 2))}, {}, score="odin")
