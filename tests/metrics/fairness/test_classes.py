"""Spread, worst class and class damage against counts by hand, simulations and plain loops."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from scratchcard.contracts import NotApplicable, Reading
from scratchcard.metrics.fairness.class_damage import class_damage
from scratchcard.metrics.fairness.class_spread import class_spread
from scratchcard.metrics.fairness.worst_class import worst_class
from scratchcard.probe import Predictions
from scratchcard.stats import resamples


def answers(correct: Sequence[bool] | np.ndarray, labels: np.ndarray, classes: int) -> Predictions:
    """Predictions that are right on these images, and one class further on the others."""
    predicted = np.where(correct, labels, (labels + 1) % classes)
    return Predictions(np.eye(classes, dtype=np.float32)[predicted], labels)


def blocks(right: Sequence[int], sizes: Sequence[int]) -> Predictions:
    """Of ``sizes[k]`` images of class k the first ``right[k]`` are right."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    correct = np.concatenate([np.arange(n) < r for r, n in zip(right, sizes, strict=True)])
    return answers(correct, labels, len(sizes))


def coins(accuracy: Sequence[float], n: int, seed: int) -> Predictions:
    """Of each class n images, right with the class's chance."""
    stream = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(accuracy)), n)
    return answers(stream.random(len(labels)) < np.repeat(accuracy, n), labels, len(accuracy))


def means(values: np.ndarray, labels: np.ndarray) -> list[float]:
    return [float(np.mean([v for v, y in zip(values, labels, strict=True) if y == k]))
            for k in sorted(set(labels.tolist()))]  # fmt: skip


HAND = blocks([4, 1, 3, 10], [4, 4, 6, 10])
"""Accuracies 1, 1/4, 1/2 and 1."""


def test_the_spread_by_hand() -> None:
    reading = class_spread(HAND)
    assert reading.value == pytest.approx(np.std([1, 0.25, 0.5, 1]), abs=1e-12)
    assert [reading.parts[f"class {k}"].value for k in range(4)] == [1, 0.25, 0.5, 1]
    # v = a (1 - a) / (n - 1): 0, 1/16, 1/20, 0
    wanted = np.sqrt(3 / 16 * (1 / 16 + 1 / 20))
    assert reading.parts["by chance"].value == pytest.approx(wanted, abs=1e-12)
    assert reading.n == 24


def test_chance_explains_the_spread_of_equal_classes() -> None:
    readings = [class_spread(coins([0.8] * 6, 25, seed)) for seed in range(25)]
    squares = np.array([r.value**2 - r.parts["by chance"].value ** 2 for r in readings])
    assert abs(squares.mean()) < 3 * squares.std() / np.sqrt(25)
    assert np.mean([r.value**2 for r in readings]) > 6 * squares.std() / np.sqrt(25)


def test_the_error_of_the_spread_is_that_of_fresh_images() -> None:
    accuracy = [0.95, 0.9, 0.6, 0.4]
    readings = [class_spread(coins(accuracy, 100, seed)) for seed in range(30)]
    spread = np.std([r.value for r in readings], ddof=1)
    assert np.mean([r.stderr for r in readings]) == pytest.approx(spread, rel=0.35)


def test_the_worst_class_by_hand() -> None:
    reading = worst_class(HAND)
    assert reading.value == 0.25
    # Images 0 and 2, then 1 and 3, of class 1 (right, wrong, wrong, wrong): 1/2 and 0; of class 2
    # (three right, three wrong): 2/3 and 1/3. Class 1 is chosen both times.
    assert reading.parts["chosen elsewhere"].value == pytest.approx((0 + 0.5) / 2)
    assert reading.parts["chosen elsewhere"].n == 4


def test_equally_bad_classes_share_the_measurement() -> None:
    # Even images of both classes are all wrong, odd ones all right in class 0 and half in class 1.
    correct = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0], bool)
    reading = worst_class(answers(correct, np.repeat([0, 1], 8), 3))
    assert reading.parts["chosen elsewhere"].value == pytest.approx((0.75 + 0.0) / 2)


def test_the_minimum_is_biased_and_the_class_chosen_elsewhere_is_not() -> None:
    readings = [worst_class(coins([0.9] * 10, 100, seed)) for seed in range(20)]
    chosen = np.array([r.parts["chosen elsewhere"].value for r in readings])
    assert np.mean([r.value for r in readings]) == pytest.approx(0.85, abs=0.01)
    assert abs(chosen.mean() - 0.9) < 3 * chosen.std() / np.sqrt(20)
    error = np.mean([r.parts["chosen elsewhere"].stderr for r in readings])
    assert error == pytest.approx(chosen.std(), rel=0.5)


def test_the_truth_lies_between_the_two() -> None:
    readings = [worst_class(coins([0.7, 0.75, 0.8, 0.8], 40, seed)) for seed in range(20)]
    low = np.mean([r.value for r in readings])
    high = np.mean([r.parts["chosen elsewhere"].value for r in readings])
    assert low < 0.7 - 0.01 < 0.7 + 0.005 < high < 0.76


def test_small_classes_have_nothing_chosen_elsewhere() -> None:
    assert "chosen elsewhere" not in worst_class(blocks([2, 3], [3, 8])).parts
    assert "chosen elsewhere" in worst_class(blocks([2, 3], [4, 8])).parts


