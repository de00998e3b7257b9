"""Estimates of time: from what was seen, by kind; else from a rehearsal."""

from __future__ import annotations

from typing import Any

import pytest

from scratchcard.estimate import Estimate, rehearse
from scratchcard.graph import Stage
from scratchcard.study import Study


def stage(kind: str, cost: float, **params: Any) -> Stage:
    return Stage(kind, "1", params, {}, cost=cost)


def test_seconds_follow_what_was_seen_of_the_same_kind() -> None:
    estimate = Estimate({"train": 7.0})
    assert estimate.seconds(stage("train", 2)) == 14.0
    informed = [estimate.informed]
    for seconds in (10.0, 30.0, 20.0):
        estimate.learn(stage("train", 10, model="small"), seconds)
    estimate.learn(stage("train", 10, model="large"), 500.0)
    assert [*informed, estimate.informed] == [False, True]
    assert estimate.seconds(stage("train", 5, model="small")) == 10.0
    assert estimate.seconds(stage("train", 5, model="large")) == 250.0
    assert estimate.seconds(stage("train", 4, model="unseen")) == pytest.approx(4 * 2.5)


def test_a_rehearsal_knows_any_recipe() -> None:
    """Steps that lie beyond the few of a rehearsal must not stop it."""
    study = Study.parse(
        {
            "data": {"digits": {}},
            "models": {"mlp": {"hidden": [8]}},
            "methods": ["random"],
            "ladder": {"rungs": [1]},
            "training": {
                "epochs": 100,
                "schedule": "step",
                "milestones": ["500it"],
                "warmup": "40it",
            },
        }
    )
    estimate = rehearse(study)
    assert 0 < estimate.seconds(stage("train", 3)) < 60
    assert 0 < estimate.seconds(stage("logits", 1)) < 10
