"""Every registered metric conforms, and the suite notices those that do not."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS, metric
from scratchcard.stats import mean_reading
from scratchcard.testing import check_metric


@pytest.mark.parametrize("name", METRICS.names())
def test_metrics_conform(name: str) -> None:
    check_metric(name)


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Register a function under the name ``bad`` for the length of a test."""
    METRICS.names()
    known = dict(METRICS._specs)

    def add(target: Callable[..., Reading], **declared: Any) -> None:
        target.__doc__ = declared.pop("doc", accuracy.__doc__)
        wanted: dict[str, Any] = {"title": "Bad", "dimension": "fairness", "better": "higher"}
        metric("bad", **(wanted | declared))(target)

    yield add
    METRICS._specs.clear()
    METRICS._specs.update(known)


def forgets_eval(model: nn.Module, logits: Predictions) -> Reading:
    model.train()
    return mean_reading(logits.correct)


def leaves_gradients(model: nn.Module, logits: Predictions) -> Reading:
    sum(p.sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    return mean_reading(logits.correct)


def draws_globally(logits: Predictions) -> Reading:
    torch.rand(1)
    return mean_reading(logits.correct)


def moves_weights(model: nn.Module, logits: Predictions) -> Reading:
    next(model.parameters()).data.add_(1)
    return mean_reading(logits.correct)


def looks_at_the_first(logits: Predictions) -> Reading:
    return mean_reading(logits.confidence[:10])


def never_the_same(logits: Predictions) -> Reading:
    return mean_reading(logits.correct + np.random.default_rng().normal(size=len(logits)))


def other_examples(logits: Predictions) -> Reading:
    return Reading(0.25, 0.1, len(logits), examples=logits.confidence)


def sees_batches(logits: Predictions, *, batch_size: int = 10) -> Reading:
    return mean_reading(logits.correct * batch_size)


def infinite_parts(logits: Predictions) -> Reading:
    return mean_reading(logits.correct, parts={"class 0": Part(float("nan"), 0.0, 1)})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (forgets_eval, "changed the mode"),
        (leaves_gradients, "changed gradients"),
        (draws_globally, "changed torch's random numbers"),
        (moves_weights, "changed weights"),
        (looks_at_the_first, "in another order"),
        (never_the_same, "two answers"),
        (other_examples, "examples average"),
        (sees_batches, "in batches of 7"),
        (infinite_parts, "part 'class 0' is nan"),
    ],
)
def test_misconduct_is_noticed(
    register: Callable[..., None], target: Callable[..., Reading], message: str
) -> None:
    register(target)
    with pytest.raises(AssertionError, match=message):
        check_metric("bad")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"doc": "One line."}, "lacks Definition, Formula"),
        ({"title": ""}, "no title"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"headline": True, "margin": 0.1}, "its dimension has no vote"),
        ({"paper": {"bins": 14}}, r"unknown options \['bins'\]"),
    ],
)
def test_poor_declarations_are_noticed(
    register: Callable[..., None], declared: dict[str, Any], message: str
) -> None:
    def fine(logits: Predictions) -> Reading:
        return mean_reading(logits.correct)

    register(fine, **declared)
    with pytest.raises(AssertionError, match=message):
        check_metric("bad")
