"""Which images the attacks take when they take some: a fair draw, the same for every network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.generalisation.autoattack import autoattack
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.gradient_masking import gradient_masking
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.metrics.generalisation.robustness_curve import robustness_curve
from scratchcard.metrics.generalisation.transfer_attack import transfer_attack
from scratchcard.metrics.measure import measure
from tests.victims import answered, digits_mlp, digits_test, images, linear

Attack = Callable[..., Reading]


def transfer(model: torch.nn.Module, test: Images, **options: Any) -> Reading:
    return transfer_attack(model, linear(seed=2), test, **options)


ATTACKS: tuple[tuple[Attack, dict[str, Any]], ...] = (
    (fgsm, {}),
    (pgd, {"steps": 2}),
    (autoattack, {"steps": 2, "targets": 1, "queries": 2}),
    (robustness_curve, {"steps": 2, "bisections": 1}),
    (gradient_masking, {"steps": 2, "queries": 2}),
    (transfer, {"steps": 2}),
)


def sample(test: Images, **wish: Any) -> Images:
    target = Target.of(linear(), test, batch_size=64, **wish)
    return Images(target.pixels, target.labels)


def by_class(counts: list[int]) -> Images:
    """Images in order of their class, as folders give them; the pixels count them."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    number = torch.arange(len(labels))
    pixels = torch.stack([number // 256, number % 256], dim=1).to(torch.uint8)
    return Images(pixels.repeat(1, 8).reshape(-1, 1, 4, 4), labels)


def numbers(test: Images) -> np.ndarray:
    high, low = test.pixels.flatten(1)[:, :2].long().T
    return np.asarray(256 * high + low)


def test_every_class_is_there_by_its_share() -> None:
    test = by_class([500, 300, 200])
    assert np.bincount(sample(test, images=100).labels).tolist() == [50, 30, 20]
    first = test.take(torch.arange(100))
    assert np.bincount(first.labels).tolist() == [100]  # what the first images would be


def test_the_order_of_the_split_is_kept_and_no_image_comes_twice() -> None:
    found = numbers(sample(by_class([500, 300, 200]), images=150))
    assert (np.diff(found) > 0).all()
    assert found.max() > 800


def test_within_a_class_the_draw_is_fair() -> None:
    found = numbers(sample(by_class([4000]), images=1000))
    assert found.mean() == pytest.approx(1999.5, abs=4 * 4000 / np.sqrt(12 * 1000))
    assert not np.array_equal(found, np.arange(1000))


def test_a_larger_sample_holds_the_smaller_one() -> None:
    test = by_class([500, 300, 200])
    small, large = (set(numbers(sample(test, images=n))) for n in (100, 300))
    assert small < large


def test_every_network_gets_the_same_images() -> None:
    test = images(200)
    one, other = (
        Target.of(model, test, batch_size=size, images=50)
        for model, size in ((linear(), 7), (linear(seed=5), 256))
    )
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.labels, other.labels)


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_the_sample_is_attacked_as_if_it_were_the_split(
    attack: Attack, options: dict[str, Any]
) -> None:
    test = answered(linear(), images(200))
    some = attack(linear(), test, images=50, **options)
    alone = attack(linear(), sample(test, images=50), **options)
    assert (some.value, some.stderr, some.n) == (alone.value, alone.stderr, 50)
    assert some.parts == alone.parts


@pytest.mark.parametrize(("attack", "options"), ATTACKS)
def test_both_wishes_at_once_are_refused(attack: Attack, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="both say how many"):
        attack(linear(), images(20), images=10, stderr=0.1, **options)
    with pytest.raises(UserError, match="images = -1"):
        attack(linear(), images(20), images=-1, **options)


@pytest.mark.parametrize("eps", [8 / 255, 24 / 255, 40 / 255])
def test_the_stated_standard_error_is_reached(eps: float) -> None:
    reading = fgsm(digits_mlp(), digits_test(), eps=eps, stderr=0.04)
    assert reading.n == 158
    assert 0 < reading.stderr <= 0.04
    whole = fgsm(digits_mlp(), digits_test(), eps=eps)
    assert abs(reading.value - whole.value) < 4 * 0.04


def test_both_are_reported() -> None:
    reading = measure(linear(), "pgd", images(300), stderr=0.05, steps=2)
    assert (reading.n, reading.params["stderr"], reading.params["images"]) == (101, 0.05, 0)
