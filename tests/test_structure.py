"""Shrunk networks: the record, the tensors it selects, and what it refuses."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.structure import Channels, widths
from tests.shrinkable import IMAGES, LABELS, network

KEPT = {
    "0": {"out": [0, 2, 5]},
    "1": {"out": [0, 2, 5]},
    "4": {"in": [0, 2, 5], "out": [1, 6]},
    "5": {"out": [1, 6]},
    "9": {"in": [4, 5, 6, 7, 24, 25, 26, 27]},
}
"""Of ``vgg``: flattening 2 x 2 pixels makes four features of each of the channels 1 and 6."""


def record() -> Channels:
    return Channels(KEPT, Masks.ones(network("vgg")).shapes())


def shrunk() -> nn.Module:
    model = network("vgg")
    record().apply_(model)
    return model


def sizes(module: nn.Module, *names: str) -> list[Any]:
    return [getattr(module, name) for name in names]


def test_it_answers_as_the_dense_network_with_those_channels_silent() -> None:
    """BatchNorm's scale and shift of zero, then ReLU, make a channel zero everywhere."""
    dense = network("vgg")
    with torch.no_grad():
        for layer, kept in (("1", KEPT["0"]["out"]), ("5", KEPT["4"]["out"])):
            for name in ("weight", "bias"):
                tensor = dense.get_parameter(f"{layer}.{name}")
                tensor[[c for c in range(len(tensor)) if c not in kept]] = 0
    torch.testing.assert_close(shrunk()(IMAGES), dense(IMAGES))
    assert not torch.allclose(network("vgg")(IMAGES), dense(IMAGES), atol=1e-3)


def test_tensors_and_sizes() -> None:
    dense, model = network("vgg"), shrunk()
    expected = dense.get_parameter("4.weight")[[1, 6]][:, [0, 2, 5]]
    assert torch.equal(model.get_parameter("4.weight"), expected)
    assert sizes(model.get_submodule("4"), "in_channels", "out_channels") == [3, 2]
    assert sizes(model.get_submodule("5"), "num_features") == [2]
    assert sizes(model.get_submodule("9"), "in_features", "out_features") == [8, 10]
    assert torch.equal(model.get_buffer("5.running_var"), dense.get_buffer("5.running_var")[[1, 6]])
    assert model.get_buffer("5.num_batches_tracked").ndim == 0
    assert torch.equal(
        model.get_parameter("9.weight"), dense.get_parameter("9.weight")[:, KEPT["9"]["in"]]
    )
    assert torch.equal(model.get_parameter("9.bias"), dense.get_parameter("9.bias"))
    assert model.get_parameter("0.weight").shape == (3, 3, 3, 3)


def test_depth_wise_convolutions_shrink_on_both_sides_at_once() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 3, 1))
    dense = copy.deepcopy(model)
    keep = [1, 3]
    channels = Channels(
        {"0": {"out": keep}, "1": {"out": keep}, "2": {"in": keep}}, Masks.ones(model).shapes()
    )
    channels.apply_(model)
    assert sizes(model[1], "groups", "in_channels", "out_channels") == [2, 2, 2]
    with torch.no_grad():
        dense.get_parameter("2.weight")[:, [0, 2]] = 0
    x = torch.rand(2, 2, 5, 5)
    torch.testing.assert_close(model(x), dense(x))
    assert channels.layers() == {"0.weight": 4, "1.weight": 18, "2.weight": 6}


def test_counts_are_those_of_the_network() -> None:
    channels, model = record(), shrunk()
    counted = {n: model.get_parameter(n).numel() for n in channels.shapes}
    assert channels.layers() == counted
    assert channels.left == sum(counted.values())
    assert channels.total == sum(network("vgg").get_parameter(n).numel() for n in counted)
    assert channels.density + channels.sparsity == pytest.approx(1)
    assert channels.sparsity == 1 - channels.left / channels.total
    assert channels.widths() == {"0.weight": 3, "4.weight": 2, "9.weight": 10, "13.weight": 4}
    assert channels.collapsed == ()


def test_a_layer_that_is_the_whole_model() -> None:
    model = nn.Linear(4, 3)
    channels = Channels({"": {"in": [0, 3]}}, Masks.ones(model).shapes())
    channels.apply_(model)
    assert model.weight.shape == (3, 2)
    assert channels.left == 6


