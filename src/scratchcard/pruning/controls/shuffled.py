"""The shuffled mask: the layer-wise densities of a method without its choice of weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchcard.contracts import Context
from scratchcard.masks import Masks
from scratchcard.pruning.controls.control import Control
from scratchcard.registry import method


@method("shuffled", title="Shuffled mask", when="before", control=True)
@dataclass(frozen=True)
class Shuffled(Control):
    """Shuffled mask: another method's layers at their densities, but other weights in them.

    Definition:
        The finished mask of another method is permuted at random within each layer. This is
        random pruning with that method's layer-wise densities, exact to one weight. The ticket
        starts from the weights that the other method starts from.

    Formula:
        m'_l = P_l m_l, where P_l is a permutation of the positions of layer l, drawn uniformly.

    Use:
        Asks whether a method finds weights or merely densities. Masks found before training
        lose nothing when shuffled, those of trained networks do.

    Limits:
        Of a method that keeps trained weights (``lrr``) it takes the mask only: the ticket starts
        from the dense network's weights at that step. An N:M pattern does not survive it.

    Source:
        Frankle et al., "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?",
        ICLR 2021; Su et al., "Sanity-Checking Pruning Methods: Random Tickets can Win the
        Jackpot", NeurIPS 2020.

    Options:
        of: The label of the other method in the study.
    """

    of: str = field()

    def start(self, ctx: Context) -> Masks:
        """The permuted mask."""
        return super().start(ctx).shuffled(ctx.generator)
