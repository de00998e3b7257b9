"""Dynamic sparse training: now and then every layer drops some weights and grows as many others.

What a method adds is what it grows by and how much it exchanges; ``rigl`` and ``set`` are two.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from scratchcard.contracts import Context, Method, Moment, Step, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, largest
from scratchcard.pruning.before.random import Random

LEAST = 8
"""Steps between updates at least, for an update takes the place of a step of training.

With one, there would be no training before ``until``. An MLP at 95 % that RigL trains on digits for
100 steps reaches 24 % accuracy with an update every 2, 40 % with 4, 58 % with 8 and 52 % with 16.
"""


def interval(every: int, *, span: int, updates: int, least: int = 1) -> int:
    """Steps from one update to the next: ``every``, or fewer so that ``updates`` fit into ``span``.

    A hundred steps of a long training are most of a short one, where sparse training would be
    static but in name. Never fewer than ``least``, even if fewer updates fit then.

    >>> interval(100, span=46_919, updates=30), interval(100, span=599, updates=30)
    (100, 19)
    """
    return max(least, min(every, span // updates))


def ending(moment: Moment, until: str) -> int:
    """``until`` as a count of SGD steps; a ``UserError`` if it lies beyond the end of training."""
    if (end := moment.at(until)) > moment.total:
        raise UserError(
            f'until = "{until}" is step {end}, but training ends after {moment.total}; take an '
            'earlier one, such as "0.75"'
        )
    return end


def check_times(every: str, until: str, updates: int) -> None:
    """Raise a ``UserError`` for options of a schedule that can never be."""
    for name, written in (("every", every), ("until", until)):
        if Step.parse(written).value == 0:
            raise UserError(f'{name} = "{written}" must lie after the start, such as "100it"')
    if updates < 1:
        raise UserError(f"updates = {updates} must be at least 1")


def exchange(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """One layer's new mask: ``count`` weights are dropped and as many grown.

    Dropped are the smallest of ``drop`` among the active, grown the largest of ``grow`` among all
    that are not kept, the just dropped included. Of equal ones, the first are kept or grown.

    Args:
        mask: What is active now; ``drop`` and ``grow`` are finite and of its shape.
        drop: How much an active weight is worth keeping.
        grow: How much another is worth having.
        count: At most as many as are active.

    >>> mask = torch.tensor([True, True, True, False, False])
    >>> weights, gradients = torch.tensor([3., 1., 2., 0., 0.]), torch.tensor([9., 1., 9., 4., 5.])
    >>> exchange(mask, weights, gradients, 1)
    tensor([ True, False,  True, False,  True])
    """
    kept = largest(_only(drop, mask), int(mask.sum()) - count)
    grown = largest(_only(grow, ~kept.reshape(mask.shape)), count)
    return (kept | grown).reshape(mask.shape)


def _only(scores: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(~among, -torch.inf).flatten()


@dataclass(frozen=True)
class DropAndGrow(Method):
    """Sparse from the start, with a mask that moves: every layer keeps its count of weights.

    Updates happen at the steps that are multiples of ``interval``, after step 0 and before
    ``until``, and take the place of the SGD step. Where nothing can be exchanged, as in a dense
    network, there are none.
    """

    allocation: Allocation = "erk"
    fraction: float = 0.3
    every: str = "100it"
    until: str = "0.75"
    updates: int = 30

    def __post_init__(self) -> None:
        check_times(self.every, self.until, self.updates)
        if not 0 < self.fraction <= 1:
            raise UserError(
                f"fraction = {self.fraction} must lie above 0, and at most at 1: the share of a "
                "layer's weights that an update exchanges"
            )

    @property
    def times(self) -> tuple[str, ...]:
        """The end of updates."""
        return (self.until,)

    @abstractmethod
    def grow(self, ctx: Context, name: str) -> torch.Tensor:
        """A finite number for each weight of layer ``name``: the largest are grown."""

    def drop(self, ctx: Context, name: str) -> torch.Tensor:
        """A finite number for each weight of layer ``name``: the smallest are dropped; ``|w|``."""
        return finite(ctx.model.get_parameter(name), f"weights of {name}")

    def share(self, step: int, end: int) -> float:
        """The share of a layer's weights that is exchanged at ``step``."""
        return self.fraction

    def start(self, ctx: Context) -> Masks:
        """The masks of ``random`` with the same allocation."""
        return Random(allocation=self.allocation).start(ctx)

    def due(self, moment: Moment) -> bool:
        """Whether there is an update at ``moment``."""
        end = ending(moment, self.until)
        every = moment.at(self.every)
        gap = interval(every, span=end - 1, updates=self.updates, least=LEAST)
        return 0 < moment.step < end and moment.step % gap == 0

    def update(self, ctx: Context, moment: Moment) -> Masks | None:
        """Exchange the share of each layer, if the time has come and there is something to."""
        if not self.due(moment):
            return None
        share = self.share(moment.step, ending(moment, self.until))
        active = ctx.masks.layers()
        # A layer that is dense has nothing to grow but what it drops.
        counts = {
            name: int(share * active[name]) if active[name] < mask.numel() else 0
            for name, mask in ctx.masks.items()
        }
        if not any(counts.values()):
            return None
        return Masks(
            {
                name: self._exchange(ctx, name, counts[name]) if counts[name] else mask
                for name, mask in ctx.masks.items()
            }
        )

    def _exchange(self, ctx: Context, name: str, count: int) -> torch.Tensor:
        drop = self.drop(ctx, name)
        grow = self.grow(ctx, name).to(drop.device)
        mask = ctx.masks[name]
        return exchange(mask.to(drop.device), drop, grow, count).to(mask.device)


def finite(values: torch.Tensor, what: str) -> torch.Tensor:
    """``|values|``, or a ``UserError`` if any is infinite or not a number."""
    magnitudes = values.detach().abs()
    # The largest is infinite or not a number if any is.
    if not torch.isfinite(magnitudes.max()):
        raise UserError(
            f"some {what} are infinite or not a number: training diverged; try a lower lr, a "
            "warm-up, or clip_norm"
        )
    return magnitudes
