"""Parameters and non-zero parameters of networks that can be counted by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import NotApplicable
from scratchcard.masks import Masks
from scratchcard.metrics import measure
from scratchcard.pruning.prune import prune, shrink
from scratchcard.registry import MODELS
from tests.metrics.efficiency.networks import data, small
from tests.shrinkable import IMAGES, LABELS, network

DATA = IMAGES, LABELS


def mixed() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 4)),
    )


def parts(model: nn.Module, name: str) -> dict[str, float]:
    return {label: part.value for label, part in measure(model, name, DATA).parts.items()}


def test_each_kind_is_counted() -> None:
    assert measure(mixed(), "parameters", DATA).value == 4 * 27 + 4 + 8 + 4 + 8 + 16 + 4
    assert parts(mixed(), "parameters") == {
        "conv and linear weights": 4 * 27 + 16,
        "biases": 4 + 4,
        "normalisation": 8 + 8,
        "other": 4,
        "buffers": 4 + 4 + 1,
    }


@pytest.mark.parametrize("kind", MODELS.names())
def test_registered_networks(kind: str) -> None:
    model = small(kind)
    reading = measure(model, "parameters", data(kind))
    assert reading.value == sum(p.numel() for p in model.parameters())
    kinds = {k: p.value for k, p in reading.parts.items() if k != "buffers"}
    assert sum(kinds.values()) == reading.value
    assert kinds["conv and linear weights"] == Masks.ones(model).total


def test_what_layers_share_counts_once() -> None:
    one, two = nn.Linear(192, 4), nn.Linear(192, 4)
    two.weight = one.weight
    model = nn.ModuleDict({"one": one, "two": two})
    twice = sum(p.numel() for _, p in model.named_parameters(remove_duplicate=False))
    assert measure(model, "parameters", DATA).value == 4 * 192 + 8 == twice - 4 * 192
    assert measure(model, "nonzeros", DATA).parts["conv and linear weights"].n == 4 * 192


def test_nonzeros_are_what_masks_keep() -> None:
    model = small("cifar-resnet")
    dense = measure(model, "parameters", DATA).value
    masks = prune(model, "omp", sparsity=0.9)
    found = parts(model, "nonzeros")
    assert found["conv and linear weights"] == masks.kept
    assert found["density"] == masks.density
    alive = sum(int(p.count_nonzero()) for p in model.parameters())
    assert measure(model, "nonzeros", DATA).value == alive
    assert found["share of all"] == alive / dense
    assert measure(model, "parameters", DATA).value == dense


def test_removed_channels_are_gone() -> None:
    model = network("resnet B")
    channels = shrink(model, "channels", sparsity=0.5, data=[(IMAGES, LABELS)])
    assert parts(model, "parameters")["conv and linear weights"] == channels.left
    assert parts(model, "nonzeros")["density"] == 1.0


def test_networks_without_prunable_layers() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.AdaptiveAvgPool1d(4))
    assert measure(model, "parameters", DATA).value == 384
    assert measure(model, "nonzeros", DATA).value == 192
    assert "density" not in parts(model, "nonzeros")


class Packed(nn.Module):
    """As quantised layers do, it keeps its weights in something that is no tensor."""

    def get_extra_state(self) -> Any:
        return {"weight": torch.ones(3)}

    def set_extra_state(self, state: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("name", ["parameters", "nonzeros", "file-size"])
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Flatten(), "no"),
        (nn.Sequential(nn.Linear(3, 2), Packed()), "1._extra_state is a dict, no tensor"),
        (nn.LazyLinear(3), "not initialised yet"),
    ],
)
def test_what_cannot_be_counted_is_not(name: str, model: nn.Module, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        measure(model, name, DATA)
