"""Which channels of a network can only be removed together: found by Torch-Pruning, then tried.

Torch-Pruning traces the network; what it could not follow gives itself away in the trial.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.structure import Channels, widths

Place = tuple[str, str]
"""A layer's name and one of its sides, ``"out"`` or ``"in"``."""


@dataclass(frozen=True)
class Group:
    """Channels of which each must be removed from several layers at once.

    Attributes:
        size: How many channels there are.
        places: By layer and side, in the order of the layers: the indices there of each channel;
            after a flattening one channel has many.
    """

    size: int
    places: Mapping[Place, tuple[tuple[int, ...], ...]]

    def __str__(self) -> str:
        return next(layer for layer, side in self.places if side == "out")


@dataclass(frozen=True)
class Trial:
    """A copy of a network with random weights, on which removals are tried.

    With random weights an error shows whatever the network has learnt, dead channels included.

    Attributes:
        network: In evaluation mode, on the CPU.
        images: Noise, [4, C, H, W].
    """

    network: nn.Module
    images: torch.Tensor

    @classmethod
    def of(cls, model: nn.Module, shape: Sequence[int]) -> Trial:
        """A trial of ``model`` on images of ``shape``, [B, C, H, W]; the model stays as it is."""
        network = copy.deepcopy(model).cpu().float().eval().requires_grad_(True)
        stream = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in network.named_parameters():
                if tensor.ndim > 1:
                    tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=stream)
                elif name.endswith("weight"):
                    tensor.uniform_(0.5, 1.5, generator=stream)
                else:
                    tensor.normal_(0, 0.1, generator=stream)
            for name, statistic in network.named_buffers():
                if name.endswith("running_mean"):
                    statistic.normal_(0, 0.1, generator=stream)
                elif name.endswith("running_var"):
                    statistic.uniform_(0.5, 1.5, generator=stream)
        return cls(network, torch.rand(4, *shape[1:], generator=stream))

    def kept(
        self, groups: Sequence[Group], removed: Sequence[Collection[int]]
    ) -> dict[str, dict[str, list[int]]]:
        """What every layer keeps once these channels of each group are gone."""
        gone: dict[Place, set[int]] = defaultdict(set)
        for group, channels in zip(groups, removed, strict=True):
            for place, indices in group.places.items():
                gone[place].update(index for channel in channels for index in indices[channel])
        kept: dict[str, dict[str, list[int]]] = {}
        for (layer, side), unwanted in gone.items():
            if unwanted:
                width = widths(self.network.get_submodule(layer))[side]
                left = [index for index in range(width) if index not in unwanted]
                kept.setdefault(layer, {})[side] = left
        return kept

    @torch.no_grad()
    def agrees(self, groups: Sequence[Group], removed: Sequence[Collection[int]]) -> bool:
        """Whether the network without these channels answers as if nothing read them.

        That holds, whatever the activations, if and only if every channel was removed wherever it
        appears, and from nowhere else.
        """
        kept = self.kept(groups, removed)
        if not all(left for sides in kept.values() for left in sides.values()):
            return False
        shrunk, blind = copy.deepcopy(self.network), copy.deepcopy(self.network)
        Channels(kept, {}).apply_(shrunk)
        for layer, sides in kept.items():
            if "in" in sides:
                weight = blind.get_submodule(layer).get_parameter("weight")
                unread = torch.ones(weight.shape[1], dtype=torch.bool)
                unread[sides["in"]] = False
                weight[:, unread] = 0
        wanted: torch.Tensor = blind(self.images)
        try:
            found = shrunk(self.images)
        except (RuntimeError, ValueError, AssertionError):  # shapes that do not fit
            return False
        if found.shape != wanted.shape:  # classes are missing
            return False
        # Float32 leaves 1e-6; a channel too many or too few changes far more than 1e-4.
        return bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())

    def sound(self, groups: list[Group]) -> list[Group]:
        """Those of the groups whose channels can be removed; found by halving, as most can."""
        if not groups or self._separable(groups):
            return groups
        if len(groups) == 1:
            return []
        middle = len(groups) // 2
        return self.sound(groups[:middle]) + self.sound(groups[middle:])

    def _separable(self, groups: list[Group]) -> bool:
        """Whether a random half of every group can go, and the other half, too."""
        stream = torch.Generator().manual_seed(1)
        halves = [torch.randperm(g.size, generator=stream).tensor_split(2) for g in groups]
        return all(
            self.agrees(groups, [set(half[number].tolist()) for half in halves])
            for number in (0, 1)
        )


