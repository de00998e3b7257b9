"""What every architecture begins with: pixel normalisation, and the rules for initial weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from scratchcard.contracts import UserError


class Normalise(nn.Module):
    """(x - mean) / std by channel; attacks and noise before it act on pixels in [0, 1].

    The constants are not in the state dict, so public checkpoints load strictly.

    Args:
        mean: One number for each channel, or one for all.
        std: The same; positive.
        channels: Of the images.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], channels: int) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, channels):
                raise UserError(
                    f"{name} = {list(values)} has {len(values)} numbers, but the images have "
                    f"{channels} channels; give one number or {channels}"
                )
            constant = torch.tensor(values).expand(channels).reshape(1, channels, 1, 1).clone()
            self.register_buffer(name, constant, persistent=False)
        if min(std) <= 0:
            raise UserError(f"std = {list(std)} must be positive, such as 0.25")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise ``images`` [B, C, H, W]."""
        return (images - self.mean) / self.std


def kaiming(model: nn.Module) -> None:
    """Draw the weights of Conv and Linear from N(0, 2 / fan_in); biases become zero.

    Zero, not PyTorch's uniform draws: a bias would add to the paths that SynFlow multiplies.
    Source: He et al., Delving Deep into Rectifiers, ICCV 2015.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fan_out(model: nn.Module) -> None:
    """Draw the weights of Conv from N(0, 2 / fan_out); biases become zero.

    Linear keeps PyTorch's U(-1, 1) / sqrt(fan_in), as torchvision and the paper's networks do. The
    fan out is a kernel's pixels times the output channels.
    Source: He et al., Delving Deep into Rectifiers, ICCV 2015.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
