"""The sign-flipped ticket: a method's mask and magnitudes without the signs of its weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from scratchcard.contracts import Context, UserError
from scratchcard.pruning.controls.control import Control
from scratchcard.registry import method


@method("sign-flipped", title="Sign-flipped", when="before", control=True)
@dataclass(frozen=True)
class SignFlipped(Control):
    """Sign-flipped: another method's ticket, with the signs of its weights flipped at random.

    Definition:
        The finished mask of another method is kept, and so are the weights it starts from, but in
        each layer the share ``share`` of the kept weights, exact to one weight and drawn by lot,
        change their signs. Biases and BatchNorm stay as they are.

    Formula:
        w' = m * s * w, s in {-1, 1}, with exactly round(share * n_l) of the n_l kept weights of
        layer l at s = -1.

    Use:
        Asks what a ticket inherits. If it is the signs, flipping half of them costs as much as
        drawing all weights anew, and magnitudes alone are worth nothing.

    Limits:
        At initialisation every layer is symmetric, so half of the signs flipped is a new draw
        with the old magnitudes. At a later step BatchNorm statistics no longer fit the flipped
        network until training has renewed them.

    Source:
        Zhou et al., "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask",
        NeurIPS 2019; Frankle et al., "The Early Phase of Neural Network Training", ICLR 2020.

    Options:
        of: The label of the other method in the study.
        share: The share of signs that are flipped: 0.5 leaves no information about them, 1 turns
            every kept weight around.
    """

    of: str = field()
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(
                f"share = {self.share} must lie above 0, and at most at 1: the share of signs "
                "that are flipped"
            )

    @torch.no_grad()
    def begin(self, ctx: Context) -> None:
        """Flip signs among the weights that ``ctx.masks`` keeps."""
        parameters = dict(ctx.model.named_parameters())
        for name, mask in ctx.masks.items():
            flips = self._drawn(mask.cpu(), ctx.generator).to(parameters[name].device)
            # A zero stays +0.0, which -0.0 equals but for its bits.
            parameters[name].copy_(
                torch.where(flips & (parameters[name] != 0), -parameters[name], parameters[name])
            )

    def _drawn(self, mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Booleans of the mask's shape that mark exactly ``share`` of what it keeps."""
        kept = mask.flatten().nonzero().flatten()
        order = torch.randperm(len(kept), generator=generator)
        drawn = torch.zeros(mask.numel(), dtype=torch.bool)
        drawn[kept[order[: round(self.share * len(kept))]]] = True
        return drawn.reshape(mask.shape)
