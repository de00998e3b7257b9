"""What a network answers when segments of an image are black: all that LIME asks of it.

Segments and masks depend on the image and a seed alone, so they are the same for every network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.noise import uniform
from scratchcard.metrics.attacks.target import Target, sample
from scratchcard.metrics.interpretability.segments import segments
from scratchcard.probe import device_of

TOGETHER = 4096
"""Masks of how many images are looked at together, so that batches are full; or one image's."""


@dataclass(frozen=True, eq=False)
class Occluded:
    """How sure a network is of what it predicts of N images, while segments of them are black.

    Attributes:
        rows: Which images of the split these are, int64 [N].
        masks: bool [N, M, S], true where a segment is kept. The first mask of an image keeps all;
            a segment that only other images have is false throughout.
        log_odds: log p/(1 - p) under every mask, float64 [N, M], finite where p, the probability
            of the class, is 0 or 1 in float64.
        classes: The class of each image, int64 [N]: what is predicted where all is kept.
    """

    rows: Tensor
    masks: Tensor
    log_odds: Tensor
    classes: Tensor

    @property
    def counts(self) -> Tensor:
        """How many segments each image has, int64 [N]."""
        return self.masks[:, 0].sum(dim=1)

    def parts(self) -> Iterator[tuple[Occluded, Tensor]]:
        """A few images at a time, and their masks for fits: float64 [B, M, S'] of 0 and 1.

        The masks are cut to as many segments as the part has; all of ImageNet's would fill memory.
        """
        step = max(1, TOGETHER // self.masks.shape[1])
        for some in torch.split(torch.arange(len(self.rows)), step):
            masks = self.masks[some, :, : int(self.counts[some].max())]
            part = Occluded(self.rows[some], masks, self.log_odds[some], self.classes[some])
            yield part, masks.double()

    def pack(self) -> dict[str, np.ndarray]:
        """As arrays, a bit for every mask and segment."""
        return {
            "rows": self.rows.numpy(),
            "masks": np.packbits(self.masks.numpy()),
            "shape": np.array(self.masks.shape),
            "log_odds": self.log_odds.numpy(),
            "classes": self.classes.numpy(),
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray]) -> Occluded:
        """What was packed."""
        shape = tuple(arrays["shape"].tolist())
        bits = np.unpackbits(arrays["masks"], count=int(np.prod(shape))).reshape(shape)
        rows, found, classes = (
            torch.from_numpy(arrays[name]) for name in ("rows", "log_odds", "classes")
        )
        return cls(rows, torch.from_numpy(bits).bool(), found, classes)


@dataclass(frozen=True, eq=False)
class Scene:
    """Some images, and which of their segments each mask keeps.

    Attributes:
        images: float [B, C, H, W], where the network is.
        segments: int64 [B, H, W], there too.
        masks: bool [B, M, S] on the CPU, as in ``Occluded``.
    """

    images: Tensor
    segments: Tensor
    masks: Tensor

    @classmethod
    def of(cls, images: Tensor, masks: Tensor) -> Scene:
        """Images with masks of their segments, which are found again: that is soon done."""
        return cls(images, segments(images).to(images.device), masks)


def occlude(
    model: nn.Module,
    test: Images,
    *,
    images: int = 200,
    first: bool = False,
    masks: int = 128,
    seed: int = 0,
    batch_size: int = 0,
) -> Occluded:
    """Show a network images with segments in black (``contracts.NEED_OPTIONS`` has the options).

    Raises:
        UserError: An option out of range.
        ValueError: A logit is not a finite number.
    """
    rows = sample(test, images=images, first=first)
    target = target_of(model, test.take(rows), batch_size)
    kept, found, predicted = [], [], []
    for scene in scenes(target, masks=masks, seed=seed):
        answers, classes = log_odds(target, scene)
        kept.append(scene.masks)
        found.append(answers)
        predicted.append(classes)
    widest = max(some.shape[2] for some in kept)
    padded = [nn.functional.pad(some, (0, widest - some.shape[2])) for some in kept]
    return Occluded(
        torch.from_numpy(rows), torch.cat(padded), torch.cat(found), torch.cat(predicted)
    )


def target_of(model: nn.Module, shown: Images, batch_size: int) -> Target:
    """A fast copy of a network and all images; 0 is the batch that suits the device.

    ResNet-20's passes take 1.3 times as long in batches of 64 as of 16 on a CPU, those of a
    ResNet-18 at 224 pixels 1.2 times.
    """
    suits = 16 if device_of(model).type == "cpu" else 256
    return Target.of(model, shown, batch_size=batch_size or suits)


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
        kept = torch.zeros(len(images), masks, int(counts.max()), dtype=torch.bool)
        for i, count in enumerate(counts.tolist()):
            drawn = uniform(images[i : i + 1], (masks, count), seed, "segments kept")
            kept[i, :, :count] = drawn[0].cpu() < 0.5
            kept[i, 0, :count] = True
        yield Scene(images, found.to(images.device), kept)


def log_odds(
    target: Target, scene: Scene, *, classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How sure a network is of a class under every mask: log p/(1 - p), p its probability.

    What a mask does not keep is black. A mask that comes twice is shown once: an image of five
    segments has 32 of them.

    Args:
        target: The network; ``batch_size`` masked images are shown at a time.
        scene: Images, segments and masks.
        classes: int64 [B]; where None, the one that is predicted where all is kept.

    Returns:
        float64 [B, M] on the CPU, finite where p is 0 or 1 in float64, and the classes.

    Raises:
        ValueError: Some logits are not finite: nothing can be said of such a network.
    """
    images, (count, masks, _) = scene.images, scene.masks.shape
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
