"""Whether a network gives the same reasons as its dense twin: their LIME maps, image by image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability.maps import explanations
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "explanation-agreement",
    title="Agreement of explanations",
    dimension="interpretability",
    better="higher",
    unit="",
    costly=True,
    caution=(
        "Two dense networks do not give the same reasons either: read it beside another seed's."
    ),
)
def explanation_agreement(
    model: nn.Module,
    dense_model: nn.Module,
    test: Images,
    *,
    images: int = 100,
    masks: int = 256,
    pictures: int = 4,
    seed: int = 0,
    batch_size: int = 64,
) -> Reading:
    """How alike the explanations of a network and of its dense twin are.

    Definition:
        Both networks are explained by LIME with the same superpixels and masks, for the class that
        the dense twin predicts, by the log-odds that each superpixel adds. The value is the mean
        over images of the cosine of the two maps, pixel by pixel; 0 where a map is empty. The
        images that agree least are kept with both maps, for the report.

    Formula:
        1/N sum_i <m_i, d_i> / (|m_i| |d_i|), m and d maps [H, W] of superpixels' coefficients

    Motivation:
        A ticket can answer as its twin does and look elsewhere for it. Where an explanation is
        part of the product, that is a change of behaviour which accuracy does not show.

    Advantages:
        The scale of logits does not enter; both networks see the same perturbations, so that only
        what differs in the networks remains. One value an image.

    Limitations:
        Masks are few, and two fits of one network would agree by less than 1 if their masks
        differed. It says that reasons differ, not whose are better. LIME explains what masked
        images do, which neither network was trained on.

    Source:
        Ribeiro et al., "Why Should I Trust You?", KDD 2016, for the maps; the comparison is ours.

    Args:
        model: The network; it is left as it is.
        dense_model: Its dense twin; likewise.
        test: Images of the test split.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        masks: For each image, 2 or more.
        pictures: How many images are kept for the report.
        seed: Of the masks.
        batch_size: Masked images per forward pass; it changes the time, not the answer.

    Raises:
        UserError: A number out of range.
        ValueError: A logit is not a finite number.
    """
    check_counts(pictures=pictures)
    target = Target.of(dense_model, test, batch_size=batch_size, images=images)
    shown = Images(target.pixels, target.labels)
    maps = explanations([dense_model, model], shown, masks=masks, seed=seed, batch_size=batch_size)
    dense, sparse = (_unit(found) for found in maps.values)
    cosines = (dense * sparse).sum(dim=(1, 2)).clamp(-1, 1).cpu().numpy()
    least = np.argsort(cosines, kind="stable")[:pictures]
    rows = torch.from_numpy(least)
    pixels = shown.take(rows.to(shown.pixels.device)).pixels.cpu()
    drawn = maps.values[:, rows].cpu().numpy().astype(np.float32)
    kept = {
        "pixels": pixels.numpy() if pixels.dtype == torch.uint8 else (pixels * 255).byte().numpy(),
        "dense": drawn[0],
        "sparse": drawn[1],
        "classes": maps.classes[rows].cpu().numpy(),
        "cosines": cosines[least],
    }
    reading = mean_reading(cosines)
    return Reading(
        reading.value, reading.stderr, reading.n, examples=reading.examples, pictures=kept
    )


def _unit(maps: Tensor) -> Tensor:
    """Maps [N, H, W] over their length; those without any stay empty."""
    length = maps.flatten(1).norm(dim=1)[:, None, None]
    return maps / torch.where(length > 0, length, 1.0)
