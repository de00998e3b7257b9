"""Random pruning: the control that every other method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context, Method
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, keep_largest
from scratchcard.registry import method


@method("random", title="Random pruning", when="before")
@dataclass(frozen=True)
class Random(Method):
    """Random pruning: weights are cut at initialisation, by lot.

    Definition:
        Every prunable weight draws a number from U(0, 1); the largest are kept. The network is
        then trained from its initialisation.

    Formula:
        score(w) = u, u ~ U(0, 1).

    Use:
        The control: a method that does not beat it has found nothing. With layer-wise densities
        chosen well it is a strong one (Liu et al. 2022).

    Limits:
        At high sparsity narrow layers run empty by chance.

    Source:
        RP in Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022;
        Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022.

    Options:
        allocation: ``"global"`` (one pool, so layers are equal only on average) or ``"uniform"``
            (every layer at the same density, exactly).
    """

    allocation: Allocation = "global"

    def start(self, ctx: Context) -> Masks:
        """The largest of uniform draws."""
        scores = {n: torch.rand(m.shape, generator=ctx.generator) for n, m in ctx.masks.items()}
        return keep_largest(scores, ctx.masks, ctx.sparsity, self.allocation)
