"""How much of what a network does LIME explains, on masks it has not seen."""

from __future__ import annotations

import torch
from torch import Tensor

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.metrics.attacks.target import share
from scratchcard.metrics.interpretability.lime import ROUNDING, Explanation, fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded
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
def fidelity_r2(occluded_logits: Occluded) -> Reading:
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
        occluded_logits: What the network answers to images of which segments are black, under 8
            masks or more; every fourth is held out.

    Raises:
        UserError: Fewer masks.
        NotApplicable: The answers vary with no image's segments.
    """
    count = occluded_logits.masks.shape[1]
    if count < 8:
        raise UserError(f"masks must be 8 or more, not {count}: every fourth is held out")
    held = torch.arange(count) % 4 == 3
    found, still = [], []
    for some, masks in occluded_logits.parts():
        y, w = some.log_odds, weights(masks, masks[:, 0])
        explained = fit(masks[:, ~held], y[:, ~held], w[:, ~held])
        mean = (w * y)[:, ~held].sum(dim=1) / w[:, ~held].sum(dim=1)
        blank = Explanation(torch.zeros_like(explained.coefficients), mean)
        error, spread = (_error(g, masks, y, w, held) for g in (explained, blank))
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
