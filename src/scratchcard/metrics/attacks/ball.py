"""The images an attack may reach: the L-infinity ball about each image, inside the pixel box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ball:
    """Balls about a batch of images.

    Attributes:
        centre: The images [B, C, H, W].
        radius: How far each of its pixels may move [B, 1, 1, 1].
        low: Smallest pixels inside the ball and the box [B, C, H, W].
        high: Largest ones.

    >>> ball = Ball.around(torch.tensor([[[[0.0, 0.5]]]]), 0.25)
    >>> ball.move(torch.tensor([[[[-1.0, 1.0]]]]))
    tensor([[[[0.0000, 0.7500]]]])
    """

    centre: Tensor
    radius: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, images: Tensor, eps: float | Tensor) -> Ball:
        """The balls of radius eps, one for all or one for each image [B]."""
        radius = torch.as_tensor(eps, dtype=images.dtype, device=images.device)
        radius = radius.reshape(-1, 1, 1, 1).expand(len(images), 1, 1, 1)
        return cls(images, radius, (images - radius).clamp(0, 1), (images + radius).clamp(0, 1))

    def move(self, direction: Tensor) -> Tensor:
        """The centres moved by a radius times ``direction``, inside the balls."""
        return self.clip(self.centre + self.radius * direction)

    def clip(self, images: Tensor) -> Tensor:
        """The nearest images inside the balls."""
        return torch.clamp(images, self.low, self.high)

    def take(self, rows: Tensor) -> Ball:
        """The balls of some of the images."""
        return Ball(self.centre[rows], self.radius[rows], self.low[rows], self.high[rows])
