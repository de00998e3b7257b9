"""How long a network takes, beside its dense twin on the same machine."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.probe import device_of, inference_copy
from scratchcard.registry import metric
from scratchcard.stats import resamples

WARM_UP = 3
"""Passes before the clock runs, for lazy initialisation and caches."""
LEAST = 0.002
"""Seconds that one measurement lasts at least, by repeating the pass: far above a clock's tick."""


@metric(
    "latency",
    title="Latency",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
    costly=True,
    timed=True,
    caution=(
        "Measured on this machine. Ordinary kernels skip no zeros: of unstructured sparsity "
        "expect 1; only smaller networks are faster."
    ),
)
def latency(
    model: nn.Module,
    dense_model: nn.Module,
    test: Images,
    *,
    batch_sizes: tuple[int, ...] = (1, 64),
    repeats: int = 15,
) -> Reading:
    """Time of one forward pass, as a multiple of the dense twin's.

    Definition:
        Both networks are copied as they would be deployed: evaluation mode, BatchNorm folded,
        channels_last; plain copies of both if one cannot be folded. Each repeat times network,
        twin, twin, network on the same images, so that a drift of the machine cancels. The value
        is the ratio of the median times at the first of the batch sizes. For each there are the
        parts "ratio", "seconds" and "dense seconds" (a batch) and "images per second".

    Formula:
        median(a) / median(b),  a the network's seconds, b its twin's, two of each in a repeat

    Motivation:
        Sparsity is sold as speed. Whether a network is faster is found with a clock, not by
        counting.

    Advantages:
        Interleaved, so that load and clock rate hit both; medians, so that interruptions, short
        of half of all measurements, do not count.

    Limitations:
        It holds for this machine, number of threads, version of PyTorch and shape of image, and
        no second run gives the same digits. Unstructured sparsity brings nothing on ordinary
        kernels: about 1 is what to expect. Networks whose channels were removed are faster, but
        small batches of small networks cost what calling PyTorch costs, whatever the width. The
        standard error is over repeats of one run; other loads of the machine are beyond it.

    Source:
        Gale et al., "The State of Sparsity in Deep Neural Networks", 2019, on the gap between
        sparsity and speed; ABBA order as in designed experiments.

    Args:
        model: The network.
        dense_model: Its dense twin, on the same device.
        test: Images to feed, the first ones over again if there are too few.
        batch_sizes: Images in a pass; the first gives the value.
        repeats: How often, at each batch size.

    Raises:
        UserError: No batch size, one below 1, fewer than two repeats, or networks on two devices.
    """
    if not batch_sizes or min(batch_sizes) < 1:
        raise UserError(f"batch_sizes = {list(batch_sizes)} must be at least one number from 1 on")
    if repeats < 2:
        raise UserError(f"repeats = {repeats} must be at least 2, for there is no error of one")
    place = device_of(model)
    if device_of(dense_model) != place:
        raise UserError(
            f"the network is on {place}, its dense twin on {device_of(dense_model)}: "
            "move both to one device"
        )
    network, twin = _deployed(model, dense_model, _batch(test, 8).to(place))
    parts: dict[str, Part] = {}
    for size in dict.fromkeys(batch_sizes):
        images = _batch(test, size).to(place)
        race = _race(network, twin, images, repeats)
        parts |= {f"{label}, batch {size}": part for label, part in race.parts(size).items()}
    first = parts[f"ratio, batch {batch_sizes[0]}"]
    return Reading(first.value, first.stderr, repeats, parts=parts)


@dataclass(frozen=True, eq=False)
class _Race:
    """Seconds of a pass, [repeats, 2] each: both measurements of the network and of its twin."""

    own: np.ndarray
    dense: np.ndarray

    def parts(self, size: int) -> dict[str, Part]:
        """Of batches of ``size``; the errors come from resampling whole repeats."""
        found = self._medians(np.arange(len(self.own)), size)
        drawn = [self._medians(index, size) for index in resamples([len(self.own)])]
        return {
            label: Part(value, float(np.std([d[label] for d in drawn], ddof=1)), len(self.own))
            for label, value in found.items()
        }

    def _medians(self, index: np.ndarray, size: int) -> dict[str, float]:
        own, dense = float(np.median(self.own[index])), float(np.median(self.dense[index]))
        return {
            "ratio": own / dense,
            "seconds": own,
            "dense seconds": dense,
            "images per second": size / own,
        }


def _race(network: nn.Module, twin: nn.Module, images: Tensor, repeats: int) -> _Race:
    with torch.inference_mode():
        own, dense = _timer(network, images), _timer(twin, images)
        rows = [(own(), dense(), dense(), own()) for _ in range(repeats)]
    a1, b1, b2, a2 = np.array(rows).T
    return _Race(np.stack([a1, a2], axis=1), np.stack([b1, b2], axis=1))


def _timer(network: nn.Module, images: Tensor) -> Callable[[], float]:
    """A function that gives the seconds of a pass, each call from a fresh measurement."""

    def measure(calls: int) -> float:
        _wait(images.device)
        start = time.perf_counter()
        for _ in range(calls):
            network(images)
        _wait(images.device)
        return (time.perf_counter() - start) / calls

    measure(WARM_UP)
    calls = max(1, math.ceil(LEAST / measure(1)))
    return lambda: measure(calls)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was asked for; a CPU has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _deployed(one: nn.Module, other: nn.Module, example: Tensor) -> tuple[nn.Module, nn.Module]:
    """Both networks folded, or neither: a ratio of one to the other would be of the folding."""
    first, second = inference_copy(one, example), inference_copy(other, example)
    if isinstance(first, GraphModule) and isinstance(second, GraphModule):
        return first, second
    return copy.deepcopy(one).eval(), copy.deepcopy(other).eval()


def _batch(test: Images, size: int) -> Tensor:
    return test.take(torch.arange(size) % len(test)).floats()
