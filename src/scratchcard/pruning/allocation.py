"""How a budget of weights is shared among layers, and the exact choice of the largest scores.

Counts are exact to one weight and ties are broken by position, so equal inputs give equal masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import torch

from scratchcard.contracts import UserError
from scratchcard.masks import Masks

Allocation = Literal["global", "uniform", "uniform+", "er", "erk", "lamp"]
"""How a budget is shared among layers.

- ``global``: one pool of scores.
- ``uniform``: every layer at the same density.
- ``uniform+``: uniform, but the first convolution stays dense and the last fully connected layer
  keeps a fifth of its weights at least (Gale et al. 2019). A network without the one or the other
  is spared that rule only. Impossible, hence refused, where the two exceed the budget.
- ``er``: density in proportion to (out + in) / (out in), dense where that exceeds 1 (Mocanu et al.
  2018).
- ``erk``: the same with the kernel's sides: the sum of dimensions over their product (Evci et al.
  2020).
- ``lamp``: one pool of ``lamp`` scores, for scores that are magnitudes (Lee et al. 2021).

The middle four give layers counts that do not depend on scores. What a layer cannot take, being
dense or cut already, goes to the others in proportion. No layer is topped up: at extreme
sparsities a share below one weight may become none, as ``Masks.collapsed`` then says.
"""


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
        UserError: An unknown allocation, scores that are infinite or not a number, negative scores
            for ``lamp``, or a sparsity that ``uniform+`` cannot reach.
    """
    _check_known(allocation)
    check_finite(scores, masks)
    kept = masks.count_at(sparsity)
    assert kept <= masks.kept, f"{kept} weights cannot be kept: only {masks.kept} are left"
    alive = {
        name: scores[name].detach().to(mask.device).masked_fill(~mask, -torch.inf).flatten()
        for name, mask in masks.items()
    }
    if allocation == "global":
        chosen = _pool(alive, kept)
    elif allocation == "lamp":
        pool = _pool({n: lamp(alive[n][mask.flatten()]) for n, mask in masks.items()}, kept)
        chosen = {name: largest(score, int(pool[name].sum())) for name, score in alive.items()}
    else:
        share = counts(masks, sparsity, allocation)
        chosen = {name: largest(score, share[name]) for name, score in alive.items()}
    result = Masks({name: chosen[name].reshape(mask.shape) for name, mask in masks.items()})
    assert result.kept == kept, f"kept {result.kept} weights instead of {kept}"
    return result


def check_finite(scores: Mapping[str, torch.Tensor], masks: Masks) -> None:
    """Raise a ``UserError`` if any score of a layer of ``masks`` is infinite or not a number."""
    for name in masks:
        broken = int((~torch.isfinite(scores[name])).sum())
        if broken:
            raise UserError(
                f"{broken} scores of {name} are infinite or not a number: "
                "look for such weights, and lower lr if training diverged"
            )


def densities(
    shapes: Mapping[str, Sequence[int]], sparsity: float, allocation: Allocation
) -> dict[str, float]:
    """The density of each layer of an unpruned network, before rounding to whole weights.

    Args:
        shapes: Of the prunable weights, in the model's order: [out, in, *kernel] or [out, in].
        sparsity: The share of all of them that shall be zero.
        allocation: ``"uniform"``, ``"uniform+"``, ``"er"`` or ``"erk"``.

    Raises:
        UserError: An allocation that leaves densities to the scores, or one that is unknown; a
            sparsity that ``uniform+`` cannot reach.

    >>> layers = {"conv": (16, 3, 3, 3), "fc": (10, 64)}
    >>> {name: round(d, 4) for name, d in densities(layers, 0.5, "erk").items()}
    {'conv': 0.3133, 'fc': 0.626}
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = sum(sizes.values())
    shares = _shares(shapes, sizes, total - round(sparsity * total), allocation)
    return {name: float(share / sizes[name]) for name, share in shares.items()}


def counts(masks: Masks, sparsity: float, allocation: Allocation) -> dict[str, int]:
    """How many weights each layer keeps, summing to ``masks.count_at(sparsity)`` exactly.

    Real shares are rounded down, and the largest remainders up (of equal ones the first). No layer
    gets more than ``masks`` still keeps of it. Raises as ``densities`` does.
    """
    shares = _shares(masks.shapes(), masks.layers(), masks.count_at(sparsity), allocation)
    whole = {name: math.floor(share) for name, share in shares.items()}
    left = masks.count_at(sparsity) - sum(whole.values())
    for name in sorted(shares, key=lambda name: whole[name] - shares[name])[:left]:
        whole[name] += 1
    return whole


def lamp(scores: torch.Tensor) -> torch.Tensor:
    """LAMP scores of one layer, from the largest magnitude to the smallest, in float64.

    The score of u is s_u² / Σ s_v² over the v that are at least as large; of equal magnitudes each
    counts those before it, so that the first score is 1 and no other is, whatever the layer.

    Args:
        scores: The magnitudes of the weights that are alive, in any order.

    Raises:
        UserError: Negative scores.

    >>> lamp(torch.tensor([1.0, 2.0, 1.0])).tolist()
    [1.0, 0.2, 0.16666666666666666]
    """
    if (negative := int((scores < 0).sum())) > 0:
        raise UserError(
            f'allocation "lamp" is made for magnitudes, but {negative} scores are negative; take '
            f"one of {', '.join(a for a in get_args(Allocation) if a != 'lamp')}"
        )
    # Without indices, NumPy sorts 30 times as fast as torch with them.
    ordered = np.sort(scores.detach().double().cpu().numpy(), axis=None)[::-1]
    # Relative to the largest no square overflows; a layer of zeros yields zeros behind its 1.
    tiny = np.finfo(np.float64).tiny
    squares = np.square(ordered / np.maximum(ordered[:1], tiny))
    shares = squares / np.maximum(np.cumsum(squares), tiny)
    shares[:1] = 1.0
    return torch.from_numpy(shares)


def _check_known(allocation: str) -> None:
    if allocation not in get_args(Allocation):
        raise UserError(
            f'allocation "{allocation}" is not one of {", ".join(get_args(Allocation))}'
        )


def _pool(scores: Mapping[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """Booleans that mark the ``count`` largest of all layers' flat scores."""
    chosen = largest(torch.cat(list(scores.values())), count)
    layers = torch.split(chosen, [score.numel() for score in scores.values()])
    return dict(zip(scores, layers, strict=True))


def largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Booleans that mark the ``count`` largest of a flat tensor; of equal ones the first."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(scores.numel() - count + 1).values
    chosen = scores > threshold
    ties = (scores == threshold).nonzero().flatten()
    chosen[ties[: count - int(chosen.sum())]] = True
    return chosen


def _shares(
    shapes: Mapping[str, Sequence[int]], alive: Mapping[str, int], kept: int, allocation: Allocation
) -> dict[str, Fraction]:
    """Each layer's part of ``kept``, none above what is alive, by an allocation without scores."""
    _check_known(allocation)
    if allocation == "uniform+":
        return _uniform_plus(shapes, alive, kept)
    if allocation == "uniform":
        weights = {name: math.prod(shape) for name, shape in shapes.items()}
    elif allocation == "er":
        # Density times size: (out + in) / (out in) x out in kernel = (out + in) kernel.
        weights = {name: sum(shape[:2]) * math.prod(shape[2:]) for name, shape in shapes.items()}
    elif allocation == "erk":
        weights = {name: sum(shape) for name, shape in shapes.items()}
    else:
        raise UserError(
            f'allocation "{allocation}" leaves the densities of layers to the scores; take one of '
            "uniform, uniform+, er, erk"
        )
    return _proportional(weights, alive, kept)


def _proportional(
    weights: Mapping[str, int], alive: Mapping[str, int], kept: int
) -> dict[str, Fraction]:
    """Shares of ``kept`` in proportion to ``weights``.

    A layer with less than its share alive keeps all of that, and the others share the rest.
    """
    shares: dict[str, Fraction] = {}
    shared = dict(weights)
    while scarce := [n for n in shared if alive[n] * sum(shared.values()) < kept * shared[n]]:
        shares |= {name: Fraction(alive[name]) for name in scarce}
        kept -= sum(alive[name] for name in scarce)
        shared = {name: weight for name, weight in shared.items() if name not in scarce}
    total = sum(shared.values())
    shares |= {name: Fraction(kept * weight, total) for name, weight in shared.items()}
    return {name: shares[name] for name in weights}


def _uniform_plus(
    shapes: Mapping[str, Sequence[int]], alive: Mapping[str, int], kept: int
) -> dict[str, Fraction]:
    """Uniform shares beside a whole first convolution and a fifth of the last linear layer."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    convolutions = [name for name, shape in shapes.items() if len(shape) > 2]
    linears = [name for name, shape in shapes.items() if len(shape) == 2]
    fixed = {name: alive[name] for name in convolutions[:1]}

    def others() -> dict[str, Fraction]:
        if (left := kept - sum(fixed.values())) < 0:
            raise UserError(
                f'allocation "uniform+" must keep {sum(fixed.values()):,} weights here (the first '
                "convolution whole and a fifth of the last fully connected layer), but only "
                f'{kept:,} are to be kept; lower the sparsity, or take "uniform"'
            )
        return _proportional({n: s for n, s in sizes.items() if n not in fixed}, alive, left)

    shares = others()
    for last in linears[-1:]:
        least = min(alive[last], -(-sizes[last] // 5))
        if shares[last] < least:
            fixed[last] = least
            shares = others()
    shares |= {name: Fraction(count) for name, count in fixed.items()}
    return {name: shares[name] for name in sizes}
