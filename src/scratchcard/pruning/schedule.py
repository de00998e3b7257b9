"""Densities and sparsities over time: pure functions of a step."""

from __future__ import annotations

import math

from scratchcard.contracts import UserError


def exponential(density: float, n: int) -> tuple[float, ...]:
    """The densities after each of ``n`` equal cuts, the last being ``density`` itself: d^(k/n).

    Each cut takes the same share of what is left (SynFlow, Tanaka et al. 2020).

    Raises:
        UserError: No cut at all, or a density outside (0, 1].

    >>> exponential(0.25, 2)
    (0.5, 0.25)
    """
    if n < 1:
        raise UserError(f"{n} iterations are too few: at least 1 is needed")
    if not 0 < density <= 1:
        raise UserError(f"density {density} must lie above 0, and at most at 1")
    return (*(density ** (k / n) for k in range(1, n)), density)


def cubic(step: float, begin: float, end: float, final: float, initial: float = 0.0) -> float:
    """The sparsity at ``step`` of gradual pruning: fast at first, slow towards the end.

    s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))³ between ``begin`` and ``end``; exactly
    ``initial`` before and ``final`` after (Zhu and Gupta 2017). Where both are one step, it jumps
    there.

    Raises:
        UserError: An end before the beginning.

    >>> [cubic(step, begin=10, end=20, final=0.8) for step in (10, 15, 20)]
    [0.0, 0.7000000000000001, 0.8]
    """
    if end < begin:
        raise UserError(f"pruning cannot end at {end:g}, before its beginning at {begin:g}")
    if step >= end:
        return final
    if step <= begin:
        return initial
    left = 1 - (step - begin) / (end - begin)
    return final + (initial - final) * left * left * left


def cosine(step: float, end: float, alpha: float) -> float:
    """The share of a layer's weights that is exchanged at ``step``: α/2 (1 + cos(π t / T_end)).

    It falls from ``alpha`` to 0, which it is from ``end`` on (RigL, Evci et al. 2020).

    >>> [round(cosine(step, end=100, alpha=0.3), 12) for step in (0, 50, 100)]
    [0.3, 0.15, 0.0]
    """
    return alpha / 2 * (1 + math.cos(math.pi * step / end)) if step < end else 0.0
