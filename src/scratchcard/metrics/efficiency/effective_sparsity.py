"""Effective sparsity: the share of weights that are cut, or kept in vain."""

from __future__ import annotations

from torch import nn

from scratchcard.connectivity import effective
from scratchcard.contracts import Part, Reading
from scratchcard.data.base import Images
from scratchcard.masks import Masks
from scratchcard.registry import metric


@metric(
    "effective-sparsity",
    title="Effective sparsity",
    dimension="efficiency",
    better="higher",
)
def effective_sparsity(model: nn.Module, masks: Masks, test: Images) -> Reading:
    """Share of the prunable weights that are cut, or on no path from the input to the output.

    Definition:
        A kept weight does nothing if all that it reads is cut, or if nobody reads what it
        writes. Effective sparsity counts such weights as cut; direct sparsity, the part
        ``direct``, does not.

    Formula:
        1 - |{kept w: some path of kept weights through w joins input and output}| / N

    Motivation:
        Two masks of one direct sparsity may leave networks of very different size. Above 99 %
        most methods keep many weights in vain, and curves over direct sparsity then compare
        what is not comparable.

    Advantages:
        Exact, from the mask alone: no data, no seed, no threshold.

    Limitations:
        Being connected is not being useful. Paths are not defined where layers mix or multiply
        signals (LayerNorm, attention), so it is not applicable there. A bias can carry a constant
        through a disconnected unit, which does not count.

    Source:
        Vysogorets and Kempe, "Connectivity Matters: Neural Network Pruning Through the Lens of
        Effective Sparsity", JMLR 2023.

    Args:
        model: The network.
        masks: Of its prunable weights.
        test: Images, for their shape alone.
    """
    alive = effective(model, masks, test.task_shape)
    return Reading(
        1 - alive.kept / masks.total,
        0.0,
        masks.total,
        parts={"direct": Part(masks.sparsity, 0.0, masks.total)},
    )
