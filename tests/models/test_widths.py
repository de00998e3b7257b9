"""Narrower networks: the paper's small-dense baselines, and what every architecture offers."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Task
from scratchcard.registry import MODELS

CIFAR, IMAGENET = Task(3, 32, 32, 10), Task(3, 224, 224, 1000)


def on_meta(kind: str, task: Task, params: Mapping[str, Any]) -> nn.Module:
    with torch.device("meta"):
        network = MODELS.get(kind).target(task, **params)
    assert isinstance(network, nn.Module)
    return network


def convolutions(kind: str, task: Task, params: Mapping[str, Any]) -> int:
    modules = on_meta(kind, task, params).modules()
    return sum(m.weight.numel() for m in modules if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    ("kind", "task", "dense", "small", "percent"),
    [
        # The stem of ResNet-20 shrinks with the first stage; the others keep theirs.
        ("cifar-resnet", CIFAR, {}, {"widths": (13, 17, 25)}, 21.08),
        ("resnet", CIFAR, {}, {"widths": (32, 77, 132, 215)}, 20.96),
        ("wide-resnet", CIFAR, {}, {"widths": (120, 170, 260)}, 20.99),
        ("resnet", IMAGENET, {"depth": 50}, {"widths": (47, 96, 196, 348)}, 51.19),
    ],
)
def test_small_dense_of_the_paper(
    kind: str, task: Task, dense: dict[str, Any], small: dict[str, Any], percent: float
) -> None:
    ratio = convolutions(kind, task, dense | small) / convolutions(kind, task, dense)
    assert round(100 * ratio, 2) == percent


@pytest.mark.parametrize(
    ("kind", "task", "params"),
    [
        # The other readings: shortcut B; a stem half as wide; the CIFAR stem.
        ("cifar-resnet", CIFAR, {"widths": (13, 17, 25), "shortcut": "B"}),
        ("resnet", CIFAR, {"widths": (32, 77, 132, 215), "stem_width": 32}),
        ("resnet", CIFAR, {"depth": 50, "widths": (47, 96, 196, 348)}),
        ("resnet", IMAGENET, {"depth": 50, "widths": (47, 96, 196, 348), "stem_width": 47}),
    ],
)
def test_other_readings_of_the_paper_give_other_ratios(
    kind: str, task: Task, params: dict[str, Any]
) -> None:
    shared = {k: v for k, v in params.items() if k in ("depth", "shortcut")}
    ratio = convolutions(kind, task, params) / convolutions(kind, task, shared)
    assert round(100 * ratio, 2) not in (21.08, 20.96, 51.19)


def full(kind: str, **params: Any) -> dict[str, Any]:
    """Every option of an architecture, defaults included."""
    return {name: default for name, (_, default) in MODELS.get(kind).parameters.items()} | params


def narrowed(kind: str, factor: float, **params: Any) -> dict[str, Any]:
    narrower = MODELS.get(kind).narrower
    assert narrower is not None
    return narrower(full(kind, **params), factor)


@pytest.mark.parametrize(
    ("kind", "params", "factor", "changed"),
    [
        ("mlp", {"hidden": (300, 100)}, 0.5, {"hidden": (150, 50)}),
        ("lenet", {"width": 2.0}, 0.25, {"width": 0.5}),
        ("cifar-resnet", {}, 0.5, {"widths": (8, 16, 32)}),
        ("cifar-resnet", {"width": 8}, 0.5, {"widths": (4, 8, 16)}),
        ("cifar-resnet", {"widths": (13, 17, 25)}, 0.1, {"widths": (1, 2, 2)}),
        ("resnet", {}, 0.5, {"widths": (32, 64, 128, 256), "stem_width": 32}),
        ("wide-resnet", {}, 0.5, {"widths": (80, 160, 320), "stem_width": 8}),
        ("wide-resnet", {"widen": 1}, 0.5, {"widths": (8, 16, 32), "stem_width": 8}),
        ("vgg", {}, 0.5, {"width": 0.5}),
        ("vit", {"dim": 192, "heads": 3}, 0.5, {"dim": 96}),
        ("vit", {"dim": 192, "heads": 3}, 0.36, {"dim": 69}),
        ("vit", {"dim": 192, "heads": 3}, 1e-9, {"dim": 3}),
    ],
)
def test_narrower(
    kind: str, params: dict[str, Any], factor: float, changed: dict[str, Any]
) -> None:
    before = full(kind, **params)
    found = narrowed(kind, factor, **params)
    assert found == before | changed
    assert full(kind, **params) == before


@pytest.mark.parametrize("kind", MODELS.names())
def test_every_architecture_can_be_made_narrower(kind: str) -> None:
    counts = [
        sum(p.numel() for p in on_meta(kind, CIFAR, narrowed(kind, factor)).parameters())
        for factor in (1e-9, 0.01, 0.1, 0.3, 0.7, 1.0)
    ]
    assert counts == sorted(counts)
    assert counts[1] < counts[2] < counts[3] < counts[4] < counts[5]
    assert counts[-1] == sum(p.numel() for p in on_meta(kind, CIFAR, {}).parameters())


@pytest.mark.parametrize("kind", MODELS.names())
def test_narrow_networks_have_every_hidden_layer_narrow(kind: str) -> None:
    dense = dict(on_meta(kind, CIFAR, {}).named_modules())
    narrow = dict(on_meta(kind, CIFAR, narrowed(kind, 0.1)).named_modules())
    for name, module in dense.items():
        other = narrow[name]
        if isinstance(module, nn.Conv2d):
            assert isinstance(other, nn.Conv2d)
            assert other.out_channels <= max(2, 0.13 * module.out_channels), name
        if isinstance(module, nn.Linear) and module.out_features != CIFAR.classes:
            assert isinstance(other, nn.Linear)
            assert other.out_features <= max(2, 0.13 * module.out_features), name
