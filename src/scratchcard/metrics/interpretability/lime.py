"""The fit of LIME: a linear function of the segments that are kept, to what a network answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

KERNEL_WIDTH = 0.25
"""How fast a mask loses weight with its distance; the paper's, and LIME's default."""
RIDGE = 1.0
"""The penalty on squared coefficients, beside a sum over masks; the paper's and LIME's default."""
ROUNDING = 1e-5
"""What varies by no more than this share of its size varies by float32's rounding alone."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Linear functions of the segments that are kept, one for each image.

    Attributes:
        coefficients: float64 [B, S].
        intercept: float64 [B].
    """

    coefficients: Tensor
    intercept: Tensor

    def __call__(self, masks: Tensor) -> Tensor:
        """What they say of masks [B, M, S]: [B, M]."""
        return (masks @ self.coefficients[:, :, None])[:, :, 0] + self.intercept[:, None]


def weights(masks: Tensor, anchors: Tensor) -> Tensor:
    """How much each mask counts: sqrt(exp(-d^2 / width^2)), d its cosine distance to an anchor.

    A mask that keeps nothing has distance 1 to all.

    Args:
        masks: [B, M, S], of 0 and 1.
        anchors: The mask of each image that the others are compared with [B, S].

    Returns:
        [B, M].

    >>> import math
    >>> both = torch.eye(2, dtype=torch.float64)[None]
    >>> weights(both, both[:, 0]).tolist() == [[1.0, math.exp(-8)]]
    True
    """
    common = (masks @ anchors[:, :, None])[:, :, 0]
    lengths = (masks.sum(dim=2) * anchors.sum(dim=1, keepdim=True)).sqrt()
    distance = 1 - common / lengths.clamp(min=1)
    return (-(distance**2) / (2 * KERNEL_WIDTH**2)).exp()


def fit(masks: Tensor, answers: Tensor, weights: Tensor) -> Explanation:
    """Ridge regression with an intercept, of all images in one solve.

    Args:
        masks: [B, M, S]; a column of zeros gets the coefficient 0.
        answers: What is to be explained [B, M].
        weights: Of each mask [B, M].

    Returns:
        The least sum_m w_m (y_m - a - b z_m)^2 + RIDGE |b|^2 for each image.
    """
    shares = (weights / weights.sum(dim=1, keepdim=True))[:, None]
    middle, mean = shares @ masks, shares @ answers[:, :, None]
    x, y = masks - middle, answers[:, :, None] - mean
    weighed = (x * weights[:, :, None]).transpose(1, 2)
    penalty = RIDGE * torch.eye(masks.shape[2], dtype=masks.dtype)
    slopes = torch.linalg.solve(weighed @ x + penalty, weighed @ y)
    return Explanation(slopes[:, :, 0], (mean - middle @ slopes)[:, 0, 0])
