"""The worst of the loss in a ball about the weights, by gradient ascent."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.landscape.walking import Walker, losses, predictions
from scratchcard.probe import device_of, floats
from scratchcard.stats import mean_reading


def surviving(model: nn.Module) -> dict[str, Tensor]:
    """One for every parameter, zero for the weights that are cut: exact zeros of matrices.

    A bias may be zero by chance of its initialisation, a weight is so only by a mask.
    """
    return {
        name: (p != 0).to(p.dtype) if p.ndim > 1 else torch.ones_like(p)
        for name, p in model.named_parameters()
    }


def worst_increase(
    walker: Walker,
    scale: Mapping[str, Tensor],
    images: Images,
    *,
    rho: float,
    steps: int,
    batch_size: int,
) -> Reading:
    """How much the mean loss rises, at most, where weights move by ``scale`` u with |u| <= rho.

    Args:
        walker: The network.
        scale: Of every parameter, not negative; where it is zero the parameter stays.
        images: They decide the direction, and the rise is of their loss.
        rho: The radius.
        steps: Each of a radius up the gradient and back into the ball; the worst point counts.
            One is SAM's.
        batch_size: Images per pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The loss has no slope, so that no direction is up.
        UserError: A radius that is not above 0, or no step.
    """
    check_counts(steps=steps, batch_size=batch_size)
    if not 0 < rho < math.inf:
        raise UserError(f"rho = {rho}, but must be a radius above 0, such as 0.05")
    clean = losses(predictions(walker.network, images, batch_size))
    away = {name: torch.zeros_like(c) for name, c in scale.items()}
    worst: np.ndarray | None = None
    for _ in range(steps):
        with walker.at(_moved(walker, scale, away)) as network:
            slope = _slope(network, images, batch_size)
        upward = {name: c * slope[name] for name, c in scale.items()}
        length = _norm(upward)
        if length == 0:
            break
        away = {name: u + rho / length * upward[name] for name, u in away.items()}
        shrink = min(1.0, rho / _norm(away))
        away = {name: u * shrink for name, u in away.items()}
        with walker.at(_moved(walker, scale, away)) as network:
            found = losses(predictions(network, images, batch_size))
        if worst is None or found.mean() > worst.mean():
            worst = found
    if worst is None:
        raise NotApplicable("because the loss of the training images has no slope at all")
    return mean_reading(
        worst - clean, parts={"loss": _mean(clean), "loss at the worst point": _mean(worst)}
    )


def _moved(
    walker: Walker, scale: Mapping[str, Tensor], away: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    return {name: walker.home[name] + c * away[name] for name, c in scale.items()}


def _slope(network: nn.Module, images: Images, batch_size: int) -> dict[str, Tensor]:
    """The gradient of the mean loss by the name of the parameter."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    total = [torch.zeros_like(p) for p in parameters]
    place = device_of(network)
    for rows in torch.split(torch.arange(len(images)), batch_size):
        some = images.take(rows.to(images.pixels.device)).to(place)
        loss = cross_entropy(network(floats(some.pixels)), some.labels, reduction="sum")
        own = torch.autograd.grad(loss / len(images), parameters, materialize_grads=True)
        total = [t + g for t, g in zip(total, own, strict=True)]
    return dict(zip(names, total, strict=True))


def _norm(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def _mean(values: np.ndarray) -> Part:
    reading = mean_reading(values)
    return Part(reading.value, reading.stderr, reading.n)
