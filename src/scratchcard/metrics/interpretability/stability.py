"""Stability of LIME as the paper computes it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import share
from scratchcard.metrics.interpretability.lime import fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "stability",
    title="LIME instability",
    dimension="interpretability",
    better="lower",
    unit="",
    headline=True,
    margin=0.10,
    scale="log",
    paper={"images": 100, "first": True, "masks": 1000},
    caution=(
        "Squared probabilities: weak and unconfident networks win, and no input is changed. Read "
        "it beside accuracy, its own part size and stability-noise."
    ),
)
def stability(
    occluded_logits: Occluded, test: Images, *, repeats: int = 5, seed: int = 0
) -> Reading:
    """How far the coefficients of LIME move when the fit is centred on another mask.

    Definition:
        Of the masks that an explanation is fitted to (see fidelity), one is drawn at random, and
        the fit is done again with the weights that masks have by their distance to this one
        instead of to the whole image. The value is the squared distance of the two sets of
        coefficients, averaged over the draws. The part "size" is the squared length of the
        coefficients of the whole image.

    Formula:
        1/R sum_r |b(1) - b(z_r)|^2;  b(z) the coefficients with weights
        sqrt(exp(-d^2/0.25^2)), d the cosine distance of a mask to z

    Motivation:
        Explanations of almost the same thing should be almost the same.

    Advantages:
        The paper's definition, without its randomness: segments, masks and draws are the same for
        every network, so differences are paired. It needs no more of the network than fidelity.

    Limitations:
        Nothing but the weights of the fit changes: no image, no segment, no answer. In squares of
        probability, so that a network that is never sure is stable; divided by "size" it is less
        so. It grows as masks become fewer: compare readings of equal masks alone. Of an image with
        a single segment, half of the masks keep nothing, which is at distance 1 from everything.
        stability-noise changes the image and looks at the order of the segments.

    Source:
        The official code of Chen et al., TMLR 2022: 1,000 masks and the first 100 test images (the
        profile paper), 5 draws. Its random state, and its failing with fewer than five images, are
        not reproduced.

    Args:
        occluded_logits: What the network answers to images of which segments are black.
        test: Images of the test split: the draws depend on them.
        repeats: How many masks the fit is centred on instead.
        seed: Of the draws.

    Raises:
        UserError: No repeats.
    """
    check_counts(repeats=repeats)
    moved, size = [], []
    for some, masks in occluded_logits.parts():
        p, shown = some.log_odds.sigmoid(), test.take(some.rows).floats()
        drawn = (uniform(shown, (repeats,), seed, "centres").cpu() * masks.shape[1]).long()
        whole, *others = (
            fit(masks, p, weights(masks, centre)).coefficients
            for centre in (masks[:, 0], *_rows(masks, drawn))
        )
        moved.append(torch.stack([(b - whole).square().sum(dim=1) for b in others]).mean(dim=0))
        size.append(whole.square().sum(dim=1))
    return mean_reading(torch.cat(moved).numpy(), parts={"size": share(torch.cat(size).numpy())})


def _rows(masks: Tensor, drawn: Tensor) -> Iterator[Tensor]:
    """For each draw [B, R] the masks that it names, of every image one [B, S]."""
    for column in drawn.T:
        yield masks[torch.arange(len(masks)), column]
