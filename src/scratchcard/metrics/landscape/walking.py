"""A private copy of a network that visits other weights and comes back, and the loss there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scratchcard.data.base import Images
from scratchcard.data.choose import choose
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.probe import Predictions, device_of, floats, logits
from scratchcard.seeds import numpy_stream
from scratchcard.stats import sample_size

STATISTICS_BATCH = 100
"""Most images that BatchNorm's statistics are taken of at a time; no option, they depend on it."""


@dataclass(frozen=True, eq=False)
class Walker:
    """A private copy of a network that visits other weights and comes back.

    Attributes:
        network: The copy, in evaluation mode.
        home: Its parameters and floating-point buffers as they were, by name.
    """

    network: nn.Module
    home: Mapping[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module) -> Walker:
        """Of a model, which is left as it is; parameters of the copy want gradients."""
        network = copy.deepcopy(model).eval().requires_grad_(True)
        network.zero_grad()
        return cls(network, {name: t.detach().clone() for name, t in state(network).items()})

    @contextmanager
    def at(self, there: Mapping[str, Tensor]) -> Iterator[nn.Module]:
        """The network with some of its tensors, by name, replaced until the block ends.

        Whatever happens in the block, the network is at home again after it, bit for bit;
        statistics that the block re-estimated too.
        """
        try:
            self._go(there)
            yield self.network
        finally:
            self._go(self.home)

    @torch.no_grad()
    def _go(self, there: Mapping[str, Tensor]) -> None:
        own = state(self.network)
        for name, tensor in there.items():
            own[name].copy_(tensor)


def state(model: nn.Module) -> dict[str, Tensor]:
    """Its parameters and floating-point buffers by name, each once."""
    buffers = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
    return {**dict(model.named_parameters()), **buffers}


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Its layers that keep statistics of what they have seen."""
    return [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]


@torch.no_grad()
def re_estimate(network: nn.Module, pixels: Tensor) -> None:
    """Put into BatchNorm's statistics, in place, their averages over these images.

    Each layer sees what the layers before it, normalised by the batch, make of batches of equal
    size (within one); the averages weigh batches alike. Dropout and all else stay in evaluation
    mode.

    Args:
        network: In evaluation mode, and never a user's: that of a ``Walker``.
        pixels: uint8, or float in [0, 1], [N, C, H, W].
    """
    layers = batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over batches
        layer.train()
    try:
        for some in torch.tensor_split(pixels, -(-len(pixels) // STATISTICS_BATCH)):
            network(floats(some.to(device_of(network))))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def sample(images: Images, count: int) -> Images:
    """So many of the images, the same for every network; 0 for all.

    They are drawn at random, each class by its share, and stay in the order of the split.

    Raises:
        UserError: A negative number.
    """
    count = sample_size(len(images), count)
    stream = numpy_stream(0, "images of the landscape")
    return images.take(choose(images.labels.cpu().numpy(), count, stream, even=False))


def predictions(network: nn.Module, images: Images, batch_size: int) -> Predictions:
    """What the network answers; a ``ValueError`` if that is no finite logits."""
    check_counts(batch_size=batch_size)
    found = logits(network, images.pixels, batch_size=batch_size)
    return Predictions(found, images.labels.cpu().numpy())


def losses(found: Predictions) -> np.ndarray:
    """Cross-entropy of each image [N]."""
    return np.asarray(-found.log_probabilities[np.arange(len(found)), found.labels])
