"""LeNet-5, the small convolutional network, with today's activations and pooling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise, kaiming
from scratchcard.registry import model


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a LeNet whose hidden layers are ``factor`` times as wide."""
    return {**params, "width": params["width"] * factor}


@model("lenet", narrower=narrower)
def lenet(
    task: Task,
    *,
    width: float = 1.0,
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling: two convolutions of 5x5, then three linear layers.

    Channels 6 and 16, then 120, 84 and one unit for each class. Both convolutions are padded by 2,
    so that images of 8x8 fit. Weights start from N(0, 2 / fan_in), biases from zero.

    Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998.
    Limits: images of at least 4x4 pixels; large ones make a very large first linear layer.

    Args:
        task: What it must fit.
        width: Multiplies 6, 16, 120 and 84 (rounded, at least 1).
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    if min(task.height, task.width) < 4:
        raise UserError(
            f"lenet needs images of at least 4x4 pixels, not {task}; mlp takes any size"
        )
    if width <= 0:
        raise UserError(f"width = {width} must be positive, such as 1.0")
    conv1, conv2, fc1, fc2 = (max(1, round(width * units)) for units in (6, 16, 120, 84))
    features = conv2 * (task.height // 4) * (task.width // 4)
    network = nn.Sequential(
        OrderedDict(
            normalise=Normalise(mean, std, task.channels),
            conv1=nn.Conv2d(task.channels, conv1, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(conv1, conv2, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(features, fc1),
            relu3=nn.ReLU(),
            fc2=nn.Linear(fc1, fc2),
            relu4=nn.ReLU(),
            fc3=nn.Linear(fc2, task.classes),
        )
    )
    kaiming(network)
    return network
