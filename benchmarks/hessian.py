"""Hessians of the metrics against curvlinops and PyHessian's way, on a ResNet-20 of digits.

Prints three Markdown tables: processor time of one thread, medians of rounds in turn, and what
pairing is worth; with the argument "oracle" it writes tests/metrics/landscape/hessian.npz. Beside
what is in peers.txt it needs, again with --no-deps, curvlinops-for-pytorch 3.0.1,
backpack-for-pytorch, einconv, einops, jaxtyping, linear_operator, mpmath, opt-einsum, unfoldNd and
wadler-lindig.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from attacks import enlarged, trained
from curvlinops import HessianLinearOperator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.data.digits import Digits
from scratchcard.masks import Masks
from scratchcard.metrics.landscape.hessian import Weights, by_blocks, private_copy
from scratchcard.metrics.landscape.input_hessian_trace import input_hessian_trace
from scratchcard.metrics.landscape.weight_hessian_trace import weight_hessian_trace
from scratchcard.verdict.paired import example_variance

T = TypeVar("T")
FILE = Path(__file__).parents[1] / "tests/metrics/landscape/hessian.npz"
IMAGES, BATCH, PROBES, ROUNDS = 500, 64, 8, 2
FEW = 100
"""Images for the traces by the pixels."""
COUNTS = (1, 4, 16)
"""Probes to which exactness is compared."""
SHARES = (0.2, 0.8)
"""Of the weights, that tickets do without."""


def main() -> None:
    """Train, then print table after table."""
    torch.set_num_threads(1)
    model, _ = trained()
    every = enlarged(Digits().splits().train)
    train, tickets = every.take(torch.arange(IMAGES)), {s: ticket(model, every, s) for s in SHARES}
    print(
        f"torch {torch.__version__}, curvlinops {version('curvlinops-for-pytorch')}, 1 thread, "
        f"{IMAGES} images in batches of {BATCH}\n"
    )
    weights(model, train)
    inputs(model, tickets[SHARES[0]], train.take(torch.arange(FEW)))
    pairs(model, tickets, train)


def weights(model: nn.Module, train: Images) -> None:
    """The trace by the weights, with the same probes for all."""
    runs = {
        "ours": lambda: ours(model, train),
        "PyHessian's way": lambda: double_backward(model, train),
        "curvlinops": lambda: by_curvlinops(model, train),
    }
    spent, answers = medians(runs)
    print(f"| weight trace, {PROBES} probes | s per probe | against ours | trace |")
    print("|---|---:|---:|---:|")
    for who, seconds in spent.items():
        ratio = seconds / spent["ours"]
        print(f"| {who} | {seconds / PROBES:.2f} | {ratio:.2f} | {answers[who]:.6g} |")
    print()


def ours(model: nn.Module, train: Images) -> float:
    """As the metric does it, but with probes that all its blocks of images share."""
    own = Weights.of(model)

    def directions(_: int) -> Iterator[Sequence[Tensor]]:
        for number in range(PROBES):
            yield (own.probe(number),)

    return float(by_blocks(own, train, batch_size=BATCH, directions=directions).mean())


def double_backward(model: nn.Module, train: Images) -> float:
    """A graph of the gradient for each batch, which is differentiated again for every probe."""
    own, total = Weights.of(model), 0.0
    leaves = list(own.parameters.values())
    for rows in torch.split(torch.arange(len(train)), BATCH):
        some = train.take(rows)
        loss = cross_entropy(own.network(some.floats()), some.labels, reduction="sum")
        slopes = torch.autograd.grad(loss / len(train), leaves, create_graph=True)
        for number in range(PROBES):
            flat = torch.split(own.probe(number), [leaf.numel() for leaf in leaves])
            vector = [v.view_as(leaf) for v, leaf in zip(flat, leaves, strict=True)]
            found = torch.autograd.grad(slopes, leaves, vector, retain_graph=True)
            total += sum(float((h * v).sum()) for h, v in zip(found, vector, strict=True))
    return total / PROBES


def by_curvlinops(model: nn.Module, train: Images) -> float:
    """Products of its operator with one probe after the other."""
    network = private_copy(model).requires_grad_()
    own = Weights.of(model)
    parts = [train.take(rows) for rows in torch.split(torch.arange(len(train)), BATCH)]
    operator = HessianLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        list(network.parameters()),
        [(part.floats(), part.labels) for part in parts],
        check_deterministic=False,
    )
    probes = [own.probe(number) for number in range(PROBES)]
    return sum(float(v @ (operator @ v)) for v in probes) / PROBES


def inputs(model: nn.Module, sparse: nn.Module, train: Images) -> None:
    """The trace by the pixels of a network and a ticket: exactly, and by probes."""

    def both(**options: Any) -> tuple[Reading, Reading]:
        dense, other = (
            input_hessian_trace(network, train, images=0, **options) for network in (model, sparse)
        )
        return dense, other

    runs: dict[str, Callable[[], tuple[Reading, Reading]]] = {"exact": both}
    runs |= {f"{count} probes": partial(both, exact_classes=0, probes=count) for count in COUNTS}
    spent, answers = medians(runs)
    exact, _ = answers["exact"]
    least = example_variance([answers["exact"]], "log")
    print(
        f"| input traces of {FEW} images | s | of an image | of the mean | of the log ratio ",
        end="",
    )
    print("| cost at equal error of the ratio |\n|---|---:|---:|---:|---:|---:|")
    for who, seconds in spent.items():
        dense, _ = answers[who]
        variance = example_variance([answers[who]], "log")
        times = seconds / spent["exact"] * variance / least
        print(
            f"| {who} | {seconds:.1f} | {off(dense, exact):.0%} | {dense.stderr / exact.value:.0%} "
            f"| {variance**0.5:.3f} | {times:.1f} |"
        )
    print()


def off(found: Reading, exact: Reading) -> float:
    """Root mean square over images of the error of their traces, as a share of the mean trace."""
    assert found.examples is not None
    assert exact.examples is not None
    return float(np.sqrt(np.mean((found.examples - exact.examples) ** 2)) / exact.value)


def pairs(model: nn.Module, tickets: Mapping[float, nn.Module], train: Images) -> None:
    """Standard errors of the log ratios of tickets to the dense network."""
    print("| log ratio to dense | sparsity | error, unpaired | paired | variance, times |")
    print("|---|---:|---:|---:|---:|")
    for metric in (weight_hessian_trace, input_hessian_trace):
        dense = metric(model, train, images=0)
        for share, sparse in tickets.items():
            found = metric(sparse, train, images=0)
            apart = sum((reading.stderr / reading.value) ** 2 for reading in (dense, found))
            paired = example_variance([(dense, found)], "log")
            print(
                f"| {metric.__name__.replace('_', '-')} | {share:.0%} | {apart**0.5:.3f} | "
                f"{paired**0.5:.3f} | {apart / paired:.1f} |"
            )


def ticket(model: nn.Module, train: Images, share: float) -> nn.Module:
    """Without so many of each matrix's weights, the smallest, and trained for one more epoch."""
    sparse, stream = copy.deepcopy(model).train().requires_grad_(), torch.Generator()
    weights = {name: sparse.get_parameter(name) for name in Masks.ones(sparse)}
    kept = {
        name: w.detach().abs() > w.detach().abs().quantile(share) for name, w in weights.items()
    }
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.01, momentum=0.9)
    for rows in torch.split(torch.randperm(len(train), generator=stream.manual_seed(0)), 64):
        for name, w in weights.items():
            w.data *= kept[name]
        optimizer.zero_grad()
        part = train.take(rows)
        torch.autograd.backward(cross_entropy(sparse(part.floats()), part.labels))
        optimizer.step()
    for name, w in weights.items():
        w.data *= kept[name]
    return sparse.eval()


