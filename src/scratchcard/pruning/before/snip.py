"""SNIP: connection sensitivity, one look at one batch before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context
from scratchcard.pruning.before.scoring import (
    checked,
    derivatives,
    gradients,
    private_copy,
    training_loss,
    weights_of,
)
from scratchcard.pruning.scored import Scored
from scratchcard.registry import method


@method("snip", title="SNIP", when="before", needs_data=True)
@dataclass(frozen=True)
class Snip(Scored):
    """SNIP: cut the weights at initialisation whose removal would change the loss least.

    Definition:
        The loss of one fixed, class-balanced, un-augmented batch is differentiated once by every
        prunable weight, BatchNorm normalising by the batch. The weights with the largest
        connection sensitivity are kept; the network is trained from the initialisation scored.

    Formula:
        score(w) = |w ∂L/∂w|: the loss's change, to first order, if w alone were cut. L is the mean
        cross-entropy of the whole batch, so gradients are summed over images before the absolute
        value. The paper divides by the sum of all scores, which changes no ranking.

    Use:
        The cheapest method that looks at data: a forward and a backward pass, then one training.

    Limits:
        It sees one weight at a time. At 99 % and beyond whole layers run empty, as
        ``Masks.collapsed`` says; after training its mask within a layer is worth no more than a
        shuffled one (Frankle et al. 2021).

    Source:
        Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection
        Sensitivity", ICLR 2019.

    Options:
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"``, ``"erk"`` or ``"lamp"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """

    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """``|w ∂L/∂w|`` of every prunable weight."""
        model = private_copy(ctx.model)
        weights = weights_of(model, ctx.masks)
        with derivatives(model):
            slopes = gradients(training_loss(model, ctx), weights)
        return checked({name: (w.detach() * slopes[name]).abs() for name, w in weights.items()})
