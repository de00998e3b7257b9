"""Channel pruning: whole channels go, by importance, until the wanted share of weights is gone."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Context, Method, UserError
from scratchcard.pruning.channels.dependency import Group, Place, Trial, coupled
from scratchcard.pruning.retraining import Retraining
from scratchcard.registry import method
from scratchcard.structure import Channels

Importance = Literal["magnitude", "bn-scale", "taylor"]
"""By the squares of the weights, by BatchNorm's scales, or by weights times gradients."""


@dataclass(frozen=True)
class ChannelPruning(Method):
    """Ranks groups of coupled channels over all layers and removes the least important ones."""

    importance: Importance = "magnitude"
    least: int = 1

    gives: ClassVar[Literal["masks", "channels", "narrower"]] = "channels"

    def __post_init__(self) -> None:
        if self.importance not in get_args(Importance):
            raise UserError(
                f'importance = "{self.importance}" is not one of {", ".join(get_args(Importance))}'
            )
        if self.least < 1:
            raise UserError(f"least = {self.least} must be at least 1: what every layer keeps")

    def start(self, ctx: Context) -> Channels:
        """The channels whose weights are nearest in number to ``N - round(s N)``."""
        assert ctx.images is not None, "channel pruning traces the network on images"
        if ctx.masks.kept < ctx.masks.total:
            raise UserError(
                "channel pruning starts from a dense network, but weights were cut before: "
                "leave out masks"
            )
        trial = Trial.of(ctx.model, ctx.images.shape)
        values = _values(ctx, self.importance)
        groups = [g for g in coupled(trial, set(ctx.masks)) if _valued(g, values)]
        if not groups:
            raise UserError(
                f'importance = "{self.importance}" finds no BatchNorm beside a channel that can '
                'be removed; take "magnitude"'
            )
        order = _order([importances(group, values) for group in groups], self.least)
        shapes = ctx.masks.shapes()
        left = weights_left(groups, order, shapes)
        wanted = ctx.masks.count_at(ctx.sparsity)
        count = min(range(len(left)), key=lambda k: abs(left[k] - wanted))
        removed = [{c for g, c in order[:count] if g == number} for number in range(len(groups))]
        channels = Channels(trial.kept(groups, removed), shapes)
        assert channels.left == left[count], f"{channels!r} should have {left[count]} weights left"
        if not trial.agrees(groups, removed):
            raise UserError(
                "without the chosen channels this network answers wrongly: it mixes channels in a "
                "way that tracing does not show; take a method that gives masks, such as omp"
            )
        return channels


def _values(ctx: Context, importance: Importance) -> dict[str, Tensor]:
    """By layer: what each of its weights counts for, float64 in the shape of the weights."""
    model = copy.deepcopy(ctx.model).requires_grad_(True)
    weights = {
        name.rpartition(".")[0]: p
        for name, p in model.named_parameters()
        if name.rpartition(".")[2] == "weight"
    }
    if importance == "bn-scale":
        norms = nn.modules.batchnorm._BatchNorm
        own = {n: w.abs() for n, w in weights.items() if isinstance(model.get_submodule(n), norms)}
    elif importance == "magnitude":
        own = {name: weight.square() for name, weight in weights.items()}
    else:
        # In evaluation mode: on a batch's own statistics the sum of w g over a filter that
        # BatchNorm follows is zero, since the filter's scale has no effect.
        assert ctx.labels is not None
        loss = cross_entropy(model.eval()(ctx.images), ctx.labels)
        slopes = torch.autograd.grad(loss, [*weights.values()], materialize_grads=True)
        own = {n: w * g for (n, w), g in zip(weights.items(), slopes, strict=True)}
    return {name: value.detach().double().cpu() for name, value in own.items()}


def _valued(group: Group, values: Mapping[str, Tensor]) -> bool:
    return any(layer in values for layer, _ in group.places)


