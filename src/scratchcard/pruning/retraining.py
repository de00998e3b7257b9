"""How a network that was trained and then pruned is trained again: the three usual ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scratchcard.contracts import Method, Step, UserError

Retrain = Literal["weight-rewinding", "lr-rewinding", "fine-tuning"]
"""Old weights and old schedule; trained weights and old schedule; trained weights, small rate."""


@dataclass(frozen=True)
class Retraining(Method):
    """Scores the trained network, and trains what it keeps again.

    Source: Renda, Frankle and Carbin, "Comparing Rewinding and Fine-tuning in Neural Network
    Pruning", ICLR 2020.
    """

    rewind: str = "0ep"
    retrain: Retrain = "weight-rewinding"
    finetune_lr: float = 0.01

    def __post_init__(self) -> None:
        if self.retrain not in get_args(Retrain):
            raise UserError(
                f'retrain = "{self.retrain}" is not one of {", ".join(get_args(Retrain))}'
            )
        if Step.parse(self.rewind).value and self.retrain == "fine-tuning":
            raise UserError(
                f'rewind = "{self.rewind}" means nothing for retrain = "fine-tuning", which '
                'rewinds nothing; remove it, or take "lr-rewinding"'
            )
        if self.finetune_lr <= 0:
            raise UserError(
                f"finetune_lr = {self.finetune_lr} must be positive: a share of the recipe's lr"
            )

    @property
    def scored_at(self) -> str:
        """Trained weights are scored."""
        return "end"

    @property
    def starts_from(self) -> str:
        """The rewind step."""
        return self.rewind

    @property
    def weights(self) -> Literal["rewound", "trained"]:
        """Of the rewind step, or as they were scored."""
        return "rewound" if self.retrain == "weight-rewinding" else "trained"

    def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
        """Fine-tuning has a small and constant rate."""
        if self.retrain != "fine-tuning":
            return training
        own = {k: v for k, v in training.items() if k not in ("milestones", "gamma", "warmup")}
        return {**own, "schedule": "constant", "lr": training["lr"] * self.finetune_lr}
