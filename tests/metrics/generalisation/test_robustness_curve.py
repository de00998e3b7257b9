"""The robustness curve of linear networks, where the smallest eps is known for every image."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.metrics.generalisation.robustness_curve import robustness_curve
from tests.victims import Cold, answered, digits_mlp, digits_test, distances, images, level, linear

LADDER = tuple(e / 255 for e in (0.25, 0.5, 1, 2, 4, 8))
Attack = Literal["pgd", "fgsm"]
ATTACKS: list[Attack] = ["pgd", "fgsm"]


def accuracies(reading: Reading) -> list[float]:
    return [part.value for name, part in reading.parts.items() if name.startswith("eps")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_two_linear_classes_fall_where_the_closed_form_says(attack: Attack) -> None:
    model, test = linear(), images(300)
    exact = distances(model, test).clamp(0, 8 / 255).numpy()
    reading = robustness_curve(model, test, attack=attack, bisections=12)
    assert reading.examples is not None
    # Half of a gap of 4/255, halved 12 times; float32 tells eps apart to about 1e-6.
    assert np.abs(reading.examples * 8 / 255 - exact).max() < 4 / 255 / 2**13 + 2e-6
    assert reading.value == pytest.approx(exact.mean() * 255 / 8, abs=1e-4)
    assert reading.parts["median smallest eps"].value == pytest.approx(np.median(exact), abs=1e-5)
    wanted = [float((distances(model, test) > e).double().mean()) for e in (0, *LADDER)]
    assert accuracies(reading) == wanted


def test_the_median_has_the_error_of_a_median() -> None:
    model, test = linear(), images(400)
    part = robustness_curve(model, test, attack="fgsm", bisections=12).parts["median smallest eps"]
    exact = distances(model, test).clamp(0, 8 / 255).numpy()
    stream = np.random.default_rng(0)
    resampled = [np.median(stream.choice(exact, len(exact))) for _ in range(2000)]
    assert part.stderr == pytest.approx(np.std(resampled), rel=0.15)
    assert part.n == 400


def test_without_bisections_it_is_the_trapezoid_rule() -> None:
    test = digits_test()
    ladder = (0.02, 0.05, 0.1, 0.2)
    reading = robustness_curve(digits_mlp(), test, eps=ladder, bisections=0)
    area = np.trapezoid(accuracies(reading), [0, *ladder]) / 0.2
    assert reading.value == pytest.approx(area, abs=1e-12)


def test_bisections_refine_and_never_leave_the_gap() -> None:
    test, ladder = digits_test(), (0.05, 0.1, 0.2, 0.4)
    coarse, fine = (robustness_curve(digits_mlp(), test, eps=ladder, bisections=n) for n in (0, 6))
    assert accuracies(coarse) == accuracies(fine)
    assert coarse.examples is not None
    assert fine.examples is not None
    gaps = np.interp(coarse.examples * 0.4, [0, 0.025, 0.075, 0.15, 0.3, 0.4], range(6))
    half = np.array([0, 0.025, 0.025, 0.05, 0.1, 0])[gaps.round().astype(int)]
    assert (np.abs(fine.examples - coarse.examples) * 0.4 < half + 1e-9).all()
    assert len(np.unique(fine.examples)) > 4 * len(np.unique(coarse.examples))


def test_the_accuracy_at_an_eps_is_that_of_pgd() -> None:
    reading = robustness_curve(digits_mlp(), digits_test(), eps=(24 / 255,), bisections=0)
    alone = pgd(digits_mlp(), digits_test(), eps=24 / 255, steps=10)
    # Other starts, so not the same to the last image.
    assert reading.parts["eps 24/255"].value == pytest.approx(alone.value, abs=0.02)
    assert reading.parts["eps 0"].value == alone.parts["clean"].value


class Hole(nn.Module):
    """Class 0, but for a thin shell of class 1 about the images of grey level 128."""

    def forward(self, x: Tensor) -> Tensor:
        t = (x.mean(dim=(1, 2, 3)) - 128 / 255) * 255
        outside = (t - 1).abs() - 0.25
        return torch.stack([outside, torch.zeros_like(t)], dim=1)


def test_what_was_enough_once_is_enough_ever_after() -> None:
    test = level(20)
    ladder = (0.5 / 255, 1 / 255, 2 / 255, 4 / 255)
    ends = [
        robustness_curve(Hole(), test, attack="fgsm", eps=(e,), bisections=0).parts for e in ladder
    ]
    assert [parts[f"eps {e * 255:g}/255"].value for parts, e in zip(ends, ladder, strict=True)] == [
        1,
        0,
        1,
        1,
    ]
    together = robustness_curve(Hole(), test, attack="fgsm", eps=ladder, bisections=8)
    assert accuracies(together) == [1, 1, 0, 0, 0]
    assert together.parts["median smallest eps"].value * 255 == pytest.approx(0.75, abs=0.01)


def test_images_that_stand_everything_and_those_that_are_wrong() -> None:
    blind = linear(scale=0)
    test = images(100)
    reading = robustness_curve(blind, test)
    share = float((test.labels == 0).double().mean())
    assert reading.value == share
    assert set(accuracies(reading)) == {share}
    assert reading.parts["median smallest eps"].value in (0, 4 / 255, 8 / 255)


@pytest.mark.parametrize("attack", ATTACKS)
def test_confidence_hides_nothing(attack: Attack) -> None:
    model = linear()
    test = answered(model, images(200))
    one, other = (robustness_curve(m, test, attack=attack) for m in (model, Cold(model, 1e-5)))
    assert accuracies(one) == pytest.approx(accuracies(other), abs=0.0051)
    assert one.value == pytest.approx(other.value, abs=1e-3)


def test_neither_batches_nor_the_order_matter() -> None:
    test = digits_test().take(torch.arange(100))
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(3))
    options: dict[str, Any] = {"eps": (0.05, 0.1), "bisections": 2}
    one = robustness_curve(digits_mlp(), test, **options).examples
    other = robustness_curve(digits_mlp(), test, batch_size=7, **options).examples
    shuffled = robustness_curve(digits_mlp(), test.take(order), **options).examples
    assert one is not None
    assert other is not None
    assert (one != other).sum() <= 1
    assert (one[order.numpy()] != shuffled).sum() <= 1


def test_pixels_of_floats_are_attacked_as_they_are() -> None:
    test = images(50)
    floats = Images(test.floats() * 0.999, test.labels)
    reading = robustness_curve(linear(), floats, attack="fgsm", bisections=10)
    assert 0 < reading.value < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": ()}, "rising, not"),
        ({"eps": (0.2, 0.1)}, "rising, not"),
        ({"eps": (0.1, 0.1)}, "rising, not"),
        ({"eps": (0.0, 0.1)}, "rising, not"),
        ({"eps": (8.0,)}, "not 8.0"),
        ({"bisections": -1}, "bisections must be 0 or more, not -1"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"attack": "cw"}, 'attack is "pgd" or "fgsm", not "cw"'),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        robustness_curve(linear(), images(4), **options)
