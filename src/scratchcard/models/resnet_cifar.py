"""The residual networks of He et al. for small images, with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise, kaiming
from scratchcard.models.options import check_widths, scaled
from scratchcard.registry import model


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a ResNet whose stages, and so its stem, are ``factor`` times as wide."""
    widths = params["widths"] or stage_widths(params["width"])
    return {**params, "widths": scaled(widths, factor)}


def stage_widths(width: int) -> tuple[int, int, int]:
    """Channels of the three stages where they are not named one by one."""
    return width, 2 * width, 4 * width


@model("cifar-resnet", narrower=narrower)
def resnet(
    task: Task,
    *,
    depth: int = 20,
    width: int = 16,
    shortcut: Literal["A", "B"] = "A",
    widths: tuple[int, ...] = (),
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Module:
    """ResNet for small images: a 3x3 stem, three stages of basic blocks, global average pooling.

    The stages have ``width``, twice and four times as many channels; the second and third halve
    the image. ResNet-20 has 0.27 million parameters. Weights of Conv and Linear start from
    N(0, 2 / fan_in), biases from zero, BatchNorm from one and zero.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2.
    Limits: images of any size, but there is no early down-sampling: 128x128 costs sixteen times
    32x32.

    Args:
        task: What it must fit.
        depth: Layers with weights, 6 n + 2: 20, 32, 44, 56, 110.
        width: Channels of the first stage.
        shortcut: Where the shape changes: A (every other pixel, new channels zero; no weights, as
            in the paper) or B (convolution of 1x1 and BatchNorm).
        widths: Channels of each stage, in place of ``width``, such as (13, 17, 25); the stem has
            as many as the first stage.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    if depth < 8 or depth % 6 != 2:
        below = max(8, (depth - 2) // 6 * 6 + 2)
        near = "8" if depth < 8 else f"{below} or {below + 6}"
        raise UserError(f"depth = {depth} is not 6 n + 2 (8, 14, 20, ...); take {near}")
    if width < 1:
        raise UserError(f"width = {width} must be at least 1, such as 16")
    if shortcut not in ("A", "B"):
        raise UserError(f'shortcut = "{shortcut}" must be "A" or "B"')
    widths = check_widths(widths, 3, (13, 17, 25)) if widths else stage_widths(width)
    if shortcut == "A" and list(widths) != sorted(widths):
        raise UserError(
            f"widths = {list(widths)} shrink, but shortcut A only adds channels; "
            'let them grow or take shortcut = "B"'
        )
    network = CifarResNet(
        Normalise(mean, std, task.channels), task, (depth - 2) // 6, widths, shortcut
    )
    kaiming(network)
    return network


class CifarResNet(nn.Module):
    """Stem, three stages of ``blocks`` blocks, average pooling and a linear layer."""

    def __init__(
        self, normalise: Normalise, task: Task, blocks: int, widths: Sequence[int], shortcut: str
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.normalise = normalise
        self.conv1 = nn.Conv2d(task.channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = _stage(first, first, blocks, 1, shortcut)
        self.layer2 = _stage(first, second, blocks, 2, shortcut)
        self.layer3 = _stage(second, third, blocks, 2, shortcut)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, task.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], [B, C, H, W], to logits [B, K]."""
        x = self.relu(self.bn1(self.conv1(self.normalise(images))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class Block(nn.Module):
    """Two convolutions of 3x3 beside a shortcut; ``downsample`` where the shape changes."""

    def __init__(self, ins: int, outs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.relu2 = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 and shortcut == "A":
            self.downsample = Subsample(stride, outs - ins)
        elif stride != 1:
            projection = nn.Conv2d(ins, outs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, ins, H, W] make [B, outs, H / stride, W / stride]."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        summed: torch.Tensor = self.relu2(out + self.downsample(x))
        return summed


class Subsample(nn.Module):
    """Shortcut A: every ``stride``-th pixel, with ``extra`` channels of zeros around."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride = stride
        self.before, self.after = extra // 2, extra - extra // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, C, H, W] make [B, C + extra, H / stride, W / stride]."""
        kept = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, self.before, self.after))


def _stage(ins: int, outs: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    first = Block(ins, outs, stride, shortcut)
    return nn.Sequential(first, *(Block(outs, outs, 1, shortcut) for _ in range(blocks - 1)))
