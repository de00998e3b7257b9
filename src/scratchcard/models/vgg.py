"""VGG with BatchNorm and torchvision's parameter names, and a small head for small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise, fan_out
from scratchcard.models.options import (
    check_depth,
    check_dropout,
    check_positive,
    cifar_or_imagenet,
    scaled,
)
from scratchcard.registry import model

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""How many convolutions come before each of the five poolings."""


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a VGG whose hidden layers are ``factor`` times as wide."""
    return {**params, "width": params["width"] * factor}


@model("vgg", narrower=narrower)
def vgg(
    task: Task,
    *,
    depth: int = 16,
    head: Literal["auto", "cifar", "imagenet"] = "auto",
    width: float = 1.0,
    dropout: float = 0.5,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Module:
    """VGG-11, 13, 16 or 19 with BatchNorm: 3x3 convolutions, a max-pooling after each stage.

    The five stages have 64, 128, 256, 512 and 512 channels. With the ImageNet head and 1,000
    classes, checkpoints of torchvision (``vgg16_bn``) load strictly. Convolutions start from
    N(0, 2 / fan_out), linear layers from N(0, 0.01^2), biases from zero, BatchNorm from one and
    zero.

    Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image
    Recognition, ICLR 2015, table 1; BatchNorm and the initial weights are torchvision's.
    Limits: images of at least 32x32 pixels. The ImageNet head has 123.6 of VGG-16's 138.4 million
    parameters.

    Args:
        task: What it must fit.
        depth: Layers with weights (with the ImageNet head): 11, 13, 16 or 19.
        head: cifar (global average pooling, one linear layer), imagenet (pooling to 7x7, then
            4096, 4096 and one unit for each class) or auto (cifar below 64 pixels).
        width: Multiplies the channels and the 4096 (rounded, at least 1).
        dropout: Share of the ImageNet head's hidden units dropped in training.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    check_depth(depth, tuple(CONVOLUTIONS))
    check_positive("width", width, 1.0)
    check_dropout(dropout)
    small = cifar_or_imagenet("head", head, task) == "cifar"
    if min(task.height, task.width) < 32:
        raise UserError(
            f"vgg halves images five times, so they must have at least 32x32 pixels, not {task}; "
            "resnet and cifar-resnet take any size"
        )
    network = VGG(Normalise(mean, std, task.channels), task, depth, small, width, dropout)
    fan_out(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
    return network


class VGG(nn.Module):
    """Convolutions and poolings in ``features``, then pooling and the ``classifier``."""

    def __init__(
        self,
        normalise: Normalise,
        task: Task,
        depth: int,
        small: bool,
        width: float,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = scaled(WIDTHS, width)
        layers: list[nn.Module] = []
        channels = task.channels
        for count, outs in zip(CONVOLUTIONS[depth], widths, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, outs, 3, padding=1), nn.BatchNorm2d(outs), nn.ReLU()]
                channels = outs
            layers.append(nn.MaxPool2d(2))
        self.normalise = normalise
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1 if small else 7)
        (units,) = scaled([4096], width)
        self.classifier: nn.Module = (
            nn.Linear(channels, task.classes)
            if small
            else nn.Sequential(
                *(nn.Linear(49 * channels, units), nn.ReLU(), nn.Dropout(dropout)),
                *(nn.Linear(units, units), nn.ReLU(), nn.Dropout(dropout)),
                nn.Linear(units, task.classes),
            )
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], [B, C, H, W], to logits [B, K]."""
        x = self.avgpool(self.features(self.normalise(images)))
        logits: torch.Tensor = self.classifier(x.flatten(1))
        return logits
