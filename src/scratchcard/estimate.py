"""How long the rest of a study will take: from what its stages took so far, else from a rehearsal.

Rates are seconds per unit of a stage's cost, learnt separately for what is likely to differ.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping

import torch

from scratchcard import models
from scratchcard.data.base import Images
from scratchcard.graph import Plan, Stage
from scratchcard.registry import DATASETS
from scratchcard.store import Store
from scratchcard.study import Study, Training
from scratchcard.training import Clock, Trainee, optimizer_of, train

STEPS = 5
"""Training steps of a rehearsal, after one to warm up."""


class Estimate:
    """Seconds that stages are likely to take."""

    def __init__(self, priors: Mapping[str, float] | None = None) -> None:
        self._priors = dict(priors or {})
        self._rates: dict[str, list[float]] = {}

    @classmethod
    def of(cls, plan: Plan, store: Store, done: set[str]) -> Estimate:
        """What the finished stages of ``plan`` teach."""
        estimate = cls()
        for digest in done:
            estimate.learn(plan.stages[digest], store.provenance(digest)["seconds"])
        return estimate

    @property
    def informed(self) -> bool:
        """Whether a training has been seen, the part that matters."""
        return any(key.startswith("train") for key in self._rates)

    def learn(self, stage: Stage, seconds: float) -> None:
        """Take a finished stage into account."""
        if stage.cost > 0:
            for key in (_key(stage), stage.kind):
                self._rates.setdefault(key, []).append(seconds / stage.cost)

    def seconds(self, stage: Stage) -> float:
        """Expected seconds of a stage."""
        for key in (_key(stage), stage.kind):
            if key in self._rates:
                return stage.cost * statistics.median(self._rates[key])
        return stage.cost * self._priors.get(stage.kind, 0.05)


def _key(stage: Stage) -> str:
    """What makes stages of one kind differ in seconds per cost."""
    what = {
        "train": [stage.params.get("model"), stage.inputs.get("data")],
        "logits": stage.inputs.get("data"),
        "occlude": [dict(stage.params), stage.inputs.get("data")],
        "measure": stage.params.get("kind"),
    }.get(stage.kind)
    return f"{stage.kind} {json.dumps(what)}"


def rehearse(study: Study) -> Estimate:
    """Priors from a few training steps of each model on one batch, on one thread."""
    recipe = study.training.model_copy(update={"schedule": "constant", "warmup": "0ep"})
    train_rates, test_rates = [], []
    for data in study.data.values():
        dataset = DATASETS.get(data.kind).target(**data.params)
        splits, task = dataset.splits(), dataset.task()
        for model in study.models.values():
            network = models.build(model.kind, task, model.params, seed=0)
            trainee = Trainee(network, optimizer_of(network, recipe))
            clock = Clock(recipe, len(splits.train))
            rows = torch.arange(min(recipe.batch_size, len(splits.train)))
            images = splits.train.take(rows)
            seconds = _step_seconds(trainee, images, recipe)
            train_rates.append(seconds * clock.per_epoch / 3)
            test_rates.append(seconds / 3 / len(images) * len(splits.test))
    train_rate, test_rate = statistics.mean(train_rates), statistics.mean(test_rates)
    return Estimate(
        {"train": train_rate, "data": 3.0}
        | dict.fromkeys(("logits", "occlude", "measure"), test_rate + 0.02)
    )


def _step_seconds(trainee: Trainee, images: Images, recipe: Training) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(trainee, images, recipe, seed=0, until=1)
    started = time.perf_counter()
    train(trainee, images, recipe, seed=0, until=1 + STEPS)
    torch.set_num_threads(threads)
    return (time.perf_counter() - started) / STEPS