def test_a_shrunk_state_loads_strictly_into_a_stock_network() -> None:
    other = shrunk()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    stock = network("vgg")
    record().apply_(stock)
    stock.load_state_dict(other.state_dict(), strict=True)
    assert torch.equal(stock(IMAGES), other(IMAGES))
    assert torch.equal(copy.deepcopy(other)(IMAGES), other(IMAGES))


def test_weights_of_any_step_can_be_loaded_and_then_shrunk() -> None:
    later = network("vgg")
    with torch.no_grad():
        for tensor in later.state_dict().values():
            tensor.add_(1)
    stock = network("vgg")
    stock.load_state_dict(later.state_dict())
    record().apply_(stock)
    assert torch.equal(stock.get_parameter("1.bias"), later.get_parameter("1.bias")[[0, 2, 5]])


def test_json() -> None:
    text = record().to_json()
    assert Channels.from_json(text) == record()
    assert json.loads(text)["kept"] == KEPT
    everything = Channels({}, record().shapes)
    assert Channels.from_json(everything.to_json()) == everything != record()
    for wrong in ("", "[]", "{}", '{"kept": [], "shapes": {}}', '{"kept": {"0": 3}, "shapes": {}}'):
        with pytest.raises(UserError, match="is no record of channels"):
            Channels.from_json(wrong)


def test_an_optimiser_must_be_made_afterwards() -> None:
    """One that was made before trains tensors which no layer uses any more, and what is whole."""
    model = network("vgg").train()
    stale = torch.optim.SGD(model.parameters(), lr=0.1)
    record().apply_(model)
    fresh = torch.optim.SGD(model.parameters(), lr=0.1)
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.autograd.backward(cross_entropy(model(IMAGES), LABELS))
    before = copy.deepcopy(dict(model.named_parameters()))
    stale.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"9.bias", "10.weight", "10.bias", "13.weight", "13.bias"}
    before = copy.deepcopy(dict(model.named_parameters()))
    fresh.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter, before[name] - 0.1 * parameter.grad)
        assert not torch.equal(parameter, before[name])


def test_frozen_parameters_stay_frozen() -> None:
    model = network("vgg")
    model.get_parameter("0.weight").requires_grad_(False)
    record().apply_(model)
    assert not model.get_parameter("0.weight").requires_grad
    assert model.get_parameter("4.weight").requires_grad


@pytest.mark.parametrize(
    ("kept", "shapes", "message"),
    [
        ({"0": {"out": [0]}}, {"0.weight": [7, 3, 3, 3]}, r"0\.weight of shape \(7, 3, 3, 3\) is"),
        ({}, {"conv.weight": [7, 3]}, r"conv\.weight of shape \(7, 3\) is not in it"),
        ({"0": {"out": [1]}, "conv": {"out": [0]}}, {}, "conv is not in it"),
        ({"0": {"out": [1]}, "1": {"out": [0, 6]}}, {}, r"1 has 6 channels .* \(out\).* 7 or more"),
        ({"0": {"out": [1]}, "1": {"in": [0]}}, {}, r"1 has 0 channels that can go \(in\)"),
        ({"2": {"out": [0]}}, {}, "2 has 0 channels"),
    ],
)
def test_another_network_is_refused_and_left_alone(kept: Any, shapes: Any, message: str) -> None:
    model = network("vgg")
    with pytest.raises(UserError, match=message):
        Channels(kept, shapes).apply_(model)
    assert all(torch.equal(p, network("vgg").get_parameter(n)) for n, p in model.named_parameters())


def test_twice_is_refused() -> None:
    model = shrunk()
    with pytest.raises(
        UserError, match=r"shrunk before: 0\.weight of shape \(6, 3, 3, 3\) is \(3,"
    ):
        record().apply_(model)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"up": [0]}, 'no side "up"'),
        ({"out": []}, "one at least"),
        ({"out": [1, 0]}, "rising"),
        ({"out": [1, 1]}, "rising"),
        ({"out": [-1, 1]}, "from 0 on"),
    ],
)
def test_records_that_make_no_sense(sides: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Channels({"0": sides}, {})


def test_layers_that_cannot_shrink() -> None:
    assert widths(nn.Conv2d(4, 8, 3, groups=2)) == widths(nn.Conv2d(4, 8, 3, groups=4)) == {}
    assert widths(nn.ConvTranspose2d(4, 8, 3)) == widths(nn.LayerNorm(8)) == {}
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    assert widths(normed) == {}
    assert widths(nn.Conv1d(3, 4, 1)) == {"out": 4, "in": 3}
    assert widths(nn.BatchNorm3d(5)) == {"out": 5}
