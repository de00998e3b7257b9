"""Noise tolerance of inputs: how much noise the pixels bear before the loss rises."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.tolerance import Search, noisy_losses
from scratchcard.metrics.landscape.walking import losses, predictions, sample
from scratchcard.probe import batches, device_of, floats, inference_copy, logits
from scratchcard.registry import metric
from scratchcard.seeds import torch_stream


@metric(
    "input-noise-tolerance",
    title="Noise tolerance of inputs",
    dimension="landscape",
    better="higher",
    unit="",
    costly=True,
    paper={"images": 0},
    caution=(
        "A share of the loss: where that is near 0, so is what is borne, and a badly fitted "
        "network bears most."
    ),
)
def input_noise_tolerance(
    model: nn.Module,
    train: Images,
    *,
    draws: int = 3,
    factor: float = 1.1,
    upper: float = 2.0,
    images: int = 500,
    seed: int = 0,
    batch_size: int = 128,
) -> Reading:
    """The largest noise on the pixels at which the training loss rises by a tenth.

    Definition:
        Each pixel, between 0 and 1, gets normal noise and is brought back to that range. The
        value is the largest sigma at which the mean loss over draws and images is at most 1.1
        times the clean one; it is ``upper`` if even that is borne. The noise of an image depends
        on its pixels and the draw alone, so that dense and sparse see the same. The parts are the
        clean "loss" and "over draws", the value with the error of the draws alone.

    Formula:
        max sigma with 1/(K N) sum_k sum_i l(clip(x_i + sigma z_ik, 0, 1)) <= 1.1 L, by bisection
        to 1 % of sigma and a straight line between its last two points

    Motivation:
        How flat is the loss in the inputs? A network that leans on fine patterns breaks at noise
        that nobody sees.

    Advantages:
        In the units of pixels; forward passes alone, on a fast copy; an error bar over draws and
        images.

    Limitations:
        It divides by the loss: networks that have learnt their images by heart bear less noise
        than others of the same accuracy. On images it was trained on; see corruption-error for
        new ones. If the loss crosses the limit more than once, bisection finds one crossing.

    Source:
        The official code of Chen et al., TMLR 2022: 3 draws, all training images. Run after the
        noise on weights, as its README does, it measures a network that is still noisy; this is
        not reproduced.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split, not augmented.
        draws: Of the noise, 2 or more.
        factor: The loss may be so many times the clean one.
        upper: The largest sigma that is tried; where it is borne, there is a part "censored".
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        seed: Of the noise.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: There is no clean loss to speak of.
        UserError: A number out of range.
    """
    search = Search(draws, factor, upper)
    seen, place = sample(train, images), device_of(model)
    network = inference_copy(model, floats(seen.pixels[:8].to(place)))
    clean = losses(predictions(network, seen, batch_size))
    labels = seen.labels.cpu().numpy()

    def noisy(sigma: float, draw: int) -> np.ndarray:
        found = np.concatenate(
            [
                logits(network, (some + sigma * pixel_noise(some, seed, draw)).clamp(0, 1))
                for some in batches(seen.pixels, batch_size, place)
            ]
        )
        return noisy_losses(found, labels)

    return search.reading(noisy, clean)


def pixel_noise(images: Tensor, seed: int, draw: int) -> Tensor:
    """Standard normal numbers for every pixel of images in [0, 1] [B, C, H, W].

    Each image has a stream of its own, from its pixels in 8 bits, drawn on the CPU: neither
    batches, nor the order, nor the device, nor the network matters.
    """
    drawn = torch.empty(images.shape)
    for row, pixels in zip(drawn, (images * 255).round().byte().cpu().numpy(), strict=True):
        stream = torch_stream(seed, "noise on pixels", draw, zlib.crc32(pixels.tobytes()))
        torch.randn(row.shape, generator=stream, out=row)
    return drawn.to(images.device)
