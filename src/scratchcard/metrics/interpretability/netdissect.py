"""Network dissection: what the units of a layer detect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import nn

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.attacks.target import share
from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.dissection import (
    Dissection,
    Replicated,
    attainable,
    expected,
    of_each,
    part,
    permuted,
    reading,
)
from scratchcard.metrics.interpretability.matched import matched
from scratchcard.metrics.interpretability.units import Units
from scratchcard.metrics.interpretability.untrained import untrained
from scratchcard.registry import metric

LEVEL = 0.05
"""Share of images' permutations that may be as good as the unit itself."""


@metric(
    "netdissect",
    title="Concept detectors (IoU)",
    version=2,
    dimension="interpretability",
    better="higher",
    unit="",
    paper={"quantile": 0.005, "threshold": 0.04},
    costly=True,
    caution=(
        "Units of an untrained network score, too, and no large concept can: read it beside its "
        "parts untrained, permuted images and bound."
    ),
)
def netdissect(
    model: nn.Module,
    concepts: Mapping[str, Concepts],
    *,
    layer: str = "",
    quantile: float = 0.005,
    threshold: float = 0.04,
    permutations: int = 39,
    batch_size: int = 64,
) -> Reading:
    """How well the units of a layer agree with concepts that have a name.

    Definition:
        A unit (channel) is active where it answers more than at all but 0.5 % of the places in
        all images. Its map is made as large as the concepts' masks (bilinear), and its best
        intersection over union with a concept, over the whole set, is what it scores. The value
        is the mean over live units and concept sets. Dead units, which are above their least
        answer at fewer places than that, are left out and counted.
        Of each set there is a part, and: its categories (the best concept of these alone),
        "detectors" (units above 0.04) and "unique detectors" (concepts that have one); "above
        permutations" (units that at most 5 % of permutations of the images reach) and "permuted
        images", the mean score of these; "bound" and "chance", the largest score and that of
        independent masks for areas as those of unit and concept; "untrained", the same layer with
        weights drawn anew and the same ones missing; "matched quantile", the best agreement if a
        unit may be active on as large an area as the concept, from 0 at chance to 1 (the concept
        is chosen on the layer's own grid); "live units" and "dead units".

    Formula:
        1/L sum_u max_c |M_u and C_c|/|M_u or C_c|;  M_u = up(a_u) > T_u, P(a_u > T_u) = q;
        bound min(m, f)/max(m, f), chance m f/(m + f - m f) for shares m, f of all pixels;
        matched (IoU - chance)/(1 - chance) at q = f

    Motivation:
        A network whose parts stand for what people have words for can be talked about; the paper
        asks whether tickets keep or even gain such parts.

    Advantages:
        No explanation is fitted: images in, masks out. Thresholds are a unit's own, so its scale
        does not matter. Everything is the same for dense and sparse: images, masks, resamples,
        permutations and the untrained twin's weights.

    Limitations:
        It depends on the concepts that are asked for. With 0.5 %, a concept that covers more than
        an eighth of the pixels cannot be detected at all. The best of many concepts is above
        chance for any unit: "permuted images" says by how much, and keeps what a unit owes to its
        place in the image. A direction that no single unit stands for is not seen. Pruned layers
        lose units, and the mean is over those that live: see "dead units". The error is that of
        the images, with thresholds as they are; the best concept is sought anew in every resample.
        Activations of all images are kept, beyond 1 GB of them in a temporary file.

    Source:
        Bau et al., "Network Dissection", CVPR 2017: quantile and threshold. The mean over units
        stands for the paper's radar axis.

    Args:
        model: The network; it is left as it is.
        concepts: Name of each concept set to its images and masks.
        layer: A module by its name in the network; the last that tells places apart if empty.
        quantile: Share of all places at which a unit is active.
        threshold: What a detector exceeds.
        permutations: Of the images, 19 or more.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: No concepts, no layer with places, or no live unit.
        UserError: An option out of range, or a layer that there is not.
        ValueError: There is one image only, or a logit is not a finite number.
    """
    check_counts(permutations=permutations)
    if (permutations + 1) * LEVEL < 1:
        raise UserError(f"permutations must be 19 or more, not {permutations}: 5 % are looked at")
    check_threshold(threshold)
    values: list[Replicated] = []
    parts: dict[str, Part] = {}
    images = 0
    for name, own, counts in of_each(concepts):
        units, twin = (
            Units.of(
                network,
                own,
                layer=layer,
                quantile=quantile,
                batch_size=batch_size,
                checked=network is model,
            )
            for network in (model, untrained(model))
        )
        units.check_alive()
        table = Table(own)
        found = Dissection.of(units, table, counts)
        values.append(found.ious.mean(axis=0))
        n = len(own.images)
        images += n
        parts[name] = part(values[-1], n)
        for label, value in _beside(units, table, counts, found, threshold, permutations):
            parts[f"{name}, {label}"] = value if isinstance(value, Part) else part(value, n)
        if len(twin.live):
            ious = Dissection.of(twin, table, counts).ious
            parts[f"{name}, untrained"] = part(ious.mean(axis=0), n)
    return reading(np.mean(values, axis=0), images, parts)


def check_threshold(threshold: float) -> None:
    """Refuse what is no intersection over union that can be exceeded."""
    if not 0 <= threshold < 1:
        raise UserError(f"threshold = {threshold}, but must be a share, at least 0 and below 1")


def _beside(
    units: Units,
    table: Table,
    counts: np.ndarray,
    found: Dissection,
    threshold: float,
    permutations: int,
) -> Iterator[tuple[str, Replicated | Part]]:
    """What there is to say of one set beside the value."""
    live, dead = len(units.live), len(units.maps) - len(units.live)
    others = permuted(units, table, permutations)
    allowed = int((permutations + 1) * LEVEL)
    bars = np.partition(others, -allowed, axis=1)[:, -allowed, None]
    areas = found.areas[:, None], (table.areas / table.total)[found.concepts]
    yield from zip(found.categories, found.best.mean(axis=0), strict=True)
    yield "detectors", found.detectors(threshold)
    yield "unique detectors", found.unique(threshold)
    yield "above permutations", found.detectors(bars)
    yield "permuted images", share(others.mean(axis=0))
    yield "bound", attainable(*areas).mean(axis=0)
    yield "chance", expected(*areas).mean(axis=0)
    yield "matched quantile", matched(units, table, counts)[1].mean(axis=0)
    yield "live units", Part(float(live), 0.0, live + dead)
    yield "dead units", Part(float(dead), 0.0, live + dead)
