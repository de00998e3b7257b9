"""What sparsity and the fast copy cost or gain, as ratios against a plain baseline in the same run.

Prints a Markdown table; the best of several interleaved rounds, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard import models
from scratchcard.contracts import Context, Method, Moment, Task
from scratchcard.masks import Masks
from scratchcard.probe import inference_copy
from scratchcard.pruning.prune import prune
from scratchcard.registry import METHODS
from scratchcard.seeds import torch_stream

CASES: Mapping[str, tuple[str, Task, dict[str, int], int]] = {
    "LeNet, 8x8, batch 32": ("lenet", Task(1, 8, 8, 10), {}, 32),
    "ResNet-8, 32x32, batch 64": ("cifar-resnet", Task(3, 32, 32, 10), {"depth": 8}, 64),
    "ResNet-20, 32x32, batch 64": ("cifar-resnet", Task(3, 32, 32, 10), {"depth": 20}, 64),
}
ROUNDS, SECONDS = 5, 0.5
LONG = 10_000
"""Steps before the clock of dynamic methods starts anew: an update every hundred of them."""


def main() -> None:
    """Measure every case and print the table."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, best of {ROUNDS} interleaved rounds\n")
    print(
        "| case | dense step, ms | masked / dense | RigL / dense | eager, ms | eager / fast copy |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name, (kind, task, params, batch) in CASES.items():
        images = torch.rand(batch, task.channels, task.height, task.width)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.arange(batch) % task.classes
        dense, masked, grown = (models.build(kind, task, params, seed=0) for _ in range(3))
        masks = prune(masked, "random", sparsity=0.9, allocation="erk")
        network = models.build(kind, task, params, seed=0).eval()
        fast = inference_copy(network, images[:8])
        step, guarded, rigged, eager, copied = best(
            stepper(dense, images, labels, None),
            stepper(masked, images, labels, masks),
            stepper(grown, images, labels, masks, METHODS.get("rigl").target()),
            forward(network, images),
            forward(fast, images),
        )
        print(
            f"| {name} | {step * 1e3:.2f} | {guarded / step:.3f} | {rigged / step:.3f} "
            f"| {eager * 1e3:.2f} | {eager / copied:.2f} |"
        )


def stepper(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    masks: Masks | None,
    method: Method | None = None,
) -> Callable[[], None]:
    """One SGD step of the training loop: dense, masked, or with masks that ``method`` moves."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    guard = masks.attach(model, optimizer) if masks is not None else None
    now, done = masks, 0

    def step() -> None:
        nonlocal now, done
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        changed = None
        if method is not None and guard is not None and now is not None:
            context = Context(model, now, 0.9, torch_stream(0, "prune", done))
            changed = method.update(context, Moment(done % LONG, per_epoch=100, total=2 * LONG))
        if changed is not None and guard is not None:
            guard.switch(changed)
            now = changed
        else:
            if guard is not None:
                guard.mask_gradients()
            optimizer.step()
        done += 1

    return step


def forward(model: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """One forward pass without gradients."""

    def run() -> None:
        with torch.inference_mode():
            model(images)

    return run


def best(*functions: Callable[[], None]) -> list[float]:
    """Seconds per call of each, the best of interleaved rounds."""
    found = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for index, function in enumerate(functions):
            calls, started = 0, time.perf_counter()
            while (passed := time.perf_counter() - started) < SECONDS:
                function()
                calls += 1
            found[index] = min(found[index], passed / calls)
    return found


if __name__ == "__main__":
    main()
