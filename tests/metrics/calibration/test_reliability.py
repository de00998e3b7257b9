"""The bars of the reliability diagram: counted one by one, and read back from a reading."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.binning import Bin, diagram, reliability
from scratchcard.metrics.calibration.ece import ece
from scratchcard.probe import Predictions

Make = Callable[..., Predictions]


def test_bars_by_hand(confident: Make) -> None:
    p = confident([0.61, 0.66, 0.98, 1.0], [True, False, True, True])
    reading = ece(p)
    assert [*reading.parts] == [
        "noise floor",
        "accuracy at 0.60 to 0.67",
        "confidence at 0.60 to 0.67",
        "accuracy at 0.93 to 1.00",
        "confidence at 0.93 to 1.00",
    ]
    half = np.sqrt(0.5 * 0.5 / 2)  # (1 + 1)/(2 + 2) right
    sure = np.sqrt(0.75 * 0.25 / 2)  # (2 + 1)/(2 + 2)
    assert reliability(reading) == [
        Bin(0.6, 0.67, 0.5, pytest.approx(half), pytest.approx(0.635), 2),  # type: ignore[arg-type]
        Bin(0.93, 1.0, 1.0, pytest.approx(sure), pytest.approx(0.99), 2),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("bins", [1, 7, 14, 15, 100, 101, 2000])
def test_the_bars_add_up_to_the_error(simulate: Make, bins: int) -> None:
    p = simulate(1000, temperature=2.0)
    reading = ece(p, bins=bins)
    bars = reliability(reading)
    gaps = [bar.n * abs(bar.accuracy - bar.confidence) for bar in bars]
    assert sum(gaps) / 1000 == pytest.approx(reading.value, abs=1e-12)
    assert sum(bar.n for bar in bars) == 1000
    assert [bar.lo for bar in bars] == sorted({bar.lo for bar in bars})
    rounding = 0.5 * 10.0 ** -max(2, len(str(bins - 1))) + 1e-12
    for bar in bars:
        assert bar.lo - rounding <= bar.confidence <= bar.hi + rounding
        inside = (p.confidence > bar.lo + rounding) & (p.confidence <= bar.hi - rounding)
        assert inside.sum() <= bar.n


def test_they_are_read_back_in_any_order_and_beside_other_parts(simulate: Make) -> None:
    reading = ece(simulate(300))
    turned = replace(reading, parts=dict(reversed(list(reading.parts.items()))))
    assert reliability(turned) == reliability(reading)
    assert len(reliability(reading)) * 2 + 1 == len(reading.parts)


def test_a_reading_without_bars_has_none() -> None:
    assert reliability(Reading(0.5, 0.1, 4)) == []


def test_a_bin_of_one_image_is_not_thought_certain() -> None:
    [bar] = reliability(Reading(0, 0, 1, parts=diagram(np.array([0.9]), np.array([True]), 15)))
    assert (bar.accuracy, bar.n) == (1.0, 1)
    assert bar.stderr == pytest.approx(np.sqrt(2) / 3)


def test_the_error_is_that_of_fresh_labels() -> None:
    stream = np.random.default_rng(0)
    confidence = np.full(50, 0.9)
    drawn = [diagram(confidence, stream.random(50) < 0.9, 15) for _ in range(400)]
    accuracy, error = (
        np.array([getattr(parts["accuracy at 0.87 to 0.93"], field) for parts in drawn])
        for field in ("value", "stderr")
    )
    assert error.mean() == pytest.approx(accuracy.std(ddof=1), rel=0.15)
