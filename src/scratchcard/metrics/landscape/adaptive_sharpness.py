"""Adaptive sharpness: the worst of the loss where each weight moves by a share of itself."""

from __future__ import annotations

from torch import nn

from scratchcard.contracts import Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.ascent import worst_increase
from scratchcard.metrics.landscape.walking import Walker, sample
from scratchcard.registry import metric


@metric(
    "adaptive-sharpness",
    title="Adaptive sharpness",
    dimension="landscape",
    better="lower",
    unit="",
    costly=True,
    caution="It follows the loss itself: a network that fits badly can be flat.",
)
def adaptive_sharpness(
    model: nn.Module,
    train: Images,
    *,
    rho: float = 0.5,
    steps: int = 1,
    images: int = 500,
    batch_size: int = 64,
) -> Reading:
    """How much the training loss rises, at most, where weights move by shares of themselves.

    Definition:
        As sharpness, but each parameter moves in units of its own size: the shares together have
        a Euclidean norm of at most rho. What is zero, and so every weight that is cut, stays. One
        step up the gradient with respect to the shares, or several. The parts are the "loss" and
        the "loss at the worst point".

    Formula:
        S = max over |u| <= rho of L(w + |w| u) - L(w), the products element by element;
        u_1 = rho |w| g / ||w| g|, g = grad L(w)

    Motivation:
        Sharpness that cannot be set by rescaling: a layer times 4 and the next by 1/4 compute the
        same, and have the same value here. So networks of other norms and sparsities can be laid
        side by side.

    Advantages:
        No scale of weights enters; a gradient and a forward pass; paired by images.

    Limitations:
        A lower bound of the maximum. It correlates poorly with generalisation across recipes
        (Andriushchenko et al., ICML 2023). The same rho spreads over fewer weights in a sparse
        network, each of which moves more. The error bar takes the direction as given.

    Source:
        Kwon et al., "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of
        Deep Neural Networks", ICML 2021: rho 0.5 for CIFAR-10. Their code adds 0.01 to |w| and
        leaves biases unscaled, which undoes the invariance; neither is done here.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split, not augmented.
        rho: Radius of the ball, in shares of the weights.
        steps: Of the ascent.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        batch_size: Images per pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The loss has no slope.
    """
    walker = Walker.of(model)
    seen = sample(train, images)
    scale = {name: p.detach().abs() for name, p in walker.network.named_parameters()}
    return worst_increase(walker, scale, seen, rho=rho, steps=steps, batch_size=batch_size)
