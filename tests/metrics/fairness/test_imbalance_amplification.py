"""The widened gap against counts by hand, a plain loop, and fresh images."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from scratchcard.contracts import NotApplicable
from scratchcard.data import Images
from scratchcard.data.digits import Digits
from scratchcard.metrics.fairness.imbalance_amplification import imbalance_amplification
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS


def training(sizes: Sequence[int]) -> Images:
    labels = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    return Images(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels)


def answers(correct: np.ndarray, labels: np.ndarray, classes: int) -> Predictions:
    predicted = np.where(correct, labels, (labels + 1) % classes)
    return Predictions(np.eye(classes, dtype=np.float32)[predicted], labels)


def blocks(right: Sequence[int], sizes: Sequence[int]) -> Predictions:
    """Of ``sizes[k]`` test images of class k the first ``right[k]`` are right."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    correct = np.concatenate([np.arange(n) < r for r, n in zip(right, sizes, strict=True)])
    return answers(correct, labels, len(sizes))


def coins(accuracy: Sequence[float], n: int, seed: int) -> Predictions:
    stream = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(accuracy)), n)
    return answers(stream.random(len(labels)) < np.repeat(accuracy, n), labels, len(accuracy))


def plain(logits: Predictions, dense: Predictions, train: Images) -> float:
    """Loops and dictionaries."""
    sizes = {k: int((train.labels == k).sum()) for k in range(logits.classes)}
    order = sorted((k for k in sizes if sizes[k]), key=lambda k: (-sizes[k], k))
    whole, rest = divmod(len(order), 3)
    first = whole + (rest > 0)
    head, tail = order[:first], order[len(order) - whole :]

    def accuracy(p: Predictions, group: list[int]) -> float:
        own = [p.correct[p.labels == k].mean() for k in group if (p.labels == k).any()]
        return float(np.mean(own))

    gaps = [accuracy(p, head) - accuracy(p, tail) for p in (logits, dense)]
    return gaps[0] - gaps[1]


LONG = training([100, 80, 40, 30, 10, 5])


def test_a_count_by_hand() -> None:
    sizes = [4, 10, 5, 5, 8, 4]
    dense = blocks([4, 9, 4, 4, 6, 2], sizes)
    sparse = blocks([4, 8, 5, 3, 4, 1], sizes)
    reading = imbalance_amplification(sparse, dense, LONG)
    parts = {label: part.value for label, part in reading.parts.items()}
    assert parts == pytest.approx(
        {
            "head": (1 + 0.8) / 2, "medium": (1 + 0.6) / 2, "tail": (0.5 + 0.25) / 2,
            "head, dense": (1 + 0.9) / 2, "medium, dense": 0.8, "tail, dense": (0.75 + 0.5) / 2,
        }
    )  # fmt: skip
    # The head loses 0.05, the tail 0.25.
    assert reading.value == pytest.approx(0.25 - 0.05)
    assert reading.n == 36
    assert [reading.parts[g].n for g in ("head", "medium", "tail")] == [14, 10, 12]


def test_groups_follow_frequency_and_not_the_number_of_the_class() -> None:
    sparse, dense = blocks([1, 9, 9, 9, 9, 9], [10] * 6), blocks([9] * 6, [10] * 6)
    rare, frequent = training([5, 80, 40, 30, 10, 100]), training([100, 80, 40, 30, 10, 5])
    assert imbalance_amplification(sparse, dense, rare).value == pytest.approx(0.4)
    assert imbalance_amplification(sparse, dense, frequent).value == pytest.approx(-0.4)


