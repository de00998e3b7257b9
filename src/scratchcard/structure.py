"""Networks that really are smaller: which channels of each layer are kept, as a portable record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from scratchcard.contracts import UserError

SIDES = ("out", "in")
"""Where a layer may shrink: the channels it gives, and those it reads."""

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_SIZES = {
    "out": ("out_channels", "out_features", "num_features"),
    "in": ("in_channels", "in_features"),
}


def widths(module: nn.Module) -> dict[str, int]:
    """How many channels a layer has on each side along which it can shrink.

    BatchNorm and depth-wise convolutions have one side, ``out``, that stands for both. Whatever
    else there is, grouped convolutions and reparametrised weights included, has none.

    >>> widths(nn.Conv2d(3, 8, 5)), widths(nn.Conv2d(8, 8, 3, groups=8)), widths(nn.ReLU())
    ({'out': 8, 'in': 3}, {'out': 8}, {})
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return {"out": module.num_features}
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    if not isinstance(module, _LAYERS) or weight is None:
        return {}
    out, ins = weight.shape[:2]
    if isinstance(module, nn.Linear) or module.groups == 1:
        return {"out": out, "in": ins}
    return {"out": out} if module.groups == module.in_channels == out else {}


@dataclass(frozen=True, repr=False)
class Channels:
    """Which channels each layer of a network keeps; layers and sides not named keep all.

    It belongs to the stock network of its class, not to particular weights: those of any step of
    training can be loaded and shrunk, and what was shrunk loads strictly into a stock network to
    which the same record was applied.

    Attributes:
        kept: By module name and side (``"out"``, ``"in"``): the indices kept, rising.
        shapes: By parameter name: the shape of each prunable weight of the dense network.

    Raises:
        UserError: A side that does not exist, or indices that are none or do not rise.

    >>> channels = Channels(
    ...     {"0": {"out": [0, 2]}, "2": {"in": [0, 2]}}, {"0.weight": [3, 4], "2.weight": [5, 3]}
    ... )
    >>> channels
    Channels(left=18 of 27, sparsity=33.3333%)
    >>> channels.layers(), channels.widths()
    ({'0.weight': 8, '2.weight': 10}, {'0.weight': 2, '2.weight': 5})
    """

    kept: Mapping[str, Mapping[str, Sequence[int]]]
    shapes: Mapping[str, Sequence[int]]

    def __post_init__(self) -> None:
        kept = {
            layer: {side: tuple(indices) for side, indices in sides.items()}
            for layer, sides in self.kept.items()
        }
        for layer, sides in kept.items():
            for side, indices in sides.items():
                if side not in SIDES:
                    raise UserError(f'{layer} has no side "{side}" (known: {", ".join(SIDES)})')
                if not indices or indices[0] < 0 or list(indices) != sorted(set(indices)):
                    raise UserError(
                        f"the channels kept of {layer} ({side}) are {list(indices)}, "
                        "but must be indices from 0 on, one at least, rising"
                    )
        object.__setattr__(self, "kept", kept)
        object.__setattr__(self, "shapes", {n: tuple(shape) for n, shape in self.shapes.items()})

    def __repr__(self) -> str:
        return f"Channels(left={self.left:,} of {self.total:,}, sparsity={self.sparsity:.4%})"

    @property
    def total(self) -> int:
        """How many prunable weights the dense network has."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def left(self) -> int:
        """How many of them are left."""
        return sum(self.layers().values())

    @property
    def density(self) -> float:
        """Share of prunable weights that are left."""
        return self.left / self.total

    @property
    def sparsity(self) -> float:
        """Share of prunable weights that are gone: ``1 - density``."""
        return 1 - self.left / self.total

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Names of the layers without a single weight left: none, for each keeps a channel."""
        return ()

    def layers(self) -> dict[str, int]:
        """How many weights each layer has left, by parameter name."""
        return {name: math.prod(shape) for name, shape in self.shrunk().items()}

    def widths(self) -> dict[str, int]:
        """How many channels each layer still gives, by parameter name."""
        return {name: shape[0] for name, shape in self.shrunk().items()}

    def shrunk(self) -> dict[str, tuple[int, ...]]:
        """The shape of each prunable weight once the channels are gone."""
        found = {}
        for name, (out, ins, *kernel) in self.shapes.items():
            sides = self.kept.get(name.rpartition(".")[0], {})
            out, ins = len(sides.get("out", range(out))), len(sides.get("in", range(ins)))
            found[name] = (out, ins, *kernel)
        return found

    @torch.no_grad()
    def apply_(self, model: nn.Module) -> None:
        """Shrink ``model``, a stock network, in place: weights, biases, statistics and sizes.

        What shrinks becomes a new parameter, without a gradient: make the optimiser afterwards,
        for one that was made before would go on training tensors that no layer uses any more.

        Raises:
            UserError: It is another network, or was shrunk before; it is left as it was.
        """
        self._check(model)
        for layer, sides in self.kept.items():
            module = model.get_submodule(layer)
            for side, indices in sides.items():
                _shrink(module, side, indices)
        wrong = [n for n, shape in self.shrunk().items() if model.get_parameter(n).shape != shape]
        assert not wrong, f"the shapes of {wrong} are not those of the record"

    def to_json(self) -> str:
        """The record as text, which ``from_json`` reads back."""
        return json.dumps({"kept": self.kept, "shapes": self.shapes})

    @classmethod
    def from_json(cls, text: str) -> Channels:
        """The inverse of ``to_json``.

        Raises:
            UserError: The text is no such record.
        """
        try:
            found = json.loads(text)
            return cls(found["kept"], found["shapes"])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{text[:40]!r} is no record of channels; give what Channels.to_json wrote"
            ) from None

    def _check(self, model: nn.Module) -> None:
        wrong = "the channels do not belong to this model, or it was shrunk before: "
        parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
        for name, shape in self.shapes.items():
            found = tuple(parameters[name].shape) if name in parameters else "not in it"
            if found != shape:
                raise UserError(f"{wrong}{name} of shape {shape} is {found}")
        for layer, sides in self.kept.items():
            if layer not in modules:
                raise UserError(f"{wrong}{layer} is not in it")
            sizes = widths(modules[layer])
            for side, indices in sides.items():
                if indices[-1] >= sizes.get(side, 0):
                    raise UserError(
                        f"{wrong}{layer} has {sizes.get(side, 0)} channels that can go ({side}), "
                        f"and should have {indices[-1] + 1} or more"
                    )


def _shrink(module: nn.Module, side: str, indices: Sequence[int]) -> None:
    """Keep only the channels ``indices`` of one layer on one side."""
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(recurse=False))
    tensors |= dict(module.named_buffers(recurse=False))
    for name, tensor in tensors.items():
        # Only weights read channels; BatchNorm's count of batches has no dimension.
        if (side == "in" and name != "weight") or tensor.ndim == 0:
            continue
        index = torch.tensor(indices, device=tensor.device)
        kept = tensor.index_select(SIDES.index(side), index)
        if isinstance(tensor, nn.Parameter):
            kept = nn.Parameter(kept, requires_grad=tensor.requires_grad)
        setattr(module, name, kept)
    depthwise = getattr(module, "groups", 1) > 1
    for size in ("groups", "in_channels", *_SIZES["out"]) if depthwise else _SIZES[side]:
        if hasattr(module, size):
            setattr(module, size, len(indices))
