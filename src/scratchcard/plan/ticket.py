"""One method at one sparsity: its rounds of mask and training as stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scratchcard.contracts import Method, MethodSpec
from scratchcard.plan.builder import identity
from scratchcard.plan.place import Checkpoints, Place, spelling
from scratchcard.study import Choice, Training


@dataclass(frozen=True)
class Ticket:
    """What is planned of a method at a sparsity.

    Attributes:
        label: Of the method.
        target: The ladder's sparsity.
        weights: Digest of the last training.
        mask: Digest of what holds the final mask: of a dynamic method, the training itself.
    """

    label: str
    target: float
    weights: str
    mask: str


@dataclass(frozen=True)
class Rounds:
    """A method of the study at one place, ready to be planned at any sparsity.

    Attributes:
        place: Data set, model and seed.
        choice: The method with its options.
        spec: As it is registered.
        method: An instance.
        start: The step that tickets begin at.
        prunable: Kinds of layers.
    """

    place: Place
    choice: Choice
    spec: MethodSpec
    method: Method
    start: str
    prunable: tuple[str, ...]

    def plan(
        self, target: float, recipe: Training, dense: Checkpoints, other: Ticket | None
    ) -> Ticket:
        """The stages of one ticket.

        Args:
            target: Its sparsity.
            recipe: Of dense training; the method may change it for the ticket's.
            dense: Checkpoints of dense training under it.
            other: The ticket that a control looks at.
        """
        method, rounds = self.method, self.method.rounds(target)
        own = recipe.wanted_by(method, target)
        rewound = _numbered("start", method.watches, dense) or {"start": dense[self.start]}
        scored = _numbered("network", method.watches, dense) or {"network": dense[method.scored_at]}
        masks = {} if other is None else {"other": other.mask}
        for sparsity in rounds:
            name = f"{self.choice.label} {sparsity:.1%}"
            mask = self._mask(name, sparsity, scored | masks)
            trained = method.weights == "trained" and not method.watches
            start = {"start": scored["network"]} if trained else rewound
            inputs = {"mask": mask, **(start if method.gives != "narrower" else {})}
            step = "end" if sparsity == rounds[-1] else method.scored_at
            params = {"from": spelling(self.start, recipe.epochs)} if trained else {}
            weights = self._train(name, sparsity, own, step, inputs, params)
            mask = weights if method.does("update") else mask
            scored, masks = {"network": weights}, {"masks": mask}
        return Ticket(self.choice.label, target, weights, mask)

    def _identity(self, sparsity: float) -> dict[str, Any]:
        """What a digest holds of the method; of a control not a label, but the mask itself."""
        params = {k: v for k, v in self.choice.params.items() if k != "of"}
        return {**identity(self.spec, params), "sparsity": sparsity}

    @property
    def _local(self) -> dict[str, Any]:
        return {"of": self.method.of} if self.method.of is not None else {}

    def _mask(self, name: str, sparsity: float, inputs: Mapping[str, str]) -> str:
        data = {"data": self.place.images} if self.spec.needs_data else {}
        prunable = list(self.prunable)
        return self.place.builder.add(
            "mask",
            self.spec,
            {**self._identity(sparsity), "seed": self.place.seed, "prunable": prunable},
            {**inputs, **data},
            label=f"{name} · {self.place.where} · mask",
            cost=0.2,
            local=self._local,
        )

    def _train(
        self,
        name: str,
        sparsity: float,
        recipe: Training,
        step: str,
        inputs: Mapping[str, str],
        params: Mapping[str, str],
    ) -> str:
        """Training of a round; the method is part of it only where it has a say in it."""
        own: dict[str, Any] = {}
        if self.method.does("begin") or self.method.does("update"):
            own = {"method": {**self._identity(sparsity), "revision": self.spec.revision}}
        checkpoints = self.place.train(
            name,
            recipe,
            {step},
            inputs=inputs,
            params={**params, **own},
            local=self._local,
            begin=self.start,
        )
        return checkpoints[step]


def _numbered(role: str, steps: Iterable[str], dense: Checkpoints) -> dict[str, str]:
    return {f"{role}.{number}": dense[step] for number, step in enumerate(steps)}
