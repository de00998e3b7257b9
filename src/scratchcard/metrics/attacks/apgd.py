"""Auto-PGD of Croce and Hein, ICML 2020: ascent with momentum whose step halves by itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scratchcard.metrics.attacks.ball import Ball
from scratchcard.metrics.attacks.losses import climb, towards

MOMENTUM = 0.75
"""The share of the new step; the rest is the move before it."""
RISING = 0.75
"""A step length is kept if more than this share of its steps raised the loss."""


class _Walk(NamedTuple):
    """Where each image is; the first index is the image."""

    now: Tensor
    before: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    step: Tensor
    rises: Tensor
    halved: Tensor
    best_loss_then: Tensor
    """The best loss at the last checkpoint."""


def apgd(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | Tensor,
    steps: int,
    start: Tensor | None = None,
    targets: Tensor | None = None,
) -> Tensor:
    """Images after Auto-PGD; what the attack has of parameters are the paper's constants.

    Args:
        network: Images to logits, in evaluation mode.
        images: In [0, 1], [B, C, H, W].
        labels: Classes to lead away from [B].
        eps: Radius of the ball, one for all or one for each image [B].
        steps: How often an image moves.
        start: Where to begin, as shares of eps from the image, in [-1, 1]; None for the image.
        targets: Classes to lead to [B], by the difference of logits ratio; None raises the
            cross-entropy (in the form of log-odds).

    Returns:
        The image that fooled the network, or the one of the largest loss [B, C, H, W].
    """
    ball = Ball.around(images, eps)
    now = images if start is None else ball.move(start)
    found, rows = now.clone(), torch.arange(len(images), device=images.device)
    logits, losses, gradient = climb(network, now, labels, towards(targets))
    walk = _Walk(
        now=now,
        before=now,
        gradient=gradient,
        loss=losses,
        best=now,
        best_gradient=gradient,
        best_loss=losses,
        step=2 * ball.radius,
        rises=torch.zeros_like(losses),
        halved=torch.zeros_like(losses, dtype=torch.bool),
        best_loss_then=losses,
    )
    marks, last = checkpoints(steps), 0
    for move in range(steps + 1):
        right = logits.argmax(dim=1) == labels
        if not right.all():
            found[rows[~right]] = walk.now[~right]
            rows, ball, labels = rows[right], ball.take(right), labels[right]
            targets = None if targets is None else targets[right]
            walk = _Walk(*(tensor[right] for tensor in walk))
        if move == steps or not len(rows):
            break
        if move in marks:
            walk, last = _halve(walk, move - last), move
        there = _next(walk, ball, first=move == 0)
        logits, losses, gradient = climb(network, there, labels, towards(targets))
        walk = _arrived(walk, there, losses, gradient)
    found[rows] = walk.best
    return found


def checkpoints(steps: int) -> list[int]:
    """After how many moves the length of the step is thought over.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    # In percent, so that nothing is rounded up that should not be.
    shares = [0, 22]
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return [math.ceil(share * steps / 100) for share in shares[1:-1]]


def targets_of_rank(network: nn.Module, images: Tensor, labels: Tensor, rank: int) -> Tensor:
    """The class that comes ``rank``-th on the image, the label left out [B]."""
    with torch.no_grad():
        logits = network(images).scatter(1, labels[:, None], torch.inf)
    order: Tensor = logits.argsort(dim=1, descending=True, stable=True)
    return order[:, rank]


def _next(walk: _Walk, ball: Ball, *, first: bool) -> Tensor:
    ahead = ball.clip(walk.now + walk.step * walk.gradient.sign())
    if first:
        return ahead
    momentum = (1 - MOMENTUM) * (walk.now - walk.before)
    return ball.clip(walk.now + MOMENTUM * (ahead - walk.now) + momentum)


def _arrived(walk: _Walk, there: Tensor, losses: Tensor, gradient: Tensor) -> _Walk:
    better = losses > walk.best_loss
    wide = better[:, None, None, None]
    return walk._replace(
        now=there,
        before=walk.now,
        gradient=gradient,
        loss=losses,
        best=torch.where(wide, there, walk.best),
        best_gradient=torch.where(wide, gradient, walk.best_gradient),
        best_loss=torch.where(better, losses, walk.best_loss),
        rises=walk.rises + (losses > walk.loss),
    )


def _halve(walk: _Walk, moves: int) -> _Walk:
    """Halve the step and go back to the best image where too few of the last moves rose.

    Or where neither the step nor the best loss changed since the checkpoint before.
    """
    stuck = ~walk.halved & (walk.best_loss <= walk.best_loss_then)
    halve = (walk.rises < RISING * moves) | stuck
    wide = halve[:, None, None, None]
    return walk._replace(
        now=torch.where(wide, walk.best, walk.now),
        gradient=torch.where(wide, walk.best_gradient, walk.gradient),
        loss=torch.where(halve, walk.best_loss, walk.loss),
        step=torch.where(wide, walk.step / 2, walk.step),
        rises=torch.zeros_like(walk.rises),
        halved=halve,
        best_loss_then=walk.best_loss,
    )
