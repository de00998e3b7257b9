"""Which weights live: a mask of booleans per prunable weight, kept outside the model.

The weights stay plain parameters, held at zero in place, so every tool that takes a model works.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.hooks import RemovableHandle

from scratchcard.contracts import UserError

KINDS: Mapping[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "linear": (nn.Linear,),
}
"""What ``prunable`` may name; biases and normalisation are never pruned."""


def prunable(
    model: nn.Module, kinds: Sequence[str] = ("conv", "linear")
) -> dict[str, nn.Parameter]:
    """The weights that may be pruned, by their names in ``state_dict``, in the model's order.

    Raises:
        UserError: An unknown kind, or a model with nothing to prune.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(f'cannot prune "{unknown[0]}" (known: {", ".join(KINDS)})')
    types = tuple(t for kind in kinds for t in KINDS[kind])
    weights = {id(module.weight) for module in model.modules() if isinstance(module, types)}
    # By way of named_parameters, a weight that two layers share is counted once.
    found = {name: p for name, p in model.named_parameters() if id(p) in weights}
    if not found:
        raise UserError(f"the model has no {' or '.join(kinds)} weights to prune")
    return found


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

        Call ``guard.mask_gradients()`` between ``backward`` and clipping; weights and optimiser
        state are masked after each step by a hook. See ``Guard`` for letting go.
        """
        self.apply_(model)
        return Guard(self, self._parameters(model), optimizer)

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
            UserError: The file holds no masks.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                shapes = json.loads((file.metadata() or {})["shapes"])
                packed = {name: file.get_tensor(name) for name in shapes}
        except (SafetensorError, KeyError):
            raise UserError(f"{path} holds no masks; name a file that Masks.save wrote") from None
        return cls.unpack(packed, shapes)

    def _parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        known = dict(model.named_parameters())
        for name, mask in self.items():
            if name not in known or known[name].shape != mask.shape:
                raise UserError(
                    f"the masks do not belong to this model: {name} of shape {tuple(mask.shape)} "
                    f"is {'not in it' if name not in known else tuple(known[name].shape)}"
                )
        return {name: known[name] for name in self}


class Guard:
    """Keeps cut weights at zero during training; made by ``Masks.attach``.

    As a context manager it lets go of the optimiser at the end.
    """

    def __init__(
        self, masks: Masks, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> None:
        # As floats in the weights' layout: on a CPU ten times as fast as masked_fill_ by booleans.
        self._kept = [(p, torch.empty_like(p).copy_(masks[n])) for n, p in parameters.items()]
        self._handle: RemovableHandle = optimizer.register_step_post_hook(self._after_step)
        self._after_step(optimizer)

    def mask_gradients(self) -> None:
        """Zero the gradients of cut weights; before clipping, or their norm would count."""
        _multiply([(p.grad, kept) for p, kept in self._kept if p.grad is not None])

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        states = [
            (state, kept)
            for parameter, kept in self._kept
            for state in optimizer.state.get(parameter, {}).values()
            if isinstance(state, torch.Tensor) and state.shape == kept.shape
        ]
        _multiply([*self._kept, *states])

    def remove(self) -> None:
        """Let go of the optimiser."""
        self._handle.remove()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@torch.no_grad()
def _multiply(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Multiply the first of each pair by the second, in place."""
    if pairs:
        values, factors = zip(*pairs, strict=True)
        torch._foreach_mul_(values, factors)
