"""LIME: what a network answers when segments of an image are black, and a linear fit to that.

Segments and masks depend on the image and a seed alone, so they are the same for every network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scratchcard.contracts import UserError
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import Target
from scratchcard.metrics.interpretability.segments import segments

KERNEL_WIDTH = 0.25
"""How fast a mask loses weight with its distance; the paper's, and LIME's default."""
RIDGE = 1.0
"""The penalty on squared coefficients, beside a sum over masks; the paper's and LIME's default."""
ROUNDING = 1e-5
"""What varies by no more than this share of its size varies by float32's rounding alone."""
TOGETHER = 4096
"""Masks of how many images are looked at together, so that batches are full; or one image's."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Some images, and which of their segments each mask keeps.

    Attributes:
        images: float [B, C, H, W], where the network is.
        segments: int64 [B, H, W], there too.
        masks: float64 [B, M, S] on the CPU, 1 where a segment is kept, else 0. The first mask of
            an image keeps all; a segment that only others of these images have is 0 throughout.
        counts: How many segments each image has, int64 [B].
    """

    images: Tensor
    segments: Tensor
    masks: Tensor
    counts: Tensor


@dataclass(frozen=True, eq=False)
class Explanation:
    """Linear functions of the segments that are kept, one for each image.

    Attributes:
        coefficients: float64 [B, S].
        intercept: float64 [B].
    """

    coefficients: Tensor
    intercept: Tensor

    def __call__(self, masks: Tensor) -> Tensor:
        """What they say of masks [B, M, S]: [B, M]."""
        return (masks @ self.coefficients[:, :, None])[:, :, 0] + self.intercept[:, None]


def scenes(target: Target, *, masks: int, seed: int) -> Iterator[Scene]:
    """All images of a target in order, a few at a time, with their segments and masks.

    But for the first, a mask keeps each segment with probability 1/2.

    Args:
        target: The network, and the images.
        masks: For each image, 2 or more.
        seed: Of the masks, which depend on it and on the image alone.

    Raises:
        UserError: Too few masks.
    """
    if masks < 2:
        raise UserError(f"masks must be 2 or more, not {masks}")
    for images, _ in replace(target, batch_size=max(1, TOGETHER // masks)).batches():
        found = segments(images)
        counts = found.amax(dim=(1, 2)) + 1
        kept = torch.zeros(len(images), masks, int(counts.max()), dtype=torch.float64)
        for i, count in enumerate(counts.tolist()):
            drawn = uniform(images[i : i + 1], (masks, count), seed, "segments kept")
            kept[i, :, :count] = drawn[0].cpu() < 0.5
            kept[i, 0, :count] = 1
        yield Scene(images, found.to(images.device), kept, counts)


def log_odds(
    target: Target, scene: Scene, *, images: Tensor | None = None, classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How sure a network is of a class under every mask: log p/(1 - p), p its probability.

    What a mask does not keep is black. A mask that comes twice is shown once: an image of five
    segments has 32 of them.

    Args:
        target: The network; ``batch_size`` masked images are shown at a time.
        scene: Segments and masks.
        images: Others of the same form to cover; the scene's if None.
        classes: int64 [B]; where None, the one that is predicted where all is kept.

    Returns:
        float64 [B, M] on the CPU, finite where p is 0 or 1 in float64, and the classes.

    Raises:
        ValueError: Some logits are not finite: nothing can be said of such a network.
    """
    images = scene.images if images is None else images
    count, masks, _ = scene.masks.shape
    owner = torch.arange(count).repeat_interleave(masks)
    numbered = torch.column_stack([owner, scene.masks.flatten(0, 1).long()])
    shown, place = torch.unique(numbered, dim=0, return_inverse=True)
    parts, found = scene.segments.flatten(1), []
    with torch.inference_mode():
        for some in torch.split(shown.to(images.device), target.batch_size):
            clear = some[:, 1:].gather(1, parts[some[:, 0]]).reshape(-1, 1, *images.shape[2:])
            found.append(target.network(images[some[:, 0]] * clear).cpu().double())
    logits = torch.cat(found)[place]
    if not logits.isfinite().all():
        raise ValueError("with segments in black, some logits are infinite or not a number")
    if classes is None:
        classes = logits[::masks].argmax(dim=1)
    own = classes.repeat_interleave(masks)[:, None]
    rest = logits.scatter(1, own, -torch.inf).logsumexp(dim=1)
    return (logits.gather(1, own)[:, 0] - rest).reshape(count, masks), classes


def weights(masks: Tensor, anchors: Tensor) -> Tensor:
    """How much each mask counts: sqrt(exp(-d^2 / width^2)), d its cosine distance to an anchor.

    A mask that keeps nothing has distance 1 to all.

    Args:
        masks: [B, M, S], of 0 and 1.
        anchors: The mask of each image that the others are compared with [B, S].

    Returns:
        [B, M].

    >>> import math
    >>> both = torch.eye(2, dtype=torch.float64)[None]
    >>> weights(both, both[:, 0]).tolist() == [[1.0, math.exp(-8)]]
    True
    """
    common = (masks @ anchors[:, :, None])[:, :, 0]
    lengths = (masks.sum(dim=2) * anchors.sum(dim=1, keepdim=True)).sqrt()
    distance = 1 - common / lengths.clamp(min=1)
    return (-(distance**2) / (2 * KERNEL_WIDTH**2)).exp()


def fit(masks: Tensor, answers: Tensor, weights: Tensor) -> Explanation:
    """Ridge regression with an intercept, of all images in one solve.

    Args:
        masks: [B, M, S]; a column of zeros gets the coefficient 0.
        answers: What is to be explained [B, M].
        weights: Of each mask [B, M].

    Returns:
        The least sum_m w_m (y_m - a - b z_m)^2 + RIDGE |b|^2 for each image.
    """
    shares = (weights / weights.sum(dim=1, keepdim=True))[:, None]
    middle, mean = shares @ masks, shares @ answers[:, :, None]
    x, y = masks - middle, answers[:, :, None] - mean
    weighed = (x * weights[:, :, None]).transpose(1, 2)
    penalty = RIDGE * torch.eye(masks.shape[2], dtype=masks.dtype)
    slopes = torch.linalg.solve(weighed @ x + penalty, weighed @ y)
    return Explanation(slopes[:, :, 0], (mean - middle @ slopes)[:, 0, 0])
