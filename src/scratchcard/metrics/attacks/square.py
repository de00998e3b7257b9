"""The Square attack of Andriushchenko et al., ECCV 2020: random search that sees logits alone."""

from __future__ import annotations

import math
from bisect import bisect_left

import torch
from torch import Tensor, nn

from scratchcard.metrics.attacks.ball import Ball
from scratchcard.metrics.attacks.losses import margin
from scratchcard.metrics.attacks.noise import uniform

SHARE = 0.8
"""Of the image's area that the first squares cover, as in AutoAttack."""
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After how many of 10,000 queries the area halves; scaled to the budget."""


def square(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | Tensor,
    queries: int,
    seed: int = 0,
) -> Tensor:
    """Images after random search: squares of plus or minus eps, kept if the margin falls.

    The first query has vertical stripes of one pixel; each channel of a stripe or a square draws
    its own sign.

    Args:
        network: Images to logits, in evaluation mode; it needs no gradients.
        images: In [0, 1], [B, C, H, W].
        labels: Classes to lead away from [B].
        eps: Radius of the ball, one for all or one for each image [B].
        queries: How many forward passes an image gets.
        seed: Of the random numbers.

    Returns:
        The image that fooled the network, or the one of the smallest margin [B, C, H, W].
    """
    ball = Ball.around(images, eps)
    _, channels, height, width = images.shape
    stripes = uniform(images, (channels, 1, width), seed, "stripes")
    drawn = uniform(images, (queries, 2 + channels), seed, "squares")
    now = ball.move(_signs(stripes))
    with torch.no_grad():
        logits = network(now)
        lead = margin(logits, labels)
        found, rows = now.clone(), torch.arange(len(images), device=images.device)
        for query in range(1, queries + 1):
            right = logits.argmax(dim=1) == labels
            if not right.all():
                found[rows[~right]] = now[~right]
                rows, ball, labels = rows[right], ball.take(right), labels[right]
                now, lead, drawn = now[right], lead[right], drawn[right]
            if query == queries or not len(rows):
                break
            window = _window(drawn[:, query, :2], side(query, queries, height, width), now)
            signs = _signs(drawn[:, query, 2:])[:, :, None, None]
            tried = torch.where(window, ball.move(signs), now)
            logits = network(tried)
            there = margin(logits, labels)
            # A tie of logits may be a wrong answer too.
            better = (there > lead) | (logits.argmax(dim=1) != labels)
            now = torch.where(better[:, None, None, None], tried, now)
            lead = torch.where(better, there, lead)
    found[rows] = now
    return found


def side(query: int, queries: int, height: int, width: int) -> int:
    """Pixels along the square of a query, 1 to the shorter side of the image.

    >>> [side(query, 1000, 32, 32) for query in (1, 5, 20, 100, 999)]
    [29, 20, 14, 7, 1]
    """
    halvings = bisect_left(HALVINGS, query * 10_000 // queries)
    wanted = round(math.sqrt(SHARE / 2**halvings * height * width))
    return max(1, min(wanted, height, width))


def _signs(drawn: Tensor) -> Tensor:
    return torch.where(drawn < 0.5, -1.0, 1.0)


def _window(drawn: Tensor, side: int, images: Tensor) -> Tensor:
    """Where each image's square lies [B, 1, H, W], from two numbers in [0, 1) each [B, 2]."""
    inside: list[Tensor] = []
    for length, place in zip(images.shape[2:], drawn.T, strict=True):
        first = (place * (length - side + 1)).long()[:, None]
        pixel = torch.arange(length, device=images.device)
        inside.append((pixel >= first) & (pixel < first + side))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]