@pytest.mark.parametrize("classes", range(3, 12))
def test_it_is_a_plain_loop(classes: int) -> None:
    stream = np.random.default_rng(classes)
    train = training(stream.permutation(np.arange(classes) // 2 * 7 + 3).tolist())
    labels = stream.integers(classes, size=30 * classes)
    sparse, dense = (answers(stream.random(len(labels)) < a, labels, classes) for a in (0.6, 0.9))
    reading = imbalance_amplification(sparse, dense, train)
    assert reading.value == pytest.approx(plain(sparse, dense, train), abs=1e-12)
    parts = {label: part.value for label, part in reading.parts.items()}
    gap = parts["head"] - parts["tail"] - (parts["head, dense"] - parts["tail, dense"])
    assert reading.value == pytest.approx(gap, abs=1e-12)
    turned = imbalance_amplification(dense, sparse, train)
    assert turned.value == pytest.approx(-reading.value, abs=1e-12)
    assert turned.stderr == pytest.approx(reading.stderr)


def test_the_error_is_that_of_fresh_images() -> None:
    good, poor = [0.95, 0.9, 0.85, 0.8, 0.6, 0.5], [0.9, 0.85, 0.8, 0.7, 0.4, 0.3]
    readings = [
        imbalance_amplification(coins(poor, 60, s), coins(good, 60, s + 1000), LONG)
        for s in range(40)
    ]
    values = [r.value for r in readings]
    assert np.mean(values) == pytest.approx(0.2 - 0.05, abs=3 * np.std(values) / np.sqrt(40))
    error = np.mean([r.stderr for r in readings])
    assert error == pytest.approx(np.std(values, ddof=1), rel=0.35)
    # The closed form: each group the mean of two classes of 60 images, twice.
    variances = [sum(a * (1 - a) for a in (*p[:2], *p[4:])) / 4 / 60 for p in (good, poor)]
    assert error == pytest.approx(np.sqrt(sum(variances)), rel=0.1)
    part = readings[0].parts["tail, dense"]
    assert part.stderr == pytest.approx(np.sqrt((0.24 + 0.25) / 4 / 60), rel=0.15)


def test_what_all_classes_share_and_a_twin_cancel() -> None:
    dense = blocks([9, 8, 7, 6, 5, 4], [10] * 6)
    shared = imbalance_amplification(blocks([7, 6, 5, 4, 3, 2], [10] * 6), dense, LONG)
    assert shared.value == pytest.approx(0, abs=1e-12)
    assert shared.stderr > 0
    twin = imbalance_amplification(dense, dense, LONG)
    assert (twin.value, twin.stderr) == (0.0, 0.0)


def test_a_large_test_class_counts_as_one_class() -> None:
    sparse, dense = blocks([0, 10] + [10] * 4, [1000] + [10] * 5), blocks(
        [1000, 10] + [10] * 4, [1000] + [10] * 5
    )  # fmt: skip
    assert imbalance_amplification(sparse, dense, LONG).value == pytest.approx(-0.5)


def test_classes_without_test_images_are_left_out() -> None:
    sizes = [0, 10, 10, 10, 10, 0]
    reading = imbalance_amplification(
        blocks([0, 9, 9, 9, 5, 0], sizes), blocks([0, 9, 9, 9, 9, 0], sizes), LONG
    )
    assert reading.value == pytest.approx(0.4)
    assert reading.parts["tail"].n == 10
    sizes = [10, 10, 10, 10, 0, 0]
    empty = blocks([9, 9, 9, 9, 0, 0], sizes)
    with pytest.raises(NotApplicable, match="no class of the tail has test images"):
        imbalance_amplification(empty, empty, LONG)


def test_classes_without_training_images_are_of_no_group() -> None:
    sparse, dense = blocks([9, 9, 5, 0], [10] * 4), blocks([9] * 4, [10] * 4)
    reading = imbalance_amplification(sparse, dense, training([100, 50, 10, 0]))
    assert reading.value == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([50] * 6, r"balanced \(50 to 50 images a class\); imbalance = 100 in the data table"),
        ([1400, 1200, 1300, 1100, 1000, 1499], r"\(1,000 to 1,499 images"),
        ([100, 10, 0, 0, 0, 0], "take three, and training has 2"),
        ([100, 0, 0, 0, 0, 0], "and training has 1"),
    ],
)
def test_it_says_where_it_does_not_apply(sizes: list[int], message: str) -> None:
    dense = blocks([9] * 6, [10] * 6)
    with pytest.raises(NotApplicable, match=message):
        imbalance_amplification(dense, dense, training(sizes))
    imbalance_amplification(dense, dense, training([1500, *[1000] * 5]))


def test_two_classes_and_other_images_are_refused() -> None:
    two = blocks([5, 5], [10, 10])
    with pytest.raises(NotApplicable, match="training has 2"):
        imbalance_amplification(two, two, training([100, 10]))
    dense = blocks([9] * 6, [10] * 6)
    strange = Predictions(dense.logits, (dense.labels + 1) % 6)
    with pytest.raises(ValueError, match="same images"):
        imbalance_amplification(strange, dense, LONG)
    with pytest.raises(ValueError, match="train has the class 6, but the network tells 6"):
        imbalance_amplification(dense, dense, training([100] * 6 + [1]))


def test_a_tail_made_by_the_option_applies() -> None:
    data = Digits(imbalance=20)
    splits = data.splits()
    labels = splits.test.labels.numpy()
    dense = answers(np.ones(len(labels), bool), labels, 10)
    sparse = answers(labels < 7, labels, 10)
    assert imbalance_amplification(sparse, dense, splits.train).value == 1
    balanced = Digits().splits().train
    with pytest.raises(NotApplicable, match="balanced"):
        imbalance_amplification(sparse, dense, balanced)


def test_it_is_a_metric_of_a_pair() -> None:
    spec = METRICS.get("imbalance-amplification")
    assert (spec.scope, spec.dimension, spec.better) == ("pair", "fairness", "lower")
    assert not spec.headline
