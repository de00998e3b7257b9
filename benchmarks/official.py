"""What the official code's sample sizes would cost at the errors that ours have.

    PYTHONPATH=src python benchmarks/official.py RUNS/STUDY METHOD

reads a finished study and measures the paper's metrics of the first ticket of METHOD and its dense
twin again, with our default options and with the sizes and the randomness of the official code
(Chen et al., TMLR 2022), both in our code. Errors are those of the difference to dense on the
metric's scale. What grows with the test set is measured on the study's and scaled to 10,000 images.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from traces import TRAIN, Draws, input_draws, stopped, timed, weight_draws, weight_traces

from scratchcard.collect import read
from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.graph import Network, Plan
from scratchcard.metrics.measure import measure
from scratchcard.probe import floats, inference_copy, logits
from scratchcard.registry import METRICS
from scratchcard.stages.work import Work
from scratchcard.store import Store
from scratchcard.verdict.paired import Pair, example_variance

TEST = 10_000
PASSES = {"accuracy": 1, "ece": 1, "sce": 1, "nll": 1, "ood-auroc": 3, "mce": 15 * 5}
"""How often a metric of logits shows the network as many images as the test set has."""
LIME = {"images": 100, "masks": 1000}


def main(folder: Path, method: str) -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    plan = Plan.from_json(json.loads((folder / "plan.json").read_text())["plan"])
    store = Store(folder.parent / "store")
    ticket = next(one for one in plan.networks if one.method == method)
    dense = next(one for one in plan.networks if one.method == "dense" and one.seed == ticket.seed)
    sides = [Side(one, plan, store) for one in (dense, ticket)]
    print(f"{method} at {ticket.target:.1%}, seed {ticket.seed}, torch {torch.__version__}\n")
    rows = [
        *of_logits(sides),
        fgsm(sides),
        lime(sides, "fidelity"),
        lime(sides, "stability"),
        hessian(sides, "weight-hessian-trace", weights_alone, weight_draws),
        hessian(sides, "input-hessian-trace", inputs_alone, input_draws),
    ]
    _print(rows)


@dataclass(frozen=True)
class Side:
    """The ticket, or its dense twin."""

    network: Network
    plan: Plan
    store: Store

    @property
    def model(self) -> nn.Module:
        """The trained network."""
        return self._work.network("model")

    def images(self, split: str) -> Images:
        """Of the study's data."""
        return self._work.images(split)

    @property
    def subject(self) -> tuple[nn.Module, Images, str]:
        """The network, the training images and a name."""
        return self.model, self.images("train"), self.network.method

    def stored(self, label: str) -> Reading:
        """The study's reading of a metric."""
        return read(self.store, self.network.measures[label])

    def measured(self, label: str, **options: Any) -> tuple[Reading, float]:
        """A metric's reading with these options, and its seconds."""
        model, test, train = self.model, self.images("test"), self.images("train")
        return timed(lambda: measure(model, label, test, train=train, **options))

    @property
    def _work(self) -> Work:
        """A stage that reads the network and the data."""
        return Work(self.plan.stages[self.network.measures["fgsm"]], self.store, lambda _: None)


@dataclass(frozen=True)
class Row:
    """A metric in our way and in theirs.

    Attributes:
        label: The metric's.
        ours: Seconds of both networks, and the error of their difference, paired.
        theirs: Seconds of both networks at the official sizes.
        common: The error at these, of the same images but with all else drawn anew.
        apart: The error at these, of two numbers that share nothing.
        images: The share of the images in the variance ``apart``.
        together: What is computed once for several metrics; the label if nothing.
    """

    label: str
    ours: tuple[float, float]
    theirs: float
    common: float
    apart: float
    images: float
    together: str

    def cost(self, error: float) -> float:
        """Seconds of their way at the error of ours, if it is ``error`` at the official sizes."""
        return self.theirs * (error / self.ours[1]) ** 2


def of_logits(sides: Sequence[Side]) -> list[Row]:
    """Metrics of logits: nothing is drawn but the images, and passes are all that costs."""
    count = len(sides[0].images("test"))
    once = sum(timed(partial(_pass, side))[1] for side in sides) * TEST / count
    rows = []
    for label, passes in PASSES.items():
        dense, sparse = (side.stored(label) for side in sides)
        shrink = math.sqrt((dense.n if label == "mce" else count) / TEST)
        common, apart = (shrink * error for error in _errors(label, (dense, sparse)))
        together, seconds = label if label == "mce" else "logits", once * passes
        rows.append(Row(label, (seconds, common), seconds, common, apart, 1.0, together))
    return rows


def _pass(side: Side) -> np.ndarray:
    """The test images once, as a study shows them."""
    pixels = side.images("test").pixels
    return logits(inference_copy(side.model, floats(pixels[:8])), pixels)


def fgsm(sides: Sequence[Side]) -> Row:
    """One step without a random start, on all test images: nothing else is drawn."""
    pair, spent = _pair(sides, "fgsm")
    seconds = spent * TEST / pair[0].n
    common, apart = (error * math.sqrt(pair[0].n / TEST) for error in _errors("fgsm", pair))
    return Row("fgsm", (seconds, common), seconds, common, apart, 1.0, "fgsm")


