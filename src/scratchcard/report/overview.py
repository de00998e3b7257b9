"""The overview, before anyone draws it: a radar of every headline metric, and size against loss.

The radar's normalisation is the paper's: each axis runs from the worst to the best of the networks
shown, so that it says who is ahead, not by how much; the ends of each axis stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from scratchcard.contracts import Dimension
from scratchcard.report import numbers
from scratchcard.report.cells import averaged
from scratchcard.results import Cell, Results
from scratchcard.verdict import Comparison, Ticket, Verdict, lineup, voters

CENTRE, RIM = -0.2, 1.1
"""Where the paper puts them, so that the worst network does not vanish in the centre."""
LEAST = 3
"""Axes that a radar needs."""


@dataclass(frozen=True)
class Spoke:
    """One network's mean on one axis.

    Attributes:
        metric: Label.
        method: Label, or ``dense``.
        sparsity: Mean of the seeds' own.
        mean: As measured.
        stderr: Of the mean.
        place: From 0, the worst shown, to 1, the best; 1 if all are equal.
    """

    metric: str
    method: str
    sparsity: float
    mean: float
    stderr: float
    place: float


@dataclass(frozen=True)
class Radar:
    """One data set and model at one rung: the axes in their order, and what is on them."""

    setting: tuple[str, str]
    target: float
    metrics: tuple[str, ...]
    spokes: tuple[Spoke, ...]


def radars(results: Results, target: float) -> list[Radar]:
    """A radar per setting at one rung; none with fewer than 3 axes."""
    found = [_radar(results, setting, target) for setting in results.settings]
    return [radar for radar in found if len(radar.metrics) >= LEAST]


def _radar(results: Results, setting: tuple[str, str], target: float) -> Radar:
    cells = [Cell(*setting, "dense", 0.0)]
    cells += [Cell(*setting, method, target) for method in lineup(results)]
    shown = {c: results.groups[c] for c in cells if c in results.groups}
    spokes: list[Spoke] = []
    for label in voters(results):
        read = {c.method: one for c, m in shown.items() if (one := averaged(m, label)) is not None}
        if len(read) > 1:
            means = {method: mean for method, (mean, _) in read.items()}
            places = _places(means, better=results.metrics[label].better)
            own = {c.method: fmean(m.sparsity for m in members) for c, members in shown.items()}
            spokes += [Spoke(label, m, own[m], *read[m], places[m]) for m in read]
    return Radar(setting, target, tuple(dict.fromkeys(s.metric for s in spokes)), tuple(spokes))


def _places(means: Mapping[str, float], *, better: str) -> dict[str, float]:
    low, high = min(means.values()), max(means.values())
    if low == high:
        return dict.fromkeys(means, 1.0)
    return {
        method: (mean - low if better == "higher" else high - mean) / (high - low)
        for method, mean in means.items()
    }


@dataclass(frozen=True, eq=False)
class Place:
    """Where a ticket stands.

    Attributes:
        ticket: The ticket.
        density: Share of the prunable weights that are left.
        worst: The comparison with the heaviest loss in margins.
        dimension: The dimension of its metric.
        complete: Whether every headline metric was read; else the worst may be worse.
        best: Whether no contender of its setting has both fewer weights and a better worst place.
    """

    ticket: Ticket
    density: float
    worst: Comparison
    dimension: Dimension
    complete: bool
    best: bool = False

    @property
    def margins(self) -> float:
        """The worst loss in margins; negative if it is one."""
        return self.worst.d / (self.worst.margin or math.nan)

    @property
    def ends(self) -> tuple[float, float]:
        """Its 90 % interval, in margins."""
        margin = self.worst.margin or math.nan
        return self.worst.lo / margin, self.worst.hi / margin


def places(results: Results, verdict: Verdict, setting: tuple[str, str]) -> list[Place]:
    """Every judged ticket of a setting, in the order of the study."""
    found = []
    for ticket in verdict.tickets:
        read = [c for k in voters(results) if (c := ticket.comparisons.get(k)) is not None]
        if (ticket.data, ticket.model) != setting or not read:
            continue
        worst = min(read, key=lambda c: c.d / (c.margin or math.nan))
        dimension = results.metrics[worst.metric].dimension
        complete = len(read) == len(voters(results))
        found.append(Place(ticket, 1 - ticket.sparsity, worst, dimension, complete))
    rivals = [p for p in found if p.ticket.method not in results.controls and p.complete]
    return [replace(p, best=any(p is r for r in rivals) and _free(p, rivals)) for p in found]


def _free(place: Place, rivals: Iterable[Place]) -> bool:
    """Whether no rival is at least as good in both, and better in one."""
    own = (-place.density, place.margins)
    others = [(-rival.density, rival.margins) for rival in rivals]
    return not any(o != own and o[0] >= own[0] and o[1] >= own[1] for o in others)


def axis(results: Results, radar: Radar, label: str) -> tuple[str, str]:
    """A metric's title and the readings at the ends of its axis, the worst first.

    A star marks ends that are less than the margin apart.
    """
    spec = results.metrics[label]
    spokes = sorted((s for s in radar.spokes if s.metric == label), key=lambda s: s.place)
    worst, best = numbers.ends(spec, spokes[0].mean, spokes[-1].mean)
    unit = " %" if spec.unit == "fraction" else ""
    close = "*" if _close(results, label, [s.mean for s in spokes]) else ""
    return f"{spec.title}{close}", f"{worst} to {best}{unit}"


def _close(results: Results, label: str, means: Sequence[float]) -> bool:
    """Whether the ends of an axis are less than the margin apart."""
    low, high = min(means), max(means)
    margin = results.margins[label]
    if results.metrics[label].scale == "log":
        return low > 0 and math.log(high / low) < margin
    return high - low < margin
