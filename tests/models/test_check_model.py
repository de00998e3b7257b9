"""Every architecture passes the conformance suite, and the suite finds what it should."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Task
from scratchcard.registry import MODELS
from scratchcard.testing import check_model

TASK = Task(1, 4, 4, 3)
TASKS = [Task(3, 32, 32, 10), Task(1, 8, 8, 10), Task(1, 9, 13, 2)]
SMALL: dict[str, dict[str, Any]] = {
    "resnet": {"widths": (16, 16, 32, 32)},
    "vgg": {"width": 0.25},
    "wide-resnet": {"widen": 1},
}
"""Options that make the large ones quick."""
TILED = {"vgg": TASKS[:1], "vit": TASKS[:2]}
"""What the others refuse: images below 32x32, and such as patches do not tile."""


@pytest.mark.parametrize(
    ("name", "task"),
    [(name, task) for name in MODELS.names() for task in TILED.get(name, TASKS)],
    ids=str,
)
def test_built_in_models(name: str, task: Task) -> None:
    check_model(partial(MODELS.get(name).target, **SMALL.get(name, {})), task)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resnet", {"depth": 50, "widths": (8, 8, 16, 16)}),
        ("resnet", {"stem": "imagenet", "widths": (8, 8, 16, 16)}),
        ("vgg", {"head": "imagenet", "width": 0.05}),
        ("cifar-resnet", {"widths": (13, 17, 25)}),
        ("vit", {"heads": 2, "depth": 1}),  # an even number takes PyTorch's fast path
    ],
)
def test_variants(name: str, params: dict[str, Any]) -> None:
    check_model(partial(MODELS.get(name).target, **params), TASKS[0])


def test_no_model_is_forgotten_or_unexplained() -> None:
    assert MODELS.names() == ["cifar-resnet", "lenet", "mlp", "resnet", "vgg", "vit", "wide-resnet"]
    for name in MODELS.names():
        spec = MODELS.get(name)
        assert all(f"{option}: " in spec.doc for option in spec.parameters)
        assert "Source:" in spec.doc
        assert "Limits:" in spec.doc


def sound(task: Task) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(task.channels * task.height * task.width, task.classes)
    )


def wrong_classes(task: Task) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(task.channels * task.height * task.width, 7))


def own_seed(task: Task) -> nn.Module:
    network = sound(task)
    generator = torch.Generator()
    generator.seed()
    nn.init.normal_(network[1].weight, generator=generator)  # type: ignore[index]
    return network


def constant(task: Task) -> nn.Module:
    network = sound(task)
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


class Unused(nn.Module):
    """A sound network with a parameter that no gradient reaches."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.body, self.spare = sound(task), nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits


class BatchDependent(nn.Module):
    """Logits are centred over the batch, also in evaluation mode."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.body = sound(task)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits * (1 + logits.mean(0))


class Forgetful(BatchDependent):
    """A drawn constant scales the logits, but is not saved."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.scale = torch.rand(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits * self.scale


class Sharing(BatchDependent):
    """A deep copy that is none."""

    def __deepcopy__(self, memo: object) -> "Sharing":
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits


def small_garbage(task: Task) -> nn.Module:
    if task.height > 1:
        return sound(task)
    return nn.Flatten(0)


def test_a_sound_function_passes() -> None:
    check_model(sound, TASK)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (wrong_classes, r"shape \[8, 7\], not \[8, 3\]"),
        (own_seed, "the same seed gives other weights"),
        (constant, "another seed gives the same weights"),
        (Unused, "no gradient reaches spare"),
        (BatchDependent, "depend on its batch"),
        (Forgetful, "does not restore the logits"),
        (Sharing, "a deep copy shares its parameters"),
        (small_garbage, "neither refused nor handled"),
    ],
)
def test_an_unsound_function_is_told_why(target: Callable[[Task], nn.Module], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(target, TASK)
