"""Do CPU and GPU agree, and how fast is the GPU? Prints a table; exits with 1 if they disagree."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from scratchcard import models, probe
from scratchcard.contracts import Task
from scratchcard.contracts.corruptions import STANDARD
from scratchcard.data.base import Images
from scratchcard.data.corruptions import corrupt
from scratchcard.masks import Masks
from scratchcard.metrics.measure import measure
from scratchcard.pruning.prune import prune
from scratchcard.study import Training
from scratchcard.training import Clock, Trainee, optimizer_of, train

TASK = Task(3, 32, 32, 10)
INSIDE: dict[str, dict[str, Any]] = {
    "fidelity": {"images": 32, "masks": 64},
    "stability": {"images": 32, "masks": 64},
    "netdissect": {},
    "weight-hessian-trace": {"images": 64, "probes": 4},
    "weight-hessian-top": {"images": 64},
    "input-hessian-trace": {"images": 64},
    "noise-tolerance": {"images": 64, "draws": 2},
}
"""Metrics of what a network is like inside, with sizes that a CPU does in seconds."""
RECIPE = Training(epochs=1, batch_size=128, crop=4, flip=True)


def pictures(n: int) -> Images:
    """Random pictures whose class shows in their brightness: there is something to learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    pixels = rng.integers(0, 120, (n, 3, 32, 32)) + 12 * labels[:, None, None, None]
    return Images(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels))


def trained(device: str, images: Images, steps: int) -> tuple[Trainee, float]:
    """A ResNet-20 after some steps, and the seconds they took."""
    network = models.build("cifar-resnet", TASK, {"depth": 20}, seed=0).to(device)
    trainee = Trainee(network, optimizer_of(network, RECIPE))
    there = images.to(device)
    trainee.masks = prune(network, "random", sparsity=0.8, seed=0)
    train(trainee, there, RECIPE, seed=0, until=2)
    started = time.perf_counter()
    train(trainee, there, RECIPE, seed=0, until=steps)
    if device == "cuda":
        torch.cuda.synchronize()
    return trainee, time.perf_counter() - started


def differing(method: str, images: Images, other: str) -> float:
    """Share of the weights kept on either device that are not kept on both."""
    found = []
    for device in ("cpu", other):
        network = models.build("cifar-resnet", TASK, {"depth": 20}, seed=0).to(device)
        batch = images.take(torch.arange(100)).to(device)
        data = [(batch.pixels, batch.labels)]
        found.append(prune(network, method, sparsity=0.9, data=data, allocation="erk").to("cpu"))
    assert all(isinstance(masks, Masks) for masks in found)
    return 1 - found[0].overlap(found[1])


def corrupted(images: Images, other: str) -> tuple[float, float]:
    """Largest share of pixels, over the kinds, that differ; and how many times faster it is."""
    seconds, differ = [0.0, 0.0], 0.0
    for kind in STANDARD:
        made = []
        for k, device in enumerate(("cpu", other)):
            pixels = images.pixels.to(device)
            corrupt(pixels[:8], kind, 3)
            started = time.perf_counter()
            made.append(corrupt(pixels, kind, 3).cpu())  # the copy waits for the device
            seconds[k] += time.perf_counter() - started
        differ = max(differ, float((made[0] != made[1]).float().mean()))
    return differ, seconds[0] / seconds[1]


def inside(one: torch.nn.Module, two: torch.nn.Module, images: Images, other: str) -> float:
    """Largest relative gap of metrics of explanations, concepts and the loss, equal weights."""
    few, gap = images.take(torch.arange(96)), 0.0
    for name, options in INSIDE.items():
        here, there = (
            measure(net, name, few.to(device), train=few.to(device), **options).value
            for net, device in ((one, "cpu"), (two, other))
        )
        gap = max(gap, abs(here - there) / max(abs(here), 1e-9))
    return gap


def main() -> int:
    """Compare, print, and say whether all is well."""
    other = "cuda" if torch.cuda.is_available() else "cpu"
    images = pictures(128 * 40)
    steps = Clock(RECIPE, len(images)).total
    (one, slow), (two, fast) = trained("cpu", images, steps), trained(other, images, steps)
    ours = probe.logits(one.model, images.pixels[:512])
    same = {k: v.to(other) for k, v in one.model.state_dict().items()}
    two_history = two.history
    two.model.load_state_dict(same)
    theirs = probe.logits(two.model, images.pixels[:512])
    gap = float(np.abs(ours - theirs).max() / max(1.0, np.abs(ours).max()))
    test, both = images.take(torch.arange(512)), ((one.model, "cpu"), (two.model, other))
    fgsm, errors = (
        [measure(m, metric, test.to(d)).value for m, d in both]
        for metric in ("fgsm", "corruption-error")
    )
    differ, faster = corrupted(images, other)
    rows = {
        "logits of equal weights, largest relative gap": (gap, 1e-4),
        "FGSM accuracy of equal weights, images that differ": (abs(fgsm[0] - fgsm[1]) * 512, 1.0),
        "pixels of a kind of corruption that differ, share": (differ, 0.01),
        "corruption error of equal weights, gap": (abs(errors[0] - errors[1]), 1e-3),
        "explanations, concepts and Hessians of equal weights, largest relative gap": (
            inside(one.model, two.model, images, other),
            0.01,
        ),
        "training loss of an epoch, gap": (
            abs(one.history[0]["loss"] - two_history[0]["loss"]),
            0.02,
        ),
        **{
            f"masks of {method}, share of weights that differ": (
                differing(method, images, other),
                0.01,
            )
            for method in ("random", "snip", "grasp", "synflow")
        },
    }
    print(
        f"CPU against {other} ({torch.cuda.get_device_name() if other == 'cuda' else 'no GPU'})\n"
    )
    print("| what | found | allowed |\n|---|---:|---:|")
    for name, (found, allowed) in rows.items():
        print(f"| {name} | {found:.2g} | {allowed:g} |")
    print(f"\nResNet-20, batch 128: {slow / fast:.1f} times the CPU's speed in training")
    print(f"({(steps - 2) * 128 / fast:,.0f} images a second in training)")
    print(f"Corruptions of {len(images):,} images: {faster:.1f} times the CPU's speed")
    return int(any(found > allowed for found, allowed in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