def coupled(trial: Trial, prunable: Collection[str]) -> list[Group]:
    """The groups of channels that can be removed, in the order of the network's layers.

    Left at full width are the logits; channels of layers that are not ``prunable``; and those that
    reach something which does not shrink with them, or that mixes channels: padding and indexing
    of channels, most reshaping, LayerNorm and GroupNorm, grouped convolutions, shared weights.

    Args:
        trial: Of the network.
        prunable: Names of the weights that may be pruned.

    Raises:
        UserError: Torch-Pruning is missing, or no channel can be removed.
    """
    traced = _traced(trial)
    groups = trial.sound([group for group in traced if _allowed(group, trial.network, prunable)])
    if not groups:
        raise UserError(
            "no channel of this network can be removed without changing the rest of it "
            f"(looked at the outputs of: {', '.join(map(str, traced)) or 'no layer'}): they are "
            "its logits, are not prunable, or reach something that does not shrink with them, "
            "such as padding or reshaping; take a method that gives masks, such as omp"
        )
    return groups


def _allowed(group: Group, network: nn.Module, prunable: Collection[str]) -> bool:
    """Whether there are two channels or more, of prunable layers without shared weights, and read.

    What no layer reads are the logits.
    """
    uses = Counter(id(p) for m in network.modules() for p in m.parameters(recurse=False))
    modules = {layer: network.get_submodule(layer) for layer, _ in group.places}
    given = {layer for layer, side in group.places if side == "out"}
    weights = {
        f"{layer}.weight".lstrip(".")
        for layer in given
        if not isinstance(modules[layer], nn.modules.batchnorm._BatchNorm)
    }
    shared = [p for m in modules.values() for p in m.parameters(recurse=False) if uses[id(p)] > 1]
    read = any(side == "in" for _, side in group.places)
    return group.size > 1 and read and not shared and weights <= set(prunable)


def _traced(trial: Trial) -> list[Group]:
    """Every group that Torch-Pruning finds and that makes sense on the face of it."""
    names = {module: name for name, module in trial.network.named_modules()}
    with torch.enable_grad():
        # As a tuple, for a bare tensor would first be tried unpacked, image by image.
        graph = _torch_pruning().DependencyGraph()
        graph.build_dependency(trial.network, (trial.images,), verbose=False)
    order = list(names.values())
    found = []
    for traced in graph.get_all_groups():
        places = {}
        for item in traced.items:
            name = names.get(item.dep.target.module)
            side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
            if name is not None and side in widths(item.dep.target.module):
                places[name, side] = _by_channel(len(traced[0].idxs), item.root_idxs, item.idxs)
        ordered = sorted(places, key=lambda place: order.index(place[0]))
        group = Group(len(traced[0].idxs), {place: places[place] for place in ordered})
        if _plain(group, trial.network):
            found.append(group)
    return sorted(found, key=lambda group: order.index(str(group)))


def _by_channel(
    size: int, channels: Sequence[int | None], indices: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The indices of each of ``size`` channels, from two lists of one length."""
    own: list[list[int]] = [[] for _ in range(size)]
    for channel, index in zip(channels, indices, strict=True):
        if channel is not None:  # Torch-Pruning lost track of it
            own[channel].append(index)
    return tuple(tuple(sorted(each)) for each in own)


def _plain(group: Group, network: nn.Module) -> bool:
    """Whether some layer gives the channels, and each has indices of its own in every place."""
    for (layer, side), indices in group.places.items():
        flat = [index for own in indices for index in own]
        width = widths(network.get_submodule(layer))[side]
        if not all(indices) or len(set(flat)) < len(flat) or max(flat) >= width:
            return False
    return any(side == "out" for _, side in group.places)


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ModuleNotFoundError:
        raise UserError(
            "channel pruning follows channels through the network with Torch-Pruning, which is "
            "not installed: pip install 'scratchcard[structured]'"
        ) from None
    return torch_pruning
