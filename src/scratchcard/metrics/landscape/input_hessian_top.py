"""How curved the loss is by the pixels of an image, in the most curved direction."""

from __future__ import annotations

import torch
from torch import nn

from scratchcard.contracts import Part, Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.landscape.hessian import derivatives, sample
from scratchcard.metrics.landscape.input_hessian import InputHessians, factors, image_probes
from scratchcard.metrics.landscape.lanczos import check_lanczos, lanczos
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "input-hessian-top",
    title="Largest eigenvalue of the input Hessian",
    dimension="landscape",
    better="lower",
    unit="",
    margin=0.25,
    scale="log",
    costly=True,
    paper={"images": 200, "first": True, "steps": 100},
    caution=(
        "A network that is certain of every training image, or of none, is flat: read it beside "
        "accuracy and calibration."
    ),
)
def input_hessian_top(
    model: nn.Module,
    train: Images,
    *,
    images: int = 500,
    first: bool = False,
    steps: int = 20,
    tolerance: float = 1e-3,
    exact_classes: int = 100,
    batch_size: int = 32,
) -> Reading:
    """Mean over images of the largest eigenvalue of the loss's Hessian by the pixels.

    Definition:
        Of each training image the algebraically largest eigenvalue of the Hessian of its
        cross-entropy by its pixels, in [0, 1] and in evaluation mode; then the mean. Where logits
        are piecewise linear in the pixels it is exact: that of the K x K Gram matrix of the
        Gauss-Newton factor (see the metric input-hessian-trace). Else Lanczos finds it, for all
        images of a batch at once, each until its relative residual is at most ``tolerance``. The
        parts are "residual" (the mean of these; 0 if exact), "unconverged" (the share of images
        above ``tolerance``) and "exact" (1, or 0 where Lanczos was used).

    Formula:
        1/N sum_i lambda_max(H_i);  of F_i F_i' if H_i = F_i' F_i

    Motivation:
        The direction in which a small change of this image does the most: the trace averages over
        thousands of directions that no attack takes.

    Advantages:
        For each image by itself: that of a batch's mean loss, which the paper's code prints,
        shrinks as the batch grows. Differences of networks are paired image by image.

    Limitations:
        As the trace, it is small where the network is certain, and kinks of ReLU do not count.
        Lanczos holds ``steps`` vectors of the size of a batch, which is kept small for it.

    Source:
        Moosavi-Dezfooli et al., "Robustness via Curvature Regularization, and Vice Versa", CVPR
        2019; Lanczos, 1950.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split.
        images: How many, a fixed draw with equal counts a class; 0 for all.
        first: Take the first ones instead, as the paper does.
        steps: Products for each image at most, if not exact.
        tolerance: Relative residual at which an image is done.
        exact_classes: Networks of more classes take Lanczos.
        batch_size: Images per step at most; it changes the time, not the answer.

    Raises:
        UserError: A number out of range, or a network that returns no logits.
        ValueError: Fewer than two images, logits that are not finite, or logits that depend on
            the other images of a batch.
        NotApplicable: Torch has no second derivative of one of its operations.
    """
    check_lanczos(steps, tolerance)
    check_counts(batch_size=batch_size)
    taken = sample(model, train, images=images, first=first, batch_size=batch_size)
    hessians = InputHessians.of(
        model, taken, batch_size=batch_size, exact_classes=exact_classes, vectors=steps
    )
    tops, residuals = [], []
    with derivatives(hessians.network):
        for rows, inputs, labels in hessians.batches():
            if hessians.exact:
                rooted = factors(hessians.network, inputs).double()
                # One at 0 may come out below by rounding.
                top = torch.linalg.eigvalsh(rooted @ rooted.mT)[:, -1].clamp(min=0)
                left = torch.zeros_like(top)
            else:
                start = next(image_probes(rows, inputs[0].shape, "start of an input"))
                apply = hessians.products(inputs, labels)
                found = lanczos(apply, start.to(inputs), steps=steps, tolerance=tolerance)
                del apply  # and with it the graph, before the next batch makes its own
                top, left = found.values, found.residuals
            tops.append(top.cpu())
            residuals.append(left.cpu())
    left = torch.cat(residuals)
    count = len(taken)
    return mean_reading(
        torch.cat(tops).numpy(),
        parts={
            "residual": Part(float(left.mean()), 0.0, count),
            "unconverged": Part(float((left > tolerance).double().mean()), 0.0, count),
            "exact": Part(float(hessians.exact), 0.0, count),
        },
    )
