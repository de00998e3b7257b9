"""Lottery tickets: iterative magnitude pruning with weight rewinding."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import UserError
from scratchcard.pruning.after.omp import OneShotMagnitude
from scratchcard.registry import method


@method("lth", title="Lottery tickets (LTH)", when="after")
@dataclass(frozen=True)
class LotteryTicket(OneShotMagnitude):
    """Lottery tickets: train, cut the smallest weights, rewind the rest, and again.

    Definition:
        Iterative magnitude pruning (IMP). Each round trains to the end, cuts the share ``rate`` of
        the weights that are left, by magnitude over all layers together, and rewinds the
        survivors, BatchNorm statistics included, to an early step of the dense network's
        training. Schedule and data order go on from that step; momentum starts empty.

    Formula:
        score(w) = |w at the end of the round|; density after round k is (1 - rate)^k, counted
        from all weights, the last round ending exactly at the wanted sparsity.

    Use:
        The reference of the field: the sparsest networks known to match their dense twins after
        training from an early step.

    Limits:
        n rounds cost n + 1 trainings; compare at equal budget too. A higher rate (0.488 is three
        steps of the ladder) is cheaper and somewhat worse.

    Source:
        Frankle and Carbin, ICLR 2019; rewinding: Frankle et al., "Linear Mode Connectivity and
        the Lottery Ticket Hypothesis", ICML 2020.

    Options:
        rate: The share of the remaining weights that a round cuts.
        rewind: The step whose weights the survivors return to: "0ep", "3ep", "500it" or "0.02".
        retrain: As in ``omp``; ``lrr`` is this method with ``"lr-rewinding"``.
        finetune_lr: As in ``omp``.
        allocation: How the budget is shared among layers.
        pattern: N:M, such as ``"2:4"``, cut in one round; empty for none.
    """

    rate: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.rate < 1:
            raise UserError(f"rate {self.rate} must lie between 0 and 1: the share cut in a round")

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        """Sparsity after each round, ending exactly at ``sparsity``.

        >>> LotteryTicket(rate=0.5).rounds(0.8)
        (0.5, 0.75, 0.8)
        """
        if self.pattern:
            return (sparsity,)
        steps, density = [], 1.0
        # A round that would end within a thousandth of its cut from the target is the last one.
        while (density := density * (1 - self.rate)) > (1 - sparsity) * (1 + self.rate / 1000):
            steps.append(round(1 - density, 12))
        return (*steps, sparsity)
