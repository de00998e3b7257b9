"""Magnitude: the score |w|, and the method that applies it before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context
from scratchcard.pruning.scored import Scored
from scratchcard.registry import method


@dataclass(frozen=True)
class Magnitude(Scored):
    """Keeps the largest weights by magnitude."""

    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """``|w|`` of every prunable weight."""
        parameters = dict(ctx.model.named_parameters())
        return {name: parameters[name].detach().abs().cpu() for name in ctx.masks}


@method("magnitude-init", title="Magnitude at initialisation", when="before")
@dataclass(frozen=True)
class MagnitudeAtInit(Magnitude):
    """Magnitude at initialisation: cut the weights that start smallest, then train.

    Definition:
        The largest initial weights by magnitude are kept, and trained from initialisation.

    Formula:
        score(w) = |w at initialisation|.

    Use:
        The cheapest score before training, and a fair match for costlier ones at moderate
        sparsity.

    Limits:
        It compares the scales that layers were initialised with: with a global threshold the
        layers of the widest fan run empty first (a ResNet-18 with fan-out initialisation is at
        chance from 94.4 % on); ``allocation = "erk"`` or ``"lamp"`` avoids that.

    Source:
        Frankle et al., "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?",
        ICLR 2021.

    Options:
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"``, ``"erk"`` or ``"lamp"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """
