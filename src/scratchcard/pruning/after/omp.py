"""One-shot magnitude pruning: the simplest method that looks at a trained network."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.pruning.before.magnitude import Magnitude
from scratchcard.pruning.retraining import Retraining
from scratchcard.registry import method


@method("omp", title="One-shot magnitude (OMP)", when="after")
@dataclass(frozen=True)
class OneShotMagnitude(Retraining, Magnitude):
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
        Han et al., NeurIPS 2015; the ways to retrain: Renda et al., ICLR 2020.

    Options:
        rewind: The step whose weights (BatchNorm statistics included) the survivors return to;
            schedule and data order go on from there.
        retrain: ``"weight-rewinding"`` as above; ``"lr-rewinding"`` keeps the trained weights and
            rewinds schedule and data order only; ``"fine-tuning"`` keeps them too and trains for
            as long as the dense network, at one small learning rate.
        finetune_lr: That rate, as a share of the recipe's highest (0.01 is where the usual step
            schedule ends).
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"``, ``"erk"`` or ``"lamp"``.
        pattern: N:M, such as ``"2:4"``; empty for none.
    """

    def __post_init__(self) -> None:
        Magnitude.__post_init__(self)
        Retraining.__post_init__(self)
