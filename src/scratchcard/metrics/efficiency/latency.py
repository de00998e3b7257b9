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
LEAST = 0.001
"""Seconds that one measurement lasts at least, by repeating the pass: far above a clock's tick."""
FAST = 0.1
"""Of the measurements so many count: what else the machine does can only make them longer."""
INTERRUPTED = 1.5
"""Measurements so many times longer than that were interrupted."""


@metric(
    "latency",
    title="Latency",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
    costly=True,
    timed=True,
    version=2,
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
    repeats: int = 25,
) -> Reading:
    """Time of one forward pass, as a multiple of the dense twin's.

    Definition:
        Both networks are copied as they would be deployed: evaluation mode, BatchNorm folded,
        channels_last; plain copies of both if one cannot be folded. Each repeat times network,
        twin, twin, network on the same images. A network's time is the first decile of its
        measurements, and the value the ratio of the two at the first of the batch sizes. For each
        size there are the parts "ratio", "seconds" and "dense seconds" (a batch), "images per
        second", and "interrupted": the share of measurements that took more than 1.5 times as
        long, 0 on a machine left in peace.

    Formula:
        Q(a) / Q(b),  a the network's seconds, b its twin's, two of each in a repeat, Q the 10 %
        quantile

    Motivation:
        Sparsity is sold as speed. Whether a network is faster is found with a clock, not by
        counting.

    Advantages:
        Interleaved, so that load and clock rate hit both; by the fast measurements, so that
        interruptions, short of nine in ten of them, do not count.

    Limitations:
        It holds for this machine, number of threads, version of PyTorch and shape of image, and
        no second run gives the same digits. Unstructured sparsity brings nothing on ordinary
        kernels: about 1 is what to expect. Networks whose channels were removed are faster, but
        small batches of small networks cost what calling PyTorch costs, whatever the width. The
        standard error is over repeats of one run; a machine that is always busy is beyond it.

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
        found = self._times(np.arange(len(self.own)), size)
        drawn = [self._times(index, size) for index in resamples([len(self.own)])]
        return {
            label: Part(value, float(np.std([d[label] for d in drawn], ddof=1)), len(self.own))
            for label, value in found.items()
        }

    def _times(self, index: np.ndarray, size: int) -> dict[str, float]:
        both = np.stack([self.own[index].ravel(), self.dense[index].ravel()])
        own, dense = fast = np.quantile(both, FAST, axis=1)
        return {
            "ratio": own / dense,
            "seconds": own,
            "dense seconds": dense,
            "images per second": size / own,
            "interrupted": float((both > INTERRUPTED * fast[:, None]).mean()),
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
