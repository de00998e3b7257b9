"""Concepts put together by AND, OR and AND NOT, and the search for the best that a unit has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Literal

import numpy as np

from scratchcard.metrics.interpretability.bits import Table, Trace

Operator = Literal["AND", "OR", "AND NOT"]
OPERATORS: tuple[Operator, ...] = ("AND", "OR", "AND NOT")


@dataclass(frozen=True)
class Formula:
    """A concept, and others that are put to it one after another.

    Attributes:
        first: Number of a concept.
        steps: Operators with numbers of concepts.
    """

    first: int
    steps: tuple[tuple[Operator, int], ...] = ()

    def __len__(self) -> int:
        return 1 + len(self.steps)

    def then(self, operator: Operator, concept: int) -> Formula:
        """The formula with one more concept."""
        return Formula(self.first, (*self.steps, (operator, concept)))

    def mask(self, words: np.ndarray) -> np.ndarray:
        """Where it holds, from the masks of all concepts in words [K, ...]."""
        found = words[self.first]
        for operator, concept in self.steps:
            other = words[concept]
            if operator == "OR":
                found = found | other
            else:
                found = found & (~other if operator == "AND NOT" else other)
        return np.asarray(found)

    def text(self, names: Sequence[str]) -> str:
        """To be read by people.

        >>> Formula(0).then("AND", 1).then("AND NOT", 2).text(["blue", "top", "car"])
        '(blue AND top) AND NOT car'
        """
        text = names[self.first]
        for step, (operator, concept) in enumerate(self.steps):
            text = f"({text})" if step else text
            text = f"{text} {operator} {names[concept]}"
        return text


@dataclass(frozen=True)
class Found:
    """A formula beside a unit.

    Attributes:
        formula: What is compared.
        shared: Pixels that both cover.
        area: Pixels that the formula covers.
        iou: Their intersection over union.
    """

    formula: Formula
    shared: int
    area: int
    iou: float


@dataclass(frozen=True, eq=False)
class Search:
    """A beam search over formulas, for one unit after another.

    A formula put to a concept needs two counts only, of the pixels that both cover and of those
    among them in which the unit is active; all three operators follow. The first depends on no
    unit and is kept, the second is sought where the unit is active.

    Attributes:
        table: The concepts.
        length: Of the longest formula.
        beam: How many formulas are made longer.
    """

    table: Table
    length: int = 3
    beam: int = 5
    _overlaps: dict[Formula, np.ndarray] = field(default_factory=dict)

    def best(self, trace: Trace) -> list[Found]:
        """The best formulas of at most one concept, two, and so on, of equal ones the shortest."""
        columns = self.table.columns[trace.places]
        shared = self.table.shared(trace)
        sizes = zip(shared.tolist(), self.table.areas.tolist(), strict=True)
        singles = [_found(trace, Formula(k), *size) for k, size in enumerate(sizes)]
        beam = self._leaders(sorted(singles, key=_worse))
        best = [beam[0]]
        for length in range(2, self.length + 1):
            # What is made of shorter ones has had its chance.
            longer = (
                self._longer(trace, columns, shared, found)
                for found in beam
                if len(found.formula) == length - 1
            )
            beam = self._leaders(merge(beam, *longer, key=_worse))
            best.append(beam[0])
        return best

    def _leaders(self, found: Iterable[Found]) -> list[Found]:
        """The first of those, best first, that hold at different pixels."""
        leaders: list[Found] = []
        for one in found:
            if not any(self._same(one, known) for known in leaders):
                leaders.append(one)
                if len(leaders) == self.beam:
                    break
        return leaders

    def _same(self, one: Found, other: Found) -> bool:
        """Whether two formulas hold at the same pixels; looked at only if their counts agree."""
        masks = self.table.words
        return (one.shared, one.area) == (other.shared, other.area) and np.array_equal(
            one.formula.mask(masks), other.formula.mask(masks)
        )

    def _longer(
        self, trace: Trace, columns: np.ndarray, shared: np.ndarray, found: Found
    ) -> Iterator[Found]:
        """Formulas that are one concept longer, best first; none that changes nothing."""
        areas, formula = self.table.areas, found.formula
        both = self._overlap(formula)
        within = columns & (formula.mask(columns.T) & trace.words)[:, None]
        both_shared = np.bitwise_count(within).sum(axis=0, dtype=np.int64)
        new_shared = np.concatenate(
            [both_shared, found.shared + shared - both_shared, found.shared - both_shared]
        )
        new_areas = np.concatenate([both, found.area + areas - both, found.area - both])
        ious = new_shared / np.maximum(trace.area + new_areas - new_shared, 1)
        # Each is part of the formula, or has it as a part: of the same area it is the same.
        changed = np.flatnonzero(new_areas != found.area)
        for place in changed[np.argsort(-ious[changed], kind="stable")].tolist():
            operator, concept = divmod(place, len(areas))
            longer = formula.then(OPERATORS[operator], concept)
            yield _found(trace, longer, int(new_shared[place]), int(new_areas[place]))

    def _overlap(self, formula: Formula) -> np.ndarray:
        """Pixels that a formula shares with each concept [K]."""
        if formula not in self._overlaps:
            mask = formula.mask(self.table.words)
            self._overlaps[formula] = np.array(
                [np.bitwise_count(mask & other).sum(dtype=np.int64) for other in self.table.words]
            )
        return self._overlaps[formula]


def _found(trace: Trace, formula: Formula, shared: int, area: int) -> Found:
    return Found(formula, shared, area, shared / max(trace.area + area - shared, 1))


def _worse(found: Found) -> float:
    return -found.iou
