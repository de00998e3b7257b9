"""How curved the loss is by the weights, in the most curved direction."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from scratchcard.contracts import Part, Reading
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.hessian import (
    Weights,
    block_part,
    block_reading,
    by_blocks,
    derivatives,
    sample,
)
from scratchcard.metrics.landscape.lanczos import Ritz, check_lanczos, lanczos
from scratchcard.registry import metric


@metric(
    "weight-hessian-top",
    title="Largest eigenvalue of the weight Hessian",
    dimension="landscape",
    better="lower",
    unit="",
    margin=0.25,
    scale="log",
    costly=True,
    paper={"images": 200, "first": True, "steps": 100},
    caution=(
        "Scaling layers changes it though the function stays: compare the part "
        '"scale-invariant". An eigenvalue whose residual is large has not converged.'
    ),
)
def weight_hessian_top(
    model: nn.Module,
    train: Images,
    *,
    images: int = 500,
    first: bool = False,
    steps: int = 20,
    tolerance: float = 1e-3,
    batch_size: int = 32,
) -> Reading:
    """Largest eigenvalue of the Hessian of the mean cross-entropy by the surviving weights.

    Definition:
        The algebraically largest eigenvalue of the Hessian that the metric weight-hessian-trace
        takes the trace of, on the same images: surviving weights and all other parameters, in
        evaluation mode. Lanczos with full reorthogonalisation starts from signs drawn by the
        names of the parameters and ends when the relative residual is at most ``tolerance``. The
        parts are "all coordinates" (with the pruned weights), "scale-invariant" (of the Hessian
        by the logarithms of the weights' sizes, but for the gradient's share; scaling one ReLU
        layer up and the next down does not change it) and the "residual" that each ended with.
        The standard error is from the spread of u'H_b u over 25 blocks of images, with u the
        eigenvector found.

    Formula:
        lambda = u'Hu = max over |u| = 1;  residual |Hu - lambda u| / |lambda|;
        scale-invariant: of W H W, W = diag w

    Motivation:
        The sharpest direction limits the step size of training and the noise that weights bear.

    Advantages:
        The error of lambda is of the order of the residual's square. Power iteration, as in the
        paper's code, finds the largest in magnitude instead, which can be a negative one.

    Limitations:
        As the trace, it depends on the scale of layers. On few images it is too large on average,
        since u fits them: compare networks on the same images. ``steps`` vectors of the length of
        all parameters are held.

    Source:
        Lanczos, 1950; Ghorbani et al., "An Investigation into Neural Net Optimization via Hessian
        Eigenvalue Density", ICML 2019.

    Args:
        model: The network, cut weights held at zero; it is left as it is.
        train: Images of the training split.
        images: How many, a fixed draw with equal counts a class; 0 for all.
        first: Take the first ones instead, as the paper does.
        steps: Products with the Hessian at most, for each of the three forms.
        tolerance: Relative residual at which to stop.
        batch_size: Images per graph at most; it changes the memory, not the answer.

    Raises:
        UserError: A number out of range, a network that returns no logits, or one without plain
            conv and linear weights.
        ValueError: Fewer than two images, logits that are not finite, or logits that depend on
            the other images of a batch.
        NotApplicable: Torch has no second derivative of one of its operations.
    """
    check_lanczos(steps, tolerance)
    taken = sample(model, train, images=images, first=first, batch_size=batch_size)
    weights = Weights.of(model)

    def top(scale: Tensor) -> Ritz:
        apply = partial(_product, weights, taken, scale, batch_size=batch_size)
        start = weights.probe("start of weights") * scale.sign().square()
        return lanczos(apply, start[None], steps=steps, tolerance=tolerance)

    alive = weights.alive.to(weights.values)
    own = top(alive)
    tops = (own, own if alive.all() else top(torch.ones_like(alive)), top(weights.values))
    scales = (alive, torch.ones_like(alive), weights.values)
    moves = [scale * found.vectors[0] for scale, found in zip(scales, tops, strict=True)]
    values = by_blocks(weights, taken, batch_size=batch_size, directions=lambda _: iter([moves]))[
        :, 0
    ]
    count = len(taken)
    parts = {
        "all coordinates": block_part(values[:, 1], count),
        "scale-invariant": block_part(values[:, 2], count),
    }
    for label, found in zip(("", ", all coordinates", ", scale-invariant"), tops, strict=True):
        parts["residual" + label] = Part(float(found.residuals[0]), 0.0, found.products)
    return block_reading(values[:, 0], count, parts)


def _product(
    weights: Weights, taken: Images, scale: Tensor, vectors: Tensor, *, batch_size: int
) -> Tensor:
    """Of a vector [1, P] with the Hessian between two diagonal matrices of the scale."""
    with derivatives(weights.network):
        total = torch.zeros_like(scale)
        for rows in torch.split(torch.arange(len(taken)), batch_size):
            total += weights.products(taken.take(rows), len(taken))(vectors[0] * scale)
    return (total * scale)[None]
