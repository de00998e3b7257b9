"""Wide residual networks: few layers, many channels, BatchNorm and ReLU before each convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise, fan_out
from scratchcard.models.options import check_dropout, check_positive, check_widths, scaled
from scratchcard.registry import model


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a network whose stem and stages are ``factor`` times as wide."""
    widths = params["widths"] or stage_widths(params["widen"])
    (stem_width,) = scaled([params["stem_width"]], factor)
    return {**params, "widths": scaled(widths, factor), "stem_width": stem_width}


def stage_widths(widen: int) -> tuple[int, int, int]:
    """Channels of the three stages where they are not named one by one."""
    return 16 * widen, 32 * widen, 64 * widen


@model("wide-resnet", narrower=narrower)
def wide_resnet(
    task: Task,
    *,
    depth: int = 28,
    widen: int = 10,
    dropout: float = 0.0,
    widths: tuple[int, ...] = (),
    stem_width: int = 16,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Module:
    """WRN: a 3x3 stem, three stages of pre-activation blocks, global average pooling.

    WRN-28-10 has 36.5 million parameters. The stages have 16, 32 and 64 times ``widen`` channels;
    the second and third halve the image. Each convolution comes after BatchNorm and ReLU; where
    the shape changes, the shortcut is a 1x1 convolution of the activated input, else the input as
    it is. Convolutions start from N(0, 2 / fan_out), the last layer from U(-1, 1) / sqrt(fan_in),
    its bias from zero, BatchNorm from one and zero.

    Source: Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016, table 1.
    Limits: images of any size, but there is no early down-sampling: 128x128 costs sixteen times
    32x32.

    Args:
        task: What it must fit.
        depth: Layers with weights, 6 n + 4: 16, 22, 28, 40.
        widen: The widening factor k.
        dropout: Share of activations dropped between the two convolutions of a block in training.
        widths: Channels of each stage, in place of ``widen``, such as (120, 170, 260).
        stem_width: Channels of the stem.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    if depth < 10 or depth % 6 != 4:
        below = max(10, (depth - 4) // 6 * 6 + 4)
        near = "10" if depth < 10 else f"{below} or {below + 6}"
        raise UserError(f"depth = {depth} is not 6 n + 4 (10, 16, 22, 28, ...); take {near}")
    check_positive("widen", widen, 10)
    check_positive("stem_width", stem_width, 16)
    check_dropout(dropout)
    widths = check_widths(widths, 3, (120, 170, 260)) if widths else stage_widths(widen)
    normalise = Normalise(mean, std, task.channels)
    network = WideResNet(normalise, task, (depth - 4) // 6, stem_width, widths, dropout)
    fan_out(network)
    return network


class WideResNet(nn.Module):
    """Stem, three stages of ``blocks`` blocks, a last BatchNorm, pooling and a linear layer."""

    def __init__(
        self,
        normalise: Normalise,
        task: Task,
        blocks: int,
        stem_width: int,
        widths: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.normalise = normalise
        self.conv1 = nn.Conv2d(task.channels, stem_width, 3, padding=1, bias=False)
        self.layer1 = _stage(stem_width, first, blocks, 1, dropout)
        self.layer2 = _stage(first, second, blocks, 2, dropout)
        self.layer3 = _stage(second, third, blocks, 2, dropout)
        self.bn1 = nn.BatchNorm2d(third)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, task.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], [B, C, H, W], to logits [B, K]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(self.normalise(images)))))
        logits: torch.Tensor = self.fc(self.avgpool(self.relu(self.bn1(x))).flatten(1))
        return logits


class Block(nn.Module):
    """Two convolutions of 3x3 beside a shortcut; ``downsample`` where the shape changes."""

    def __init__(self, ins: int, outs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ins)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.downsample: nn.Conv2d | None = None
        if stride != 1 or ins != outs:
            self.downsample = nn.Conv2d(ins, outs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of [B, ins, H, W] make [B, outs, H / stride, W / stride]."""
        activated = self.relu1(self.bn1(x))
        out = self.relu2(self.bn2(self.conv1(activated)))
        shortcut = x if self.downsample is None else self.downsample(activated)
        summed: torch.Tensor = shortcut + self.conv2(self.dropout(out))
        return summed


def _stage(ins: int, outs: int, blocks: int, stride: int, dropout: float) -> nn.Sequential:
    later = (Block(outs, outs, 1, dropout) for _ in range(blocks - 1))
    return nn.Sequential(Block(ins, outs, stride, dropout), *later)
