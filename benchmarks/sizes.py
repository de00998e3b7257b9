"""What metrics of interpretability and landscape cost on networks of full width, at tiny samples.

Prints Markdown tables: processor time, and the largest memory of a process for each metric alone;
then what a training step and a product with the Hessian hold for each image of a batch. Run it
with the repository's root in PYTHONPATH.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Task
from scratchcard.data.base import Images
from scratchcard.data.concepts import own_concepts
from scratchcard.metrics.landscape.hessian import Weights, derivatives
from scratchcard.metrics.measure import call, options, providers
from scratchcard.models import build
from scratchcard.registry import METRICS
from tests.metrics.test_architectures import OPTIONS, pruned

CLASSES, IMAGES = 10, 4
VIT: dict[str, Any] = {"patch": 16, "dim": 384, "depth": 12, "heads": 6}
FEW = ("fidelity", "netdissect")
"""Metrics that are measured where a forward pass of one image takes four seconds."""
CASES: Mapping[str, tuple[str, dict[str, Any], int, tuple[str, ...]]] = {
    "ResNet-20, 8": ("cifar-resnet", {}, 8, tuple(OPTIONS)),
    "ResNet-20, 32": ("cifar-resnet", {}, 32, tuple(OPTIONS)),
    "ResNet-20, 128": ("cifar-resnet", {}, 128, tuple(OPTIONS)),
    "WRN-28-10, 32": ("wide-resnet", {}, 32, tuple(OPTIONS)),
    "WRN-28-10, 224": ("wide-resnet", {}, 224, FEW),
    "ResNet-50, 224": ("resnet", {"depth": 50}, 224, tuple(OPTIONS)),
    "VGG-16, 224": ("vgg", {}, 224, tuple(OPTIONS)),
    "ViT-S/16, 224": ("vit", VIT, 224, tuple(OPTIONS)),
}
"""Kind, options, pixels of a side, metrics."""


def main() -> None:
    """Every case and metric in a process of its own."""
    torch.set_num_threads(1)
    found = {
        (case, metric): apart(partial(measured, case, metric))
        for case, (_, _, _, metrics) in CASES.items()
        for metric in metrics
    }
    for column, title in enumerate(("seconds", "peak memory, MB")):
        print(f"| {title} | {' | '.join(CASES)} |\n|---|{'---:|' * len(CASES)}")
        for metric in OPTIONS:
            cells = [found.get((case, metric), ("", ""))[column] for case in CASES]
            print(f"| {metric} | {' | '.join(cells)} |")
        print()
    print("| MB for each image | training step | product with the Hessian | ratio |")
    print("|---|---:|---:|---:|")
    for case in ("ResNet-50, 224", "ViT-S/16, 224"):
        step, product = (for_each_image(partial(of, case)) for of in (trained, multiplied))
        print(f"| {case} | {step:.0f} | {product:.0f} | {product / step:.2f} |")


def apart(run: Callable[[], Any]) -> Any:
    """What a function answers in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(run)


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(case: str, metric: str) -> tuple[str, str]:
    """Seconds and megabytes of a metric of one network, beside its dense twin and another seed."""
    kind, params, size, _ = CASES[case]
    images = pictures(IMAGES, size)
    dense, other = (made(kind, params, size, seed) for seed in (0, 1))
    model, concepts = pruned(dense), own_concepts(images).informative(min_images=1)
    available = providers(
        model,
        images,
        train=images,
        concepts={"own": concepts},
        dense=dense,
        previous=dense,
        networks={"reinitialised": other},
    )
    every = {**available, "all_models": lambda: {0: model, 1: other}}
    spec, started = METRICS.get(metric), time.process_time()
    call(spec, every, options(spec, "default", OPTIONS[metric]))
    return f"{time.process_time() - started:.1f}", f"{peak():.0f}"


def made(kind: str, params: dict[str, Any], size: int, seed: int) -> nn.Module:
    """A network with weights as they are drawn."""
    return build(kind, Task(3, size, size, CLASSES), params, seed).eval()


def pictures(count: int, size: int) -> Images:
    """Blocks of colour with a little noise."""
    stream = torch.Generator().manual_seed(size)
    blocks = torch.rand(count, 3, 4, 4, generator=stream)
    pixels = blocks.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)
    pixels += 0.1 * torch.rand(pixels.shape, generator=stream)
    return Images((255 * pixels.clamp(max=1)).byte(), torch.arange(count) % CLASSES)


def for_each_image(run: Callable[[int], float]) -> float:
    """Megabytes by which the peak grows with each image of a batch."""
    few, many = (apart(partial(run, count)) for count in (4, 12))
    return float(many - few) / 8


def trained(case: str, count: int) -> float:
    """Peak of a step of training on so many images."""
    kind, params, size, _ = CASES[case]
    model, images = made(kind, params, size, 0).train(), pictures(count, size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.autograd.backward(cross_entropy(model(images.floats()), images.labels))
    optimizer.step()
    return peak()


def multiplied(case: str, count: int) -> float:
    """Peak of a product with the Hessian by the weights from one graph of so many images."""
    kind, params, size, _ = CASES[case]
    weights, images = Weights.of(made(kind, params, size, 0)), pictures(count, size)
    with derivatives(weights.network):
        weights.products(images, count)(weights.probe("probe"))
    return peak()


if __name__ == "__main__":
    main()
