"""One-shot magnitude pruning: the simplest method that looks at a trained network."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import Context, Method, Step
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, keep_largest
from scratchcard.pruning.magnitude import magnitude
from scratchcard.registry import method


@method("omp", title="One-shot magnitude (OMP)", when="after")
@dataclass(frozen=True)
class OneShotMagnitude(Method):
    """One-shot magnitude pruning: cut the smallest weights of the trained network, all at once.

    Definition:
        The dense network is trained to the end; the largest weights by magnitude are kept; the
        survivors are rewound to an early step and trained again.

    Formula:
        score(w) = |w at the end of training|, one global threshold.

    Use:
        The price of impatience: it costs one extra training at any sparsity, where lottery
        tickets cost one a round.

    Limits:
        At high sparsity a single cut takes weights that later rounds would have spared.

    Source:
        OMP in Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022;
        Han et al., NeurIPS 2015.

    Options:
        rewind: The step whose weights (BatchNorm statistics included) the survivors return to;
            schedule and data order go on from there.
        allocation: ``"global"`` or ``"uniform"``.
    """

    rewind: str = "0ep"
    allocation: Allocation = "global"

    def __post_init__(self) -> None:
        Step.parse(self.rewind)

    @property
    def scored_at(self) -> str:
        """Trained weights are scored."""
        return "end"

    @property
    def starts_from(self) -> str:
        """The rewind step."""
        return self.rewind

    def start(self, ctx: Context) -> Masks:
        """The largest magnitudes."""
        return keep_largest(magnitude(ctx), ctx.masks, ctx.sparsity, self.allocation)
