"""All metrics that need logits alone, together, against torchmetrics one by one.

Prints a Markdown table: milliseconds of processor time for 10,000 images of 10 classes and as many
foreign ones, on one thread, medians of rounds in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torchmetrics.functional import classification as tm

from scratchcard import stats
from scratchcard.metrics.calibration.aurc import aurc
from scratchcard.metrics.calibration.brier import brier
from scratchcard.metrics.calibration.ece import ece
from scratchcard.metrics.calibration.ece_mass import ece_mass
from scratchcard.metrics.calibration.nll import nll
from scratchcard.metrics.calibration.sce import sce
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.metrics.generalisation.ood_aupr import ood_aupr
from scratchcard.metrics.generalisation.ood_auroc import ood_auroc
from scratchcard.metrics.generalisation.ood_fpr95 import ood_fpr95
from scratchcard.metrics.generalisation.top5 import top5
from scratchcard.probe import Predictions

N, CLASSES, BINS, ROUNDS, RESAMPLES = 10_000, 10, 15, 7, 10
SHARED = "softmax, once for all"
Run = Callable[[], object]


def main() -> None:
    """Time every metric in three ways."""
    torch.set_num_threads(1)
    stream = np.random.default_rng(0)
    z, foreign = ((stream.normal(size=(N, CLASSES)) * s).astype(np.float32) for s in (3, 2))
    labels = (z / 1.5 + stream.gumbel(size=z.shape)).argmax(axis=1)
    own, peers = ours(z, labels, foreign), theirs(z, labels, foreign)
    print(f"torch {torch.__version__}, torchmetrics {version('torchmetrics')}, 1 thread\n")
    print("| metric | torchmetrics | our value | our reading | torchmetrics, 400 resamples |")
    print("|---|---:|---:|---:|---:|")
    rows = {name: row(run, peers.get(name), stream) for name, run in own.items()}
    together = np.nansum([rows[name] for name in (SHARED, *peers)], axis=0)
    rows["**all that both have**"] = together
    for name, times in rows.items():
        print(f"| {name} | {' | '.join(shown(t) for t in times)} |")


def ours(z: np.ndarray, labels: np.ndarray, foreign: np.ndarray) -> dict[str, Run]:
    """Metrics of logits."""
    far: dict[str, np.ndarray] = {"far": foreign}
    shared = Predictions(z, labels)

    def softmax() -> tuple[np.ndarray, ...]:
        """What the metrics of labels share."""
        fresh = Predictions(z, labels)
        return fresh.probabilities, fresh.confidence, fresh.correct

    return {
        SHARED: softmax,
        "accuracy": lambda: accuracy(shared),
        "top-5": lambda: top5(shared),
        "nll": lambda: nll(shared),
        "ece": lambda: ece(shared),
        "sce": lambda: sce(shared),
        "ood-auroc": lambda: ood_auroc(shared, far, {}),
        "ood-aupr": lambda: ood_aupr(shared, far, {}),
        "ood-fpr95": lambda: ood_fpr95(shared, far, {}),
        "brier": lambda: brier(shared),
        "ece-mass": lambda: ece_mass(shared),
        "aurc": lambda: aurc(shared),
    }


def theirs(z: np.ndarray, labels: np.ndarray, foreign: np.ndarray) -> dict[str, Callable[..., Any]]:
    """What torchmetrics has of them, as functions of rows of the test and of the foreign set."""
    logits, truth = torch.from_numpy(z), torch.from_numpy(labels)
    both = torch.from_numpy(np.stack([z, foreign]))
    kind = torch.tensor([1, 0]).repeat_interleave(N)

    def of_labels(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda rows: function(logits[rows], truth[rows])

    def of_kinds(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda rows: function(both[:, rows].softmax(dim=2).amax(dim=2).flatten(), kind)

    def accuracy_at(k: int) -> Callable[..., Any]:
        return lambda x, y: tm.multiclass_accuracy(x, y, CLASSES, average="micro", top_k=k)

    def static(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        p = x.softmax(dim=1)
        each = [
            tm.binary_calibration_error(p[:, k].contiguous(), (y == k).long(), BINS)
            for k in range(CLASSES)
        ]
        return torch.stack(each).mean()

    return {
        "accuracy": of_labels(accuracy_at(1)),
        "top-5": of_labels(accuracy_at(5)),
        "nll": of_labels(cross_entropy),  # torch's; torchmetrics has none
        "ece": of_labels(lambda x, y: tm.multiclass_calibration_error(x, y, CLASSES, BINS)),
        "sce": of_labels(static),
        "ood-auroc": of_kinds(tm.binary_auroc),
        "ood-aupr": of_kinds(tm.binary_average_precision),
        "ood-fpr95": of_kinds(
            lambda p, y: tm.binary_specificity_at_sensitivity(p, y, min_sensitivity=0.95)
        ),
    }


def row(run: Run, peer: Callable[..., Any] | None, stream: np.random.Generator) -> np.ndarray:
    """Milliseconds: torchmetrics, our value, our reading, torchmetrics over resamples."""
    every, drawn = np.arange(N), [stream.integers(N, size=N) for _ in range(RESAMPLES)]
    rounds = []
    run()  # warm
    for _ in range(ROUNDS):
        times = [spent(lambda: peer(every)), 0, 0, 0] if peer else [np.nan] * 4
        with few_resamples():
            times[1] = spent(run)
        times[2] = spent(run)
        if peer:
            several = spent(lambda: [peer(rows) for rows in drawn])
            times[3] = times[0] + several * stats.RESAMPLES / RESAMPLES
        rounds.append(times)
    return np.median(rounds, axis=0)


@contextmanager
def few_resamples() -> Iterator[None]:
    """Two instead of 400: nearly what the value alone costs."""
    whole = stats.resamples

    def two(strata: Sequence[int], count: int = 2) -> Iterator[np.ndarray]:
        return whole(strata, 2)

    stats.resamples = two
    try:
        yield
    finally:
        stats.resamples = whole


def spent(run: Run) -> float:
    """Milliseconds of processor time."""
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e3


def shown(milliseconds: float) -> str:
    """A cell; empty where there is nothing."""
    return "" if np.isnan(milliseconds) else f"{milliseconds:.3g}"


if __name__ == "__main__":
    main()
