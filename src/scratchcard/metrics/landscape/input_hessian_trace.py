"""How curved the loss is by the pixels of an image, over all directions."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor, nn

from scratchcard.contracts import Part, Reading
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.landscape.hessian import derivatives, sample
from scratchcard.metrics.landscape.input_hessian import InputHessians, factors, image_probes
from scratchcard.registry import metric
from scratchcard.stats import mean_reading


@metric(
    "input-hessian-trace",
    title="Input Hessian trace",
    dimension="landscape",
    better="lower",
    unit="",
    headline=True,
    margin=0.25,
    scale="log",
    paper={"images": 200, "first": True, "probes": 100},
    caution=(
        "A network that is certain of every training image, or of none, is flat: read it beside "
        "accuracy and calibration."
    ),
)
def input_hessian_trace(
    model: nn.Module,
    train: Images,
    *,
    images: int = 500,
    first: bool = False,
    probes: int = 10,
    exact_classes: int = 100,
    batch_size: int = 32,
) -> Reading:
    """Mean over images of the trace of the loss's Hessian by the pixels.

    Definition:
        The trace of the Hessian of an image's cross-entropy by its pixels, in [0, 1], averaged over
        training images, in evaluation mode. Where logits are piecewise linear in the pixels (ReLU,
        max pooling, BatchNorm in evaluation mode) it is exact: one backward pass a class, no
        probes, and the labels do not matter. Whether they are is read off the operations that made
        them: any that is not known as piecewise linear (GELU, softmax attention, LayerNorm, a
        product of features) sends the network the general way, and so do more than
        ``exact_classes`` classes: Rademacher probes, drawn by the place of the image, so that they
        are the same for every network and other ones for every image. The parts are "per pixel"
        (the value divided by the numbers in an image), "gradient norm" (mean length of the loss's
        gradient by the pixels) and "exact" (1, or 0 where probes were used).

    Formula:
        1/N sum_i tr H_i,  H_i = J_i'(diag p_i - p_i p_i')J_i if exact, with J_i the Jacobian of
        the logits; else tr H_i ~ 1/M sum_m v_im' H_i v_im, v_im of signs

    Motivation:
        The paper's measure of how quickly the loss changes about the images: what is curved
        there, small changes of the input upset.

    Advantages:
        Exact for most convolutional networks. Differences of networks are paired image by image.
        Its standard error holds the probes' error too, as every image has its own. Nothing held
        grows with the number of probes.

    Limitations:
        It counts the certainty of the network: p_i near 0 and 1 flatten everything, as do logits
        that are all alike, and logits twice as large change it by far more than the function's
        classes do. Kinks of ReLU carry no curvature here, though the loss bends there. Images of
        other sizes, and values on other scales than [0, 1], are not comparable.

    Source:
        Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022, whose code takes
        the first 200 training images, and normalised pixels on ImageNet; Hutchinson, 1990, for
        the probes. The exact form is the Gauss-Newton matrix (Schraudolph, 2002) without a rest.

    Args:
        model: The network; it is left as it is.
        train: Images of the training split.
        images: How many, a fixed draw with equal counts a class; 0 for all.
        first: Take the first ones instead, as the paper does.
        probes: For each image, on the general way.
        exact_classes: Networks of more classes go the general way.
        batch_size: Images per step at most; it changes the time, not the answer.

    Raises:
        UserError: A number out of range, or a network that returns no logits.
        ValueError: Fewer than two images, logits that are not finite, or logits that depend on
            the other images of a batch.
        NotApplicable: Torch has no second derivative of one of its operations.
    """
    check_counts(probes=probes)
    taken = sample(model, train, images=images, first=first, batch_size=batch_size)
    hessians = InputHessians.of(model, taken, batch_size=batch_size, exact_classes=exact_classes)
    traces, slopes = [], []
    with derivatives(hessians.network):
        for rows, inputs, labels in hessians.batches():
            if hessians.exact:
                own = factors(hessians.network, inputs).double().square().sum(dim=(1, 2))
            else:
                own = _estimated(hessians, rows, inputs, labels, probes)
            traces.append(own.cpu())
            slopes.append(hessians.slopes(inputs, labels).norm(dim=1).cpu())
    reading = mean_reading(torch.cat(traces).numpy())
    slope = mean_reading(torch.cat(slopes).numpy())
    pixels = taken.pixels[0].numel()
    return mean_reading(
        torch.cat(traces).numpy(),
        parts={
            "per pixel": Part(reading.value / pixels, reading.stderr / pixels, reading.n),
            "gradient norm": Part(slope.value, slope.stderr, slope.n),
            "exact": Part(float(hessians.exact), 0.0, reading.n),
        },
    )


def _estimated(
    hessians: InputHessians, rows: Tensor, inputs: Tensor, labels: Tensor, probes: int
) -> Tensor:
    """Estimated traces of a batch, float64 [B]."""
    apply = hessians.products(inputs, labels)
    drawn = image_probes(rows, inputs[0].shape, "probe of an input")
    total = torch.zeros(len(rows), dtype=torch.float64, device=inputs.device)
    for probe in islice(drawn, probes):
        vectors = probe.to(inputs)
        total += (vectors.double() * apply(vectors).double()).sum(dim=1)
    return total / probes
