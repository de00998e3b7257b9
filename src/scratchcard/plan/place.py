"""One data set, model and seed, and how training there becomes stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scratchcard import registry
from scratchcard.contracts import NEED_OPTIONS, Step
from scratchcard.plan.builder import Builder, identity
from scratchcard.study import Choice, Training

Checkpoints = Mapping[str, str]
"""Steps of a trajectory, as a method spells them, to digests."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where twins live.

    Attributes:
        builder: Collects the stages.
        data: Label of the data set.
        model: The architecture.
        seed: Of everything that is drawn.
        images: Digest of the data set.
        ood: Label to digest of each out-of-distribution set.
        transfer: Label to digest of each other labelled data set.
        concepts: Label to digest of each concept set; empty where no metric wants them.
        corrupted: Kind of corruption to the digests of the test images at severities 1 to 5; empty
            where no metric wants them, or such images cannot be corrupted.
    """

    builder: Builder
    data: str
    model: Choice
    seed: int
    images: str
    ood: Mapping[str, str]
    transfer: Mapping[str, str]
    concepts: Mapping[str, str]
    corrupted: Mapping[str, tuple[str, ...]]

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

    def logits(self, name: str, weights: str, images: str, split: str, what: str = "") -> str:
        """The stage with a network's logits on a split of ``images``.

        Args:
            name: Of the network, for people.
            weights: Digest of its training.
            images: Digest of the data set.
            split: Of it.
            what: The data set for people, if not this place's.
        """
        return self.builder.add(
            "logits",
            None,
            {"split": split},
            {"network": weights, "data": images},
            label=f"{name} · {self.where} · logits of {what or split}",
            cost=1,
        )

    def corrupted_logits(self, name: str, weights: str) -> dict[str, str]:
        """By kind of corruption, the stage with a network's logits at all severities."""
        return {
            kind: self.builder.add(
                "logits",
                None,
                {"split": "test"},
                {"network": weights, **{f"severity.{s}": d for s, d in enumerate(digests, 1)}},
                label=f"{name} · {self.where} · logits of {kind}",
                cost=len(digests),
            )
            for kind, digests in self.corrupted.items()
        }

    def occluded_logits(self, name: str, weights: str, options: Mapping[str, Any]) -> str:
        """The stage with a network's answers to test images of which segments are black.

        Args:
            name: Of the network, for people.
            weights: Digest of its training.
            options: Of the metric that asks, of which this need's count.
        """
        wanted = NEED_OPTIONS["occluded_logits"].items()
        changed = {k: options[k] for k, option in wanted if options[k] != option.default}
        note = f" ({', '.join(f'{k} = {v}' for k, v in changed.items())})" if changed else ""
        return self.builder.add(
            "occlude",
            None,
            changed,
            {"network": weights, "data": self.images},
            label=f"{name} · {self.where} · logits of occluded images{note}",
            cost=3,
        )


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
