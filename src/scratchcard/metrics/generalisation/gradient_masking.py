"""Signs that a network's gradients are masked, so that attacks by gradient flatter it."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor, nn

from scratchcard.contracts import Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.ball import Ball
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.fgsm import direction
from scratchcard.metrics.attacks.noise import start
from scratchcard.metrics.attacks.pgd import pgd
from scratchcard.metrics.attacks.square import square
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading

HUGE = (64 / 255, 128 / 255)
"""Sizes of attack that no network stands; at the second an image can be made plain grey."""


@metric(
    "gradient-masking",
    title="Alarms of gradient masking",
    dimension="generalisation",
    better="lower",
    unit="",
    costly=True,
    version=2,
    caution="A diagnostic: 0 is no proof that gradients are honest, and alarms are no robustness.",
)
def gradient_masking(
    model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    steps: int = 20,
    queries: int = 200,
    tolerance: float = 0.02,
    images: int = 0,
    stderr: float = 0.0,
    seed: int = 0,
    batch_size: int = 256,
) -> Reading:
    """How many of four signs a network shows that attacks by gradient do not reach it.

    Definition:
        For each sign the share of images that show it, of all, which is a part; it gives alarm
        if that is more than ``tolerance``, and more than one image. The signs: "one step beats
        many" (FGSM fools the network and PGD does not), "black box beats white box" (PGD does
        not, but the Square attack does), "zero gradient" (the cross-entropy's gradient in the
        pixels is exactly 0 in float32, so that FGSM does nothing) and "stands 128/255" (PGD fails
        even there). The other parts are the accuracies "clean", "FGSM", "PGD" and, under PGD,
        "64/255" and "128/255".

    Formula:
        sum over signs s of [1/N sum_i s_i > max(tolerance, 1/N)]

    Motivation:
        Pruned and over-confident networks have vanishing or shattered gradients, which FGSM takes
        for robustness. This says when not to believe it.

    Advantages:
        The checks that reviewers of defences ask for, in one number, with the evidence.

    Limitations:
        Thresholds are conventions. A constant predictor has no gradient and stands everything: it
        raises two alarms, rightly. PGD here raises log-odds, which over-confidence does not blunt
        (see pgd), so a network whose softmax is merely saturated shows one sign: "zero gradient".
        Square has few queries by default, and finds less on large images.

    Source:
        Athalye et al., "Obfuscated Gradients Give a False Sense of Security", ICML 2018, section
        3.1; Carlini et al., "On Evaluating Adversarial Robustness", 2019. The thresholds are ours.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1], for the first two signs.
        steps: Gradients an image gets from PGD, in steps of eps/4.
        queries: Forward passes an image gets from the Square attack, if it stood PGD.
        tolerance: Share of the images that may show a sign before it gives alarm.
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        seed: Of starts and squares, which depend on it and on the image alone.
        batch_size: Images per step; it changes the time, not the answer.
    """
    check_eps(eps)
    check_counts(steps=steps, queries=queries)
    if not 0 <= tolerance < 1:
        raise UserError(f"tolerance is a share of images, from 0 to below 1, not {tolerance}")
    target = Target.of(model, test, batch_size=batch_size, images=images, stderr=stderr)
    clean = target.predictions().correct

    def many(network: nn.Module, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
        begin = start(images, seed, "gradient-masking")
        return pgd(network, images, labels, eps=eps, steps=steps, start=begin)

    fgsm, zero = _one_step(target, clean, eps)
    stood = target.left(partial(many, eps=eps), clean)
    black = target.left(partial(square, eps=eps, queries=queries, seed=seed), stood)
    large = target.left(partial(many, eps=HUGE[0]), stood)
    huge = target.left(partial(many, eps=HUGE[1]), large)
    signs = {
        "one step beats many": stood & ~fgsm,
        "black box beats white box": stood & ~black,
        "zero gradient": zero,
        "stands 128/255": huge,
    }
    accuracies = {"clean": clean, "FGSM": fgsm, "PGD": stood, "64/255": large, "128/255": huge}
    shown = np.stack(list(signs.values()), axis=1)
    allowed = max(1, tolerance * len(clean))
    return statistic_reading(
        lambda index: float((shown[index].sum(axis=0) > allowed).sum()),
        [len(clean)],
        parts={name: share(found) for name, found in (signs | accuracies).items()},
    )


def _one_step(target: Target, right: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Which images FGSM leaves right, and which have no gradient for it, both bool [N]."""
    left, zero = [], []
    for images, labels in target.batches():
        heading = direction(target.network, images, labels)
        left.append(target.holds(Ball.around(images, eps).move(heading), labels))
        zero.append((heading == 0).flatten(1).all(dim=1).cpu().numpy())
    return right & np.concatenate(left), np.concatenate(zero)
