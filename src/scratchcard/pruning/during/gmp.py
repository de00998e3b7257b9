"""Gradual magnitude pruning: the network is pruned while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import Context, Method, Moment, Step, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, keep_largest
from scratchcard.pruning.during.dynamic import check_times, ending, interval
from scratchcard.pruning.schedule import cubic
from scratchcard.registry import method


@method("gmp", title="Gradual magnitude (GMP)", when="during")
@dataclass(frozen=True)
class GradualMagnitude(Method):
    """Gradual magnitude pruning: cut the smallest weights bit by bit, in one training.

    Definition:
        Training starts dense. From ``since`` to ``until`` the smallest weights are cut every few
        steps, many at first and few at last; what is cut stays cut, and the rest of training
        mends the network.

    Formula:
        score(w) = |w|; sparsity s(t) = s (1 - (1 - (t - since) / (until - since))³) at
        t = since + every, since + 2 every, ..., and exactly s at until.

    Use:
        The strong and simple one among methods that train once: no network is trained to the end
        before it is pruned.

    Limits:
        It trains dense for a while, so it saves less than sparse training; where the learning
        rate falls before ``until``, what is cut late cannot be mended.

    Source:
        Zhu and Gupta, "To prune, or not to prune", ICLR workshop 2018; Gale et al., "The State of
        Sparsity in Deep Neural Networks", 2019.

    Options:
        allocation: How the budget is shared among layers: ``"global"``, ``"uniform"``,
            ``"uniform+"``, ``"er"``, ``"erk"`` or ``"lamp"``.
        since: The step up to which training is dense.
        until: The step at which the last weights are cut; at the latest, before the last step.
        every: The interval of cuts.
        updates: How many cuts there shall be at least: where ``every`` gives fewer, the interval
            is ``(until - since) / updates``, but one step at least.
    """

    allocation: Allocation = "global"
    since: str = "0.2"
    until: str = "0.75"
    every: str = "100it"
    updates: int = 30

    replaces_step = False

    def __post_init__(self) -> None:
        since, until = Step.parse(self.since), Step.parse(self.until)
        check_times(self.every, self.until, self.updates)
        if since.unit == until.unit and since.value > until.value:
            raise UserError(
                f'since = "{self.since}" lies after until = "{self.until}"; cutting begins before '
                "it ends"
            )

    @property
    def times(self) -> tuple[str, ...]:
        """When cutting begins, and ends."""
        return (self.since, self.until)

    def keeps(self, masks: Masks, sparsity: float) -> int:
        """Everything, at first."""
        return masks.kept

    def start(self, ctx: Context) -> Masks:
        """What there is."""
        return ctx.masks

    def sparsity(self, moment: Moment, final: float) -> float | None:
        """The sparsity to cut to at ``moment``, on the way to ``final``; None between cuts."""
        begin, end = moment.at(self.since), ending(moment, self.until)
        if begin > end:
            raise UserError(
                f'since = "{self.since}" is step {begin}, after until = "{self.until}", step {end}'
            )
        last = min(end, moment.total - 1)  # no update comes after the last step
        gap = interval(moment.at(self.every), span=last - begin, updates=self.updates)
        if moment.step == last:
            return final
        due = begin < moment.step < last and (moment.step - begin) % gap == 0
        return cubic(moment.step, begin, last, final) if due else None

    def update(self, ctx: Context, moment: Moment) -> Masks | None:
        """The largest weights, if the time has come."""
        sparsity = self.sparsity(moment, ctx.sparsity)
        if sparsity is None or ctx.masks.count_at(sparsity) >= ctx.masks.kept:
            return None
        # Where the masks are: on a GPU, training waits for no copy.
        scores = {
            name: ctx.model.get_parameter(name).detach().abs().to(mask.device)
            for name, mask in ctx.masks.items()
        }
        return keep_largest(scores, ctx.masks, sparsity, self.allocation)
