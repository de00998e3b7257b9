"""The untrained twin: a network as it was built, with the same weights missing."""

from __future__ import annotations

import copy

import torch
from torch import nn

from scratchcard.probe import device_of
from scratchcard.seeds import derive, torch_stream


def untrained(model: nn.Module) -> nn.Module:
    """A copy of a network with weights drawn anew; what is pruned stays so.

    Layers are drawn as PyTorch does by default (``reset_parameters``), and BatchNorm forgets its
    statistics. Other parameters (a class token, positions) are put in random order. Draws depend
    on the names of layers alone, so that dense and sparse are given the same.

    Args:
        model: The network; it is left as it is.

    >>> layer = nn.Linear(3, 2)
    >>> _ = layer.weight.data[0, 0].zero_()
    >>> (untrained(layer).weight == 0).sum().item()
    1
    """
    # On the CPU, whose draws are the same everywhere.
    twin = copy.deepcopy(model).requires_grad_(False).cpu()
    with torch.random.fork_rng(devices=[]):
        for name, module in twin.named_modules():
            pruned = {key: p == 0 for key, p in module.named_parameters(recurse=False)}
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                torch.default_generator.manual_seed(derive(0, "untrained", name))
                reset()
            for key, own in module.named_parameters(recurse=False):
                if reset is None:
                    stream = torch_stream(0, "untrained", name, key)
                    order = torch.randperm(own.numel(), generator=stream)
                    own.copy_(own.flatten()[order].view_as(own))
                elif own.ndim > 1:
                    own.masked_fill_(pruned[key], 0.0)
    return twin.to(device_of(model))
