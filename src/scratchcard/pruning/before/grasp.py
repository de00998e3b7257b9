"""GraSP: cut before training what the gradient flow can do without."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scratchcard.contracts import Context, UserError
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


@method("grasp", title="GraSP", when="before", needs_data=True)
@dataclass(frozen=True)
class Grasp(Scored):
    """GraSP: cut the weights at initialisation whose removal keeps the gradient largest.

    Definition:
        The loss falls at the rate ‖g‖² at the start of training. Cutting w changes that rate, to
        first order, by 2 S(w); the weights with the largest S are cut, the others kept, signs
        included. One fixed, class-balanced, un-augmented batch, BatchNorm normalising by it; the
        network is trained from the initialisation scored.

    Formula:
        S(w) = -w (H g)(w), and score(w) = -S(w) = w (H g)(w), with g = ∂L/∂w and H = ∂²L/∂w² over
        the prunable weights that are left, and L the cross-entropy of logits / T. H g is the
        gradient of <g, ∂L/∂w> with the first g held fixed.

    Use:
        Where SNIP's layers run empty: at extreme sparsities it fares better on some networks.

    Limits:
        The signed score prefers weights whose removal would *shrink* the gradient; ``absolute``
        ranks by how much it would change, which Frankle et al. (2021) found better. It takes the
        memory of a double backward pass.

    Source:
        Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient
        Flow", ICLR 2020; ``absolute``: Frankle et al., "Pruning Neural Networks at
        Initialization: Why Are We Missing the Mark?", ICLR 2021.

    Options:
        temperature: T, which divides the logits so that softmax does not saturate; the paper's
            code has 200.
        absolute: Whether to keep the largest ``|w (H g)|`` instead.
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"`` or ``"erk"``; with ``absolute`` also ``"lamp"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """

    temperature: float = 200.0
    absolute: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise UserError(f"temperature {self.temperature} must be positive, such as 200")
        if self.allocation == "lamp" and not self.absolute:
            raise UserError(
                'allocation "lamp" is made for magnitudes, but the scores of grasp have signs; '
                'set absolute = true, or take allocation = "global"'
            )

    def scores(self, ctx: Context) -> dict[str, torch.Tensor]:
        """``w (H g)`` of every prunable weight, or its magnitude."""
        model = private_copy(ctx.model)
        weights = weights_of(model, ctx.masks)
        with derivatives(model):
            slopes = gradients(training_loss(model, ctx, self.temperature), weights, twice=True)
            # A weight that is cut already takes no part in training, nor in the gradient flow.
            fixed = {n: g.detach() * ctx.masks[n].to(g.device) for n, g in slopes.items()}
            flow = torch.stack([(fixed[n] * g).sum() for n, g in slopes.items()]).sum()
            products = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
        found = {
            name: w.detach() * product
            for (name, w), product in zip(weights.items(), products, strict=True)
        }
        return checked({n: s.abs() if self.absolute else s for n, s in found.items()})
