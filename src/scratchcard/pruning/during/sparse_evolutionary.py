"""SET: dynamic sparse training that grows by lot."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context
from scratchcard.pruning.during.dynamic import DropAndGrow
from scratchcard.registry import method


@method("set", title="Sparse evolutionary training (SET)", when="during")
@dataclass(frozen=True)
class SparseEvolutionaryTraining(DropAndGrow):
    """Sparse evolutionary training: drop the smallest weights, grow as many by lot.

    Definition:
        Training starts sparse, by lot. After every epoch each layer drops a share of its weights,
        the smallest by magnitude, and grows as many elsewhere at random, from zero. The original
        drops that share of the positive and of the negative weights separately, those nearest to
        zero; here signs are pooled, as in RigL. An update takes the place of the SGD step.

    Formula:
        Of a layer's n weights floor(fraction n) are dropped by |w|, and as many grown uniformly
        among all that are not kept, at t = every, 2 every, ... < until.

    Use:
        The control for RigL: what a moving mask wins without looking at gradients. It needs no
        dense gradient at all.

    Limits:
        The share does not fall, so the weights grown last had the least time; the original goes
        on until the last epoch (``until = "end"``), here three quarters of training are the
        default, as in RigL's comparison.

    Source:
        Mocanu et al., "Scalable Training of Artificial Neural Networks with Adaptive Sparse
        Connectivity inspired by Network Science", Nature Communications 2018.

    Options:
        allocation: As in ``rigl``.
        fraction: The share of a layer's weights that an update exchanges, zeta in the paper.
        every: As in ``rigl``.
        until: As in ``rigl``.
        updates: As in ``rigl``.
    """

    every: str = "1ep"

    def grow(self, ctx: Context, name: str) -> torch.Tensor:
        """U(0, 1)."""
        return torch.rand(ctx.masks[name].shape, generator=ctx.generator)
