"""Random numbers for attacks that belong to an image, in whatever batch and order it comes."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from scratchcard.seeds import torch_stream


def uniform(images: Tensor, shape: tuple[int, ...], seed: int, *purpose: str | int) -> Tensor:
    """Numbers in [0, 1) for every image [B, *shape], on its device.

    Each image has a stream of its own, from the seed, the purpose and its pixels in 8 bits, drawn
    on the CPU: neither the batch, nor the order, nor the device, nor the network matters, so a
    dense network and its sparse twins are attacked from the same starts.

    >>> pair = torch.rand(2, 1, 4, 4)
    >>> torch.equal(uniform(pair, (3,), 0, "start")[1:], uniform(pair[1:], (3,), 0, "start"))
    True
    """
    drawn = torch.empty(len(images), *shape)
    for row, pixels in zip(drawn, (images * 255).round().byte().cpu().numpy(), strict=True):
        fingerprint = zlib.crc32(pixels.tobytes())
        torch.rand(shape, generator=torch_stream(seed, "attack", *purpose, fingerprint), out=row)
    return drawn.to(images.device)


def start(images: Tensor, seed: int, *purpose: str | int) -> Tensor:
    """A random point of each image's ball, as shares of eps from its centre, in [-1, 1)."""
    return 2 * uniform(images, tuple(images.shape[1:]), seed, "start", *purpose) - 1
