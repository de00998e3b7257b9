"""How many parameters of a network are not zero."""

from __future__ import annotations

from torch import nn

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.efficiency.kinds import WEIGHTS, by_kind
from scratchcard.registry import metric


@metric(
    "nonzeros",
    title="Parameters that are not zero",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
)
def nonzeros(model: nn.Module) -> Reading:
    """How many parameters are not zero.

    Definition:
        The parameters that differ from zero; what layers share counts once. The parts by kind add
        up to it (see the metric parameters). "share of all" is it over this network's parameters,
        "density" the same of its conv and linear weights alone (left out if it has none).

    Formula:
        sum over parameters p of |{i : p_i != 0}|

    Motivation:
        What is left for a format that stores no zeros; one scale for masks and removed channels.

    Advantages:
        Exact, read off the weights themselves: no mask is asked whether it was applied.

    Limitations:
        A bias or a shift that training left at exactly zero counts as cut. The shares are of this
        network: one whose channels were removed is small and dense. Zeros cost a dense format
        and an ordinary kernel as much as other weights.

    Source:
        Blalock et al., "What Is the State of Neural Network Pruning?", MLSys 2020, on reporting
        absolute sizes.

    Args:
        model: The network, cut weights held at zero.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.zeros_(layer.weight[:, 1:])
    >>> nonzeros(layer).value
    1.0
    """
    kinds = by_kind(model)
    sizes = {kind: sum(p.numel() for p in own) for kind, own in kinds.items()}
    left = {kind: sum(int((p != 0).sum()) for p in own) for kind, own in kinds.items()}
    total, alive = sum(sizes.values()), sum(left.values())
    parts = {kind: Part(float(left[kind]), 0.0, sizes[kind]) for kind in kinds}
    parts["share of all"] = Part(alive / total, 0.0, total)
    if sizes[WEIGHTS]:
        parts["density"] = Part(left[WEIGHTS] / sizes[WEIGHTS], 0.0, sizes[WEIGHTS])
    return Reading(float(alive), 0.0, total, parts=parts)
