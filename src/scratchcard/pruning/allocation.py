"""How a budget of weights is shared among layers, and the exact choice of the largest scores.

Counts are exact to one weight and ties are broken by position, so equal inputs give equal masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

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
    """
    for name in masks:
        assert torch.isfinite(scores[name]).all(), f"the scores of {name} are not finite"
    kept = masks.count_at(sparsity)
    assert kept <= masks.kept, f"{kept} weights cannot be kept: only {masks.kept} are left"
    alive = {
        name: scores[name].detach().to(mask.device).masked_fill(~mask, -torch.inf).flatten()
        for name, mask in masks.items()
    }
    if allocation == "global":
        flat = _largest(torch.cat(list(alive.values())), kept)
        chosen = dict(zip(alive, flat.split([s.numel() for s in alive.values()]), strict=True))
    else:
        counts = _uniform(masks.layers(), {n: m.numel() for n, m in masks.items()}, kept)
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
    """Counts per layer at one density, summing to ``kept``: largest remainders, capped at alive."""
    total = sum(sizes.values())
    counts = {name: min(kept * size // total, alive[name]) for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(kept * sizes[name] % total))
    while (missing := kept - sum(counts.values())) > 0:
        open_layers = [name for name in by_remainder if counts[name] < alive[name]]
        for name in open_layers[:missing]:
            counts[name] += 1
    return counts
