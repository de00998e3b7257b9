"""Which weights live: a mask of booleans per prunable weight, kept outside the model.

The weights stay plain parameters, held at zero in place, so every tool that takes a model works.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.guard import Guard
from scratchcard.prunable import prunable

__all__ = ["Masks", "prunable"]


class Masks(Mapping[str, torch.Tensor]):
    """Boolean masks by parameter name: True is kept.

    >>> masks = Masks.ones(nn.Linear(4, 2))
    >>> masks.kept, masks.total, masks.sparsity
    (8, 8, 0.0)
    >>> masks.count_at(0.3)
    6
    """

    def __init__(self, masks: Mapping[str, torch.Tensor]) -> None:
        for name, mask in masks.items():
            if mask.dtype != torch.bool:
                raise UserError(
                    f"the mask of {name} is {mask.dtype}, but must be bool: True is kept"
                )
        self._masks = dict(masks)

    @classmethod
    def ones(cls, model: nn.Module, kinds: Sequence[str] = ("conv", "linear")) -> Masks:
        """Masks that keep every prunable weight of ``model``."""
        return cls(
            {n: torch.ones_like(p, dtype=torch.bool) for n, p in prunable(model, kinds).items()}
        )

    @classmethod
    def alive(cls, model: nn.Module, kinds: Sequence[str] = ("conv", "linear")) -> Masks:
        """Masks that keep the prunable weights of ``model`` that are not zero."""
        return cls({n: p.detach() != 0 for n, p in prunable(model, kinds).items()})

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return list(self) == list(other) and all(torch.equal(self[n], other[n]) for n in self)

    __hash__ = None  # type: ignore[assignment]  # compared by content, which tensors can't hash

    def __repr__(self) -> str:
        return f"Masks(kept={self.kept:,} of {self.total:,}, sparsity={self.sparsity:.4%})"

    @property
    def total(self) -> int:
        """How many prunable weights there are."""
        return sum(mask.numel() for mask in self.values())

    @property
    def kept(self) -> int:
        """How many are kept."""
        return sum(self.layers().values())

    @property
    def density(self) -> float:
        """Share of prunable weights that are kept."""
        return self.kept / self.total

    @property
    def sparsity(self) -> float:
        """Share of prunable weights that are cut: ``1 - density``."""
        return 1 - self.kept / self.total

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Names of the layers without a single weight left."""
        return tuple(name for name, kept in self.layers().items() if kept == 0)

    def layers(self) -> dict[str, int]:
        """How many weights each layer keeps."""
        return {name: int(mask.sum()) for name, mask in self.items()}

    def count_at(self, sparsity: float) -> int:
        """How many weights are kept at ``sparsity``: ``N - round(s N)``, counted from all N."""
        return self.total - round(sparsity * self.total)

    def overlap(self, other: Masks) -> float:
        """Intersection over union of the kept weights: 1 for equal masks.

        Raises:
            UserError: The masks belong to different networks.
        """
        if {n: m.shape for n, m in self.items()} != {n: m.shape for n, m in other.items()}:
            raise UserError("the masks belong to different networks: names or shapes differ")
        both = sum(int((self[n] & other[n]).sum()) for n in self)
        either = sum(int((self[n] | other[n]).sum()) for n in self)
        return both / either if either else 1.0

    def shuffled(self, generator: torch.Generator) -> Masks:
        """Each layer's mask permuted at random: the same density of every layer, other weights.

        A control: a method whose tickets lose nothing by it has found densities, not weights
        (Frankle et al., "Pruning Neural Networks at Initialization: Why Are We Missing the
        Mark?", ICLR 2021).

        Args:
            generator: On the CPU.

        >>> masks = Masks({"w": torch.arange(1000) < 100})
        >>> shuffled = masks.shuffled(torch.Generator().manual_seed(0))
        >>> shuffled == masks, shuffled.layers()
        (False, {'w': 100})
        """
        permuted = {}
        for name, mask in self.items():
            order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
            permuted[name] = mask.flatten()[order].reshape(mask.shape)
        return Masks(permuted)

    def to(self, device: torch.device | str) -> Masks:
        """The same masks on ``device``."""
        return Masks({name: mask.to(device) for name, mask in self.items()})

    @torch.no_grad()
    def apply_(self, model: nn.Module) -> None:
        """Set the cut weights of ``model`` to zero, in place, and check that zero is zero."""
        parameters = self._parameters(model)
        for name, mask in self.items():
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)
        self.check(model)

    def check(self, model: nn.Module) -> None:
        """Assert that no cut weight of ``model`` lives."""
        parameters = self._parameters(model)
        for name, mask in self.items():
            alive = int(((parameters[name] != 0) & ~mask.to(parameters[name].device)).sum())
            assert alive == 0, f"{alive} cut weights of {name} are not zero"

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Guard:
        """Set cut weights and their optimiser state to zero, and hold them there in training.

        Call ``guard.mask_gradients()`` between ``backward`` and clipping; weights are masked after
        each step by a hook. See ``Guard`` for changing the masks and for letting go.
        """
        self.apply_(model)
        return Guard(self._parameters(model), self, optimizer)

    def pack(self) -> dict[str, np.ndarray]:
        """One bit a weight: packed ``uint8`` per layer, for storage."""
        return {n: np.packbits(m.cpu().numpy().ravel()) for n, m in self.items()}

    @classmethod
    def unpack(cls, packed: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]]) -> Masks:
        """The inverse of ``pack``; ``shapes`` also gives the order of the layers."""
        return cls(
            {
                name: torch.from_numpy(
                    np.unpackbits(packed[name], count=int(np.prod(shape))).astype(bool)
                ).reshape(tuple(shape))
                for name, shape in shapes.items()
            }
        )

    def shapes(self) -> dict[str, list[int]]:
        """Shape of each layer's mask."""
        return {name: list(mask.shape) for name, mask in self.items()}

    def save(self, path: Path | str) -> None:
        """Write packed masks as safetensors."""
        tensors = {name: torch.from_numpy(bits) for name, bits in self.pack().items()}
        save_file(tensors, path, metadata={"shapes": json.dumps(self.shapes())})

    @classmethod
    def load(cls, path: Path | str) -> Masks:
        """Read what ``save`` wrote.

        Raises:
            UserError: The file holds no masks, or masks of other sizes than it says.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                shapes = json.loads((file.metadata() or {})["shapes"])
                packed = {name: file.get_tensor(name) for name in shapes}
        except (SafetensorError, KeyError):
            raise UserError(f"{path} holds no masks; name a file that Masks.save wrote") from None
        for name, shape in shapes.items():
            # Unpacking would fill up what is missing with zeros.
            if packed[name].size != -(-math.prod(shape) // 8):
                raise UserError(
                    f"{path} is damaged: {packed[name].size} bytes are no mask of {name} of shape "
                    f"{tuple(shape)}; save the masks again"
                )
        return cls.unpack(packed, shapes)

    def _parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        known = dict(model.named_parameters())
        for name, mask in self.items():
            if name not in known or known[name].shape != mask.shape:
                raise UserError(
                    f"the masks do not belong to this model: {name} of shape {tuple(mask.shape)} "
                    f"is {'not in it' if name not in known else tuple(known[name].shape)}"
                    f"{_unwrap(name, known)}"
                )
        return {name: known[name] for name in self}


def _unwrap(name: str, known: Mapping[str, object]) -> str:
    """The mend where names only lack the prefix of DDP, ``AveragedModel`` or ``torch.compile``."""
    for inner in ("module", "_orig_mod"):
        if f"{inner}.{name}" in known:
            return f"; pass the network inside the wrapper, model.{inner}"
    return ""
