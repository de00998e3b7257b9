"""Latency: by a clock that networks themselves move on, and once by the real one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics import measure
from scratchcard.metrics.efficiency import latency as module
from scratchcard.metrics.efficiency.latency import latency
from scratchcard.registry import METRICS
from tests.metrics.efficiency.networks import Steps
from tests.shrinkable import IMAGES, LABELS, network

DATA = IMAGES, LABELS


class Clock:
    """Stands still but for the work of networks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []
        self.noise = np.random.default_rng(0)

    def __deepcopy__(self, memo: Any) -> Clock:
        return self

    def work(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.now += seconds


class Worker(nn.Module):
    """Takes ``fixed`` seconds, and ``each`` for an image; it branches, so nobody can trace it."""

    def __init__(
        self, clock: Clock, name: str, fixed: float, each: float = 0.0, spread: float = 0.0
    ) -> None:
        super().__init__()
        self.clock, self.name = clock, name
        self.fixed, self.each, self.spread = fixed, each, spread
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert bool(x.max() <= 1)
        noise = 1 + self.spread * abs(float(self.clock.noise.normal()))
        self.clock.work(self.name, (self.fixed + self.each * len(x)) * noise)
        return x.flatten(1)[:, :2] * self.weight


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_ratio_seconds_and_throughput(clock: Clock) -> None:
    own, dense = Worker(clock, "own", 0.01, 0.001), Worker(clock, "dense", 0.02, 0.01)
    reading = measure(own, "latency", DATA, dense=dense, batch_sizes=(1, 20), repeats=3)
    values = {label: part.value for label, part in reading.parts.items()}
    assert values == pytest.approx(
        {
            "ratio, batch 1": 11 / 30,
            "seconds, batch 1": 0.011,
            "dense seconds, batch 1": 0.03,
            "images per second, batch 1": 1 / 0.011,
            "interrupted, batch 1": 0,
            "ratio, batch 20": 30 / 220,
            "seconds, batch 20": 0.03,
            "dense seconds, batch 20": 0.22,
            "images per second, batch 20": 20 / 0.03,
            "interrupted, batch 20": 0,
        }
    )
    assert reading.value == values["ratio, batch 1"]
    assert reading.stderr == pytest.approx(0.0, abs=1e-12)
    assert reading.n == 3


def test_turns_are_abba(clock: Clock) -> None:
    own, dense = Worker(clock, "own", 1.0), Worker(clock, "dense", 1.0)
    measure(own, "latency", DATA, dense=dense, batch_sizes=(1,), repeats=2)
    assert clock.order[-8:] == ["own", "dense", "dense", "own"] * 2


def test_short_passes_are_repeated_until_the_clock_can_tell(clock: Clock) -> None:
    own, dense = Worker(clock, "own", 1e-5), Worker(clock, "dense", 1e-3)
    reading = measure(own, "latency", DATA, dense=dense, batch_sizes=(1,), repeats=2)
    assert reading.value == pytest.approx(0.01)
    turn = "".join(name[0] for name in clock.order[-202:])
    assert turn == "o" * 100 + "dd" + "o" * 100


def test_the_error_is_that_of_a_quantile(clock: Clock) -> None:
    """The first decile of 202 times 1 + s|z|, whose spread is found by drawing it often."""
    own, dense = Worker(clock, "own", 1.0, spread=0.1), Worker(clock, "dense", 1.0)
    reading = measure(own, "latency", DATA, dense=dense, batch_sizes=(1,), repeats=101)
    draws = 1 + 0.1 * np.abs(np.random.default_rng(3).normal(size=(4000, 202)))
    wanted = np.quantile(draws, 0.1, axis=1)
    assert reading.value == pytest.approx(wanted.mean(), abs=4 * wanted.std())
    assert reading.stderr == pytest.approx(wanted.std(), rel=0.5)


def test_interruptions_do_not_count(clock: Clock) -> None:
    """Seven in ten passes are interrupted, and those of the twin are so for longer."""

    class Interrupted(Worker):
        def forward(self, x: Tensor) -> Tensor:
            late = 20.0 if self.name == "own" else 50.0
            self.fixed = 1.0 if self.clock.noise.random() < 0.3 else late
            return super().forward(x)

    own, dense = Interrupted(clock, "own", 1.0), Interrupted(clock, "dense", 1.0)
    reading = measure(own, "latency", DATA, dense=dense, batch_sizes=(1,), repeats=101)
    assert reading.value == 1.0
    assert reading.parts["interrupted, batch 1"].value == pytest.approx(0.7, abs=0.1)


def test_few_images_are_fed_again(clock: Clock) -> None:
    own, dense = Worker(clock, "own", 0.0, 1.0), Worker(clock, "dense", 0.0, 2.0)
    few = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 0])
    reading = measure(own, "latency", few, dense=dense, batch_sizes=(64,), repeats=2)
    assert reading.parts["seconds, batch 64"].value == pytest.approx(64)


def test_only_both_networks_are_folded() -> None:
    foldable = network("resnet B")
    clock = Clock()
    worker = Worker(clock, "own", 1.0)
    one, other = module._deployed(foldable, network("resnet B"), IMAGES)
    assert all(isinstance(m, torch.fx.GraphModule) for m in (one, other))
    pairs: list[tuple[nn.Module, nn.Module]] = [(foldable, worker), (worker, foldable)]
    for pair in pairs:
        one, other = module._deployed(pair[0], pair[1], IMAGES)
        assert not isinstance(one, torch.fx.GraphModule)
        assert not isinstance(other, torch.fx.GraphModule)
        assert one not in pair


def test_a_smaller_network_is_faster() -> None:
    """A hundred times the work: no machine is so busy as to hide it."""
    wide, narrow = Steps(256, 256, 256), Steps(16, 16, 16)
    reading = measure(narrow, "latency", DATA, dense=wide, batch_sizes=(12,), repeats=5)
    assert 0 < reading.value < 0.7
    assert reading.parts["images per second, batch 12"].value > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": ()}, "at least one number"),
        ({"batch_sizes": (1, 0)}, r"\[1, 0\]"),
        ({"repeats": 1}, "at least 2"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(Steps(2), "latency", DATA, dense=Steps(2), **options)


def test_two_devices_are_refused() -> None:
    images = Images(*DATA)
    with pytest.raises(UserError, match="on meta, its dense twin on cpu"):
        latency(Steps(2).to("meta"), Steps(2), images)


def test_it_is_of_a_pair_and_only_on_request() -> None:
    spec = METRICS.get("latency")
    assert spec.scope == "pair"
    assert spec.costly
