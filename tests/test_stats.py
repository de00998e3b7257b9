"""Readings against closed forms and the plain bootstrap."""

import numpy as np
import pytest

from scratchcard.contracts import Part, UserError
from scratchcard.stats import (
    mean_reading,
    parts_by_class,
    resamples,
    sample_size,
    statistic_reading,
)


def test_resamples_stay_in_their_stratum_and_are_the_same_for_everyone() -> None:
    first, again = (np.stack(list(resamples([30, 20], count=50))) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (50, 50)
    assert first[:, :30].max() == 29
    assert (first[:, 30:].min(), first[:, 30:].max()) == (30, 49)
    assert len({tuple(index) for index in first}) == 50


def test_resamples_draw_every_index_about_equally_often() -> None:
    counts = np.bincount(np.concatenate(list(resamples([20], count=2000))), minlength=20)
    assert np.abs(counts / 2000 - 1).max() < 0.12  # 5 standard errors


def test_other_sizes_get_other_resamples() -> None:
    one, other = (next(resamples(strata))[:10] for strata in ([10, 1], [10, 2]))
    assert not np.array_equal(one, other)


def test_mean_reading_has_the_textbook_error() -> None:
    reading = mean_reading(np.array([True, False, True, True]))
    assert reading.value == 0.75
    assert reading.stderr == pytest.approx(np.sqrt(0.75 * 0.25 / 3))
    assert reading.examples is not None
    assert reading.examples.mean() == reading.value


def test_mean_reading_of_one_example_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 examples, not 1"):
        mean_reading(np.ones(1))


def test_single_examples_have_no_bootstrap_error() -> None:
    for strata in ([1], [1, 1, 1]):
        with pytest.raises(ValueError, match="at least 2 examples, not 1"):
            statistic_reading(lambda index: float(index.mean()), strata)
    assert statistic_reading(lambda index: float(index.mean()), [1, 2]).stderr > 0


def test_the_bootstrap_error_of_a_mean_is_that_of_the_formula() -> None:
    x = np.random.default_rng(0).normal(size=400)
    reading = statistic_reading(lambda index: float(x[index].mean()), [400])
    assert reading.value == pytest.approx(x.mean())
    assert reading.stderr == pytest.approx(x.std() / 20, rel=0.12)  # 3.5 % is one deviation
    assert reading.replicates is not None
    assert reading.replicates.shape == (400,)


def test_components_are_parts_and_their_mean_is_the_value() -> None:
    x = np.random.default_rng(0).normal([0, 4], size=(100, 2))
    reading = statistic_reading(
        lambda index: x[index].mean(axis=0),
        [100],
        components={"low": 100, "high": 100},
        parts={"known": Part(1.0, 0.0, 100)},
    )
    assert reading.value == pytest.approx(x.mean())
    assert [*reading.parts] == ["low", "high", "known"]
    assert reading.parts["high"].value == pytest.approx(x[:, 1].mean())
    assert reading.parts["high"].stderr == pytest.approx(x[:, 1].std() / 10, rel=0.15)
    assert reading.stderr == pytest.approx(x.mean(axis=1).std() / 10, rel=0.15)


def test_the_value_can_be_the_first_component() -> None:
    x = np.random.default_rng(0).integers(0, 9, size=(100, 2))
    found = statistic_reading(
        lambda index: x[index].mean(axis=0), [100], components={"low": 100, "high": 100}, first=True
    )
    alone = statistic_reading(lambda index: float(x[index, 0].mean()), [100])
    assert (found.value, found.stderr) == (alone.value, alone.stderr)
    assert np.array_equal(np.asarray(found.replicates), np.asarray(alone.replicates))
    assert [*found.parts] == ["low", "high"]


@pytest.mark.parametrize("stderr", [0.4, 0.3, 0.1, 0.05, 0.02, 0.01, 0.005])
def test_a_sample_reaches_the_standard_error_and_no_smaller_one_does(stderr: float) -> None:
    n = sample_size(10**6, stderr=stderr)
    even = np.arange(n) % 2  # as uncertain as a share can be
    assert mean_reading(even).stderr <= stderr * (1 + 1e-9)
    if n > 3:
        assert mean_reading(even[:-2]).stderr > stderr


def test_a_sample_is_never_larger_than_what_there_is() -> None:
    assert [sample_size(300), sample_size(300, 0), sample_size(300, 299)] == [300, 300, 299]
    assert [sample_size(300, 301), sample_size(300, stderr=0.001)] == [300, 300]


@pytest.mark.parametrize(
    ("images", "stderr", "message"),
    [
        (-1, 0.0, "images = -1"),
        (0, -0.1, "stderr = -0.1"),
        (0, 0.5, "stderr = 0.5"),
        (0, float("nan"), "stderr = nan"),
        (100, 0.02, "images = 100 and stderr = 0.02 both say"),
    ],
)
def test_wishes_that_make_no_sample_are_refused(images: int, stderr: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample_size(1000, images, stderr)


def test_a_class_with_one_example_borrows_the_spread_of_all() -> None:
    parts = parts_by_class(np.array([1, 0, 1, 0, 1]), np.array([0, 0, 0, 0, 3]))
    assert [*parts] == ["class 0", "class 3"]
    assert parts["class 0"] == Part(0.5, pytest.approx(np.sqrt(1 / 3) / 2), 4)  # type: ignore[arg-type]
    assert parts["class 3"] == Part(1.0, pytest.approx(np.sqrt(0.24)), 1)  # type: ignore[arg-type]
