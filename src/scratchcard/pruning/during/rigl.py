"""RigL: dynamic sparse training that grows where the gradient is largest."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context, UserError
from scratchcard.pruning.during.dynamic import DropAndGrow, finite
from scratchcard.pruning.schedule import cosine
from scratchcard.registry import method


@method("rigl", title="Rigged lottery (RigL)", when="during")
@dataclass(frozen=True)
class RiggedLottery(DropAndGrow):
    """The rigged lottery: drop the smallest weights, grow where the gradient is largest.

    Definition:
        Training starts sparse, by lot. Now and then each layer drops a share of its weights, the
        smallest, and grows as many where the gradient of the batch's loss is largest among all
        weights that it does not keep (the just dropped are candidates, too, and keep their value
        if they return; others start from zero). An update takes the place of the SGD step.

    Formula:
        share(t) = fraction / 2 (1 + cos(π t / T_end)) at t = every, 2 every, ... < T_end = until;
        of a layer's n weights floor(share n) are dropped by |w| and grown by |∂L/∂w|.

    Use:
        Sparse training from start to end that comes near to pruning a trained network, at a
        sparse network's cost; better than any static mask at high sparsity.

    Limits:
        It needs many updates with training between them: shorter recipes get ``updates`` of them
        at shorter intervals, and recipes of about a hundred steps hardly profit. The gradient of
        one small batch is noisy. A layer with fewer than 1 / share
        weights left stays as it is.

    Source:
        Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020.

    Options:
        allocation: How the budget is shared among layers, at the start and for good: ``"erk"``,
            ``"er"``, ``"uniform"``, ``"uniform+"``, or ``"global"`` (as chance has it).
        fraction: The share of a layer's weights exchanged at first, alpha in the paper; it falls
            to zero along a cosine.
        every: The interval of updates.
        until: The step from which on the mask is left alone.
        updates: How many updates there shall be at least: where ``every`` gives fewer, the
            interval is ``until / updates``, but 8 steps at least.
    """

    def share(self, step: int, end: int) -> float:
        """A cosine from ``fraction`` to zero."""
        return cosine(step, end, self.fraction)

    def grow(self, ctx: Context, name: str) -> torch.Tensor:
        """``|∂L/∂w|``, of cut weights as well."""
        gradient = ctx.model.get_parameter(name).grad
        if gradient is None:
            raise UserError(
                f"{name} has no gradient, so that RigL cannot tell where to grow: the network "
                "does not use that layer, or it is frozen; leave it out of prunable"
            )
        return finite(gradient, f"gradients of {name}")
