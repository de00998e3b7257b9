"""Temperatures, and what is left after them, against closed forms, refits and simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.ece_debiased import ece_debiased
from scratchcard.metrics.calibration.ece_scaled import ece_scaled
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.nll_scaled import nll_scaled
from scratchcard.metrics.calibration.temperature import RANGE, fit_temperature, scaled
from scratchcard.probe import Predictions
from scratchcard.testing import check_metric

Make = Callable[..., Predictions]


def without(p: Predictions, i: int) -> Predictions:
    return Predictions(np.delete(p.logits, i, axis=0), np.delete(p.labels, i))


@pytest.mark.parametrize("name", ["nll-scaled", "ece-scaled"])
def test_the_metrics_conform(name: str) -> None:
    check_metric(name)


@pytest.mark.parametrize("right", [60, 75, 99])
def test_a_constant_predictor_is_scaled_to_its_accuracy(right: int) -> None:
    p = Predictions(np.tile([4.0, 0.0], (100, 1)), np.repeat([0, 1], [right, 100 - right]))
    assert fit_temperature(p) == pytest.approx(4 / np.log(right / (100 - right)), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_labels_is_found(simulate: Make, temperature: float) -> None:
    found = scaled(simulate(3000, temperature=temperature)).temperature
    assert 0.01 < found.stderr / found.value < 0.05
    assert abs(found.value - temperature) < 3 * found.stderr


def test_it_minimises_the_nll_that_sklearn_computes(simulate: Make) -> None:
    p = simulate(300, 5, temperature=1.7)

    def loss(t: float) -> float:
        own = Predictions(p.logits / t, p.labels)
        return float(log_loss(p.labels, own.probabilities, labels=np.arange(5)))

    wanted = minimize_scalar(loss, bounds=(0.5, 5), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(p) == pytest.approx(wanted.x, rel=1e-5)


@pytest.mark.parametrize("factor", [1e-6, 8.0, 1e6])
def test_the_scale_of_the_logits_does_not_matter(simulate: Make, factor: float) -> None:
    p = simulate(200, 4)
    own = Predictions(p.logits.astype(np.float64) * factor, p.labels)
    assert fit_temperature(own) == pytest.approx(fit_temperature(p) * factor, rel=1e-9)
    assert nll_scaled(own).value == pytest.approx(nll_scaled(p).value, rel=1e-9)


def test_boundless_confidence_is_mended() -> None:
    p = Predictions(np.array([[1e30, 0]] * 100, np.float32), np.repeat([0, 1], [75, 25]))
    assert fit_temperature(p) == pytest.approx(1e30 / np.log(3), rel=1e-6)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert nll_scaled(p).value == pytest.approx(entropy, abs=0.02)
    assert nll(p).value > 1e29


def test_without_mistakes_or_without_worth_an_end_of_the_range_is_taken(simulate: Make) -> None:
    p = simulate(50)
    size = np.sqrt(np.mean((p.logits - p.logits.mean(axis=1, keepdims=True)) ** 2.0))
    best = Predictions(p.logits, p.predicted)
    worst = Predictions(p.logits, p.logits.argmin(axis=1))
    assert fit_temperature(best) == pytest.approx(size / RANGE, rel=1e-6)
    assert fit_temperature(worst) == pytest.approx(size * RANGE, rel=1e-6)
    assert nll_scaled(best).value == pytest.approx(0, abs=0.02)
    assert nll_scaled(worst).value == pytest.approx(np.log(10), abs=0.05)


def test_knowing_nothing_has_no_temperature() -> None:
    reading = nll_scaled(Predictions(np.full((20, 4), 7, np.float32), np.arange(20) % 4))
    assert reading.value == pytest.approx(np.log(4), rel=1e-12)
    assert (reading.parts["temperature"].value, reading.parts["temperature"].stderr) == (1, 0)


def test_each_image_gets_what_a_refit_without_it_gives(simulate: Make) -> None:
    p = simulate(150, 5, temperature=1.5)
    found = scaled(p)
    own = found.predictions.logits[:, 0] - found.predictions.logits[:, 1]
    given = (p.logits[:, 0].astype(np.float64) - p.logits[:, 1]) / own
    refitted = np.array([fit_temperature(without(p, i)) for i in range(150)])
    moved = np.abs(refitted - found.temperature.value)
    assert np.abs(given - refitted).max() < 0.1 * moved.max()
    losses = [
        nll(Predictions(p.logits[[i, i]] / refitted[i], p.labels[[i, i]])).value for i in range(150)
    ]
    cost = float(np.mean(losses)) - nll(Predictions(p.logits / fit_temperature(p), p.labels)).value
    assert cost > 0.005
    assert nll_scaled(p).value == pytest.approx(np.mean(losses), abs=0.03 * cost)


@pytest.mark.parametrize("mistakes", [1, 2])
def test_the_few_that_decide_are_left_out_of_fits_of_their_own(mistakes: int) -> None:
    """A single mistake among sure answers: without it the best temperature is the smallest."""
    z = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    labels = z.argmax(axis=1)
    labels[:mistakes] = (labels[:mistakes] + 1) % 3
    p = Predictions(z, labels)
    losses = [
        nll(Predictions(z[[i, i]] / fit_temperature(without(p, i)), labels[[i, i]])).value
        for i in range(200)
    ]
    assert nll_scaled(p).value == pytest.approx(np.mean(losses), rel=0.01)


def test_no_image_is_helped_by_its_own_label(simulate: Make) -> None:
    p = simulate(40, temperature=1.5)
    common = Predictions(p.logits / fit_temperature(p), p.labels)
    held_out, own = np.asarray(nll_scaled(p).examples), np.asarray(nll(common).examples)
    assert (held_out >= own).all()
    assert held_out.mean() > own.mean() + 1e-3  # fitted on itself it would look this much better


def test_the_standard_error_of_the_temperature_is_that_of_fresh_data(simulate: Make) -> None:
    found = [scaled(simulate(400, temperature=1.5, seed=seed)).temperature for seed in range(60)]
    fresh = np.std([part.value for part in found], ddof=1)
    assert np.mean([part.stderr for part in found]) == pytest.approx(fresh, rel=0.3)


def test_over_confidence_is_mended_and_other_faults_are_not(simulate: Make) -> None:
    p = simulate(3000, temperature=2.0)
    assert ece_debiased(p).value > 0.2
    assert abs(ece_scaled(p).value) < 0.02
    z = p.logits.astype(np.float64)
    mixed = Predictions(np.concatenate([z, z * 10]), np.concatenate([p.labels, p.labels]))
    assert ece_scaled(mixed).value > 0.05  # two scales, one temperature


def test_the_scaled_ece_is_that_of_scaled_logits(simulate: Make) -> None:
    p = simulate(300, temperature=1.5)
    own = ece_debiased(scaled(p).predictions, bins=9)
    reading = ece_scaled(p, bins=9)
    assert reading.value == own.value
    assert np.array_equal(np.asarray(reading.replicates), np.asarray(own.replicates))
    assert reading.value < ece(scaled(p).predictions, bins=9).value  # without the bias of noise


def test_the_bootstrap_error_is_that_of_fresh_data(simulate: Make) -> None:
    readings = [ece_scaled(simulate(500, temperature=1.5, seed=seed)) for seed in range(30)]
    fresh = np.std([reading.value for reading in readings], ddof=1)
    assert np.mean([reading.stderr for reading in readings]) == pytest.approx(fresh, rel=0.4)


def test_one_image_has_no_others() -> None:
    p = Predictions(np.array([[1, 0]], np.float32), np.array([0]))
    with pytest.raises(ValueError, match="2 at least, not 1"):
        ece_scaled(p)
