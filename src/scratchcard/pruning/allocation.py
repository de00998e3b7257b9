"""How a budget of weights is shared among layers, and the exact choice of the largest scores.

Counts are exact to one weight and ties are broken by position, so equal inputs give equal masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from scratchcard.contracts import UserError
from scratchcard.masks import Masks

Allocation = Literal["global", "uniform"]
"""``global``: one pool of scores. ``uniform``: every layer at the same density."""


def keep_largest(
    scores: Mapping[str, torch.Tensor], masks: Masks, sparsity: float, allocation: Allocation
) -> Masks:
    """The masks that keep the largest scores among the weights that ``masks`` still keeps.

    Args:
        scores: One finite number per prunable weight, more is more worth keeping.
        masks: What earlier rounds kept; what they cut stays cut.
        sparsity: The share of all prunable weights that shall be zero.
        allocation: How the budget is shared among layers.

    Raises:
        UserError: An unknown allocation, or scores that are infinite or not a number.
    """
    if allocation not in get_args(Allocation):
        raise UserError(
            f'allocation "{allocation}" is not one of {", ".join(get_args(Allocation))}'
        )
    for name in masks:
        broken = int((~torch.isfinite(scores[name])).sum())
        if broken:
            raise UserError(
                f"{broken} scores of {name} are infinite or not a number: "
                "look for such weights, and lower lr if training diverged"
            )
    kept = masks.count_at(sparsity)
    assert kept <= masks.kept, f"{kept} weights cannot be kept: only {masks.kept} are left"
    alive = {
        name: scores[name].detach().to(mask.device).masked_fill(~mask, -torch.inf).flatten()
        for name, mask in masks.items()
    }
    sizes = {name: mask.numel() for name, mask in masks.items()}
    if allocation == "global":
        flat = _largest(torch.cat(list(alive.values())), kept)
        chosen = dict(zip(sizes, torch.split(flat, list(sizes.values())), strict=True))
    else:
        counts = _uniform(masks.layers(), sizes, kept)
        chosen = {name: _largest(score, counts[name]) for name, score in alive.items()}
    result = Masks({name: chosen[name].reshape(mask.shape) for name, mask in masks.items()})
    assert result.kept == kept, f"kept {result.kept} weights instead of {kept}"
    return result


def _largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Booleans that mark the ``count`` largest of a flat tensor; of equal ones the first."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(scores.numel() - count + 1).values
    chosen = scores > threshold
    ties = (scores == threshold).nonzero().flatten()
    chosen[ties[: count - int(chosen.sum())]] = True
    return chosen


def _uniform(alive: Mapping[str, int], sizes: Mapping[str, int], kept: int) -> dict[str, int]:
    """Counts per layer at one density, summing to ``kept``.

    A layer with less than its share alive keeps all of that, and the others share the rest.
    """
    counts: dict[str, int] = {}
    shared = dict(sizes)
    while scarce := [n for n in shared if alive[n] * sum(shared.values()) < kept * shared[n]]:
        counts |= {name: alive[name] for name in scarce}
        kept -= sum(alive[name] for name in scarce)
        shared = {name: size for name, size in shared.items() if name not in scarce}
    total = sum(shared.values())
    counts |= {name: kept * size // total for name, size in shared.items()}
    # What rounding down has left goes to the largest remainders.
    left = kept - sum(counts[name] for name in shared)
    for name in sorted(shared, key=lambda name: -(kept * shared[name] % total))[:left]:
        counts[name] += 1
    return counts
