"""From readings to pass or fail: differences with intervals, calls against margins, verdicts."""

from scratchcard.verdict.compare import (
    Call,
    Comparison,
    accuracy_label,
    contenders,
    lineup,
    voters,
)
from scratchcard.verdict.judge import (
    Band,
    Outcome,
    Region,
    Ticket,
    Verdict,
    chance_level,
    judge,
)
from scratchcard.verdict.sensitivity import Break, breaks

__all__ = [
    "Band",
    "Break",
    "Call",
    "Comparison",
    "Outcome",
    "Region",
    "Ticket",
    "Verdict",
    "accuracy_label",
    "breaks",
    "chance_level",
    "contenders",
    "judge",
    "lineup",
    "voters",
]
