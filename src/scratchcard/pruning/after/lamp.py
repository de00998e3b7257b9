"""Layer-adaptive magnitude pruning: one global threshold on scores that layers can share."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.pruning.after.omp import OneShotMagnitude
from scratchcard.pruning.allocation import Allocation
from scratchcard.registry import method


@method("lamp", title="Layer-adaptive magnitude (LAMP)", when="after")
@dataclass(frozen=True)
class LayerAdaptiveMagnitude(OneShotMagnitude):
    """Layer-adaptive magnitude pruning: what a weight is among the larger ones of its layer.

    Definition:
        One-shot magnitude pruning of the trained network, with each weight's square divided by
        the sum of squares of the weights of its layer that are at least as large; then one global
        threshold.

    Formula:
        score(u) = w_u² / Σ w_v² over the v of the layer with |w_v| ≥ |w_u|. The largest weight of
        a layer scores 1, so no layer runs empty while there are as many weights as layers.

    Use:
        Layer-wise sparsities without a hyper-parameter, better than uniform and ERK ones for
        trained networks.

    Limits:
        It bounds the distortion of a layer's output alone, not of the network's.

    Source:
        Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021.

    Options:
        rewind: As in ``omp``.
        retrain: As in ``omp``.
        finetune_lr: As in ``omp``.
        allocation: ``"lamp"``; any other makes it ``omp``.
        pattern: As in ``omp``.
    """

    allocation: Allocation = "lamp"
