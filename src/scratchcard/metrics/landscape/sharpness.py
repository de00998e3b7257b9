"""Sharpness: the worst of the loss in a ball about the weights."""

from __future__ import annotations

from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.ascent import surviving, worst_increase
from scratchcard.metrics.landscape.walking import Walker, sample
from scratchcard.registry import metric


@metric(
    "sharpness",
    title="Sharpness",
    dimension="landscape",
    better="lower",
    unit="",
    costly=True,
    caution=(
        "A radius means less to larger weights and another thing in fewer dimensions: across "
        "sparsities read adaptive-sharpness."
    ),
)
def sharpness(
    model: nn.Module,
    train: Images,
    *,
    rho: float = 0.05,
    steps: int = 1,
    images: int = 500,
    batch_size: int = 64,
) -> Reading:
    """How much the training loss rises, at most, where the weights move by a little.

    Definition:
        All parameters that survive move together by at most rho (Euclidean): biases and
        BatchNorm's factors too, weights that are cut (exact zeros of a matrix or filter) not. The
        worst point is sought as SAM does it, by one step of length rho up the gradient over all
        the images; with more steps, each of that length and then back into the ball, the worst of
        the points is taken. Evaluation mode, no weight decay. The parts are the "loss" and the
        "loss at the worst point".

    Formula:
        S = max over |d| <= rho of L(w + d) - L(w);  d_1 = rho g / |g|, g = grad L(w);
        to second order L(w + d_1) - L(w) = rho |g| + rho^2/2 g^T H g / |g|^2

    Motivation:
        Networks at a wide minimum are said to generalise better, and survive rounding of their
        weights; training that minimises this number (SAM) does make them better.

    Advantages:
        Cheap: a gradient and a forward pass. Each image gives one number, so differences of
        networks are paired. Of a softmax regression one step is exact to first order.

    Limitations:
        A lower bound of the maximum: the step can overshoot, and the value be negative. It can be
        set at will by rescaling layers without changing the function (Dinh et al., ICML 2017).
        The error bar takes the direction as given, though these very images chose it: on few
        images the value is too high.

    Source:
        Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization",
        ICLR 2021: rho 0.05.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split, not augmented.
        rho: Radius of the ball.
        steps: Of the ascent; one is SAM's.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        batch_size: Images per pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The loss has no slope.
    """
    walker = Walker.of(model)
    seen = sample(train, images)
    scale = surviving(walker.network)
    return worst_increase(walker, scale, seen, rho=rho, steps=steps, batch_size=batch_size)
