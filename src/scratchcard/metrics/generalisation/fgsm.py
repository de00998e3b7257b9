"""Accuracy under the fast gradient sign attack."""

from __future__ import annotations

import numpy as np
from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_eps
from scratchcard.metrics.attacks.fgsm import direction
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "fgsm",
    title="FGSM accuracy",
    dimension="generalisation",
    better="higher",
    headline=True,
    margin=0.01,
    paper={"eps": 8 / 255},
    caution=(
        "One gradient step bounds robustness only from above: masked or vanishing gradients "
        "look like robustness, and undefended networks are all close to zero at 8/255."
    ),
)
def fgsm(
    model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    images: int = 0,
    stderr: float = 0.0,
    batch_size: int = 256,
) -> Reading:
    """Accuracy after one step of the fast gradient sign attack.

    Definition:
        Every pixel is moved by eps in the direction that raises the cross-entropy of the label,
        then clipped to [0, 1]; there is no random start. Images that were wrong before count as
        wrong unless the step happens to mend them. The part "zero-gradient" is the share of
        images whose input gradient is exactly zero, which the attack leaves as they are.

    Formula:
        x' = clip(x + eps sign(grad_x CE(f(x), y)), 0, 1);  value = 1/N sum_i [argmax f(x'_i) = y_i]

    Motivation:
        The paper's measure of adversarial robustness: does a sparse network lean on the same
        fragile features as its dense twin?

    Advantages:
        One gradient an image, no random numbers, exact for a linear network of two classes.

    Limitations:
        An upper bound on robust accuracy, often a loose one: the cross-entropy gradient mixes
        classes and underflows for over-confident networks, and pruned networks are suspects.
        Stronger attacks (PGD, AutoAttack) take undefended networks to 0 at the same eps.

    Source:
        Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015; eps and
        the single step as in the code of Chen et al., TMLR 2022.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        batch_size: Images per step; it changes the time, not the answer.

    >>> import torch
    >>> from torch.nn import Flatten, Linear, Sequential
    >>> blind = Sequential(Flatten(), Linear(4, 2))
    >>> _ = torch.nn.init.zeros_(blind[1].weight)
    >>> pair = Images(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]))
    >>> reading = fgsm(blind, pair)
    >>> reading.value, reading.parts["zero-gradient"].value
    (0.5, 1.0)
    """
    check_eps(eps)
    target = Target.of(model, test, batch_size=batch_size, images=images, stderr=stderr)
    held, still = [], []
    for clean, labels in target.batches():
        heading = direction(target.network, clean, labels)
        held.append(target.holds((clean + eps * heading).clamp_(0, 1), labels))
        still.append((heading == 0).flatten(1).all(dim=1).cpu().numpy())
    zero = share(np.concatenate(still))
    return mean_reading(np.concatenate(held), parts={"zero-gradient": zero})
