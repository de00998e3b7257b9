"""Whether explanations stay the same under a little noise."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.metrics.interpretability.lime import (
    ROUNDING,
    Scene,
    fit,
    log_odds,
    scenes,
    weights,
)
from scratchcard.registry import metric
from scratchcard.stats import mean_reading

ALL = slice(None)


@metric(
    "stability-noise",
    title="LIME stability (noise)",
    dimension="interpretability",
    better="higher",
    unit="",
    costly=True,
    caution="Read it beside its part other masks: what LIME itself, without noise, agrees with.",
)
def stability_noise(
    model: nn.Module,
    test: Images,
    *,
    eps: float = 8 / 255,
    repeats: int = 1,
    images: int = 100,
    masks: int = 128,
    seed: int = 0,
    batch_size: int = 64,
) -> Reading:
    """How alike explanations of an image and of the image under noise rank its segments.

    Definition:
        LIME explains the log-odds of the class that the network predicts of the image: once of
        the image, and again of the image with uniform noise on every pixel, with the same
        segments, masks and class. The value is the rank correlation of the two sets of
        coefficients, averaged over draws of noise and images. The part "other masks" is that of
        the explanations by two halves of the masks, without noise: how far LIME agrees with
        itself on half of its masks. An image where the answers do not vary (by more than 1e-5 of
        their size, float32's rounding) counts as 0. Images of a single segment, which depend on
        no network, are left out.

    Formula:
        1/R sum_r rho(b(x), b(clip(x + eps u_r))), u_r ~ U[-1, 1]; rho is Spearman's correlation,
        and b the least sum_m w_m (y_m - a - b z_m)^2 + |b|^2 with y = log p/(1-p);
        w = sqrt(exp(-d^2/0.25^2)), d the cosine distance of a mask to the one that keeps all

    Motivation:
        If noise that nobody sees changes what an explanation says, it explains the noise.

    Advantages:
        Ranks have no unit: neither confidence nor a factor of the logits moves them. The input
        does change, as the definition of stability wants, and masks do not, so the answer is
        the network's more than LIME's.

    Limitations:
        Segments that hardly matter have an order, too, and it is the first to change: few masks
        or many segments lower it. A network that looks at little else than brightness is stable.
        Each draw of noise costs as much as the explanation itself.

    Source:
        Alvarez-Melis and Jaakkola, "On the Robustness of Interpretability Methods", 2018; ranks
        as in Ghorbani et al., "Interpretation of Neural Networks Is Fragile", AAAI 2019.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        repeats: Draws of noise for each image.
        images: Explain only so many, drawn class by class, the same for every network; 0 for all.
        masks: For each image, 4 or more.
        seed: Of masks and noise, which depend on it and on the image alone.
        batch_size: Masked images per forward pass; it changes the time, not the answer.

    Raises:
        UserError: An option out of range.
        ValueError: A logit is not a finite number.
        NotApplicable: No image has two segments, or the answers vary with none of them.
    """
    check_eps(eps)
    check_counts(repeats=repeats)
    if masks < 4:
        raise UserError(f"masks must be 4 or more, not {masks}: two halves are compared")
    target = Target.of(model, test, batch_size=batch_size, images=images)
    agreed, halved, still = [], [], []
    for scene in scenes(target, masks=masks, seed=seed):
        y, classes = log_odds(target, scene)
        varies = y.amax(dim=1) - y.amin(dim=1) > ROUNDING * y.abs().amax(dim=1).clamp(min=1)
        clean = _coefficients(scene, y)
        others = []
        for repeat in range(repeats):
            drawn = uniform(scene.images, tuple(scene.images.shape[1:]), seed, "noise", repeat)
            noisy = (scene.images + eps * (2 * drawn - 1)).clamp(0, 1)
            others.append(
                _coefficients(scene, log_odds(target, scene, images=noisy, classes=classes)[0])
            )
        agreement = torch.stack([_alike(scene, clean, b) for b in others]).mean(dim=0)
        halves = (_coefficients(scene, y, slice(half, None, 2)) for half in (0, 1))
        several = scene.counts > 1
        agreed.append((agreement * varies)[several])
        halved.append((_alike(scene, *halves) * varies)[several])
        still.append(~varies[several])
    without = torch.cat(still)
    if not len(without):
        raise NotApplicable("because no image has two segments to put in order")
    if without.all():
        raise NotApplicable("because the network's answers vary with no segment of any image")
    parts = {
        "other masks": share(torch.cat(halved).numpy()),
        "images without variation": share(without.numpy()),
    }
    return mean_reading(torch.cat(agreed).numpy(), parts=parts)


def _coefficients(scene: Scene, y: Tensor, some: slice = ALL) -> Tensor:
    """Of the explanations of answers [B, M], by all or some of the masks [B, S]."""
    near = weights(scene.masks, scene.masks[:, 0])
    return fit(scene.masks[:, some], y[:, some], near[:, some]).coefficients


def _alike(scene: Scene, one: Tensor, other: Tensor) -> Tensor:
    """The rank correlation of coefficients [B, S] for each image [B]; 0 without an order."""
    found = torch.zeros(len(one), dtype=torch.float64)
    for i, count in enumerate(scene.counts.tolist()):
        ranks = [rankdata(b[i, :count].numpy()) - (count + 1) / 2 for b in (one, other)]
        lengths = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
        found[i] = ranks[0] @ ranks[1] / lengths if lengths else 0.0
    return found
