"""Which layer is looked at, and what is read off it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard import models
from scratchcard.contracts import NotApplicable, Task, UserError
from scratchcard.metrics.interpretability.layers import activations
from tests.metrics.interpretability.seen import convolutional, pictures


@pytest.mark.parametrize(
    ("kind", "params", "shape", "layer", "size"),
    [
        ("cifar-resnet", {"depth": 8}, (3, 32, 32), "layer3", (8, 8)),
        ("cifar-resnet", {"depth": 8}, (1, 8, 8), "layer3", (2, 2)),
        ("cifar-resnet", {"depth": 8, "width": 4}, (3, 128, 128), "layer3", (32, 32)),
        ("vit", {"dim": 12, "depth": 1, "patch": 8}, (3, 32, 16), "encoder", (4, 2)),
        ("vit", {"dim": 12, "depth": 1}, (1, 8, 8), "encoder", (2, 2)),
    ],
)
def test_the_last_layer_with_places_is_taken(
    kind: str,
    params: dict[str, int],
    shape: tuple[int, int, int],
    layer: str,
    size: tuple[int, int],
) -> None:
    network = models.build(kind, Task(*shape, 3), params, 0)
    name, maps = activations(network, pictures(5, shape).pixels)
    assert name == layer
    assert maps.shape[1:] == (5, *size)
    assert maps.dtype == np.float32


def test_the_last_layer_of_a_residual_network_is_its_last_block() -> None:
    network, pixels = models.build("cifar-resnet", Task(3, 16, 16, 3), {}, 0), pictures(4).pixels
    wanted: list[Tensor] = []
    last = network.get_submodule("layer3.2")
    last.register_forward_hook(lambda *args: wanted.append(args[2]))
    network.eval()(pixels / 255)
    np.testing.assert_allclose(
        activations(network, pixels)[1], wanted[0].detach().numpy().swapaxes(0, 1), atol=1e-5
    )


class Patches(nn.Module):
    """Convolved patches as tokens after some others, and back."""

    def __init__(self, extra: int, patch: int) -> None:
        super().__init__()
        self.convolve, self.tokens = nn.Conv2d(3, 5, patch, patch), nn.Identity()
        self.head, self.extra = nn.Linear(5, 3), extra

    def forward(self, x: Tensor) -> Tensor:
        patches = self.convolve(x).flatten(2).transpose(1, 2)
        before = torch.full((len(x), self.extra, 5), 9.0)
        out: Tensor = self.head(self.tokens(torch.cat([before, patches], dim=1))[:, -1])
        return out


@pytest.mark.parametrize("extra", [0, 1, 5])
@pytest.mark.parametrize("patch", [2, 4])
def test_tokens_are_laid_back_on_their_grid(extra: int, patch: int) -> None:
    network, pixels = Patches(extra, patch), pictures(4, (3, 8, 16)).pixels
    name, maps = activations(network, pixels)
    assert name == "tokens"
    _, wanted = activations(network, pixels, layer="convolve")
    np.testing.assert_array_equal(maps, wanted)


def test_too_many_tokens_are_no_grid() -> None:
    assert activations(Patches(9, 4), pictures(4).pixels)[0] == "convolve"


def test_what_works_in_place_later_does_not_change_what_was_answered() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(1024, 2)
    )
    pixels = pictures(4).pixels
    assert activations(network, pixels, layer="0")[1].min() < 0
    assert activations(network, pixels)[1].min() == 0


class Twice(nn.Module):
    """Calls a layer two times, and another one in between."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.between, self.head = nn.ReLU(), nn.Identity(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.relu(self.between(7 - self.relu(x))).mean(dim=(2, 3)))
        return out


def test_of_several_calls_the_last_counts() -> None:
    pixels = pictures(4).pixels
    name, maps = activations(Twice(), pixels)
    assert name == "relu"
    np.testing.assert_allclose(maps.swapaxes(0, 1), 7 - pixels.numpy() / 255, rtol=1e-6)


def test_batches_change_nothing_and_the_network_is_left_alone() -> None:
    network, pixels = convolutional().train(), pictures(21).pixels
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    _, whole = activations(network, pixels)
    _, some = activations(network, pixels, batch_size=4)
    np.testing.assert_allclose(whole, some, rtol=1e-5, atol=1e-6)
    _, judged = activations(network.eval(), pixels)
    np.testing.assert_array_equal(whole, judged)
    assert all(torch.equal(before[key], now) for key, now in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_places_has_nothing_to_dissect() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(NotApplicable, match="tells places"):
        activations(flat, pictures(4).pixels)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(NotApplicable, match="tells places"):
        activations(pooled, pictures(4).pixels)
    assert activations(pooled, pictures(4).pixels, layer="0")[1].shape == (3, 4, 1, 1)


@pytest.mark.parametrize("layer", ["4x", "5", "conv"])
def test_layers_that_there_are_not_are_refused(layer: str) -> None:
    with pytest.raises(UserError, match=r'no layer ".+" that answers .*: 0, 1, 2, 3'):
        activations(convolutional(), pictures(4).pixels, layer=layer)


def test_what_are_no_logits_is_refused() -> None:
    pixels = pictures(4).pixels
    for change, message in (
        (lambda z: (z, z), "tuple"),
        (lambda z: z.softmax(dim=1), "probabilities"),
        (lambda z: z * torch.nan, "not a number"),
    ):
        network = nn.Sequential(convolutional(), _Changed(change))
        with pytest.raises(ValueError, match=message):
            activations(network, pixels)


class _Changed(nn.Module):
    def __init__(self, change: object) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> object:
        assert callable(self.change)
        return self.change(x)
