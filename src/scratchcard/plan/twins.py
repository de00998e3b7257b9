"""The dense twin of one place and all its tickets: how they are trained, and what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scratchcard import registry
from scratchcard.contracts import Method
from scratchcard.plan.budget import shared
from scratchcard.plan.place import Checkpoints, Place
from scratchcard.plan.readings import Readings
from scratchcard.plan.ticket import Rounds, Ticket
from scratchcard.study import Choice, Training


@dataclass(frozen=True)
class Trained:
    """The networks of one place.

    Attributes:
        place: Data set, model and seed.
        twin: Digest of the dense twin's training.
        tickets: All of them.
        with_masks: Labels of the methods that leave masks.
    """

    place: Place
    twin: str
    tickets: tuple[Ticket, ...]
    with_masks: frozenset[str]

    def readings(self, baseline: str) -> Iterator[Readings]:
        """What to measure, network by network, the twin first.

        Args:
            baseline: Digest of the dense networks' error rates under corruption, or empty.
        """
        yield Readings(self.place, "dense", 0.0, self.twin, None, self.twin, baseline)
        previous: dict[str, str] = {}
        for ticket in sorted(self.tickets, key=lambda ticket: ticket.target):
            others = [
                other
                for other in self.tickets
                if other.target == ticket.target and other.label != ticket.label
            ]
            yield Readings(
                self.place,
                ticket.label,
                ticket.target,
                ticket.weights,
                ticket.mask,
                self.twin,
                baseline,
                previous.get(ticket.label, self.twin),
                {other.label: other.mask for other in others if other.label in self.with_masks},
                {other.label: other.weights for other in others},
            )
            previous[ticket.label] = ticket.weights


class Twins:
    """Plans the networks that share data set, model and seed."""

    def __init__(self, place: Place) -> None:
        self.place, self.study = place, place.builder.study
        self.methods = {label: _made(choice) for label, choice in self.study.methods.items()}

    def train(self) -> Trained:
        """Add the stages that make the networks."""
        dense = self._dense()
        tickets: dict[tuple[str, float], Ticket] = {}
        # Controls come last, because they take the finished mask of another method.
        for label in sorted(self.methods, key=lambda name: self.methods[name].of is not None):
            rounds = self._rounds(label)
            for target in self._ladder(label):
                recipe = self._recipe(label, target)
                other = tickets.get((self.methods[label].of or "", target))
                tickets[label, target] = rounds.plan(target, recipe, dense[recipe], other)
        twin = dense[self.study.training]["end"]
        return Trained(self.place, twin, tuple(tickets.values()), self._with_masks())

    def _with_masks(self) -> frozenset[str]:
        return frozenset(label for label, made in self.methods.items() if made.gives == "masks")

    def _source(self, label: str) -> Method:
        """The method itself, or the one that a control looks at: its ladder and recipe hold."""
        return self.methods[self.methods[label].of or label]

    def _ladder(self, label: str) -> tuple[float, ...]:
        return self._source(label).ladder(self.study.ladder.sparsities)

    def _recipe(self, label: str, target: float) -> Training:
        """The recipe under which a method trains, shortened where budgets shall be equal."""
        training = self.study.training
        if not self.study.equal_budget:
            return training
        epochs = shared(self._source(label), target, training.spelled())
        return training if epochs == training.epochs else training.with_epochs(epochs)

    def _start(self, label: str) -> str:
        """Where a ticket begins; a control may leave that to the method it looks at."""
        return self.methods[label].starts_from or self._source(label).starts_from

    def _dense(self) -> dict[Training, Checkpoints]:
        """Dense training under each recipe, with a checkpoint wherever a method wants one."""
        wanted: dict[Training, set[str]] = {self.study.training: {"end"}}
        for label, method in self.methods.items():
            for target in self._ladder(label):
                steps = {method.scored_at, self._start(label), *method.watches}
                wanted.setdefault(self._recipe(label, target), set()).update(steps)
        return {
            recipe: self.place.train("dense", recipe, steps) for recipe, steps in wanted.items()
        }

    def _rounds(self, label: str) -> Rounds:
        choice = self.study.methods[label]
        return Rounds(
            self.place,
            choice,
            registry.METHODS.get(choice.kind),
            self.methods[label],
            self._start(label),
            self.study.pruning.prunable,
        )


def _made(choice: Choice) -> Method:
    method = registry.METHODS.get(choice.kind).target(**choice.params)
    assert isinstance(method, Method)
    return method
