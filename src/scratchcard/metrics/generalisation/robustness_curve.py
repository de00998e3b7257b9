"""Accuracy over the size of the attack, and how little is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.ball import Ball
from scratchcard.metrics.attacks.checks import check_counts, check_eps
from scratchcard.metrics.attacks.losses import climb, log_odds
from scratchcard.metrics.attacks.noise import start
from scratchcard.metrics.attacks.pgd import pgd
from scratchcard.metrics.attacks.target import Target, share
from scratchcard.registry import metric
from scratchcard.stats import mean_reading, statistic_reading

Strike = Callable[[Tensor, Tensor], Tensor]
"""Of rows of a batch and eps for each: the attacked images."""


@metric(
    "robustness-curve",
    title="Area under the robustness curve",
    dimension="generalisation",
    better="higher",
    costly=True,
    version=2,
    caution="It depends on the largest eps, and bounds robustness from above, like its attack.",
)
def robustness_curve(
    model: nn.Module,
    test: Images,
    *,
    attack: Literal["pgd", "fgsm"] = "pgd",
    eps: tuple[float, ...] = (0.25 / 255, 0.5 / 255, 1 / 255, 2 / 255, 4 / 255, 8 / 255),
    steps: int = 10,
    bisections: int = 4,
    images: int = 0,
    stderr: float = 0.0,
    seed: int = 0,
    batch_size: int = 256,
) -> Reading:
    """Area under accuracy over eps, as a share of what a network that never errs would have.

    Definition:
        Every image climbs the ladder of eps until the attack fools the network; the gap between
        the last eps it stood and the first it did not is then halved again and again. The middle
        of what is left is the image's smallest eps; it is 0 if the image was wrong before, and
        the end of the ladder if it stood everything. The parts are the accuracy at each eps, and
        "median smallest eps", in units of the pixel range.

    Formula:
        A(e) = 1/N sum_i [e_i > e];  value = 1/E integral_0^E A(e) de = 1/N sum_i min(e_i, E) / E;
        without bisections the trapezoid rule over the ladder.

    Motivation:
        At 8/255 every undefended network is at 0, dense and sparse alike, and a difference cannot
        show; at a quarter of a pixel level it can.

    Advantages:
        No eps to choose; an average over images, so differences of networks are paired; small eps
        are where one step of the gradient already tells nearly everything. It cannot rise with
        eps: what was enough once is enough ever after.

    Limitations:
        It costs up to (rungs + bisections) x steps gradients an image. The median reads the
        end of the ladder if half of the images stood it. FGSM gives every image one direction
        only, so it is quick (one gradient an image) and flatters.

    Source:
        Carlini et al., "On Evaluating Adversarial Robustness", 2019, section 5 (curves over eps);
        Brendel et al., NeurIPS 2019 (median smallest perturbations). The ladder is ours.

    Args:
        model: The network; it is left as it is.
        test: Images of the test split.
        attack: "pgd", or "fgsm", one direction an image.
        eps: The ladder, rising; largest changes of a pixel, of the range [0, 1].
        steps: Gradients of PGD at each eps; a step is a quarter of it.
        bisections: How often the gap is halved.
        images: Attack only so many, drawn class by class, the same for every network; 0 for all.
        stderr: Or so many that a share of them has at most this standard error; 0 for all.
        seed: Of PGD's random starts, which depend on it and on the image alone.
        batch_size: Images per step; it changes the time, not the answer.
    """
    _check(attack, eps, bisections)
    check_counts(steps=steps)
    target = Target.of(model, test, batch_size=batch_size, images=images, stderr=stderr)
    right = target.predictions().correct
    parts = np.split(right, range(batch_size, len(right), batch_size))
    gaps = []
    for (clean, labels), standing in zip(target.batches(), parts, strict=True):
        if attack == "pgd":
            strike = _pgd(target.network, clean, labels, steps, seed)
        else:
            strike = _one_direction(target.network, clean, labels)
        gaps.append(_gap(target, strike, labels, standing, eps, bisections))
    low, high = np.concatenate(gaps, axis=1)
    smallest = (low + np.minimum(high, eps[-1])) / 2
    return mean_reading(smallest / eps[-1], parts=_parts(right, low, smallest, eps))


def _check(attack: str, eps: tuple[float, ...], bisections: int) -> None:
    if attack not in ("pgd", "fgsm"):
        raise UserError(f'attack is "pgd" or "fgsm", not "{attack}"')
    for one in eps:
        check_eps(one)
    if not eps or list(eps) != sorted({0.0, *eps})[1:]:
        raise UserError(f"eps must be one or more numbers above 0, rising, not {list(eps)}")
    if bisections < 0:
        raise UserError(f"bisections must be 0 or more, not {bisections}")


def _one_direction(network: nn.Module, images: Tensor, labels: Tensor) -> Strike:
    """Along the sign of the gradient at the image, however far."""
    heading = climb(network, images, labels, log_odds)[2].sign()
    return lambda rows, eps: Ball.around(images[rows], eps).move(heading[rows])


def _pgd(network: nn.Module, images: Tensor, labels: Tensor, steps: int, seed: int) -> Strike:
    begin = start(images, seed, "robustness-curve")

    def strike(rows: Tensor, eps: Tensor) -> Tensor:
        return pgd(network, images[rows], labels[rows], eps=eps, steps=steps, start=begin[rows])

    return strike


def _gap(
    target: Target,
    strike: Strike,
    labels: Tensor,
    right: np.ndarray,
    ladder: tuple[float, ...],
    bisections: int,
) -> np.ndarray:
    """The last eps that each image stood and the first it did not, [2, B].

    They are 0 and 0 for images that were wrong before, and the second is infinite for those that
    stood the whole ladder.
    """
    low, high = np.zeros(len(right)), np.where(right, np.inf, 0.0)

    def attempt(tried: np.ndarray, eps: np.ndarray) -> None:
        rows = np.flatnonzero(tried)
        if not len(rows):
            return
        index = torch.from_numpy(rows).to(labels.device)
        stood = target.holds(strike(index, torch.from_numpy(eps[rows])), labels[index])
        low[rows[stood]] = eps[rows[stood]]
        high[rows[~stood]] = eps[rows[~stood]]

    for rung in ladder:
        attempt(np.isinf(high), np.full(len(right), rung))
    for _ in range(bisections):
        attempt(right & np.isfinite(high), (low + high) / 2)
    return np.stack([low, high])


def _parts(
    right: np.ndarray, low: np.ndarray, smallest: np.ndarray, ladder: tuple[float, ...]
) -> dict[str, Part]:
    """Accuracy at each eps, and the median of the smallest ones."""
    median = statistic_reading(lambda index: np.median(smallest[index]), [len(smallest)])
    return {
        "eps 0": share(right),
        **{f"eps {eps * 255:g}/255": share(low >= eps) for eps in ladder},
        "median smallest eps": Part(median.value, median.stderr, median.n),
    }
