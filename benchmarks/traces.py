"""Traces of Hessians as the official code draws them: of the whole batch, and of each image alone.

Probes are other ones for each network, whose name is ``who``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.data.base import Images
from scratchcard.metrics.landscape.hessian import Weights, derivatives, signs
from scratchcard.metrics.landscape.input_hessian import InputHessians
from scratchcard.seeds import numpy_stream, torch_stream

T = TypeVar("T")
TRAIN, DRAWS, TOLERANCE = 200, 100, 1e-3
"""Of a Hessian's trace: images, draws at most, and the relative change of their running mean at
which the official code stops."""
PROBES, SEQUENCES = 4, 2000
"""By which the spread over images is found, and how often the draws are drawn again."""
Draws = tuple[np.ndarray, float, float]
"""Traces of the whole batch, one a draw; seconds of the graph, and of a draw."""


def weight_traces(model: nn.Module, train: Images, who: str) -> np.ndarray:
    """Of each of the first images alone, of independent probes [TRAIN, PROBES]."""
    weights = Weights.of(model)
    rows = []
    for row in range(TRAIN):
        with derivatives(weights.network):
            apply = weights.products(train.take(torch.tensor([row])), 1)
            probes = [_probe(weights, who, "image", row, number) for number in range(PROBES)]
            rows.append([_along(probe, apply(probe)) for probe in probes])
    return np.array(rows)


def weight_draws(model: nn.Module, train: Images, who: str) -> Draws:
    """Of the first images in one batch, the graph kept."""
    weights = Weights.of(model)
    with derivatives(weights.network):
        apply, graph = timed(lambda: weights.products(train.take(torch.arange(TRAIN)), TRAIN))
        probes = [_probe(weights, who, "batch", number) for number in range(DRAWS)]
        values, seconds = timed(lambda: [_along(probe, apply(probe)) for probe in probes])
    return np.array(values), graph, seconds / DRAWS


def input_draws(model: nn.Module, train: Images, who: str) -> Draws:
    """Of the mean loss of the first images, by the pixels of all of them."""
    first = train.take(torch.arange(TRAIN))
    hessians = InputHessians.of(model, first, batch_size=TRAIN, exact_classes=0, vectors=1)
    stream = torch_stream(0, who, "draws")
    with derivatives(hessians.network):
        (_, inputs, labels), *_ = hessians.batches()
        apply, graph = timed(lambda: hessians.products(inputs, labels))
        probes = [signs(inputs.flatten(1).shape, stream) for _ in range(DRAWS)]
        values, seconds = timed(lambda: [_along(v, apply(v)) / TRAIN for v in probes])
    return np.array(values), graph, seconds / DRAWS


def stopped(values: np.ndarray) -> tuple[float, float]:
    """How many draws are made on average, and the standard deviation of the mean that is returned.

    Draws come in random order with replacement; the first that changes the running mean by less
    than ``TOLERANCE`` is the last.
    """
    stream = numpy_stream(0, "sequences of draws")
    drawn = stream.choice(values, size=(SEQUENCES, DRAWS))
    running = drawn.cumsum(axis=1) / np.arange(1, DRAWS + 1)
    change = np.abs(np.diff(running, axis=1)) / (np.abs(running[:, :-1]) + 1e-6)
    still = change < TOLERANCE
    last = np.where(still.any(axis=1), still.argmax(axis=1) + 1, DRAWS - 1)
    return float(last.mean() + 1), float(running[np.arange(SEQUENCES), last].std(ddof=1))


def _probe(weights: Weights, who: str, *purpose: str | int) -> Tensor:
    """Signs of the surviving weights, other ones for each network."""
    return weights.probe(who, *purpose) * weights.alive


def _along(probe: Tensor, product: Tensor) -> float:
    return float((probe.double() * product.double()).sum())


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """The answer and the processor time."""
    started = time.process_time()
    answer = run()
    return answer, time.process_time() - started