def importances(group: Group, values: Mapping[str, Tensor]) -> Tensor:
    """The importance of each channel of a group, float64 [size], of mean 1.

    Of each tensor that goes with the channel, the absolute sum of its values; summed over the
    tensors, and divided by the mean over the channels of the group.

    Raises:
        UserError: They are infinite or not a number.
    """
    total = torch.zeros(group.size, dtype=torch.float64)
    for (layer, side), indices in group.places.items():
        if layer in values:
            value = values[layer] if side == "out" else values[layer].transpose(0, 1)
            sums = value.reshape(len(value), -1).sum(1)
            total += torch.stack([sums[list(own)].sum() for own in indices]).abs()
    if not torch.isfinite(total).all():
        raise UserError(
            f"importances at {group} are infinite or not a number: look for such weights, and "
            "lower lr if training diverged"
        )
    # A dead group stays at zero.
    return total / total.mean() if total.any() else total


def _order(scores: Sequence[Tensor], least: int) -> list[tuple[int, int]]:
    """(group, channel) in order of removal; of equal ones the last goes first."""
    removable = []
    for number, score in enumerate(scores):
        best = torch.argsort(score, descending=True, stable=True).tolist()
        removable += [(float(score[c]), -number, -c) for c in best[least:]]
    return [(-number, -channel) for _, number, channel in sorted(removable)]


def weights_left(
    groups: Sequence[Group], order: Sequence[tuple[int, int]], shapes: Mapping[str, Sequence[int]]
) -> list[int]:
    """How many weights are left after none, one, two ... removals.

    Args:
        groups: What goes together.
        order: (group, channel) in order of removal.
        shapes: Of the prunable weights, by parameter name.
    """
    gone: dict[Place, Tensor] = defaultdict(lambda: torch.zeros(len(order) + 1, dtype=torch.int64))
    for step, (number, channel) in enumerate(order, start=1):
        for place, indices in groups[number].places.items():
            gone[place][step] = len(indices[channel])
    left = torch.zeros(len(order) + 1, dtype=torch.int64)
    for name, (out, ins, *kernel) in shapes.items():
        layer = name.rpartition(".")[0]
        outs, reads = gone[layer, "out"].cumsum(0), gone[layer, "in"].cumsum(0)
        left += (out - outs) * (ins - reads) * math.prod(kernel)
    return [int(count) for count in left]


@method("channels", title="Channel pruning", when="after", needs_data=True)
@dataclass(frozen=True)
class TrainedChannels(Retraining, ChannelPruning):
    """Channel pruning: remove the least important channels of the trained network, for real.

    Definition:
        Channels that must go together (a filter, its BatchNorm entry, the weights that read it;
        with a residual stream, of all the layers that add to it) form a group. Each group's
        channels are ranked by importance relative to the group's mean, all groups in one list,
        and removed until the number of weights left is nearest to the wanted one. The network is
        really smaller; it is rewound to an early step and trained again.

    Formula:
        I(c) = sum over tensors t of |sum of v over the weights of t that go with c|, divided by
        its mean over the group; v = w^2 (``magnitude``), the scale of BatchNorm (``bn-scale``), or
        w dL/dw on one batch (``taylor``).

    Use:
        Sparsity that any hardware turns into speed, beside masks that few do.

    Limits:
        At equal sparsity it costs more accuracy than single weights. Groups that reach an
        operation that does not shrink with them (shortcut A of the residual networks) and the
        logits keep all channels, so the highest sparsities may be out of reach: the nearest
        count is taken and reported.

    Source:
        Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023; ``bn-scale``: Liu et
        al., ICCV 2017; ``taylor``: Molchanov et al., CVPR 2019.

    Options:
        importance: ``"magnitude"``, ``"bn-scale"`` or ``"taylor"``.
        least: How many channels of each group stay, whatever their importance.
        rewind: The step whose weights (BatchNorm statistics included) the smaller network starts
            from; schedule and data order go on from there.
        retrain: ``"weight-rewinding"`` as above, ``"lr-rewinding"`` or ``"fine-tuning"``: as in
            ``omp``.
        finetune_lr: As in ``omp``.
    """

    def __post_init__(self) -> None:
        ChannelPruning.__post_init__(self)
        Retraining.__post_init__(self)
