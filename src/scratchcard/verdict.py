"""When does a sparse network perform well? The design's rule, from readings to pass or fail.

Margins are declared beforehand, differences are paired, and what the data cannot tell is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scratchcard.contracts import Dimension

Call = Literal["better", "matches", "worse", "undecided"]
Outcome = Literal["pass", "fail", "undecided"]
Region = Literal["I", "II", "III"]


@dataclass(frozen=True)
class Comparison:
    """One metric of one ticket against its dense twins, over seeds.

    ``d``, ``lo``, ``hi`` and ``margin`` are in the metric's scale (a difference, or a log ratio),
    oriented so that more is better.

    Attributes:
        metric: Label.
        dense: Mean reading of the dense twins.
        sparse: Mean reading of the tickets.
        d: Mean difference.
        stderr: Its standard error, over seeds and examples.
        lo: Lower end of the two-sided 90 % interval of ``d``.
        hi: Upper end.
        margin: What matters; None for metrics that do not vote.
        call: The rule's answer; None for metrics that do not vote.
        seeds: How many pairs of networks.
        hollow: Better, but accuracy does not pass: a win that does not count.
    """

    metric: str
    dense: float
    sparse: float
    d: float
    stderr: float
    lo: float
    hi: float
    margin: float | None
    call: Call | None
    seeds: int
    hollow: bool = False


@dataclass(frozen=True)
class Ticket:
    """The verdict on one method at one sparsity, over seeds.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        method: Label of the method.
        target: The ladder's sparsity.
        sparsity: The exact one.
        seeds: The seeds it rests on.
        comparisons: By label of the metric, all metrics that were read.
        outcome: The design's rule.
        why: What decided, in a few words.
        region: By accuracy; None if accuracy was not read.
        dimensions: Per voting dimension a call, or None if it was not measured.
        wins_all: The paper's LTH-PASS: at least as good as dense on every headline metric.
        no_worse: The same, read as "not worse by more than the margin" on the means.
    """

    data: str
    model: str
    method: str
    target: float
    sparsity: float
    seeds: tuple[int, ...]
    comparisons: Mapping[str, Comparison]
    outcome: Outcome
    why: str
    region: Region | None
    dimensions: Mapping[Dimension, Call | None]
    wins_all: bool
    no_worse: bool


@dataclass(frozen=True)
class Band:
    """Where another dense network would fall: mean and 90 % prediction limits; None of one seed."""

    mean: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class Verdict:
    """Everything the report says about a study.

    Attributes:
        tickets: In the order of the study.
        bands: (data, model, metric) to the prediction band of the dense twins.
        unmeasured: Voting dimensions without a single headline metric in this study.
    """

    tickets: tuple[Ticket, ...]
    bands: Mapping[tuple[str, str, str], Band]
    unmeasured: tuple[Dimension, ...]
