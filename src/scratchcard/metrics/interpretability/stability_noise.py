"""Whether explanations stay the same under a little noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import share
from scratchcard.metrics.interpretability.lime import ROUNDING, fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded, Scene, log_odds, target_of
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "stability-noise",
    title="LIME stability (noise)",
    dimension="interpretability",
    better="higher",
    unit="",
    defaults={"images": 100},
    costly=True,
    caution="Read it beside its part other masks: what LIME itself, without noise, agrees with.",
)
def stability_noise(
    model: nn.Module,
    occluded_logits: Occluded,
    test: Images,
    *,
    eps: float = 8 / 255,
    repeats: int = 1,
    seed: int = 0,
    batch_size: int = 0,
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
        occluded_logits: What it answers without noise, under 4 masks or more.
        test: Images of the test split.
        eps: Largest change of a pixel, of the range [0, 1].
        repeats: Draws of noise for each image.
        seed: Of the noise, which depends on it and on the image alone.
        batch_size: Masked images per forward pass; 0 for as many as suit the device.

    Raises:
        UserError: An option out of range.
        ValueError: A logit is not a finite number.
        NotApplicable: No image has two segments, or the answers vary with none of them.
    """
    check_eps(eps)
    check_counts(repeats=repeats)
    if (count := occluded_logits.masks.shape[1]) < 4:
        raise UserError(f"masks must be 4 or more, not {count}: two halves are compared")
    target = target_of(model, test.take(occluded_logits.rows), batch_size)
    agreed, halved, still = [], [], []
    for some, masks in occluded_logits.parts():
        y, counts = some.log_odds, some.counts
        varies = y.amax(dim=1) - y.amin(dim=1) > ROUNDING * y.abs().amax(dim=1).clamp(min=1)
        shown = test.take(some.rows).to(target.labels.device).floats()
        scene = Scene.of(shown, some.masks)
        clean, others = _coefficients(masks, y), []
        for repeat in range(repeats):
            drawn = uniform(shown, tuple(shown.shape[1:]), seed, "noise", repeat)
            noisy = replace(scene, images=(shown + eps * (2 * drawn - 1)).clamp(0, 1))
            answers, _ = log_odds(target, noisy, classes=some.classes)
            others.append(_coefficients(masks, answers))
        agreement = torch.stack([_alike(counts, clean, b) for b in others]).mean(dim=0)
        halves = (_coefficients(masks[:, half::2], y[:, half::2], masks[:, 0]) for half in (0, 1))
        several = counts > 1
        agreed.append((agreement * varies)[several])
        halved.append((_alike(counts, *halves) * varies)[several])
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


def _coefficients(masks: Tensor, y: Tensor, whole: Tensor | None = None) -> Tensor:
    """Of the explanations of answers [B, M] to masks of which the first, or another, keeps all."""
    near = weights(masks, masks[:, 0] if whole is None else whole)
    return fit(masks, y, near).coefficients


def _alike(counts: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """The rank correlation of coefficients [B, S] for each image [B]; 0 without an order."""
    found = torch.zeros(len(one), dtype=torch.float64)
    for i, count in enumerate(counts.tolist()):
        ranks = [rankdata(b[i, :count].numpy()) - (count + 1) / 2 for b in (one, other)]
        lengths = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
        found[i] = ranks[0] @ ranks[1] / lengths if lengths else 0.0
    return found
