"""A network under attack and the images it must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import Part
from scratchcard.data.base import Images
from scratchcard.data.choose import choose
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.probe import Predictions, device_of, floats, inference_copy, logits
from scratchcard.seeds import numpy_stream
from scratchcard.stats import mean_reading, sample_size

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Of a network, images in [0, 1] [B, C, H, W] and labels [B]: the attacked images."""


@dataclass(frozen=True, eq=False)
class Target:
    """A network under attack and the images it must hold.

    Attributes:
        network: A fast copy in evaluation mode.
        pixels: uint8, or float in [0, 1], [N, C, H, W].
        labels: int64 [N], where the network is.
        batch_size: Images per step.
    """

    network: nn.Module
    pixels: Tensor
    labels: Tensor
    batch_size: int

    @classmethod
    def of(
        cls,
        model: nn.Module,
        test: Images,
        *,
        batch_size: int,
        images: int = 0,
        stderr: float = 0.0,
    ) -> Target:
        """Some images of the split (``sample``), or all; the same for every network.

        Raises:
            UserError: A number out of range.
        """
        check_counts(batch_size=batch_size)
        rows = sample(test, images=images, stderr=stderr)
        test = test.take(rows) if len(rows) < len(test) else test
        place = device_of(model)
        network = inference_copy(model, floats(test.pixels[:8].to(place)))
        return cls(network, test.pixels, test.labels.to(place), batch_size)

    def predictions(self) -> Predictions:
        """What it answers with nobody attacking."""
        found = logits(self.network, self.pixels, batch_size=self.batch_size)
        return Predictions(found, self.labels.cpu().numpy())

    def batches(self, rows: np.ndarray | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Images as floats and labels, of all or of some rows, in order."""
        wanted = torch.arange(len(self.labels)) if rows is None else torch.from_numpy(rows)
        for some in torch.split(wanted, self.batch_size):
            pixels = self.pixels[some.to(self.pixels.device)].to(self.labels.device)
            yield floats(pixels), self.labels[some.to(self.labels.device)]

    def holds(self, images: Tensor, labels: Tensor) -> np.ndarray:
        """Which of these images it classifies rightly, bool [B].

        Raises:
            ValueError: Some logits are not finite: nothing can be said of such a network.
        """
        with torch.no_grad():
            found = self.network(images)
        if not found.isfinite().all():
            raise ValueError("under attack, some logits are infinite or not a number")
        return np.asarray((found.argmax(dim=1) == labels).cpu().numpy())

    def left(self, attack: Attack, standing: np.ndarray) -> np.ndarray:
        """Which of the images that stand, bool [N], still stand after an attack on them."""
        left, rows = standing.copy(), np.flatnonzero(standing)
        if len(rows):
            left[rows] = np.concatenate(
                [
                    self.holds(attack(self.network, images, labels), labels)
                    for images, labels in self.batches(rows)
                ]
            )
        return left


def sample(
    test: Images, *, images: int = 0, stderr: float = 0.0, first: bool = False
) -> np.ndarray:
    """Rows of as many images as ``stats.sample_size`` says, in the order of the split.

    Args:
        test: The split.
        images: How many are wanted; 0 for all.
        stderr: The largest standard error that is wanted; 0 for no such wish.
        first: The first ones; else a fixed draw, each class by its share: the first images of a
            folder would all be of one class.

    Raises:
        UserError: A number out of range.
    """
    count = sample_size(len(test), images, stderr)
    if first or count == len(test):
        return np.arange(count)
    stream = numpy_stream(0, "images to attack")
    return choose(test.labels.cpu().numpy(), count, stream, even=False)


def share(found: np.ndarray) -> Part:
    """The share of images of which something is true, from bool [N]."""
    reading = mean_reading(found)
    return Part(reading.value, reading.stderr, reading.n)
