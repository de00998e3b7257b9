"""How long methods take to choose a mask, against one training step of the same network.

Prints a Markdown table; two threads, 100 images of 32x32, 90 % sparsity, the best of three (or the
first, where that takes ten seconds).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from scratchcard import models
from scratchcard.contracts import Architecture, Task
from scratchcard.masks import Masks
from scratchcard.pruning.choose import choose
from scratchcard.registry import METHODS

TASK = Task(3, 32, 32, 10)
NETWORKS = {"ResNet-20": ("cifar-resnet", {"depth": 20}), "ResNet-50": ("resnet", {"depth": 50})}
KINDS = ("random", "magnitude-init", "lamp", "snip", "grasp", "synflow", "channels-init")


def main() -> None:
    """Time every method on every network; each row is printed as soon as it is known."""
    torch.set_num_threads(2)
    print(f"torch {torch.__version__}, 2 threads, batch of 100\n")
    print("| network | method | seconds | training steps |\n|---|---|---:|---:|", flush=True)
    images = torch.rand(100, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(100) % 10
    for network, (kind, options) in NETWORKS.items():
        model = models.build(kind, TASK, options, seed=0)

        def step(model: torch.nn.Module = model) -> None:
            torch.autograd.backward(cross_entropy(model(images), labels))
            model.zero_grad()

        unit = best(step)
        ready = partial(
            choose,
            model=model,
            masks=Masks.ones(model),
            sparsity=0.9,
            seed=0,
            images=images,
            labels=labels,
            architecture=Architecture(kind, TASK, options),
        )
        for name in KINDS:
            seconds = best(partial(ready, METHODS.get(name).target()))
            print(f"| {network} | {name} | {seconds:.2f} | {seconds / unit:.1f} |", flush=True)


def best(function: Callable[[], None]) -> float:
    """Seconds of a call, the best of three, or the first if that takes ten seconds."""
    times: list[float] = []
    while len(times) < 3 and sum(times) < 10:
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
