"""One data set, model and seed, and how training there becomes stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scratchcard import registry
from scratchcard.contracts import Step
from scratchcard.plan.builder import Builder, identity
from scratchcard.study import Choice, Training

Checkpoints = Mapping[str, str]
"""Steps of a trajectory, as a method spells them, to digests."""


@dataclass(frozen=True)
class Place:
    """Where twins live.

    Attributes:
        builder: Collects the stages.
        data: Label of the data set.
        model: The architecture.
        seed: Of everything that is drawn.
        images: Digest of the data set.
        ood: Label to digest of each out-of-distribution set.
    """

    builder: Builder
    data: str
    model: Choice
    seed: int
    images: str
    ood: Mapping[str, str]

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.data} · {self.model.label} · seed {self.seed}"

    def train(
        self,
        name: str,
        recipe: Training,
        steps: Iterable[str],
        *,
        inputs: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        begin: str = "0ep",
    ) -> Checkpoints:
        """Stages of one trajectory, each going on from the one before.

        Args:
            name: Of the network, for people.
            recipe: Of the training.
            steps: Where a checkpoint is wanted.
            inputs: What it starts from, other than the data.
            params: What else is part of its identity.
            local: What else running it needs.
            begin: Where it begins; only its expected cost depends on that.
        """
        spec = registry.MODELS.get(self.model.kind)
        spelled = {step: spelling(step, recipe.epochs) for step in steps}
        position = _position(begin, recipe.epochs)
        digests: dict[str, str] = {}
        for text in sorted(set(spelled.values()), key=lambda s: _position(s, recipe.epochs)):
            length = _position(text, recipe.epochs) - position
            digests[text] = self.builder.add(
                "train",
                spec,
                {
                    "model": identity(spec, self.model.params),
                    "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
                    "seed": self.seed,
                    "step": text,
                    **(params or {}),
                },
                {"data": self.images, **(inputs or {})},
                after=tuple(digests.values()),
                local=local,
                label=f"{name} · {self.where} · train to {text}",
                cost=3 * max(length, 0.0),
            )
            position += length
        return digests | {step: digests[text] for step, text in spelled.items()}


def spelling(text: str, epochs: float) -> str:
    """One spelling per moment."""
    step = Step.parse(text)
    if step.value == 0:
        return "0ep"
    return "end" if step.unit == "ep" and step.value == epochs else str(step)


def _position(text: str, epochs: float) -> float:
    """Roughly how many epochs into training a step is; iterations come first (no set size yet)."""
    step = Step.parse(text)
    return {"ep": step.value, "it": step.value / 1e6, "fraction": step.value * epochs}[step.unit]
