"""Studies whose readings are given one by one and carry no error of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scratchcard.contracts import Reading
from scratchcard.results import Results
from tests.factory import make_results
from tests.kinds import KINDS

Gains = Callable[[str, float, int, str], float]
"""Method, target, seed and metric to the gain over dense in margins."""


def exact_results(
    gains: Gains, *, metrics: tuple[str, ...] = ("accuracy",), **more: Any
) -> Results:
    """A study in which only the seeds differ."""
    plain = make_results(metrics=metrics, **more)
    networks = []
    for measured in plain.networks:
        who = measured.network
        readings = {}
        for label in metrics:
            spec = KINDS[label].spec
            assert spec.scale == "linear"
            gain = 0.0 if who.method == "dense" else gains(who.method, who.target, who.seed, label)
            sign = 1 if spec.better == "higher" else -1
            value = 0.5 + sign * (spec.margin or 0.0) * gain
            readings[label] = Reading(value, 0.0, 100)
        networks.append(replace(measured, readings=readings))
    return replace(plain, networks=tuple(networks))
