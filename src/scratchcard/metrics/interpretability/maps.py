"""Explanations one can look at: how much each part of an image speaks for a class, by LIME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scratchcard.data.base import Images
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability.lime import fit, log_odds, scenes, weights


@dataclass(frozen=True, eq=False)
class Maps:
    """What several networks see in the same images.

    Attributes:
        values: Of every network and image, the log-odds that the segment of each pixel adds,
            float64 [networks, N, H, W]; below 0 it speaks against the class.
        classes: What is explained of each image, int64 [N].
    """

    values: Tensor
    classes: Tensor


def explanations(
    networks: Sequence[nn.Module],
    shown: Images,
    *,
    classes: Tensor | None = None,
    masks: int = 256,
    seed: int = 0,
    batch_size: int = 64,
) -> Maps:
    """Explain what several networks answer to the same images, by the same segments and masks.

    Args:
        networks: Such as the dense one and its sparse twin; they are left as they are.
        shown: The images; labels play no part.
        classes: What to explain of each image, int64 [N]; what the first network predicts if None,
            of the others too: explanations of different classes cannot be compared.
        masks: For each image, 2 or more.
        seed: Of the masks.
        batch_size: Masked images per forward pass.

    Raises:
        UserError: Too few masks.
        ValueError: A logit is not a finite number.
    """
    values = []
    for network in networks:
        target = Target.of(network, shown, batch_size=batch_size)
        found: list[Tensor] = []
        explained: list[Tensor] = []
        for scene in scenes(target, masks=masks, seed=seed):
            first = sum(len(some) for some in explained)
            wanted = None if classes is None else classes[first : first + len(scene.images)].cpu()
            answers, own = log_odds(target, scene, classes=wanted)
            near = weights(scene.masks, scene.masks[:, 0])
            slopes, parts = fit(scene.masks, answers, near).coefficients, scene.segments.cpu()
            found.append(slopes.gather(1, parts.flatten(1)).reshape(parts.shape))
            explained.append(own)
        classes = torch.cat(explained)
        values.append(torch.cat(found))
    assert classes is not None
    return Maps(torch.stack(values), classes)
