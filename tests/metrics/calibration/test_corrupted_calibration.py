"""Calibration on corrupted images: each cell as the clean metric has it, resampled together."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest

from scratchcard.contracts import Reading, UserError
from scratchcard.contracts.corruptions import EXTRA, FAMILIES, SEVERITIES, STANDARD
from scratchcard.metrics.calibration.ece_corrupted import ece_corrupted
from scratchcard.metrics.calibration.ece_debiased import ece_debiased
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.nll_corrupted import nll_corrupted
from scratchcard.probe import Predictions

Corrupted = dict[str, tuple[Predictions, ...]]
Make = Callable[..., Predictions]
Metric = Callable[[Corrupted], Reading]


def network(
    n: int = 60, *, seed: int = 0, classes: int = 4, kinds: tuple[str, ...] = STANDARD
) -> Corrupted:
    """Logits that know the label less and less, as sure as before; noise shared by the cells."""
    stream = np.random.default_rng(seed)
    labels = stream.integers(classes, size=n)
    known, own = np.eye(classes)[labels], stream.normal(size=(n, classes))

    def cell(severity: int) -> Predictions:
        z = known * (4 - severity / 2) + own + stream.normal(size=(n, classes)) * severity / 2
        return Predictions(z.astype(np.float32), labels)

    return {kind: tuple(cell(severity) for severity in SEVERITIES) for kind in kinds}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def together(arrays: Iterable[np.ndarray | None]) -> np.ndarray:
    """The mean of arrays, of which none is missing."""
    return np.asarray(np.mean([array for array in arrays if array is not None], axis=0))


def parts(cells: Mapping[str, list[float]]) -> dict[str, float]:
    """The means that are parts, from the values of cells by kind."""
    kinds = {kind: mean(values) for kind, values in cells.items()}
    families = {
        family: mean([kinds[kind] for kind in own if kind in kinds])
        for family, own in FAMILIES.items()
        if set(own) & set(kinds)
    }
    severities = {
        f"severity {s}": mean([cells[kind][s - 1] for kind in STANDARD]) for s in SEVERITIES
    }
    return kinds | families | severities


def test_the_ece_is_the_mean_of_the_cells_and_so_is_every_resample() -> None:
    given = network(kinds=STANDARD + EXTRA[:2])
    cells = {kind: [ece_debiased(cell) for cell in given[kind]] for kind in given}
    reading = ece_corrupted(given)
    standard = [cell for kind in STANDARD for cell in cells[kind]]
    assert reading.value == pytest.approx(mean([cell.value for cell in standard]), abs=1e-12)
    replicates = together(cell.replicates for cell in standard)
    assert reading.replicates is not None
    np.testing.assert_allclose(reading.replicates, replicates, atol=1e-12)
    assert reading.stderr == pytest.approx(replicates.std(ddof=1))
    values = {kind: [cell.value for cell in own] for kind, own in cells.items()}
    found = {label: part.value for label, part in reading.parts.items()}
    assert found == pytest.approx(parts(values), abs=1e-12)
    for label, own in (("fog", cells["fog"]), ("extra", cells[EXTRA[0]] + cells[EXTRA[1]])):
        spread = together(cell.replicates for cell in own).std(ddof=1)
        assert reading.parts[label].stderr == pytest.approx(spread)
        assert reading.parts[label].n == 60


@pytest.mark.parametrize("bins", [1, 14])
def test_bins_are_those_of_the_clean_metric(bins: int) -> None:
    cells = network()["fog"]
    expected = mean([ece_debiased(cell, bins=bins).value for cell in cells])
    given = dict.fromkeys(STANDARD, cells)
    assert ece_corrupted(given, bins=bins).value == pytest.approx(expected, abs=1e-12)
    with pytest.raises(UserError, match="bins must be 1 or more"):
        ece_corrupted(given, bins=0)


def test_a_calibrated_network_is_at_0_and_an_oversure_one_is_not(simulate: Make) -> None:
    calibrated = dict.fromkeys(STANDARD, (simulate(4000),) * 5)
    assert abs(ece_corrupted(calibrated).value) < 0.01
    sure = dict.fromkeys(STANDARD, (simulate(4000, temperature=3.0),) * 5)
    assert ece_corrupted(sure).value > 0.3


def test_opposite_gaps_of_two_kinds_do_not_cancel() -> None:
    labels = np.repeat([0, 1], [80, 20])

    def at_sixty(predicted: np.ndarray) -> Predictions:
        return Predictions(np.log([[0.6, 0.4], [0.4, 0.6]]).astype(np.float32)[predicted], labels)

    under = at_sixty(np.zeros(100, int))  # right 80 times
    over = at_sixty(np.repeat([1, 0], [60, 40]))  # right 40 - 20 + 20 times
    given = {kind: ((under, over)[i % 2],) * 5 for i, kind in enumerate(STANDARD)}
    assert ece_corrupted(given).value == pytest.approx((8 * 0.2 + 7 * 0.4) / 15, abs=1e-3)


@pytest.mark.parametrize("metric", [ece_corrupted, nll_corrupted])
def test_the_standard_error_is_that_of_fresh_images(metric: Metric) -> None:
    """Kinds that are resampled apart make it about half of that."""
    drawn = [metric(network(1000, seed=seed)) for seed in range(25)]
    fresh = np.std([reading.value for reading in drawn], ddof=1)
    assert np.mean([reading.stderr for reading in drawn]) == pytest.approx(fresh, rel=0.3)
    apart = [np.hypot.reduce([r.parts[kind].stderr for kind in STANDARD]) / 15 for r in drawn]
    assert np.mean(apart) < 0.65 * fresh


def test_the_nll_is_the_mean_of_the_cells() -> None:
    given = network(kinds=STANDARD + EXTRA[:1])
    cells = {kind: [nll(cell).value for cell in given[kind]] for kind in given}
    reading = nll_corrupted(given)
    assert reading.value == pytest.approx(mean([mean(cells[kind]) for kind in STANDARD]))
    found = {label: part.value for label, part in reading.parts.items()}
    assert found == pytest.approx(parts(cells))
    assert reading.examples is not None
    own = together(nll(cell).examples for kind in STANDARD for cell in given[kind])
    np.testing.assert_allclose(reading.examples, own)


def test_boundless_confidence_is_finite() -> None:
    labels = np.arange(6) % 2
    sure = Predictions(np.tile(np.array([[1e4, 0]], np.float32), (6, 1)), labels)
    given = dict.fromkeys(STANDARD, (sure,) * 5)
    assert nll_corrupted(given).value == pytest.approx(5e3)
    assert ece_corrupted(given).value == pytest.approx(0.5)


@pytest.mark.parametrize("metric", [ece_corrupted, nll_corrupted])
def test_a_missing_kind_is_named(metric: Metric) -> None:
    given = network(8)
    del given["pixelate"]
    with pytest.raises(ValueError, match="corrupted_logits lacks pixelate;"):
        metric(given)


def test_one_image_has_no_error_and_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 examples, not 1"):
        ece_corrupted(network(1))
