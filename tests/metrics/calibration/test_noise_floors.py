"""The noise floor of every calibration metric against labels drawn from the probabilities."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import pytest
from scipy.stats import binom

from scratchcard import stats
from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.aurc import aurc
from scratchcard.metrics.calibration.binning import expected_gaps, noise
from scratchcard.metrics.calibration.brier import brier
from scratchcard.metrics.calibration.brier_decomposition import brier_decomposition
from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.ece_debiased import ece_debiased
from scratchcard.metrics.calibration.ece_mass import ece_mass
from scratchcard.metrics.calibration.ece_scaled import ece_scaled
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.nll_scaled import nll_scaled
from scratchcard.metrics.calibration.sce import sce
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS

Metric = Callable[[Predictions], Reading]
DRAWS = 200
FLOORS: dict[str, Metric] = {
    "aurc": aurc,
    "brier": brier,
    "brier-decomposition": brier_decomposition,
    "ece": ece,
    "ece-debiased": ece_debiased,
    "ece-mass": ece_mass,
    "ece-scaled": ece_scaled,
    "nll": nll,
    "nll-scaled": nll_scaled,
    "sce": sce,
}
NETWORKS = {
    "two classes": (300, 2, 2.0),
    "ten classes": (300, 10, 2.0),
    "a hundred classes": (200, 100, 2.0),
    "a network that is nearly always sure": (300, 10, 8.0),
    "twenty images": (20, 3, 2.0),
}


@pytest.fixture
def hardly_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two resamples for every error bar: nobody looks at it here."""
    whole = stats.resamples

    def two(strata: Sequence[int], count: int = 2) -> Iterator[np.ndarray]:
        return islice(whole(strata, count), 2)

    monkeypatch.setattr(stats, "resamples", two)


def calibrated(n: int, classes: int, scale: float) -> list[Predictions]:
    """One set of logits, with labels drawn from its probabilities again and again."""
    stream = np.random.default_rng(0)
    z = (stream.normal(size=(n, classes)) * scale).astype(np.float32)
    return [Predictions(z, (z + stream.gumbel(size=z.shape)).argmax(axis=1)) for _ in range(DRAWS)]


@pytest.mark.usefixtures("hardly_resampled")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", FLOORS)
def test_calibrated_networks_get_the_floor_on_average(name: str, network: str) -> None:
    readings = [FLOORS[name](p) for p in calibrated(*NETWORKS[network])]
    value = np.array([reading.value for reading in readings])
    floor = np.array([reading.parts["noise floor"].value for reading in readings])
    n, error = NETWORKS[network][0], (value - floor).std(ddof=1) / np.sqrt(DRAWS)
    # Normal noise is assumed by the debiased, one temperature is fitted by the scaled one.
    approximation = {"ece-debiased": 2 / n, "ece-scaled": 3 / n}
    allowed = approximation.get(name, 0.02 * floor.mean())
    assert abs(value.mean() - floor.mean()) < 4 * error + allowed


def test_every_calibration_metric_has_a_floor() -> None:
    known = {n for n in METRICS.names() if METRICS.get(n).dimension == "calibration"}
    assert known - set(FLOORS) <= {"ece-corrupted", "nll-corrupted"}


@pytest.mark.usefixtures("hardly_resampled")
@pytest.mark.parametrize("network", ["two classes", "ten classes"])
def test_the_debiased_ece_strays_as_far_as_it_says(network: str) -> None:
    readings = [ece_debiased(p) for p in calibrated(*NETWORKS[network])]
    spread = np.std([reading.value for reading in readings], ddof=1)
    assert readings[0].parts["noise floor"].value == 0
    # Bins of few images are not quite normal; 5 % is one deviation of 200 draws.
    assert readings[0].parts["noise floor"].stderr == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.3), (2, 0.5), (50, 0.02), (7, 1 / 7), (1000, 1e-5), (100, 0.99), (9, 1.0)]
)
def test_equal_chances_are_summed_exactly(n: int, p: float) -> None:
    outcomes = np.arange(n + 1)
    wanted = (abs(outcomes - n * p) * binom.pmf(outcomes, n, p)).sum()
    found = expected_gaps(np.full(n, p), np.zeros(n, int), 2)
    assert found[0] == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert found[1] == 0


def test_normal_noise_would_be_too_much_where_little_is_expected() -> None:
    chance, where = np.full(1000, 1e-5), np.zeros(1000, int)
    exact = expected_gaps(chance, where, 1)[0]
    assert np.sqrt(2 / np.pi) * noise(chance, where, 1)[0] > 4 * exact


def test_unequal_chances_are_close() -> None:
    stream = np.random.default_rng(0)
    chance = stream.uniform(size=40)
    gaps = [abs((stream.random(40) < chance).sum() - chance.sum()) for _ in range(20_000)]
    where = np.zeros(40, int)
    assert expected_gaps(chance, where, 1)[0] == pytest.approx(np.mean(gaps), rel=0.02)


def test_impossible_and_certain_events_make_no_noise() -> None:
    chance = np.array([0.0, 1.0, 1e-300, 1 - 1e-16])
    assert expected_gaps(chance, np.arange(4), 4) == pytest.approx([0] * 4, abs=1e-15)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_knowing_nothing_expects_the_worst(classes: int) -> None:
    p = Predictions(np.zeros((20, classes), np.float32), np.arange(20) % classes)
    floors = {name: FLOORS[name](p).parts["noise floor"].value for name in ("nll", "brier", "aurc")}
    wanted = {"nll": np.log(classes), "brier": 1 - 1 / classes, "aurc": 1 - 1 / classes}
    assert floors == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", FLOORS)
def test_boundless_confidence_expects_no_noise(name: str) -> None:
    z = np.array([[1e4, 0, 0]] * 20, np.float32)
    reading = FLOORS[name](Predictions(z, np.repeat([0, 1], [15, 5])))
    if not name.endswith("scaled"):
        assert reading.parts["noise floor"].value == 0
    assert np.isfinite(reading.parts["noise floor"].value)


def test_the_scaled_metrics_keep_their_temperature_and_add_the_floor(
    simulate: Callable[..., Predictions],
) -> None:
    for metric in (nll_scaled, ece_scaled):
        parts = metric(simulate(500, temperature=2.0)).parts
        assert [*parts] == ["temperature", "noise floor"]
        assert parts["temperature"].value == pytest.approx(2, rel=0.15)
