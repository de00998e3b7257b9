"""Noise tolerance: how much noise the weights bear before the loss rises."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.tolerance import Search, noisy_losses
from scratchcard.metrics.landscape.walking import Walker, losses, predictions, sample
from scratchcard.probe import logits
from scratchcard.prunable import KINDS, prunable
from scratchcard.registry import metric
from scratchcard.seeds import torch_stream


@metric(
    "noise-tolerance",
    title="Noise tolerance of weights",
    dimension="landscape",
    better="higher",
    unit="",
    costly=True,
    paper={"kinds": ("conv",), "draws": 15, "mirrored": False, "images": 0},
    caution=(
        "A share of the loss: where that is near 0, so is what is borne, and a badly fitted "
        "network bears most."
    ),
)
def noise_tolerance(
    model: nn.Module,
    train: Images,
    *,
    kinds: tuple[str, ...] = ("conv", "linear"),
    draws: int = 5,
    mirrored: bool = True,
    factor: float = 1.1,
    upper: float = 5.0,
    images: int = 500,
    seed: int = 0,
    batch_size: int = 128,
) -> Reading:
    """The largest relative noise on the weights at which the training loss rises by a tenth.

    Definition:
        Each weight gets normal noise in proportion to its size, so that those that are cut stay
        cut. The value is the largest sigma at which the mean loss over draws and images is at
        most 1.1 times the clean one; it is ``upper`` if even that is borne. Draws are the same
        for every sigma and every network (by the names of parameters), so that the loss is a
        smooth function of sigma, and dense and sparse are paired. Each is taken with both signs,
        which cancels the slope of the loss: a third of the variance at equal cost. The parts are
        the clean "loss" and "over draws", the value with the error of the draws alone.

    Formula:
        max sigma with 1/K sum_k L(w + sigma |w| z_k) <= 1.1 L(w), z_k ~ N(0, 1), by bisection
        to 1 % of sigma and a straight line between its last two points

    Motivation:
        PAC-Bayesian bounds on the generalisation error fall with the noise that weights bear. It
        says too how coarsely they may be rounded.

    Advantages:
        No scale of weights enters; forward passes alone; an error bar over draws and images.

    Limitations:
        It divides by the loss: networks that have learnt their images by heart bear less noise
        than others of the same accuracy. It is the number of a preprint, not a bound. If the loss
        crosses the limit more than once, bisection finds one crossing. BatchNorm's statistics are
        not re-estimated under noise.

    Source:
        Jiang et al., "Fantastic Generalization Measures and Where to Find Them", ICLR 2020, and
        the official code of Chen et al., TMLR 2022: convolutions alone, 15 draws, all training
        images. That code never takes the noise off again, so that whatever it measures next is
        of a noisy network; this is not reproduced.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split, not augmented.
        kinds: Layers whose weights get noise: conv, linear, embedding.
        draws: Of the noise, 2 or more.
        mirrored: Take each with both signs; the two count as one draw.
        factor: The loss may be so many times the clean one.
        upper: The largest sigma that is tried; where it is borne, there is a part "censored".
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        seed: Of the noise.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: There is no clean loss to speak of, or no layer of these kinds.
        UserError: An unknown kind, or a number out of range.
    """
    search = Search(draws, factor, upper)
    walker = Walker.of(model)
    _check_kinds(walker.network, kinds)
    weights = {name: p.detach().clone() for name, p in prunable(walker.network, kinds).items()}
    seen = sample(train, images)
    clean = losses(predictions(walker.network, seen, batch_size))
    labels = seen.labels.cpu().numpy()

    def at(sigma: float, draw: int) -> np.ndarray:
        moved = {
            name: w + sigma * w.abs() * weight_noise(w, seed, draw, name)
            for name, w in weights.items()
        }
        with walker.at(moved) as network:
            return noisy_losses(logits(network, seen.pixels, batch_size=batch_size), labels)

    def noisy(sigma: float, draw: int) -> np.ndarray:
        return (at(sigma, draw) + at(-sigma, draw)) / 2 if mirrored else at(sigma, draw)

    return search.reading(noisy, clean)


def _check_kinds(network: nn.Module, kinds: tuple[str, ...]) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UserError(f"kinds = {list(kinds)}, but must be one or more of {', '.join(KINDS)}")
    types = tuple(layer for kind in kinds for layer in KINDS[kind])
    if not any(isinstance(layer, types) for layer in network.modules()):
        raise NotApplicable(f"because the network has no {' or '.join(kinds)} layer")


def weight_noise(weight: Tensor, seed: int, draw: int, name: str) -> Tensor:
    """Standard normal numbers, drawn on the CPU: the device does not matter."""
    stream = torch_stream(seed, "noise on weights", draw, name)
    return torch.randn(weight.shape, generator=stream).to(weight)
