"""Alarms ring for networks that hide their gradients, and not for honest ones."""

from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.gradient_masking import gradient_masking
from tests.victims import (
    Cold,
    Hard,
    Moat,
    Slope,
    Staircase,
    answered,
    digits_mlp,
    digits_test,
    images,
    level,
    linear,
)

SIGNS = ("one step beats many", "black box beats white box", "zero gradient", "stands 128/255")


def alarms(reading: Reading, tolerance: float = 0.02) -> set[str]:
    """The signs that ring, from the parts; their number must be the value."""
    rung = {
        sign
        for sign in SIGNS
        if reading.parts[sign].value > tolerance and reading.parts[sign].value * reading.n > 1.5
    }
    assert reading.value == len(rung)
    return rung


@pytest.mark.parametrize("eps", [8 / 255, 24 / 255])
def test_an_honest_network_rings_none(eps: float) -> None:
    reading = gradient_masking(digits_mlp(), digits_test(), eps=eps)
    assert alarms(reading) == set()
    assert reading.stderr == 0
    assert reading.parts["128/255"].value == 0


def test_a_staircase_rings_three() -> None:
    reading = gradient_masking(Staircase(digits_mlp()), digits_test(), eps=32 / 255)
    assert alarms(reading) == {"black box beats white box", "zero gradient", "stands 128/255"}
    assert reading.parts["zero gradient"].value == 1
    assert reading.parts["FGSM"].value == reading.parts["clean"].value


def test_a_saturated_softmax_blunts_the_cross_entropy_only() -> None:
    reading = gradient_masking(Cold(digits_mlp(), 1e-3), digits_test(), eps=32 / 255)
    assert alarms(reading) == {"zero gradient"}
    assert reading.parts["FGSM"].value > 0.8
    assert reading.parts["PGD"].value < 0.5


def test_a_dip_that_small_steps_do_not_leave() -> None:
    eps, test = 8 / 255, level(60)
    assert "one step beats many" in alarms(gradient_masking(Moat(eps), test, eps=eps))
    plain = gradient_masking(Slope(eps), test, eps=eps)
    assert alarms(plain) == set()
    assert plain.parts["FGSM"].value == plain.parts["PGD"].value == 0


def test_what_cannot_be_differentiated_has_no_gradient() -> None:
    test = answered(linear(), images(60))
    reading = gradient_masking(Hard(linear()), test)
    assert reading.parts["zero gradient"].value == 1


def test_a_constant_predictor_rings_two() -> None:
    constant = linear(scale=0)
    reading = gradient_masking(constant, images(60))
    assert alarms(reading) == {"zero gradient", "stands 128/255"}


def test_one_image_is_no_alarm_but_the_share_counts() -> None:
    eps = 8 / 255
    honest, odd = level(200), level(10)

    class Both(nn.Module):
        """A moat for bright corners, a slope for dark ones."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            moat = x[:, 0, :1, 0] > 0.62
            return torch.where(moat, Moat(eps)(x), Slope(eps)(x))

    def marked(test: Images, grey: int) -> torch.Tensor:
        pixels = test.pixels.clone()
        pixels[:, 0, 0, 0], pixels[:, 0, 0, 4] = grey, 256 - grey
        return pixels

    def reading(count: int, **options: Any) -> Reading:
        pixels = torch.cat([marked(honest, 90), marked(odd, 200)[:count]])
        return gradient_masking(Both(), Images(pixels, torch.zeros(len(pixels)).long()), **options)

    assert reading(10).parts["one step beats many"].value == pytest.approx(10 / 210)
    assert alarms(reading(10)) == {"one step beats many"}
    assert alarms(reading(3)) == set()
    assert alarms(reading(3, tolerance=0.0), tolerance=0.0) == {"one step beats many"}
    assert alarms(reading(1, tolerance=0.0), tolerance=0.0) == set()
    # Near the threshold, other images would have rung another number of bells.
    assert 0.3 < reading(4).stderr < 0.6


def test_the_size_of_the_batches_is_not_seen() -> None:
    one, other = (
        gradient_masking(digits_mlp(), digits_test(), eps=24 / 255, batch_size=size).parts
        for size in (256, 17)
    )
    for name, part in one.items():
        assert part.value == pytest.approx(other[name].value, abs=1.01 / 300)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 1.0}, "tolerance is a share of images"),
        ({"eps": 2.0}, "not 2.0"),
        ({"steps": 0}, "steps must be"),
        ({"queries": 0}, "queries must be"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        gradient_masking(linear(), images(4), **options)
