"""Projected gradient ascent of Madry et al., ICLR 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scratchcard.metrics.attacks.ball import Ball
from scratchcard.metrics.attacks.losses import climb, log_odds


def pgd(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | Tensor,
    steps: int,
    step: float = 0.25,
    start: Tensor | None = None,
    to_the_end: bool = False,
) -> Tensor:
    """Images after steps along the sign of the gradient of the log-odds, back into the ball.

    Args:
        network: Images to logits, in evaluation mode.
        images: In [0, 1], [B, C, H, W].
        labels: Classes to lead away from [B].
        eps: Radius of the ball, one for all or one for each image [B].
        steps: How many gradients an image gets.
        step: Length of a step, as a share of eps.
        start: Where to begin, as shares of eps from the image, in [-1, 1]; None for the image.
        to_the_end: Go on with images that fool the network: for attacks that shall transfer.

    Returns:
        The image that fooled the network, or the last one [B, C, H, W].
    """
    ball = Ball.around(images, eps)
    now = images if start is None else ball.move(start)
    found, rows = now.clone(), torch.arange(len(images), device=images.device)
    for _ in range(steps):
        logits, _, gradient = climb(network, now, labels, log_odds)
        right = logits.argmax(dim=1) == labels
        if not (to_the_end or right.all()):
            found[rows[~right]] = now[~right]
            rows, ball, labels = rows[right], ball.take(right), labels[right]
            now, gradient = now[right], gradient[right]
        if not len(rows):
            break
        now = ball.clip(now + step * ball.radius * gradient.sign())
    found[rows] = now
    return found
