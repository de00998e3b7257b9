"""Names, shapes, order and logits are torchvision's, so that public checkpoints load strictly.

The oracle's answers were recorded once from torchvision itself, which is not needed here.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Task
from scratchcard.registry import MODELS

ORACLE = json.loads(Path(__file__).with_name("torchvision_names.json").read_text())["networks"]
IMAGENET = Task(3, 224, 224, 1000)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("resnet", {"depth": 18}),
    "resnet34": ("resnet", {"depth": 34}),
    "resnet50": ("resnet", {"depth": 50}),
    "vgg11_bn": ("vgg", {"depth": 11}),
    "vgg13_bn": ("vgg", {"depth": 13}),
    "vgg16_bn": ("vgg", {"depth": 16}),
    "vgg19_bn": ("vgg", {"depth": 19}),
    "vit_b_16": ("vit", {"patch": 16, "dim": 768, "depth": 12, "heads": 12}),
}


def on_meta(kind: str, task: Task, params: Mapping[str, Any]) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        network = MODELS.get(kind).target(task, **params)
    assert isinstance(network, nn.Module)
    return network


def lines(network: nn.Module) -> list[str]:
    return [f"{name} {list(value.shape)}" for name, value in network.state_dict().items()]


def filled(network: nn.Module) -> nn.Module:
    """The network with weights from a formula of their place: the oracle had the same."""
    for place, (name, values) in enumerate(network.state_dict().items()):
        if values.is_floating_point():
            counted = torch.arange(values.numel()) * 7919 + 31 * place
            u = (counted % 1009).float().reshape(values.shape) / 1009 - 0.5
            if values.ndim > 1 and len(values) > 1:
                values.copy_(u * (24 / values[0].numel()) ** 0.5)
            else:
                values.copy_(1 + u if name.endswith(("weight", "var")) else u / 5)
    return network.eval()


def pixels() -> torch.Tensor:
    counted = torch.arange(2 * 3 * 32 * 32) * 7919 % 1009
    return counted.float().reshape(2, 3, 32, 32) / 1009


@pytest.mark.parametrize("name", NETWORKS)
def test_names_shapes_and_order(name: str) -> None:
    kind, params = NETWORKS[name]
    network, oracle = on_meta(kind, IMAGENET, params), ORACLE[name]
    found = lines(network)
    if "state" in oracle:
        assert found == oracle["state"]
    assert len(found) == oracle["entries"]
    assert hashlib.sha256("\n".join(found).encode()).hexdigest() == oracle["sha256"]
    assert sum(p.numel() for p in network.parameters()) == oracle["parameters"]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("vgg16_bn", 138_365_992),
        ("vit_b_16", 86_567_656),
    ],
)
def test_the_oracle_has_the_published_sizes(name: str, count: int) -> None:
    assert ORACLE[name]["parameters"] == count


@pytest.mark.parametrize(
    ("name", "kind", "params"),
    [
        ("resnet18", "resnet", {"depth": 18, "stem": "imagenet"}),
        ("resnet50", "resnet", {"depth": 50, "stem": "imagenet"}),
        ("vit", "vit", {"patch": 8, "dim": 16, "depth": 2, "heads": 2}),
    ],
)
def test_logits(name: str, kind: str, params: Mapping[str, Any]) -> None:
    network = MODELS.get(kind).target(Task(3, 32, 32, 5), mean=(0.0,), std=(1.0,), **params)
    wanted = torch.tensor(ORACLE[name]["logits"])
    with torch.no_grad():
        assert torch.allclose(filled(network)(pixels()), wanted, rtol=1e-3, atol=1e-3)


def test_features_of_vgg() -> None:
    network = MODELS.get("vgg").target(Task(3, 32, 32, 5), depth=11, width=1 / 16)
    with torch.no_grad():
        found = filled(network.features)(pixels()).flatten(1)[:, :5]
    wanted = torch.tensor(ORACLE["vgg11_bn"]["features"])
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_logits_tell_where_the_bottleneck_has_its_stride() -> None:
    """The first ResNet-50 had it in the 1x1 convolution: the same names, another network."""
    network = MODELS.get("resnet").target(
        Task(3, 32, 32, 5), depth=50, stem="imagenet", mean=(0.0,), std=(1.0,)
    )
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    with torch.no_grad():
        found = filled(network)(pixels())
    assert not torch.allclose(found, torch.tensor(ORACLE["resnet50"]["logits"]), rtol=0.05)
