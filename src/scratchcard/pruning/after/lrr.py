"""Learning-rate rewinding: lottery tickets that keep their trained weights."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.pruning.after.lth import LotteryTicket
from scratchcard.pruning.retraining import Retrain
from scratchcard.registry import method


@method("lrr", title="Learning-rate rewinding (LRR)", when="after")
@dataclass(frozen=True)
class LearningRateRewinding(LotteryTicket):
    """Learning-rate rewinding: cut the smallest weights, replay the schedule, and again.

    Definition:
        Each round trains to the end, cuts the share ``rate`` of the weights that are left, by
        magnitude over all layers together, keeps the trained values of the rest, and replays the
        learning-rate schedule (and data order) from ``rewind`` on; momentum starts empty.

    Formula:
        score(w) = |w at the end of the round|; density after round k is (1 - rate)^k.

    Use:
        The simple and strong way to prune a network whose training can be repeated: it is at
        least as accurate as weight rewinding in most settings.

    Limits:
        Its networks are not tickets in the strict sense (they start from trained weights), and
        each saw n + 1 trainings; compare at equal budget too.

    Source:
        Renda, Frankle and Carbin, "Comparing Rewinding and Fine-tuning in Neural Network
        Pruning", ICLR 2020.

    Options:
        rate: The share of the remaining weights that a round cuts.
        rewind: The step of the schedule to go back to; "0ep" replays all of it.
        retrain: ``"lr-rewinding"``; the others make it ``lth``.
        finetune_lr: As in ``omp``.
        allocation: How the budget is shared among layers.
        pattern: N:M, such as ``"2:4"``, cut in one round; empty for none.
    """

    retrain: Retrain = "lr-rewinding"
