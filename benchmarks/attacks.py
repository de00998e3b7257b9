"""Attacks of the metrics against foolbox and torchattacks, on a ResNet-20 trained on digits.

Prints a Markdown table: seconds of processor time on one thread, medians of rounds in turn. At the
small eps no image falls, so that every image gets every step; at 8/255 all but few do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import foolbox
import torch
import torchattacks
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from scratchcard import models
from scratchcard.contracts import Task
from scratchcard.data.base import Images
from scratchcard.data.digits import Digits
from scratchcard.metrics.attacks.apgd import apgd
from scratchcard.metrics.attacks.noise import start
from scratchcard.metrics.attacks.square import square
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.generalisation.fgsm import fgsm
from scratchcard.metrics.generalisation.pgd import pgd
from scratchcard.probe import logits

IMAGES, BATCH, STEPS, QUERIES, ROUNDS = 128, 64, 20, 100, 3
EPS = {"8/255": 8 / 255, "0.01/255": 0.01 / 255}
Attack = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    """Train, then time every attack of every library in turn."""
    torch.set_num_threads(1)
    model, test = trained()
    print(
        f"torch {torch.__version__}, foolbox {foolbox.__version__}, torchattacks "
        f"{torchattacks.__version__}, 1 thread, {IMAGES} images in batches of {BATCH}\n"
    )
    print("| attack | eps | foolbox, s | torchattacks, s | ours, s | best peer / ours | accuracy |")
    print("|---|---|---:|---:|---:|---:|---|")
    for name, eps in EPS.items():
        for attack, runs in contests(model, test, eps).items():
            report(attack, name, runs)


def report(attack: str, eps: str, runs: dict[str, Callable[[], float]]) -> None:
    """One row: every library in turn, several times."""
    rounds = [{who: timed(run) for who, run in runs.items()} for _ in range(ROUNDS)]
    spent = {who: median(one[who][0] for one in rounds) for who in runs}
    cells = [f"{spent[who]:.2f}" if who in spent else "" for who in ("foolbox", "torchattacks")]
    best = min(seconds for who, seconds in spent.items() if who != "ours")
    held = ", ".join(f"{rounds[-1][who][1]:.3f}" for who in runs)
    own = spent["ours"]
    print(f"| {attack} | {eps} | {' | '.join(cells)} | {own:.2f} | {best / own:.2f} | {held} |")


def contests(
    model: nn.Module, test: Images, eps: float
) -> dict[str, dict[str, Callable[[], float]]]:
    """Accuracies under each attack, by whoever has it."""
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1))
    sign = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    descent = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=STEPS, random_start=True)

    def by_foolbox(attack: Any) -> Callable[[], float]:
        return lambda: share(model, test, lambda x, y: attack(bounded, x, y, epsilons=eps)[1])

    def by_torchattacks(kind: Any, **options: Any) -> Callable[[], float]:
        return lambda: share(model, test, kind(model, eps=eps, **options))

    def own(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return apgd(network, x, y, eps=eps, steps=STEPS, start=start(x, 0, "apgd", 0))

    def squares(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return square(network, x, y, eps=eps, queries=QUERIES)

    def left(attack: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Callable[[], float]:
        def run() -> float:
            target = Target.of(model, test, batch_size=BATCH)
            return float(target.left(attack, target.predictions().correct).mean())

        return run

    descend = {"alpha": eps / 4, "steps": STEPS}
    climb = {"steps": STEPS, "n_restarts": 1, "loss": "ce"}
    return {
        "FGSM": {
            "foolbox": by_foolbox(sign),
            "torchattacks": by_torchattacks(torchattacks.FGSM),
            "ours": lambda: fgsm(model, test, eps=eps, batch_size=BATCH).value,
        },
        f"PGD-{STEPS}": {
            "foolbox": by_foolbox(descent),
            "torchattacks": by_torchattacks(torchattacks.PGD, **descend),
            "ours": lambda: pgd(model, test, eps=eps, steps=STEPS, batch_size=BATCH).value,
        },
        f"APGD-CE, {STEPS} steps": {
            "torchattacks": by_torchattacks(torchattacks.APGD, **climb),
            "ours": left(own),
        },
        f"Square, {QUERIES} queries": {
            "torchattacks": by_torchattacks(torchattacks.Square, n_queries=QUERIES),
            "ours": left(squares),
        },
    }


def share(model: nn.Module, test: Images, attack: Attack) -> float:
    """Accuracy after an attack, batch by batch; with torch alone, as a user of a library would."""
    right = 0
    for x, y in zip(
        torch.split(test.floats(), BATCH), torch.split(test.labels, BATCH), strict=True
    ):
        made = attack(x, y)
        with torch.no_grad():
            right += int((model(made).argmax(dim=1) == y).sum())
    return right / len(test)


def timed(run: Callable[[], float]) -> tuple[float, float]:
    """Seconds of processor time, and the answer."""
    started = time.process_time()
    answer = run()
    return time.process_time() - started, answer


def trained() -> tuple[nn.Module, Images]:
    """A ResNet-20 after a short training on digits of 32x32, and images that it has right."""
    splits = Digits().splits()
    train, test = (enlarged(part) for part in (splits.train, splits.test))
    model = models.build("cifar-resnet", Task(3, 32, 32, 10), {"depth": 20}, seed=0)
    stream = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        for rows in torch.split(torch.randperm(len(train), generator=stream), 64):
            optimizer.zero_grad()
            part = train.take(rows)
            torch.autograd.backward(cross_entropy(model(part.floats()), part.labels))
            optimizer.step()
    model.eval().requires_grad_(False)
    right = torch.from_numpy(logits(model, test.pixels).argmax(axis=1)) == test.labels
    return model, test.take(right.nonzero()[:IMAGES, 0])


def enlarged(part: Images) -> Images:
    """Digits as colour images of 32x32."""
    large = interpolate(part.floats(), (32, 32), mode="bilinear").expand(-1, 3, -1, -1)
    return Images((large * 255).round().to(torch.uint8), part.labels)


if __name__ == "__main__":
    main()
