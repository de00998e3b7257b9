"""Attacks carried over between networks whose agreement is known."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.metrics.generalisation.transfer_attack import transfer_attack
from scratchcard.metrics.measure import measure
from scratchcard.registry import METRICS
from tests.victims import Staircase, answered, digits_mlp, digits_test, images, linear

WAYS = ["dense to dense", "dense to sparse", "sparse to dense", "sparse to sparse"]


def weights(model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    w, b = (model.get_parameter(f"1.{name}").detach().double() for name in ("weight", "bias"))
    return w[1] - w[0], b[1] - b[0]


@pytest.mark.parametrize("eps", [1 / 255, 4 / 255])
def test_two_linear_networks_carry_over_by_the_angle_of_their_signs(eps: float) -> None:
    sparse, dense, test = linear(seed=1), linear(seed=2), images(500)
    x, towards_one = test.pixels.flatten(1).double() / 255, test.labels == 0
    networks = {"sparse": weights(sparse), "dense": weights(dense)}
    reading = transfer_attack(sparse, dense, test, eps=eps)
    for maker, (w_maker, _) in networks.items():
        for judge, (w, b) in networks.items():
            side = torch.where(towards_one, 1.0, -1.0).double()
            lead = (x @ w + b) * side + eps * (w @ w_maker.sign())
            held = float((lead < 0).double().mean())
            assert reading.parts[f"{maker} to {judge}"].value == held
    assert reading.value == reading.parts["dense to sparse"].value
    assert reading.parts["dense to sparse"].value > reading.parts["sparse to sparse"].value


def test_a_twin_carries_everything_over() -> None:
    reading = transfer_attack(
        digits_mlp(), copy.deepcopy(digits_mlp()), digits_test(), eps=24 / 255
    )
    assert len({reading.parts[way].value for way in WAYS}) == 1
    assert reading.parts["carried over"].value == reading.parts["carried back"].value == 1
    alone = pgd(digits_mlp(), digits_test(), eps=24 / 255, steps=10)
    assert reading.value == pytest.approx(alone.value, abs=0.03)


def test_a_masked_ticket_falls_to_its_twin() -> None:
    hidden = Staircase(digits_mlp())
    reading = transfer_attack(hidden, digits_mlp(), digits_test(), eps=32 / 255)
    assert reading.parts["sparse to sparse"].value > 0.9
    assert reading.value < 0.5
    assert reading.parts["carried over"].value > 0.95
    assert "carried back" not in reading.parts


def test_carried_over_counts_what_both_had_right() -> None:
    sparse, dense, eps = linear(4, seed=1), linear(4, seed=2), 12 / 255
    test = answered(dense, images(400))
    reading = transfer_attack(sparse, dense, test, eps=eps)
    both = answered(sparse, test).labels == test.labels
    agreed = Images(test.pixels[both], test.labels[both])
    inner = transfer_attack(sparse, dense, agreed, eps=eps)
    assert 5 < reading.parts["carried over"].n == inner.parts["carried over"].n < int(both.sum())
    assert reading.parts["carried over"].value == inner.parts["carried over"].value


def test_it_is_a_metric_of_a_pair() -> None:
    assert METRICS.get("transfer-attack").scope == "pair"
    reading = measure(linear(), "transfer-attack", images(50), dense=linear(seed=2))
    assert reading.n == 50
    with pytest.raises(UserError, match="dense="):
        measure(linear(), "transfer-attack", images(50))


def test_the_size_of_the_batches_is_not_seen() -> None:
    one, other = (
        transfer_attack(digits_mlp(), linear_on_digits(), digits_test(), batch_size=size).examples
        for size in (256, 7)
    )
    assert np.abs(np.asarray(one) - np.asarray(other)).sum() <= 1


def linear_on_digits() -> nn.Module:
    layer = nn.Linear(64, 10)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    return nn.Sequential(nn.Flatten(), layer)


@pytest.mark.parametrize("options", [{"eps": -1.0}, {"steps": 0}, {"images": -1}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        transfer_attack(linear(), linear(), images(4), **options)
