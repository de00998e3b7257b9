"""How many parameters a network has."""

from __future__ import annotations

from torch import nn

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.efficiency.kinds import by_kind
from scratchcard.registry import metric


@metric(
    "parameters",
    title="Parameters",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
    caution="Cut weights are counted, for they are still there: see the metric nonzeros.",
)
def parameters(model: nn.Module) -> Reading:
    """How many parameters the network has, zeros included.

    Definition:
        The numbers in all its parameters; what layers share counts once. The parts add up to it:
        "conv and linear weights" (attention's projections too; what is pruned by default),
        "biases", "normalisation" (scales and shifts) and "other" (class tokens, positions,
        embeddings, slopes). "buffers", the numbers that are kept but not learnt (running
        statistics, counters), are no parameters and stand beside.

    Formula:
        sum over parameters p of the product of the sizes of p

    Motivation:
        The size that every paper reports, and what a dense format has to store.

    Advantages:
        Exact, and depends on nothing but the architecture.

    Limitations:
        Masks of single weights change nothing in it, only channels that are removed and smaller
        models do. It says little of time: a convolution uses a weight many times.

    Source:
        Counted as in He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    Args:
        model: The network.

    >>> parameters(nn.Linear(3, 2)).value
    8.0
    """
    kinds = {kind: sum(p.numel() for p in own) for kind, own in by_kind(model).items()}
    total = sum(kinds.values())
    beside = {"buffers": sum(buffer.numel() for buffer in model.buffers())}
    parts = {label: Part(float(count), 0.0, total) for label, count in (kinds | beside).items()}
    return Reading(float(total), 0.0, total, parts=parts)
