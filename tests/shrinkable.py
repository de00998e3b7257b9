"""Networks whose channels can go, cannot, or can only in part, for the tests of channel pruning."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from scratchcard.contracts import Task
from scratchcard.models import build

TASK = Task(3, 8, 8, 4)
IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(5))
LABELS = torch.arange(12) % 4


def vgg() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4, 10), nn.BatchNorm1d(10), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(10, 4)),
    )


def plain() -> nn.Module:
    """Convolutions alone, one channel to one index everywhere."""
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 7, 3), nn.Tanh()),
        *(nn.Conv2d(7, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    )


def depthwise() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU6()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6()),
        *(nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )


class Body(nn.Module):
    """Two convolutions with something between them, and a linear layer."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], reads: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(reads, 6, 3)
        self.fc = nn.Linear(6, 4)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.between(self.first(x)))
        out: torch.Tensor = self.fc(x.relu().mean((2, 3)))
        return out


class Dense(nn.Module):
    """Concatenation, as in a DenseNet: a layer reads the one before and what that reads."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem, self.first = stem, nn.Conv2d(3, 5, 3, padding=1)
        self.norm, self.second, self.fc = nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.second(self.norm(torch.cat([x, self.first(x).relu()], 1)).relu())
        out: torch.Tensor = self.fc(x.relu().mean((2, 3)))
        return out


class Tied(nn.Module):
    """Two layers with one weight, side by side: shrinking would make it two."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.read, self.out = nn.Flatten(), nn.Linear(192, 6), nn.Linear(5, 4)
        self.one, self.two, self.last = nn.Linear(6, 7), nn.Linear(6, 7), nn.Linear(7, 5)
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.read(self.flatten(x)).relu()
        out: torch.Tensor = self.out(self.last(self.one(x).relu() + self.two(x).tanh()).relu())
        return out


class Shown(nn.Module):
    """Logits that a layer reads, to improve on them."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.first = nn.Flatten(), nn.Linear(192, 6)
        self.second, self.fc = nn.Linear(6, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(self.flatten(x)).relu())
        out: torch.Tensor = x + self.fc(x.relu())
        return out


class Volumes(nn.Module):
    """Convolutions of one and three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.norm = nn.Conv3d(3, 5, 3), nn.BatchNorm3d(5)
        self.line, self.fc = nn.Conv1d(5, 6, 3), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.deep(x.unsqueeze(2).expand(-1, -1, 8, -1, -1))).relu().amax((3, 4))
        out: torch.Tensor = self.fc(self.line(x).relu().mean(2))
        return out


def padded(x: torch.Tensor) -> torch.Tensor:
    return functional.pad(x, (0, 0, 0, 0, 2, 2))


def resnet(shortcut: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: build("cifar-resnet", TASK, {"depth": 8, "shortcut": shortcut, **options}, 0)


INNER = ("layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1")
STREAM = ("conv1", "layer2.0.conv2", "layer3.0.conv2")

CASES: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "mlp": (lambda: build("mlp", TASK, {"hidden": (9, 7)}, 0), {"fc1", "fc2"}),
    "lenet": (lambda: build("lenet", TASK, {}, 0), {"conv1", "conv2", "fc1", "fc2"}),
    "resnet A": (resnet("A", width=3), set(INNER)),
    "resnet B": (resnet("B", width=3), {*INNER, *STREAM}),
    "vgg": (vgg, {"0", "4", "9"}),
    "plain": (plain, {"0", "2", "4"}),
    "depth-wise": (depthwise, {"0", "6"}),
    "concatenation": (lambda: Dense(nn.Conv2d(3, 3, 1)), {"stem", "first", "second"}),
    "images beside": (lambda: Dense(nn.Identity()), {"second"}),
    "volumes": (Volumes, {"deep", "line"}),
    "grouped": (lambda: Body(nn.Conv2d(8, 8, 3, groups=2)), {"second"}),
    "multiplier": (lambda: Body(nn.Conv2d(8, 16, 3, groups=8), 16), {"second"}),
    "group norm": (lambda: Body(nn.GroupNorm(4, 8)), {"second"}),
    "one slope": (lambda: Body(nn.PReLU(1)), {"first", "second"}),
    "many slopes": (lambda: Body(nn.PReLU(8)), {"second"}),
    "softmax": (lambda: Body(nn.Softmax(1)), {"second"}),
    "padding": (lambda: Body(padded, 12), {"second"}),
    "flip": (lambda: Body(lambda x: x.flip(1)), {"second"}),
    "halves": (lambda: Body(lambda x: x[:, :4] + x[:, 4:], 4), {"second"}),
    "shuffle": (lambda: Body(nn.ChannelShuffle(2)), {"second"}),
    "pixels": (lambda: Body(nn.PixelShuffle(2), 2), {"second"}),
    "twice": (lambda: Body(lambda x: torch.cat([x, x.tanh()], 1), 16), {"first", "second"}),
    "tied": (Tied, {"last"}),
    "shown": (Shown, {"first"}),
}
"""By name: the network, and the layers that begin a group of channels that can go."""


def network(case: str) -> nn.Module:
    """In evaluation mode, with statistics, scales and biases that are not those of a fresh one."""
    stream = torch.Generator().manual_seed(2)
    torch.manual_seed(0)
    model = CASES[case][0]().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2, generator=stream)
                module.running_var.uniform_(0.5, 1.5, generator=stream)
                module.weight.uniform_(0.2, 1.5, generator=stream)
                module.bias.normal_(0, 0.2, generator=stream)
    return model