def lime(sides: Sequence[Side], label: str) -> Row:
    """The official code draws masks anew for every network: here by two seeds."""
    pair, seconds = _pair(sides, label)
    runs = [[side.measured(label, seed=seed, **LIME) for seed in (0, 1)] for side in sides]
    (dense, other_dense), (sparse, other_sparse) = [[run[0] for run in side] for side in runs]
    crossed = [_errors(label, pair) for pair in ((dense, other_sparse), (other_dense, sparse))]
    common, apart = np.sqrt(np.mean(np.square(crossed), axis=0)).tolist()
    # Of one network with two draws of masks only these differ, once for either.
    twice = ((dense, other_dense), (sparse, other_sparse))
    masks = sum(_errors(label, two)[0] ** 2 / 2 for two in twice)
    theirs = sum(run[1] for side in runs for run in side) / 2
    ours = (seconds, _errors(label, pair)[0])
    return Row(label, ours, theirs, common, apart, 1 - masks / apart**2, "explanations")


def hessian(
    sides: Sequence[Side],
    label: str,
    traces: Callable[[Side], np.ndarray],
    draws: Callable[[nn.Module, Images, str], Draws],
) -> Row:
    """Their draws are of the whole batch, and their number is left to chance.

    Args:
        sides: Dense and sparse.
        label: The metric's.
        traces: Estimated traces of the first images [TRAIN, probes], of independent probes.
        draws: The official way's.
    """
    pair, seconds = _pair(sides, label)
    found = [traces(side) for side in sides]
    relative = [one / one.mean() for one in found]
    shared = 2 * float(np.cov(*(one.mean(axis=1) for one in relative))[0, 1]) / TRAIN
    images = sum(map(_between, relative)) / TRAIN
    probes, theirs = 0.0, 0.0
    for side, one in zip(sides, found, strict=True):
        values, graph, each = draws(*side.subject)
        count, error = stopped(values / one.mean())
        probes, theirs = probes + error**2, theirs + graph + count * each
        print(f"{label}, {side.network.method}: {one.mean():.4g}, {count:.0f} draws, {error:.1%}")
    ours, apart = (seconds, _errors(label, pair)[0]), images + probes
    errors = math.sqrt(apart - shared), math.sqrt(apart)
    return Row(label, ours, theirs, *errors, images / apart, label)


def _between(traces: np.ndarray) -> float:
    """The variance over images, without that of the probes."""
    count = traces.shape[1]
    within = traces.var(axis=1, ddof=1).mean() / count if count > 1 else 0.0
    return float(traces.mean(axis=1).var(ddof=1) - within)


def weights_alone(side: Side) -> np.ndarray:
    """Traces by the weights, of each of the first images alone."""
    return weight_traces(*side.subject)


def inputs_alone(side: Side) -> np.ndarray:
    """Traces by the pixels, exactly: without probes."""
    reading, _ = side.measured("input-hessian-trace", images=TRAIN, first=True)
    assert reading.examples is not None
    return reading.examples[:, None]


def _pair(sides: Sequence[Side], label: str) -> tuple[Pair, float]:
    """The readings of both in our way, and their seconds together."""
    (dense, spent), (sparse, more) = (side.measured(label) for side in sides)
    return (dense, sparse), spent + more


def _errors(label: str, pair: Pair) -> tuple[float, float]:
    """Of the difference on the metric's scale, paired and as if nothing were common."""
    dense, sparse = (replace(one, examples=None, replicates=None) for one in pair)
    scale = METRICS.get(label).scale
    paired, unpaired = (example_variance([two], scale) for two in (pair, (dense, sparse)))
    return math.sqrt(paired), math.sqrt(unpaired)


def _print(rows: Sequence[Row]) -> None:
    print(
        "\n| metric | ours, s | error | official, s | images common: error | cost at ours "
        "| nothing common: error | cost at ours | due to images |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for row in rows:
        own = row.ours[0]
        print(
            f"| {row.label} | {own:.1f} | {row.ours[1]:.3g} | {row.theirs:.1f} "
            f"| {row.common:.3g} | {row.cost(row.common) / own:.1f} x "
            f"| {row.apart:.3g} | {row.cost(row.apart) / own:.1f} x | {row.images:.0%} |"
        )
    ours = _total((row.together, row.ours[0]) for row in rows)
    common = _total((row.together, row.cost(row.common)) for row in rows)
    apart = _total((row.together, row.cost(row.apart)) for row in rows)
    print(
        f"\nIn sum: ours {ours:.0f} s; at the same errors the official sizes cost "
        f"{common / ours:.1f} times as much if the images are known to be common, and "
        f"{apart / ours:.1f} times if not."
    )


def _total(costs: Iterable[tuple[str, float]]) -> float:
    """What is computed together is paid once, by the metric that needs the most."""
    most: dict[str, float] = {}
    for together, seconds in costs:
        most[together] = max(seconds, most.get(together, 0.0))
    return sum(most.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
