"""A registry that could not be filled says why every time, and never passes for a full one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scratchcard.contracts import NEED_OPTIONS, MetricSpec, Reading, UserError
from scratchcard.metrics.interpretability.occlusion import Occluded
from scratchcard.metrics.measure import call, options
from scratchcard.registry import METRICS, Registry, metric

DECLARED: dict[str, Any] = {"title": "Told", "dimension": "fairness", "better": "higher"}


def test_a_failed_import_is_not_forgotten() -> None:
    registry: Registry[MetricSpec] = Registry("metric", "scratchcard.no_such_room")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_room"):
            registry.names()


def told(occluded_logits: Occluded, *, seed: int = 4, power: int = 2) -> Reading:
    """What it was called with."""
    return Reading(float(seed), float(power), 1)


@pytest.fixture
def spec() -> Iterator[MetricSpec]:
    METRICS.names()
    known = dict(METRICS._specs)
    metric("told", **DECLARED, defaults={"masks": 9})(told)
    yield METRICS.get("told")
    METRICS._specs.clear()
    METRICS._specs.update(known)


def test_options_of_a_need_are_options_of_the_metric(spec: MetricSpec) -> None:
    assert set(spec.parameters) == {*NEED_OPTIONS["occluded_logits"], "power"}
    assert spec.parameters["masks"] == (int, 9)
    assert spec.parameters["images"] == (int, 200)
    assert spec.parameters["seed"] == (int, 4)


def test_each_gets_its_own_and_both_what_both_name(spec: MetricSpec) -> None:
    asked: dict[str, Any] = {}
    reading = call(spec, {"occluded_logits": asked.update}, options(spec, "default", {"seed": 7}))
    assert asked == {"images": 200, "first": False, "masks": 9, "seed": 7, "batch_size": 0}
    assert (reading.value, reading.stderr) == (7, 2)
    assert reading.params == asked | {"power": 2}


def test_a_default_for_what_is_no_option_of_a_need_is_refused() -> None:
    with pytest.raises(UserError, match=r'default for "mask", .*did you mean "masks"'):
        metric("told", **DECLARED, defaults={"mask": 9})(told)


def test_a_need_may_be_called_as_an_option_of_another() -> None:
    def both(masks: list[str], occluded_logits: str) -> Reading:
        """Masks of weights, and answers under masks of segments."""
        return Reading(float(len(masks)), float(len(occluded_logits)), 1)

    known = dict(METRICS._specs)
    try:
        metric("both", **DECLARED)(both)
        spec = METRICS.get("both")
        given: dict[str, Callable[..., Any]] = {
            "masks": lambda: ["a", "b"],
            "occluded_logits": lambda masks, **_: "x" * masks,
        }
        reading = call(spec, given, options(spec, "default", {"masks": 5}))
    finally:
        METRICS._specs.clear()
        METRICS._specs.update(known)
    assert (reading.value, reading.stderr) == (2, 5)
    assert reading.params["masks"] == 5


def test_a_group_cannot_ask_for_what_is_of_one_network() -> None:
    def mixed(all_logits: Any, test: Any, occluded_logits: Any) -> Reading:
        """Never called."""
        raise AssertionError

    with pytest.raises(UserError, match=r"all seeds together, so it cannot need occluded_logits"):
        metric("mixed", **DECLARED)(mixed)
    assert "mixed" not in METRICS


@pytest.mark.parametrize("need", ["dense_logits", "dense_occluded_logits", "other_masks"])
def test_what_the_twin_has_no_reading_of_cannot_vote(need: str) -> None:
    namespace: dict[str, Any] = {"Reading": Reading}
    exec(f"def paired({need}) -> Reading: ...", namespace)
    with pytest.raises(UserError, match="it cannot vote; remove headline"):
        metric("paired", **DECLARED, headline=True, margin=1.0)(namespace["paired"])
    assert "paired" not in METRICS
