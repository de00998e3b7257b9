"""Attacks made on the dense twin, tried on the sparse network, and the other way round."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.pgd import pgd
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "transfer-attack",
    title="Accuracy under the dense twin's attack",
    dimension="generalisation",
    better="higher",
    costly=True,
    version=2,
    caution=(
        "Below the accuracy on its own attack (the part), it says that the network's own "
        "gradients are masked, not that it is weak."
    ),
)
def transfer_attack(
    model: nn.Module,
    dense_model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    steps: int = 10,
    images: int = 0,
    stderr: float = 0.0,
    batch_size: int = 256,
) -> Reading:
    """Accuracy of the sparse network on images that were made to fool its dense twin.

    Definition:
        PGD from the image itself, with steps of eps/4 and no early end, against one network; the
        last image is shown to both. The value is the sparse network's accuracy on the dense
        twin's images, and the parts are all four: "dense to sparse", "sparse to dense", "sparse
        to sparse" and "dense to dense". "carried over" and "carried back" are the shares of
        images that fool the other network too, of those that both had right and that fool the
        one they were made on (left out if there are fewer than two).

    Formula:
        1/N sum_i [argmax f_sparse(a(x_i; f_dense)) = y_i]

    Motivation:
        An attacker may have the dense network, or a relative of it, and not the ticket. Do both
        lean on the same fragile features?

    Advantages:
        Paired image by image; independent of the sparse network's gradients, so they cannot mask
        its weakness.

    Limitations:
        No bound on anything: what does not carry over may fall to its own attack. It rises with
        the distance of the networks, and a network far from its twin is not thereby robust. An
        attack that overshoots, or is blunted by the dense twin's own masking, carries over less.

    Source:
        Papernot et al., "Transferability in Machine Learning", 2016; Demontis et al., "Why Do
        Adversarial Attacks Transfer?", USENIX Security 2019.

    Args:
        model: The sparse network; it is left as it is.
        dense_model: Its dense twin; likewise.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        steps: Gradients an image gets.
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        batch_size: Images per step; it changes the time, not the answer.
    """
    check_eps(eps)
    check_counts(steps=steps)
    networks = {
        name: Target.of(network, test, batch_size=batch_size, images=images, stderr=stderr)
        for name, network in (("dense", dense_model), ("sparse", model))
    }
    right = np.logical_and(*(target.predictions().correct for target in networks.values()))
    held: dict[str, list[np.ndarray]] = defaultdict(list)
    for maker, source in networks.items():
        for clean, labels in source.batches():
            made = pgd(source.network, clean, labels, eps=eps, steps=steps, to_the_end=True)
            for name, judge in networks.items():
                there = made.to(judge.labels.device), labels.to(judge.labels.device)
                held[f"{maker} to {name}"].append(judge.holds(*there))
    stands = {way: np.concatenate(found) for way, found in held.items()}
    parts = {way: share(found) for way, found in stands.items()}
    for label, maker, other in (
        ("carried over", "dense", "sparse"),
        ("carried back", "sparse", "dense"),
    ):
        fooled = right & ~stands[f"{maker} to {maker}"]
        if fooled.sum() > 1:
            parts[label] = share(~stands[f"{maker} to {other}"][fooled])
    return mean_reading(stands["dense to sparse"], parts=parts)
