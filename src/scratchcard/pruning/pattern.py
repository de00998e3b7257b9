"""N:M patterns: of every M consecutive inputs of a layer's kernels at most N are kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import check_finite


@dataclass(frozen=True)
class Pattern:
    """At most ``n`` of every ``m`` consecutive weights along the input dimension.

    A linear layer [out, in] is grouped along in; a convolution [out, in, *kernel] along in at each
    position of the kernel, as kernels of the layout NHWC want it; an embedding [num, dim] along
    dim. Where in is not a multiple of m, the last group is short: it keeps ``min(n, r)`` of its r
    weights, for a kernel would fill it up with zeros. So a layer of at most n inputs, such as a
    depthwise convolution, remains dense.

    >>> Pattern.parse("2:4").sparsity
    0.5
    >>> Pattern.parse("2:4").kept((16, 6, 3, 3))  # 2 of the first 4 inputs, 2 of the other 2
    576
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        assert 0 < self.n < self.m, f"{self} is no pattern"

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``"N:M"``; a ``UserError`` says what can be written."""
        found = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", text)
        if not found or not 0 < int(found[1]) < int(found[2]):
            raise UserError(
                f'pattern "{text}" is not of the form N:M, such as "2:4": of every M weights N are '
                "kept, at least one and not all"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    @property
    def sparsity(self) -> float:
        """The share of a full group that is cut; a network's is ``1 - count(masks) / total``."""
        return round(1 - self.n / self.m, 12)  # as a study writes its ladder

    def kept(self, shape: Sequence[int]) -> int:
        """How many weights of a layer of ``shape`` are kept."""
        inputs = shape[min(1, len(shape) - 1)]
        of_row = inputs // self.m * self.n + min(self.n, inputs % self.m)
        return math.prod(shape) // inputs * of_row

    def count(self, masks: Masks) -> int:
        """How many weights of all layers together are kept."""
        return sum(self.kept(mask.shape) for mask in masks.values())

    def largest(self, scores: Mapping[str, torch.Tensor], masks: Masks) -> Masks:
        """The masks that keep the ``n`` largest scores of each group, of equal ones the first.

        Args:
            scores: One finite number per prunable weight, more is more worth keeping.
            masks: What earlier rounds kept; what they cut stays cut.

        Raises:
            UserError: Scores that are infinite or not a number, or groups with fewer than ``n``
                weights alive: the pattern must be cut from masks that leave it the choice.
        """
        check_finite(scores, masks)
        chosen = {name: self._largest(name, scores[name], mask) for name, mask in masks.items()}
        result = Masks(chosen)
        assert result.kept == self.count(masks), f"kept {result.kept} weights at {self}"
        return result

    def holds(self, masks: Masks) -> bool:
        """Whether no group of ``masks`` keeps more than ``n``: what sparse kernels ask for."""
        return all(bool((self._groups(mask, 0).sum(-1) <= self.n).all()) for mask in masks.values())

    def _largest(self, name: str, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        alive = scores.detach().to(mask.device).masked_fill(~mask, -torch.inf)
        groups = self._groups(alive, -torch.inf)
        first = torch.argsort(groups, dim=-1, descending=True, stable=True)[..., : self.n]
        chosen = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, first, True)
        result = self._ungroup(chosen, mask) & mask
        if int(result.sum()) != self.kept(mask.shape):
            raise UserError(
                f"{name} has groups of {self.m} with fewer than {self.n} weights alive; cut the "
                f'pattern "{self}" from a dense network'
            )
        return result

    def _groups(self, layer: torch.Tensor, fill: float) -> torch.Tensor:
        """[out, in, *kernel] as [out, *kernel, groups, m]; short groups are filled up."""
        rows = layer.movedim(min(1, layer.dim() - 1), -1)
        filled = pad(rows, (0, -rows.shape[-1] % self.m), value=fill)
        return filled.reshape(*rows.shape[:-1], -1, self.m)

    def _ungroup(self, groups: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The inverse of ``_groups``, without the filling."""
        axis = min(1, like.dim() - 1)
        return groups.flatten(-2)[..., : like.shape[axis]].movedim(-1, axis).contiguous()