def medians(runs: Mapping[str, Callable[[], T]]) -> tuple[dict[str, float], dict[str, T]]:
    """Seconds of everybody, several times in turn, and the answers."""
    spent: dict[str, list[float]] = {who: [] for who in runs}
    answers: dict[str, T] = {}
    for _ in range(ROUNDS):
        for who, run in runs.items():
            started = time.process_time()
            answers[who] = run()
            spent[who].append(time.process_time() - started)
    return {who: median(times) for who, times in spent.items()}, answers


def oracle() -> None:
    """The Hessian by the weights of a small network, column by column, kept for the tests."""
    stream = np.random.default_rng(1)
    pixels = stream.integers(0, 256, (30, 1, 4, 4), dtype=np.uint8)
    labels = (np.arange(30) % 3).astype(np.uint8)
    shapes = {"0.weight": (2, 1, 3, 3), "0.bias": (2,), "3.weight": (3, 8), "3.bias": (3,)}
    weights = {n: np.round(stream.normal(size=shape) * 64) / 64 for n, shape in shapes.items()}
    layers = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    model = nn.Sequential(*layers).double().eval()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    x, y = (torch.from_numpy(pixels).float() / 255).double(), torch.from_numpy(labels).long()
    parameters, parts = list(model.parameters()), [(x[:20], y[:20]), (x[20:], y[20:])]
    operator = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, parts)
    every = torch.eye(sum(p.numel() for p in parameters), dtype=torch.float64)
    found = {"pixels": pixels, "labels": labels, "hessian": (operator @ every).detach().numpy()}
    found |= {f"net.{name}": w.astype(np.float16) for name, w in weights.items()}
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    oracle() if sys.argv[1:] == ["oracle"] else main()
