"""The score of magnitude pruning, |w|, shared by one-shot pruning and lottery tickets."""

from __future__ import annotations

import torch

from scratchcard.contracts import Context


def magnitude(ctx: Context) -> dict[str, torch.Tensor]:
    """``|w|`` of every prunable weight of the network in ``ctx``."""
    parameters = dict(ctx.model.named_parameters())
    return {name: parameters[name].detach().abs().cpu() for name in ctx.masks}
