"""Attacks of the metrics against the textbook's loop, on a ResNet-8 at 32x32.

Prints a Markdown table; one thread, 128 images that the network has right, best of three rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard import models
from scratchcard.contracts import Reading, Task
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.autoattack import autoattack
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.metrics.generalisation.robustness_curve import robustness_curve

TASK = Task(3, 32, 32, 10)
IMAGES = 128
EPS = {"8/255": 8 / 255, "0.001/255": 0.001 / 255}


def main() -> None:
    """Time the metrics and the loops, round by round in turn."""
    torch.set_num_threads(1)
    model = models.build("cifar-resnet", TASK, {"depth": 8}, seed=0).eval()
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=stream, dtype=torch.uint8)
    with torch.no_grad():
        # Untrained, it would give one answer to everything, and no attack could change that.
        model.get_parameter("fc.bias").sub_(model(pixels.float() / 255).mean(dim=0))
        labels = model(pixels.float() / 255).argmax(dim=1)
    test = Images(pixels, labels)
    print(f"torch {torch.__version__}, 1 thread, {IMAGES} images, best of 3\n")
    print("| attack | eps | textbook, s | ours, s | textbook / ours | accuracies |")
    print("|---|---|---:|---:|---:|---:|")
    for name, eps in EPS.items():
        for steps, metric in ((1, fgsm), (20, pgd)):
            (slow, theirs), (fast, own) = race(
                partial(textbook, model, test, eps, steps),
                partial(value, metric, model, test, eps=eps, batch_size=64),
            )
            print(
                f"| {metric.__name__} | {name} | {slow:.2f} | {fast:.2f} | {slow / fast:.2f} "
                f"| {theirs:.3f}, {own:.3f} |"
            )
    print("\n| metric | eps | s | of one PGD-20 by the textbook |\n|---|---|---:|---:|")
    for name, eps in EPS.items():
        (slow, _), (fast, _) = race(
            partial(textbook, model, test, eps, 20),
            partial(value, autoattack, model, test, eps=eps, batch_size=64),
            rounds=1,
        )
        print(f"| autoattack | {name} | {fast:.2f} | {fast / slow:.2f} |")
    for attack in ("fgsm", "pgd"):
        (slow, _), (fast, _) = race(
            partial(textbook, model, test, 8 / 255, 20),
            partial(value, robustness_curve, model, test, attack=attack),
        )
        print(f"| robustness-curve, {attack} | ladder | {fast:.2f} | {fast / slow:.2f} |")


def textbook(model: nn.Module, test: Images, eps: float, steps: int, batch_size: int = 64) -> float:
    """Accuracy under PGD (FGSM for one step) as it stands in tutorials."""
    right = 0
    for pixels, labels in zip(
        torch.split(test.pixels, batch_size), torch.split(test.labels, batch_size), strict=True
    ):
        images = pixels.float() / 255
        attacked = images
        if steps > 1:
            stream = torch.Generator().manual_seed(0)
            noise = 2 * torch.rand(images.shape, generator=stream) - 1
            attacked = (images + eps * noise).clamp(0, 1)
        for _ in range(steps):
            attacked = _step(model, attacked, images, labels, eps, eps if steps == 1 else eps / 4)
        with torch.no_grad():
            right += int((model(attacked).argmax(dim=1) == labels).sum())
    return right / len(test)


def _step(
    model: nn.Module, attacked: Tensor, images: Tensor, labels: Tensor, eps: float, step: float
) -> Tensor:
    attacked = attacked.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model(attacked), labels), attacked)
    moved = attacked.detach() + step * gradient.sign()
    return (images + (moved - images).clamp(-eps, eps)).clamp(0, 1)


def value(metric: Callable[..., Reading], *args: Any, **options: Any) -> float:
    """The metric's number."""
    return metric(*args, **options).value


def race(*runs: Callable[[], float], rounds: int = 3) -> list[tuple[float, float]]:
    """Seconds (the best round) and answer of each, run in turn."""
    best: list[tuple[float, float]] = [(float("inf"), 0.0)] * len(runs)
    for _ in range(rounds):
        for number, run in enumerate(runs):
            started = time.perf_counter()
            answer = run()
            best[number] = (min(best[number][0], time.perf_counter() - started), answer)
    return best


if __name__ == "__main__":
    main()
