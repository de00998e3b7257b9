"""ECE over equally filled bins against brute force and the cases where it is known."""

from collections.abc import Callable

import numpy as np
import pytest

from scratchcard.contracts import UserError
from scratchcard.metrics.calibration.ece_mass import ece_mass
from scratchcard.metrics.calibration.equal_mass import equal_mass, ranks_of
from scratchcard.probe import Predictions
from scratchcard.stats import resamples
from scratchcard.testing import check_metric

Make = Callable[..., Predictions]


def brute_force(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Every image is put in the bin of the middle of its ties, one by one."""
    n = len(confidence)
    inside: list[list[int]] = [[] for _ in range(bins)]
    for i in range(n):
        below = sum(confidence < confidence[i])
        tied = sum(confidence == confidence[i])
        inside[int((2 * below + tied) * bins) // (2 * n)].append(i)
    gaps = [len(b) * abs(correct[b].mean() - confidence[b].mean()) for b in inside if b]
    return float(sum(gaps) / n)


def test_the_metric_conforms() -> None:
    check_metric("ece-mass")


def test_two_bins_by_hand(confident: Make) -> None:
    p = confident([0.6, 0.9, 0.7, 0.8], [False, True, True, True])
    # bins {0.6, 0.7} with accuracy 1/2 and {0.8, 0.9} with accuracy 1
    assert ece_mass(p, bins=2).value == pytest.approx((0.15 + 0.15) / 2, abs=1e-7)


@pytest.mark.parametrize("bins", [1, 4, 15, 300])
def test_it_is_the_sum_over_bins(simulate: Make, bins: int) -> None:
    p = simulate(200, temperature=2.0)
    wanted = brute_force(p.confidence, p.correct, bins)
    assert ece_mass(p, bins=bins).value == pytest.approx(wanted, abs=1e-12)


def test_a_resample_is_binned_as_if_it_were_the_set(simulate: Make) -> None:
    p = simulate(60)
    wanted = [brute_force(p.confidence[i], p.correct[i], 15) for i in resamples([60], 20)]
    np.testing.assert_allclose(np.asarray(ece_mass(p).replicates)[:20], wanted, atol=1e-12)


@pytest.mark.parametrize(("n", "bins"), [(100, 15), (45, 15), (7, 3), (5, 9)])
def test_bins_hold_equal_numbers_to_one_image(n: int, bins: int) -> None:
    counts = np.bincount(equal_mass(np.random.default_rng(0).permutation(n), bins), minlength=bins)
    assert len(counts) == bins
    assert counts.max() - counts.min() <= 1


def test_ties_are_not_cut_apart_by_their_order(confident: Make) -> None:
    correct = [True] * 65 + [False] * 35
    p = confident([0.8] * 100, correct)
    assert ece_mass(p).value == pytest.approx(0.15, abs=1e-7)
    # cut in order of position, the same images have gaps of 0.2 and 0.8
    pieces = np.array_split(p.confidence - p.correct, 20)
    assert sum(abs(piece.sum()) for piece in pieces) / 100 == pytest.approx(0.41, abs=1e-6)


def test_one_sign_of_miscalibration_gives_the_same_in_any_bins(confident: Make) -> None:
    p = confident(np.random.default_rng(0).uniform(0.5, 1, size=300), np.zeros(300, bool))
    for bins in (1, 7, 15, 200):
        assert ece_mass(p, bins=bins).value == pytest.approx(p.confidence.mean(), abs=1e-12)


@pytest.mark.parametrize(("n", "classes"), [(300, 10), (2000, 2)])
def test_the_noise_floor_is_what_calibrated_networks_get(n: int, classes: int) -> None:
    stream = np.random.default_rng(0)
    z = stream.normal(size=(n, classes)) * 3
    p = Predictions(z.astype(np.float32), z.argmax(axis=1))
    where = equal_mass(ranks_of(p.confidence), 15)
    right = stream.random((2000, n)) < p.confidence
    sums = [np.bincount(where, weights=p.confidence - own) for own in right]
    measured = np.abs(sums).sum(axis=1).mean() / n
    assert ece_mass(p).parts["noise floor"].value == pytest.approx(measured, rel=0.03)


def test_boundless_confidence_is_off_by_the_error_rate() -> None:
    p = Predictions(np.array([[1e4, 0]] * 20, np.float32), np.repeat([0, 1], [15, 5]))
    reading = ece_mass(p)
    assert reading.value == pytest.approx(0.25, abs=1e-12)
    assert reading.parts["noise floor"].value == 0


@pytest.mark.parametrize("bins", [0, -3])
def test_bins_must_be_counted(simulate: Make, bins: int) -> None:
    with pytest.raises(UserError, match=f"not {bins}"):
        ece_mass(simulate(10), bins=bins)
