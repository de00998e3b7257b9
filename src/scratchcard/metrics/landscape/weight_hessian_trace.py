"""How curved the loss is by the weights, over all directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor, nn

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.hessian import (
    Weights,
    block_part,
    block_reading,
    by_blocks,
    sample,
)
from scratchcard.registry import metric


@metric(
    "weight-hessian-trace",
    title="Weight Hessian trace",
    dimension="landscape",
    better="lower",
    unit="",
    headline=True,
    margin=0.25,
    scale="log",
    paper={"images": 200, "first": True, "probes": 100},
    caution=(
        "Raw traces of networks of different sparsity are sums over different numbers of weights, "
        "and scaling layers changes them though the function stays: compare the part "
        '"scale-invariant" before calling a network flatter.'
    ),
)
def weight_hessian_trace(
    model: nn.Module,
    train: Images,
    *,
    images: int = 500,
    first: bool = False,
    probes: int = 4,
    batch_size: int = 32,
) -> Reading:
    """Trace of the Hessian of the mean cross-entropy by the surviving weights.

    Definition:
        The trace of the Hessian of the mean cross-entropy on training images, in evaluation mode,
        without weight decay, over all parameters (BatchNorm's and biases too) but the zeros of
        conv and linear weights, which are the pruned ones. It is estimated with a fixed number of
        Rademacher probes. The images are dealt out into 25 blocks, class by class, and every
        block has probes of its own, drawn by the names of the parameters and the same for every
        network. The standard error is from the spread of the blocks, which share neither images
        nor probes: it holds the errors of both. The parts are "all coordinates" (with the pruned
        weights), "per parameter" (the value divided by the number of coordinates it sums over),
        "scale-invariant" (sum of w_i^2 H_ii, which scaling one ReLU layer up and the next down
        does not change; from the same probes) and "error of probes" (what the standard error
        would be if only the probes were drawn anew: more of them mend that, and no more).

    Formula:
        1/B sum_b 1/M sum_m v_bm' H_b v_bm,  v_bm of signs on surviving weights, 0 on pruned ones;
        scale-invariant: with v_bm * w for v_bm

    Motivation:
        The paper's measure of flatness: wide minima are held to generalise, and a ticket that
        lies in one bears noise on its weights.

    Advantages:
        Unbiased whatever the number of probes: nothing stops early. More probes cost time but no
        memory. A graph holds about three times as much for each image as training does, so that
        one of 32 images fits where a training step of 128 fits. Blocks with probes of their own
        leave less error than probes shared by all images, at the same cost.

    Limitations:
        Not invariant: scaling two layers by 4 and 1/4 leaves the function as it is and moves the
        trace tenfold. A sparse network has fewer coordinates to sum over, so a smaller trace does
        not mean a flatter minimum. Certain networks look flat. Kinks of ReLU carry no curvature.
        An estimate can be negative.

    Source:
        Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022, whose code takes
        the first 200 training images and at most 100 probes; Hutchinson, 1990; Dinh et al.,
        "Sharp Minima Can Generalize for Deep Nets", ICML 2017, on scaling.

    Args:
        model: The network, cut weights held at zero; it is left as it is.
        train: Images of the training split.
        images: How many, a fixed draw with equal counts a class; 0 for all.
        first: Take the first ones instead, as the paper does.
        probes: For each block of images, 2 or more. Each takes three products with the Hessian,
            of a network without zeros two.
        batch_size: Images per graph at most; it changes the memory, not the answer.

    Raises:
        UserError: A number out of range, a network that returns no logits, or one without plain
            conv and linear weights.
        ValueError: Fewer than two images, logits that are not finite, or logits that depend on
            the other images of a batch.
        NotApplicable: Torch has no second derivative of one of its operations.
    """
    if probes < 2:
        raise UserError(f"probes must be 2 or more, for their spread to be known, not {probes}")
    taken = sample(model, train, images=images, first=first, batch_size=batch_size)
    weights = Weights.of(model)

    def directions(block: int) -> Iterator[Sequence[Tensor]]:
        for number in range(probes):
            probe = weights.probe("probe of weights", block, number)
            yield probe * weights.alive, probe * ~weights.alive, probe * weights.values

    found = by_blocks(weights, taken, batch_size=batch_size, directions=directions)
    # Pruned and surviving weights have independent signs: what couples them is 0 on average.
    surviving, pruned, scaled = found.mean(axis=1).T
    count, kept = len(taken), int(weights.alive.sum())
    own = block_part(surviving, count)
    noise = found[:, :, 0].var(axis=1, ddof=1).mean() / probes / len(found)
    return block_reading(
        surviving,
        count,
        {
            "all coordinates": block_part(surviving + pruned, count),
            "per parameter": Part(own.value / kept, own.stderr / kept, count),
            "scale-invariant": block_part(scaled, count),
            "error of probes": Part(float(np.sqrt(noise)), 0.0, probes * len(found)),
        },
    )
