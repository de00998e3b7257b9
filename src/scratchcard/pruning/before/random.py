"""Random pruning: the control that every other method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context
from scratchcard.pruning.scored import Scored
from scratchcard.registry import method


@method("random", title="Random pruning", when="before")
@dataclass(frozen=True)
class Random(Scored):
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
        allocation: ``"global"`` (one pool, so layers are equal only on average), ``"uniform"``
            (every layer at the same density, exactly), ``"erk"`` (which is static sparse training),
            ``"er"`` or ``"uniform+"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """

    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """Uniform draws."""
        return {n: torch.rand(m.shape, generator=ctx.generator) for n, m in ctx.masks.items()}
