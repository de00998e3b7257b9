"""The fully connected network on which lottery tickets were first found."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models.normalise import Normalise, kaiming
from scratchcard.models.options import scaled
from scratchcard.registry import model


def narrower(params: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Options of a network whose hidden layers are ``factor`` times as wide."""
    return {**params, "hidden": scaled(params["hidden"], factor)}


@model("mlp", narrower=narrower)
def mlp(
    task: Task,
    *,
    hidden: tuple[int, ...] = (300, 100),
    mean: tuple[float, ...] = (0.5,),
    std: tuple[float, ...] = (0.25,),
) -> nn.Sequential:
    """Fully connected layers with ReLU; 300 and 100 hidden units make LeNet-300-100.

    Weights start from N(0, 2 / fan_in), biases from zero.

    Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998; the first
    network of Frankle and Carbin, The Lottery Ticket Hypothesis, ICLR 2019.
    Limits: any images fit, but large ones make a very large first layer.

    Args:
        task: What it must fit.
        hidden: Units of each hidden layer.
        mean: Subtracted from pixels in [0, 1], one number for all channels or one for each.
        std: Divides what is left, likewise.
    """
    if not hidden or min(hidden) < 1:
        raise UserError(
            f"hidden = {list(hidden)} must name at least one layer of at least one unit, "
            "such as [300, 100]"
        )
    widths = (task.channels * task.height * task.width, *hidden, task.classes)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        normalise=Normalise(mean, std, task.channels), flatten=nn.Flatten()
    )
    for number in range(1, len(widths)):
        layers[f"fc{number}"] = nn.Linear(widths[number - 1], widths[number])
        layers[f"relu{number}"] = nn.ReLU()
    layers.popitem()  # logits take no ReLU
    network = nn.Sequential(layers)
    kaiming(network)
    return network
