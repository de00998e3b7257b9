"""Fidelity of LIME as the paper computes it."""

from __future__ import annotations

import torch

from scratchcard.contracts import Reading
from scratchcard.metrics.attacks.target import share
from scratchcard.metrics.interpretability.lime import fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "fidelity",
    title="LIME fidelity (error)",
    dimension="interpretability",
    better="lower",
    unit="",
    headline=True,
    margin=0.10,
    scale="log",
    paper={"images": 100, "first": True, "masks": 1000},
    caution=(
        "Squared probabilities: weak and unconfident networks win, and a constant one has no "
        "error. Read it beside accuracy, its own part variance and fidelity-r2."
    ),
)
def fidelity(occluded_logits: Occluded) -> Reading:
    """The error of LIME: how far a linear explanation is from what the network answers.

    Definition:
        Segments of an image are made black at random, and a linear function of which are kept is
        fitted to the probability of the class that the network predicts of the whole image,
        masks near the whole image counting more. The value is the mean square of what the fit
        misses, over the masks it was fitted to, all alike. The part "variance" is that of the
        probability over the masks, "confidence" the probability of the whole image.

    Formula:
        1/M sum_m (g(z_m) - p(z_m))^2;  g(z) = a + b z, the least
        sum_m w_m (g(z_m) - p(z_m))^2 + |b|^2;  w = sqrt(exp(-d^2/0.25^2)), d the cosine distance
        of a mask to the one that keeps all

    Motivation:
        An explanation that does not do what the network does explains something else.

    Advantages:
        The paper's definition, without its randomness: segments and masks are the same for every
        network, so differences are paired; one solve for all images.

    Limitations:
        In squares of probability, so a network that is never sure has little to miss: on the
        paper's own curves the less accurate networks win. In-sample: with S segments it is too
        small by about the factor 1 - S/M (12 % at 16 segments and 128 masks, 1.5 % at 1,000; the
        same for every network). fidelity-r2 has neither fault. Segments are those of the paper on
        images of 32x32; larger ones are segmented so that as many are found, where the paper's
        ImageNet code had quickshift with a random seed. A segment that is black anyway explains
        nothing.

    Source:
        Ribeiro et al., "Why Should I Trust You?", KDD 2016; as in the official code of Chen et
        al., TMLR 2022: 1,000 masks and the first 100 test images (the profile paper). Its random
        state, and its failing with fewer than five images, are not reproduced.

    Args:
        occluded_logits: What the network answers to images of which segments are black.
    """
    missed, spread, sure = [], [], []
    for some, masks in occluded_logits.parts():
        p = some.log_odds.sigmoid()
        explained = fit(masks, p, weights(masks, masks[:, 0]))
        missed.append((explained(masks) - p).square().mean(dim=1))
        spread.append(p.var(dim=1, correction=0))
        sure.append(p[:, 0])
    parts = {
        "variance": share(torch.cat(spread).numpy()),
        "confidence": share(torch.cat(sure).numpy()),
    }
    return mean_reading(torch.cat(missed).numpy(), parts=parts)
