"""The fast gradient sign attack of Goodfellow et al., ICLR 2015."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from scratchcard.metrics.attacks.losses import climb


def direction(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Sign of the gradient of each image's own cross-entropy in its pixels [B, C, H, W].

    In float32, as the attack was published: where the network is so sure that the gradient
    underflows, it is 0.
    """
    return climb(network, images, labels, _cross_entropy)[2].sign()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")
