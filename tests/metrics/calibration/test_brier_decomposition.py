"""The terms of the confidence's Brier score against hand counts, loops and sklearn."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.brier import brier
from scratchcard.metrics.calibration.brier_decomposition import brier_decomposition
from scratchcard.metrics.calibration.equal_mass import equal_mass, ranks_of
from scratchcard.probe import Predictions
from scratchcard.stats import resamples
from scratchcard.testing import check_metric

Make = Callable[..., Predictions]


def values(reading: Reading) -> dict[str, float]:
    return {label: part.value for label, part in reading.parts.items()}


def test_the_metric_conforms() -> None:
    check_metric("brier-decomposition")


def test_two_bins_by_hand(confident: Make) -> None:
    p = confident([0.6, 0.6, 0.7, 0.9], [True, False, True, True])
    found = values(brier_decomposition(p, bins=2))
    wanted = {
        "reliability": (0.1**2 + 0.2**2) / 2,
        "resolution": 0.25**2,  # accuracies 1/2 and 1 about 3/4
        "uncertainty": 0.75 * 0.25,
        "within-bin variance": 0.1**2 / 2,
        "within-bin covariance": 0.0,
        "score": (0.4**2 + 0.6**2 + 0.3**2 + 0.1**2) / 4,
        "noise floor": (0.6 * 0.4 + (0.7 * 0.3 + 0.9 * 0.1) / 2) / 4,
    }
    assert found == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize(("classes", "bins"), [(2, 15), (10, 1), (10, 15), (10, 500)])
def test_the_terms_add_up_exactly(simulate: Make, classes: int, bins: int) -> None:
    p = simulate(300, classes, temperature=2.0)
    found = values(brier_decomposition(p, bins=bins))
    murphy = found["reliability"] - found["resolution"] + found["uncertainty"]
    inside = found["within-bin variance"] - found["within-bin covariance"]
    assert murphy + inside == pytest.approx(found["score"], abs=1e-14)
    wanted = brier_score_loss(p.correct, p.confidence)
    assert found["score"] == pytest.approx(wanted, abs=1e-14)
    if bins == 1:  # without the terms inside the bins the sum would be wrong
        assert abs(murphy - found["score"]) > 1e-4


def test_reliability_and_resolution_are_what_a_loop_finds(simulate: Make) -> None:
    p = simulate(200, temperature=1.5)
    reliability = resolution = 0.0
    where = equal_mass(ranks_of(p.confidence), 7)
    for b in range(7):
        own = where == b
        reliability += own.mean() * (p.confidence[own].mean() - p.correct[own].mean()) ** 2
        resolution += own.mean() * (p.correct[own].mean() - p.correct.mean()) ** 2
    reading = brier_decomposition(p, bins=7)
    assert reading.value == pytest.approx(reliability, abs=1e-14)
    assert reading.parts["resolution"].value == pytest.approx(resolution, abs=1e-14)


def test_two_classes_score_half_the_brier_score(simulate: Make) -> None:
    p = simulate(200, 2)
    score = brier_decomposition(p).parts["score"].value
    assert score == pytest.approx(brier(p).value / 2, abs=1e-14)


def test_a_constant_predictor_has_no_resolution(confident: Make) -> None:
    found = values(brier_decomposition(confident([0.8] * 100, [True] * 65 + [False] * 35)))
    assert found["reliability"] == pytest.approx(0.15**2, abs=1e-7)
    assert found["uncertainty"] == pytest.approx(0.65 * 0.35, abs=1e-14)
    for term in ("resolution", "within-bin variance", "within-bin covariance"):
        assert found[term] == pytest.approx(0, abs=1e-14)


def test_calibrated_networks_get_the_noise_floor(simulate: Make) -> None:
    p = simulate(300, scale=2.0)
    stream = np.random.default_rng(1)
    where = equal_mass(ranks_of(p.confidence), 15)
    gaps = [
        np.bincount(where, p.confidence - (stream.random(300) < p.confidence)) for _ in range(4000)
    ]
    measured = (np.square(gaps) / np.bincount(where)).sum(axis=1) / 300
    floor = brier_decomposition(p).parts["noise floor"].value
    assert floor == pytest.approx(measured.mean(), abs=4 * measured.std() / np.sqrt(4000))


def test_a_resample_is_scored_as_if_it_were_the_set(simulate: Make) -> None:
    p = simulate(60)
    found = np.asarray(brier_decomposition(p, bins=5).replicates)[:5]
    own = [Predictions(p.logits[i], p.labels[i]) for i in resamples([60], 5)]
    wanted = [brier_decomposition(drawn, bins=5).value for drawn in own]
    np.testing.assert_allclose(found, wanted, atol=1e-14)
