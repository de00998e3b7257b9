"""How much of what a network does LIME explains, on masks it has not seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.metrics.interpretability.lime import (
    ROUNDING,
    Explanation,
    fit,
    log_odds,
    scenes,
    weights,
)
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "fidelity-r2",
    title="LIME fidelity (R²)",
    dimension="interpretability",
    better="higher",
    unit="",
    costly=True,
    caution="A network that is linear in its pixels is at 1, whatever it is worth.",
)
def fidelity_r2(
    model: nn.Module,
    test: Images,
    *,
    images: int = 200,
    masks: int = 128,
    seed: int = 0,
    batch_size: int = 64,
) -> Reading:
    """The share of a network's variation that LIME explains, on held-out masks.

    Definition:
        Segments of an image are made black at random, and a linear function of which are kept is
        fitted to the log-odds of the class that the network predicts of the whole image, on three
        quarters of the masks. On the others its squared error is compared with that of their mean
        in the fit: 1 is a perfect explanation, 0 one that explains nothing; it can be below 0.
        All masks count as they do in the fit: more, the nearer to the whole image they are. An
        image where the answers do not vary (by more than 1e-5 of their size, float32's rounding)
        counts as 0; "images without variation" is the share of these.

    Formula:
        1 - sum_m w_m (y_m - g(z_m))^2 / sum_m w_m (y_m - c)^2 over held-out masks; y = log p/(1-p);
        g(z) = a + b z, the least sum_m w_m (y_m - g(z_m))^2 + |b|^2 over the others, and c their
        mean by w; w = sqrt(exp(-d^2/0.25^2)), d the cosine distance of a mask to the one that
        keeps all

    Motivation:
        Fidelity in squares of probability is won by networks that are never sure. This asks how
        much is explained of what there is to explain.

    Advantages:
        Neither a factor of the logits nor, nearly, the number of masks moves it. Held out, so a fit
        to noise gains nothing. Log-odds do not saturate where probabilities do.

    Limitations:
        Additive networks win, and shallow ones are more additive: it measures how well this kind
        of explanation suits a network, not what it has learnt. The penalty costs a little (about
        0.01 at 128 masks, 0.002 at 256). Images with few segments are explained more easily; they
        are the same for every network.

    Source:
        The weighted R² of Ribeiro et al., "Why Should I Trust You?", KDD 2016 (their code's
        score), on the log-odds and on held-out masks.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        images: Explain only so many, drawn class by class, the same for every network; 0 for all.
        masks: For each image, 8 or more; every fourth is held out.
        seed: Of the masks, which depend on it and on the image alone.
        batch_size: Masked images per forward pass; it changes the time, not the answer.

    Raises:
        UserError: An option out of range.
        ValueError: A logit is not a finite number.
        NotApplicable: The answers vary with no image's segments.
    """
    if masks < 8:
        raise UserError(f"masks must be 8 or more, not {masks}: every fourth is held out")
    target = Target.of(model, test, batch_size=batch_size, images=images)
    held = torch.arange(masks) % 4 == 3
    found, still = [], []
    for scene in scenes(target, masks=masks, seed=seed):
        y, _ = log_odds(target, scene)
        w = weights(scene.masks, scene.masks[:, 0])
        explained = fit(scene.masks[:, ~held], y[:, ~held], w[:, ~held])
        mean = (w * y)[:, ~held].sum(dim=1) / w[:, ~held].sum(dim=1)
        blank = Explanation(torch.zeros_like(explained.coefficients), mean)
        error, spread = (_error(g, scene.masks, y, w, held) for g in (explained, blank))
        constant = spread <= (ROUNDING * y.abs().amax(dim=1).clamp(min=1)) ** 2
        found.append(torch.where(constant, 0, 1 - error / spread))
        still.append(constant)
    without = torch.cat(still)
    if without.all():
        raise NotApplicable("because the network's answers vary with no segment of any image")
    parts = {"images without variation": share(without.numpy())}
    return mean_reading(torch.cat(found).numpy(), parts=parts)


def _error(g: Explanation, masks: Tensor, y: Tensor, w: Tensor, held: Tensor) -> Tensor:
    """Mean squared error over held-out masks, by their weights [B]."""
    missed = (g(masks) - y).square()[:, held]
    return (w[:, held] * missed).sum(dim=1) / w[:, held].sum(dim=1)
