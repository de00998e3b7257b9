"""How far a method keeps up: the last rung before the first that does not, by three rules.

Two of them are the paper's LTH-PASS, on means alone; the third is the design's, with its errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np

from scratchcard.results import Measured, Results
from scratchcard.verdict.compare import lineup, voters
from scratchcard.verdict.judge import Ticket, Verdict
from scratchcard.verdict.regions import ROUNDING
from scratchcard.verdict.sensitivity import ENOUGH, losses_of, over_seeds, position, rungs_of

Rule = Literal["passes", "no worse", "wins all"]
RULES: tuple[Rule, ...] = ("passes", "no worse", "wins all")
"""Ours: a loss of a margin is ruled out on every headline metric. The paper's: no mean loss exceeds
the margin; no mean loss at all."""


@dataclass(frozen=True)
class Reach:
    """How far a method goes by one rule.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        method: Label of the method.
        rule: By which.
        sparsity: Of the last ticket before the first that the rule does not hold for; 0 if it does
            not hold for the first.
        lo: Lower end of the 90 % interval over resampled seeds; below five seeds the smallest of
            what the seeds say one by one; None of one seed, and by our rule below five: one by one
            seeds scatter too much to pass, however many they are.
        hi: Upper end.
        refuted: The densest ticket that fails; infinite if none does. Tickets between the two are
            undecided, or lack a reading.
        seeds: How many seeds it rests on.
    """

    data: str
    model: str
    method: str
    rule: Rule
    sparsity: float
    lo: float | None
    hi: float | None
    refuted: float
    seeds: int


def reaches(results: Results, verdict: Verdict) -> tuple[Reach, ...]:
    """Every method by every rule, over the headline metrics of this study."""
    tickets = {(t.data, t.model, t.method, t.target): t for t in verdict.tickets}
    found = []
    for data, model in results.settings:
        for method in lineup(results):
            rungs = [
                rung
                for rung in rungs_of(results, data, model, method)
                if is_rung(results, rung[0].network.method, max(m.sparsity for m in rung))
            ]
            ladder = [tickets[data, model, method, rung[0].network.target] for rung in rungs]
            if ladder and voters(results):
                found += [_reach(results, ladder, rungs, rule) for rule in RULES]
    return tuple(found)


def holds(ticket: Ticket, rule: Rule) -> bool:
    """Whether a rule holds for a ticket."""
    if rule == "passes":
        return ticket.measured == "pass"
    return ticket.no_worse if rule == "no worse" else ticket.wins_all


def is_rung(results: Results, method: str, sparsity: float) -> bool:
    """Whether a network says how far its method goes: something is cut, or it is a control.

    A structure may reach nothing nearer to a low sparsity than the dense network, which holds.
    """
    return sparsity > 0 or method in results.controls


def fails(ticket: Ticket, rule: Rule) -> bool:
    """Whether a ticket breaks a rule, which is more than that it does not hold.

    By our rule a ticket may be undecided, and where a reading is missing no rule holds, but only a
    loss on a metric that was read breaks one.
    """
    if rule == "passes":
        return ticket.measured == "fail"
    allowed = 1.0 if rule == "no worse" else 0.0
    return any(
        c.margin is not None and c.d < -allowed * c.margin - ROUNDING
        for c in ticket.comparisons.values()
    )


def ladder_end(ladder: Sequence[Ticket], rule: Rule) -> float:
    """The sparsity of the last ticket before the first that a rule does not hold for, or 0.

    Args:
        ladder: Tickets of one method, the densest first.
        rule: By which.
    """
    held = list(takewhile(lambda ticket: holds(ticket, rule), ladder))
    return stands_at(held[-1]) if held else 0.0


def stands_at(ticket: Ticket) -> float:
    """The sparsity of a ticket; of a dense control that of the rung it stands beside."""
    return ticket.sparsity or ticket.target


def _reach(
    results: Results,
    ladder: Sequence[Ticket],
    rungs: Sequence[Sequence[Measured]],
    rule: Rule,
) -> Reach:
    resampled = _Resampled(results, ladder, rungs, rule)
    singly = rule == "passes" and resampled.seeds < ENOUGH
    ends = (None, None) if singly else over_seeds(resampled.sparsity, resampled.seeds)
    first = ladder[0]
    return Reach(
        first.data,
        first.model,
        first.method,
        rule,
        ladder_end(ladder, rule),
        *ends,
        refuted=min((stands_at(t) for t in ladder if fails(t, rule)), default=math.inf),
        seeds=resampled.seeds,
    )


class _Resampled:
    """What a rule says of other choices of seeds.

    Only the mean differences are taken of the chosen seeds. How wide their intervals are stays as
    it is in the study: the errors are mostly pooled, and a seed drawn twice tells no more of them.
    """

    def __init__(
        self,
        results: Results,
        ladder: Sequence[Ticket],
        rungs: Sequence[Sequence[Measured]],
        rule: Rule,
    ) -> None:
        votes = voters(results)
        margins = np.array([results.margins[label] for label in votes])
        losses = np.stack([losses_of(results, rungs, label) for label in votes], axis=1)
        read = np.isfinite(losses).any(axis=(0, 1))
        self._gains = -losses[:, :, read] / margins[:, None]  # [rungs, metrics, seeds], in margins
        self.seeds = int(read.sum())
        self._sparsities = [position(members) for members in rungs]
        self._least = np.full(losses.shape[:2], -1.0 if rule == "no worse" else 0.0) - ROUNDING
        if rule == "passes":
            half = [
                [(c.d - c.lo) / c.margin if (c := t.comparisons.get(v)) and c.margin else math.inf
                 for v in votes]
                for t in ladder
            ]  # fmt: skip
            whole = [len(t.seeds) == len(rung) for t, rung in zip(ladder, rungs, strict=True)]
            self._least = np.where(np.array(whole)[:, None], np.array(half) - 1, math.inf)

    def sparsity(self, seeds: Sequence[int]) -> float:
        """The reach by the seeds of these numbers."""
        gains = self._gains[:, :, list(seeds)]
        read = np.isfinite(gains)
        count = read.sum(axis=2)
        means = np.where(read, gains, 0.0).sum(axis=2) / np.maximum(count, 1)
        held = ((count > 0) & (means > self._least)).all(axis=1)
        end = int(np.argmin(held)) if not held.all() else len(held)
        return self._sparsities[end - 1] if end else 0.0