@pytest.mark.parametrize("metric", [class_spread, worst_class])
def test_a_resample_keeps_the_size_of_every_class(metric: Callable[..., Reading]) -> None:
    stream = np.random.default_rng(3)
    labels = stream.integers(3, size=50) * 2  # classes 1 and 3 have no images
    p = answers(stream.random(50) < 0.6, labels, 6)
    reading = metric(p)
    assert [label for label in reading.parts if "class" in label] == [
        "class 0",
        "class 2",
        "class 4",
    ]
    order = np.argsort(labels, kind="stable")
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    statistic: Callable[..., float] = np.std if metric is class_spread else np.min
    wanted = [
        statistic(means(p.correct[order[index]], labels[order[index]]))
        for index in resamples(sizes, 20)
    ]
    np.testing.assert_allclose(np.asarray(reading.replicates)[:20], wanted, atol=1e-12)
    assert reading.value == pytest.approx(statistic(means(p.correct, labels)), abs=1e-12)


def pair(n: int = 300, seed: int = 0) -> tuple[Predictions, Predictions]:
    """Networks of 0.9 and 0.8 on unequal classes in mixed order; class 3 has no images."""
    stream = np.random.default_rng(seed)
    labels = stream.choice([0, 1, 2, 4], p=[0.5, 0.25, 0.15, 0.1], size=n)
    dense, sparse = (answers(stream.random(n) < a, labels, 5) for a in (0.9, 0.8))
    return sparse, dense


def test_damage_by_hand() -> None:
    # Accuracies 1, 1, 1/2 become 1/2, 1, 3/4; over 24 images 19 become 18.
    dense, sparse = blocks([4, 10, 5], [4, 10, 10]), blocks([2, 10, 6], [4, 10, 10])
    reading = class_damage(sparse, dense)
    wanted = [-0.5 + 1 / 24, 1 / 24, 0.1 + 1 / 24]
    found = [reading.parts[f"class {k}"].value for k in range(3)]
    assert found == pytest.approx(wanted, abs=1e-12)
    assert reading.value == pytest.approx(0.5 - 1 / 24, abs=1e-12)
    assert [reading.parts[f"class {k}"].n for k in range(3)] == [4, 10, 10]


def test_the_damage_is_relative_to_all_images() -> None:
    sparse, dense = pair()
    reading = class_damage(sparse, dense)
    change = sparse.correct.astype(float) - dense.correct
    relative = np.array(means(change, dense.labels)) - change.mean()
    assert reading.value == pytest.approx(-relative.min(), abs=1e-12)
    own = {k: p for k, p in reading.parts.items() if k != "p"}
    assert list(own) == ["class 0", "class 1", "class 2", "class 4"]
    assert [p.value for p in own.values()] == pytest.approx(relative.tolist(), abs=1e-12)
    unweighted = relative - relative.mean()
    assert abs(unweighted - relative).max() > 1e-4  # a mean over classes is another number
    assert sum(p.value * p.n for p in own.values()) == pytest.approx(0, abs=1e-9)


def test_the_errors_of_the_parts_are_those_of_a_bootstrap() -> None:
    sparse, dense = pair(2000)
    order = np.argsort(dense.labels, kind="stable")
    labels = dense.labels[order]
    change = (sparse.correct.astype(float) - dense.correct)[order]
    sizes = np.unique(labels, return_counts=True)[1].tolist()
    edges = np.cumsum([0, *sizes])
    drawn = []
    for index in resamples(sizes, 400):
        own = change[index]
        drawn.append([own[a:b].mean() - own.mean() for a, b in pairwise(edges)])
    wanted = np.std(drawn, axis=0, ddof=1)
    parts = class_damage(sparse, dense).parts
    found = [parts[f"class {k}"].stderr for k in (0, 1, 2, 4)]
    np.testing.assert_allclose(found, wanted, rtol=0.12)
    # Forgetting that a class is a part of the whole would be far off for the largest.
    own_error = change[labels == 0].std(ddof=1) / np.sqrt(sizes[0])
    whole = change.std(ddof=1) / np.sqrt(2000)
    assert np.hypot(own_error, whole) > 1.5 * wanted[0]


def test_p_is_even_without_and_small_with_damage() -> None:
    p = [class_damage(*pair(120, seed)).parts["p"].value for seed in range(20)]
    assert 0.35 < np.mean(p) < 0.65
    assert min(p) < 0.2
    assert max(p) > 0.8
    hurt = class_damage(blocks([2, 20, 20], [20] * 3), blocks([20] * 3, [20] * 3))
    assert hurt.parts["p"].value == pytest.approx(1 / 401)


def test_a_twin_is_not_damaged() -> None:
    _, dense = pair()
    reading = class_damage(dense, dense)
    assert (reading.value, reading.stderr) == (0.0, 0.0)
    assert {part.value for label, part in reading.parts.items() if label != "p"} == {0.0}
    assert reading.parts["p"].value == 1


def test_a_loss_that_all_share_is_no_damage() -> None:
    reading = class_damage(blocks([5, 10, 15], [10, 20, 30]), blocks([9, 18, 27], [10, 20, 30]))
    assert reading.value == pytest.approx(0, abs=1e-12)
    assert reading.parts["p"].value > 0.9


def test_one_class_or_other_images_are_refused() -> None:
    single = answers([True, False, True], np.ones(3, int), 3)
    for metric in (class_spread, worst_class):
        with pytest.raises(NotApplicable, match="one class"):
            metric(single)
    with pytest.raises(NotApplicable, match="one class"):
        class_damage(single, single)
    with pytest.raises(ValueError, match="same images"):
        class_damage(single, answers([True] * 3, np.array([1, 1, 2]), 3))


def test_a_class_of_one_image_gives_finite_numbers() -> None:
    sparse, dense = blocks([0, 3], [1, 5]), blocks([1, 4], [1, 5])
    for reading in (class_spread(sparse), worst_class(sparse), class_damage(sparse, dense)):
        numbers = [(part.value, part.stderr) for part in reading.parts.values()]
        assert np.isfinite([reading.value, reading.stderr]).all()
        assert np.isfinite(numbers).all()
