"""Methods that score every weight and keep the largest: all that differs is the score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from scratchcard.contracts import Context, Method, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, keep_largest
from scratchcard.pruning.pattern import Pattern


@dataclass(frozen=True)
class Scored(Method):
    """A score, an allocation of the budget to layers, and perhaps a pattern within them."""

    allocation: Allocation = "global"
    pattern: str = ""

    def __post_init__(self) -> None:
        if self.pattern:
            Pattern.parse(self.pattern)
            if self.allocation != "global":
                raise UserError(
                    f'pattern = "{self.pattern}" gives every layer its share, so '
                    f'allocation = "{self.allocation}" means nothing; remove one of the two'
                )

    def ladder(self, sparsities: tuple[float, ...]) -> tuple[float, ...]:
        """A pattern has a sparsity of its own."""
        return (Pattern.parse(self.pattern).sparsity,) if self.pattern else sparsities

    def keeps(self, masks: Masks, sparsity: float) -> int:
        """Exactly the pattern's count, where there is one."""
        if self.pattern and sparsity > 0:
            return Pattern.parse(self.pattern).count(masks)
        return masks.count_at(sparsity)

    @abstractmethod
    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """A finite number for each weight by name, on the CPU: more is more worth keeping."""

    def start(self, ctx: Context) -> Masks:
        """The largest scores."""
        scores = self.scores(ctx)
        if self.pattern and ctx.sparsity > 0:
            return Pattern.parse(self.pattern).largest(scores, ctx.masks)
        return keep_largest(scores, ctx.masks, ctx.sparsity, self.allocation)
