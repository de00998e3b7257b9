"""The mCE of ImageNet-C against AlexNet's published errors and a ResNet-50's published scores."""

import numpy as np
import pytest

from scratchcard.contracts import NotApplicable
from scratchcard.contracts.corruptions import FAMILIES, STANDARD
from scratchcard.metrics.generalisation.corruption_error import corruption_error
from scratchcard.metrics.generalisation.mce_alexnet import ALEXNET, mce_alexnet
from scratchcard.probe import Predictions

BY_SEVERITY = {
    "brightness": (0.4514, 0.48502, 0.54048, 0.62166, 0.7244),
    "contrast": (0.64548, 0.7615, 0.88874, 0.9776, 0.9927),
    "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
    "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    "fog": (0.67474, 0.7605, 0.84378, 0.8726, 0.945),
    "frost": (0.6139, 0.79734, 0.8879, 0.89942, 0.9343),
    "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
    "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
    "impulse_noise": (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
    "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
    "motion_blur": (0.5843, 0.70048, 0.82108, 0.8975, 0.92638),
    "pixelate": (0.52218, 0.5462, 0.73728, 0.87092, 0.91262),
    "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
    "snow": (0.71726, 0.88392, 0.86468, 0.9187, 0.94952),
    "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
}
"""AlexNet's errors on ImageNet-C (50,000 images), as published with the set."""
RESNET50 = {
    "brightness": (68.02, 56.64),
    "contrast": (39.06, 71.43),
    "defocus_blur": (38.75, 74.71),
    "elastic_transform": (45.25, 84.75),
    "fog": (45.83, 66.11),
    "frost": (38.14, 74.84),
    "gaussian_noise": (29.29, 79.77),
    "glass_blur": (26.79, 88.61),
    "impulse_noise": (23.81, 82.58),
}
"""Accuracy and corruption error in percent, as published for torchvision's first weights."""


def told(wrong: int, n: int = 10, classes: int = 1000) -> Predictions:
    """So many of n images told wrongly."""
    labels = np.arange(n) % 2
    right = np.arange(n) >= wrong
    return Predictions(
        np.eye(2, classes, dtype=np.float32)[np.where(right, labels, 1 - labels)], labels
    )


def test_alexnets_errors_are_the_means_of_the_published_ones() -> None:
    assert set(ALEXNET) == set(STANDARD) == set(BY_SEVERITY)
    for kind, errors in BY_SEVERITY.items():
        assert ALEXNET[kind] == pytest.approx(sum(errors) / 5, abs=5e-7)


def test_a_resnet50_gets_its_published_scores() -> None:
    for kind, (accuracy, score) in RESNET50.items():
        assert (100 - accuracy) / ALEXNET[kind] == pytest.approx(score, abs=0.012)


def test_the_value_is_the_mean_of_ratios_by_name() -> None:
    wrong = {kind: number % 10 + 1 for number, kind in enumerate(sorted(STANDARD))}
    given = {kind: (told(w), told(w - 1), told(w), told(w), told(w)) for kind, w in wrong.items()}
    scores = {kind: (w - 0.2) / 10 / ALEXNET[kind] for kind, w in wrong.items()}
    reading = mce_alexnet(given)
    assert reading.value == pytest.approx(sum(scores.values()) / 15)
    assert set(reading.parts) == {*STANDARD, *FAMILIES} - {"extra"}
    for kind, score in scores.items():
        assert reading.parts[kind].value == pytest.approx(score)
    positional = zip(sorted(STANDARD), ALEXNET.values(), strict=True)
    swapped = sum((wrong[kind] - 0.2) / 10 / error for kind, error in positional) / 15
    assert abs(swapped - reading.value) > 1e-3


def test_extra_kinds_have_no_alexnet() -> None:
    given = dict.fromkeys(STANDARD, (told(5),) * 5)
    reading = mce_alexnet(given | {"spatter": (told(10),) * 5})
    assert reading.value == mce_alexnet(given).value
    assert not {"spatter", "extra"} & set(reading.parts)
    ratios = [0.5 / error for error in ALEXNET.values()]
    assert reading.value == pytest.approx(sum(ratios) / 15)
    assert reading.stderr == pytest.approx(corruption_error(given).stderr * sum(ratios) / 15 / 0.5)


def test_other_tasks_are_refused() -> None:
    small = dict.fromkeys(STANDARD, (told(5, classes=10),) * 5)
    with pytest.raises(NotApplicable, match=r"^because .* 1,000 classes .* tells 10$"):
        mce_alexnet(small)
    with pytest.raises(ValueError, match="corrupted_logits lacks gaussian_noise"):
        mce_alexnet({})
