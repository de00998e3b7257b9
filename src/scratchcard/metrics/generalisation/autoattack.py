"""Accuracy under three attacks one after another, the worst case."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.apgd import apgd, targets_of_rank
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.noise import start
from scratchcard.metrics.attacks.square import square
from scratchcard.metrics.attacks.target import Attack, Target, share
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "autoattack",
    title="Accuracy under an ensemble of attacks",
    dimension="generalisation",
    better="higher",
    costly=True,
    version=2,
    caution=(
        "Built like AutoAttack, but without FAB and with smaller budgets by default: not to be "
        "compared with published AutoAttack numbers."
    ),
)
def autoattack(
    model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    steps: int = 20,
    targets: int = 9,
    queries: int = 200,
    images: int = 0,
    stderr: float = 0.0,
    seed: int = 0,
    batch_size: int = 256,
) -> Reading:
    """Accuracy that is left after Auto-PGD, targeted Auto-PGD and the Square attack.

    Definition:
        An image counts as right if it is classified rightly as it is and after each attack. An
        attack gets only the images that stood the ones before, the cheap one first; the parts
        are the accuracy before them ("clean") and after each.

    Formula:
        1/N sum_i min over attacks a of [argmax f(a(x_i)) = y_i];  the attacks raise, in turn,
        log sum_(k != y) exp z_k - z_y  (it orders images as the cross-entropy does),
        (z_t - z_y) / (z_(1) - (z_(3) + z_(4))/2)  for each of the best t != y, and
        max_(k != y) z_k - z_y  (by logits alone, at random squares).

    Motivation:
        A single attack can fail for its own reasons. These fail for different ones: the second
        does not see the scale of the logits, nor mix classes; the third needs no gradient.

    Advantages:
        Nothing to tune. On a linear network of many classes it agrees with the closed form,
        which FGSM and PGD miss several-fold.

    Limitations:
        An upper bound still. Images that stand cost (1 + targets) x steps gradients and queries
        forward passes each; undefended networks have few. The published AutoAttack takes 100
        steps, 5,000 queries and a fourth attack, FAB: set steps = 100 and queries = 5000 to come
        close. With three classes the second loss divides by z_(1) - z_(3); with two by nothing,
        where it is the first once more, from another start.

    Source:
        Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
        Parameter-free Attacks", ICML 2020; Andriushchenko et al., "Square Attack", ECCV 2020.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        steps: Moves of an image in each run of Auto-PGD.
        targets: Classes that the second attack leads to, at most all the others.
        queries: Forward passes an image gets from the Square attack.
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        seed: Of starts and squares, which depend on it and on the image alone.
        batch_size: Images per step; it changes the time, not the answer.
    """
    check_eps(eps)
    check_counts(steps=steps, targets=targets, queries=queries)
    target = Target.of(model, test, batch_size=batch_size, images=images, stderr=stderr)

    def towards(network: nn.Module, images: Tensor, labels: Tensor, *, rank: int) -> Tensor:
        """Auto-PGD to the class of that rank; rank 0 is away from the label."""
        goal = targets_of_rank(network, images, labels, rank) if rank else None
        begin = start(images, seed, "apgd", rank)
        return apgd(network, images, labels, eps=eps, steps=steps, start=begin, targets=goal)

    clean = target.predictions()
    standing = clean.correct
    ranks = range(1, min(targets, clean.classes - 1) + 1)
    attacks: dict[str, list[Attack]] = {
        "APGD-CE": [partial(towards, rank=0)],
        "APGD-T": [partial(towards, rank=rank) for rank in ranks],
        "Square": [partial(square, eps=eps, queries=queries, seed=seed)],
    }
    parts = {"clean": share(standing)}
    for name, runs in attacks.items():
        for run in runs:
            standing = target.left(run, standing)
        parts[f"after {name}"] = share(standing)
    return mean_reading(standing, parts=parts)
