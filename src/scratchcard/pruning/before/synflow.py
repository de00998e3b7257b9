"""SynFlow: keep the strongest paths from input to output, without any data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from scratchcard.contracts import Context, UserError
from scratchcard.masks import Masks
from scratchcard.models.normalise import Normalise
from scratchcard.probe import device_of
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.before.scoring import (
    BATCH_NORMS,
    checked,
    derivatives,
    gradients,
    private_copy,
    weights_of,
)
from scratchcard.pruning.schedule import exponential
from scratchcard.pruning.scored import Scored
from scratchcard.registry import method

INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMS = (Normalise, *BATCH_NORMS, *INSTANCE_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""What is reduced to its scale, unless it has running statistics."""


@method("synflow", title="SynFlow", when="before")
@dataclass(frozen=True)
class SynFlow(Scored):
    """SynFlow: cut, in a hundred small steps, the weights that carry the least synaptic flow.

    Definition:
        In a copy of the network every weight becomes its absolute value, and an image of ones is
        sent through. A weight's flow is the sum, over all paths through it, of the product of the
        weights on the path. The least flow is cut at an exponential schedule, and taken anew
        after each cut; the network is then trained from its own initialisation.

    Formula:
        score(w) = |w ∂R/∂w|, R = Σ logits of the copy for an image of ones; density after
        iteration k of n is d^(k/n), counted from all weights (from the density of earlier rounds,
        where there are any). R is a sum over paths of weights, so: float64 (R is 10^18 for a
        ResNet-20), evaluation mode, biases and running means zero, no pixel normalisation, and
        LayerNorm, GroupNorm, InstanceNorm and RMSNorm reduced to the scale they multiply by.

    Use:
        Extreme sparsity: a layer's scores sum to the same in every layer, so none runs empty
        before it must. It needs no data at all.

    Limits:
        It knows nothing of the task. The conservation is exact for ReLU networks without skips
        only: skips carry flow around layers, and GELU, SiLU and softmax attention break it. In a
        single iteration, layers run empty as with other scores.

    Source:
        Tanaka, Kunin, Yamins and Ganguli, "Pruning Neural Networks without Any Data by
        Iteratively Conserving Synaptic Flow", NeurIPS 2020.

    Options:
        iterations: How many cuts; a pattern is cut in one.
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"``, ``"erk"`` or ``"lamp"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """

    iterations: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        exponential(1.0, self.iterations)

    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """The synaptic flow through every prunable weight that is left."""
        return checked(_flow(positive(ctx.model), ctx.masks, _ones(ctx)))

    def start(self, ctx: Context) -> Masks:
        """Score and cut in turn: what one iteration cuts, no later one sees."""
        if self.pattern:
            return super().start(ctx)
        if ctx.masks.count_at(ctx.sparsity) == ctx.masks.kept:
            return ctx.masks
        network, ones = positive(ctx.model), _ones(ctx)
        masks, before = ctx.masks, ctx.masks.density
        *way, _ = exponential((1 - ctx.sparsity) / before, self.iterations)
        for sparsity in (*(1 - before * density for density in way), ctx.sparsity):
            flow = _flow(network, masks, ones)
            if masks is ctx.masks:  # later cuts may sever the last path, as Masks.collapsed says
                checked(flow)
            masks = keep_largest(flow, masks, sparsity, self.allocation)
        return masks


def positive(model: nn.Module) -> nn.Module:
    """A copy in float64 and evaluation mode: for positive images a sum over paths of weights.

    Parameters are absolute, biases and running means zero. Normalisation of pixels does nothing;
    one that takes its statistics from the input only scales, as BatchNorm does at initialisation.
    """
    network = private_copy(model, torch.float64)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.abs_()
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
    for module in network.modules():
        # A class derived from these may lay out its input in another way.
        if type(module) in NORMS and getattr(module, "running_mean", None) is None:
            module.forward = partial(_only_scale, module)
    return network


def _only_scale(norm: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a normalisation gives out if it neither centres its input nor divides it."""
    weight: torch.Tensor | None = getattr(norm, "weight", None)
    if weight is None:
        return inputs
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm):  # one factor a channel
        weight = weight.reshape(-1, *[1] * (inputs.dim() - 2))
    return inputs * weight


def _flow(network: nn.Module, masks: Masks, ones: torch.Tensor) -> dict[str, torch.Tensor]:
    """``|w ∂R/∂w|`` of the weights of a positive network, having cut those outside ``masks``."""
    masks.apply_(network)
    weights = weights_of(network, masks)
    with derivatives(network):
        total = network(ones.to(device_of(network))).sum()
        slopes = gradients(total, weights)
    if not torch.isfinite(total):
        raise UserError(
            f"the synaptic flow R = {total.item()} is beyond float64: look for weights that are "
            "infinite or not a number; a network as deep as that needs another method"
        )
    return {name: (w.detach() * slopes[name]).abs().cpu() for name, w in weights.items()}


def _ones(ctx: Context) -> torch.Tensor:
    """An image of ones [1, C, H, W], as the architecture or the data have them."""
    if ctx.architecture is not None:
        task = ctx.architecture.task
        shape: tuple[int, ...] = (task.channels, task.height, task.width)
    elif ctx.images is not None:
        shape = tuple(ctx.images.shape[1:])
    else:
        raise UserError(
            "synflow looks at no data, but must know the shape of the images: "
            "pass data=[(images, labels)]"
        )
    return torch.ones(1, *shape, dtype=torch.float64)
