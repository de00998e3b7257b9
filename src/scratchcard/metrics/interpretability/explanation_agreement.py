"""Whether a network gives the same reasons as its dense twin: their LIME maps, image by image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.interpretability.lime import fit, weights
from scratchcard.metrics.interpretability.occlusion import Occluded, Scene, log_odds, target_of
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "explanation-agreement",
    title="Agreement of explanations",
    dimension="interpretability",
    better="higher",
    unit="",
    defaults={"images": 100, "masks": 256},
    costly=True,
    caution=(
        "Two dense networks do not give the same reasons either: read it beside another seed's."
    ),
)
def explanation_agreement(
    model: nn.Module,
    dense_occluded_logits: Occluded,
    test: Images,
    *,
    pictures: int = 4,
    batch_size: int = 0,
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
        dense_occluded_logits: What its dense twin answers to images of which segments are black.
        test: Images of the test split.
        pictures: How many images are kept for the report.
        batch_size: Masked images per forward pass; 0 for as many as suit the device.

    Raises:
        UserError: A number out of range.
        ValueError: A logit is not a finite number.
    """
    check_counts(pictures=pictures)
    shown = test.take(dense_occluded_logits.rows)
    target = target_of(model, shown, batch_size)
    found: list[tuple[Tensor, Tensor]] = []
    for some, masks in dense_occluded_logits.parts():
        images = test.take(some.rows).to(target.labels.device).floats()
        scene = Scene.of(images, some.masks)
        answers, _ = log_odds(target, scene, classes=some.classes)
        parts = scene.segments.cpu()
        found.append((_maps(parts, masks, some.log_odds), _maps(parts, masks, answers)))
    dense, sparse = (torch.cat(maps) for maps in zip(*found, strict=True))
    cosines = (_unit(dense) * _unit(sparse)).sum(dim=(1, 2)).clamp(-1, 1).numpy()
    least = np.argsort(cosines, kind="stable")[:pictures]
    pixels = shown.take(least).pixels.cpu()
    kept = {
        "pixels": pixels.numpy() if pixels.dtype == torch.uint8 else (pixels * 255).byte().numpy(),
        "dense": dense[least].numpy().astype(np.float32),
        "sparse": sparse[least].numpy().astype(np.float32),
        "classes": dense_occluded_logits.classes[least].numpy(),
        "cosines": cosines[least],
    }
    reading = mean_reading(cosines)
    return Reading(
        reading.value, reading.stderr, reading.n, examples=reading.examples, pictures=kept
    )


def _maps(parts: Tensor, masks: Tensor, answers: Tensor) -> Tensor:
    """Of every pixel [B, H, W] what its segment adds to the log-odds; below 0 it speaks against."""
    slopes = fit(masks, answers, weights(masks, masks[:, 0])).coefficients
    return slopes.gather(1, parts.flatten(1)).reshape(parts.shape)


def _unit(maps: Tensor) -> Tensor:
    """Maps [N, H, W] over their length; those without any stay empty."""
    length = maps.flatten(1).norm(dim=1)[:, None, None]
    return maps / torch.where(length > 0, length, 1.0)
