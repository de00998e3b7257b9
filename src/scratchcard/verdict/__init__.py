"""From readings to pass or fail: differences with intervals, calls against margins, verdicts.

paired       a difference to dense, with its error        compare    better, matches, worse
judge        pass, fail; the rule                          regions    I, II, III
power        what would decide the undecided               reach      how far a method keeps up
sensitivity  which metric breaks first, who holds longest  wins       what is won at once
budget       the same at equal cost                        cautions   what makes it doubtful
"""

from scratchcard.verdict.budget import Affordable, Cost, at_equal_budget, costs
from scratchcard.verdict.cautions import Cautions, Falling, Unequal, cautions
from scratchcard.verdict.compare import (
    Call,
    Comparison,
    accuracy_label,
    contenders,
    lineup,
    no_ratio,
    voters,
)
from scratchcard.verdict.judge import Band, Outcome, Ticket, Verdict, judge
from scratchcard.verdict.power import Chances, Need, chances, need, need_of_ticket
from scratchcard.verdict.reach import Reach, Rule, fails, reaches
from scratchcard.verdict.regions import Region, chance_level
from scratchcard.verdict.sensitivity import Break, Longest, Sensitivity, breaks, longest, ranking
from scratchcard.verdict.wins import Win, wins_at_once

__all__ = [
    "Affordable",
    "Band",
    "Break",
    "Call",
    "Cautions",
    "Chances",
    "Comparison",
    "Cost",
    "Falling",
    "Longest",
    "Need",
    "Outcome",
    "Reach",
    "Region",
    "Rule",
    "Sensitivity",
    "Ticket",
    "Unequal",
    "Verdict",
    "Win",
    "accuracy_label",
    "at_equal_budget",
    "breaks",
    "cautions",
    "chance_level",
    "chances",
    "contenders",
    "costs",
    "fails",
    "judge",
    "lineup",
    "longest",
    "need",
    "need_of_ticket",
    "no_ratio",
    "ranking",
    "reaches",
    "voters",
    "wins_at_once",
]
