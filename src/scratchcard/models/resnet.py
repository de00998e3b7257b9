"""ResNet-18, 34 and 50 with torchvision's parameter names, and a stem for small images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from scratchcard.contracts import Task
from scratchcard.models.normalise import Normalise, fan_out
from scratchcard.models.options import (
    check_depth,
    check_positive,
    check_widths,
    cifar_or_imagenet,
    scaled,
)
from scratchcard.registry import model

WIDTHS = (64, 128, 256, 512)
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""How many blocks the stages of each depth have."""


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a ResNet whose stem and stages are ``factor`` times as wide."""
    (stem_width,) = scaled([params["stem_width"]], factor)
    return {**params, "widths": scaled(params["widths"], factor), "stem_width": stem_width}


@model("resnet", narrower=narrower)
def resnet(
    task: Task,
    *,
    depth: int = 18,
    stem: Literal["auto", "cifar", "imagenet"] = "auto",
    widths: tuple[int, ...] = WIDTHS,
    stem_width: int = 64,
    zero_init: bool = False,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Module:
    """ResNet-18, 34 or 50: a stem, four stages of residual blocks, global average pooling.

    The second to fourth stages halve the image. Depths 18 and 34 have blocks of two 3x3
    convolutions; 50 has bottlenecks of 1x1, 3x3 and 1x1, whose outputs have four times the stage's
    channels and whose 3x3 convolution takes the stride ("v1.5"). Where the shape changes, the
    shortcut is a 1x1 convolution with BatchNorm. With the ImageNet stem and 1,000 classes,
    checkpoints of torchvision load strictly. Convolutions start from N(0, 2 / fan_out), the last
    layer from U(-1, 1) / sqrt(fan_in), its bias from zero, BatchNorm from one and zero.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1; Goyal et
    al., Accurate, Large Minibatch SGD, 2017 (where the stride is; ``zero_init``).
    Limits: images of any size, but the ImageNet stem and the stages shrink them 32-fold: below
    64x64 take the CIFAR stem (8-fold), which costs sixteen times as much a pixel.

    Args:
        task: What it must fit.
        depth: Layers with weights: 18, 34 or 50.
        stem: cifar (3x3 convolution), imagenet (7x7 of stride 2, then max-pooling of stride 2) or
            auto (cifar below 64 pixels).
        widths: Channels of each stage; bottlenecks put out four times as many.
        stem_width: Channels of the stem.
        zero_init: Start the last BatchNorm of each block from zero, so that blocks begin as
            identities.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    check_depth(depth, tuple(BLOCKS))
    check_positive("stem_width", stem_width, 64)
    widths = check_widths(widths, 4, WIDTHS)
    small = cifar_or_imagenet("stem", stem, task) == "cifar"
    network = ResNet(Normalise(mean, std, task.channels), task, depth, small, stem_width, widths)
    fan_out(network)
    if zero_init:
        for module in network.modules():
            if isinstance(module, Basic | Bottleneck):
                last = module.bn2 if isinstance(module, Basic) else module.bn3
                nn.init.zeros_(last.weight)
    return network


class ResNet(nn.Module):
    """Stem, four stages of blocks, average pooling and a linear layer."""

    def __init__(
        self,
        normalise: Normalise,
        task: Task,
        depth: int,
        small: bool,
        stem_width: int,
        widths: Sequence[int],
    ) -> None:
        super().__init__()
        kind = Bottleneck if depth >= 50 else Basic
        self.normalise = normalise
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(
            task.channels, stem_width, kernel, stride, padding=kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(stem_width)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        ins = (stem_width, *(width * kind.expansion for width in widths))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(kind, ins[i], widths[i], BLOCKS[depth][i], stride)
            for i, stride in enumerate((1, 2, 2, 2))
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(ins[-1], task.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], [B, C, H, W], to logits [B, K]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.normalise(images)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: torch.Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class Basic(nn.Module):
    """Two convolutions of 3x3 beside a shortcut; ``downsample`` where the shape changes."""

    expansion: ClassVar[int] = 1

    def __init__(self, ins: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.downsample = _shortcut(ins, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, ins, H, W] make [B, width, H / stride, W / stride]."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        summed: torch.Tensor = self.relu2(out + self.downsample(x))
        return summed


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1 beside a shortcut; the last has four times the channels."""

    expansion: ClassVar[int] = 4

    def __init__(self, ins: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu3 = nn.ReLU()
        self.downsample = _shortcut(ins, 4 * width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, ins, H, W] make [B, 4 width, H / stride, W / stride]."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(out)))))
        summed: torch.Tensor = self.relu3(out + self.downsample(x))
        return summed


def _shortcut(ins: int, outs: int, stride: int) -> nn.Module:
    if stride == 1 and ins == outs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))


def _stage(
    kind: type[Basic] | type[Bottleneck], ins: int, width: int, count: int, stride: int
) -> nn.Sequential:
    later = (kind(width * kind.expansion, width, 1) for _ in range(count - 1))
    return nn.Sequential(kind(ins, width, stride), *later)
