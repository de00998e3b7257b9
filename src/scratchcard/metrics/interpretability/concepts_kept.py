"""Concepts kept, lost and changed from the dense twin to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import nn

from scratchcard.contracts import NotApplicable, Reading
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.interpretability.bits import Table
from scratchcard.metrics.interpretability.dissection import (
    Dissection,
    Replicated,
    of_each,
    part,
    reading,
)
from scratchcard.metrics.interpretability.netdissect import check_threshold
from scratchcard.metrics.interpretability.unit_pictures import arrays, beside
from scratchcard.metrics.interpretability.units import Units
from scratchcard.registry import metric


@metric(
    "concepts-kept",
    title="Concepts kept",
    dimension="interpretability",
    better="higher",
    costly=True,
    caution=(
        "Two trainings of one dense network do not keep their concepts either: units are compared "
        "by their number, which means something only for weights of one origin."
    ),
)
def concepts_kept(
    model: nn.Module,
    dense_model: nn.Module,
    concepts: Mapping[str, Concepts],
    *,
    layer: str = "",
    quantile: float = 0.005,
    threshold: float = 0.04,
    pictures: int = 4,
    batch_size: int = 64,
) -> Reading:
    """The share of the dense network's concept detectors that still detect the same.

    Definition:
        Detectors are found in both networks as by netdissect. A detector of the dense network is
        kept if the same unit, by its number, detects the same concept; changed if it detects
        another one; lost if it detects nothing or is dead. The value is the share that is kept,
        of the detectors in all concept sets. Parts, also for each set: "kept", "changed" and
        "lost" as shares of the dense detectors, "gained" as the share of the dense network's
        other units that detect something now, and "dense detectors", their number.

    Formula:
        |{u : IoU_d(u), IoU_s(u) > 0.04, c_d(u) = c_s(u)}| / |{u : IoU_d(u) > 0.04}|;
        c(u) the concept of the highest IoU(u)

    Motivation:
        Equal numbers of detectors can be other detectors. Pruning leaves a unit its number, so it
        can be seen what became of it.

    Advantages:
        Unit by unit, on the same images, masks and resamples.

    Limitations:
        A unit whose two best concepts are about as good changes by chance, and near the threshold
        units come and go: the error, with both sought anew in every resample, says how much. What
        one unit loses another may gain. Where channels are removed there are no pairs.

    Source:
        Own definition, after Bau et al., "Network Dissection", CVPR 2017.

    Args:
        model: The network; it is left as it is.
        dense_model: The dense twin; it is left as it is.
        concepts: Name of each concept set to its images and masks.
        layer: A module by its name in both; the last that tells places apart if empty.
        quantile: Share of all places at which a unit is active.
        threshold: What a detector exceeds.
        pictures: How many units are kept for the report, on as many images each: those of the
            dense network that match a concept of the first set best.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The layers differ in units, or the dense network has no detector.
        UserError: An option out of range, or a layer that there is not.
        ValueError: There is one image only, or a logit is not a finite number.
    """
    check_threshold(threshold)
    check_counts(pictures=pictures)
    tallies: dict[str, np.ndarray] = {}
    drawn: dict[str, np.ndarray] = {}
    images = 0
    for name, own, counts in of_each(concepts):
        dense, sparse = (
            Units.of(network, own, layer=layer, quantile=quantile, batch_size=batch_size)
            for network in (dense_model, model)
        )
        if dense.layer != sparse.layer or len(dense.maps) != len(sparse.maps):
            raise NotApplicable(
                f"because units have no partners: {dense.layer} of the dense network has "
                f"{len(dense.maps)}, {sparse.layer} of this one {len(sparse.maps)}"
            )
        table = Table(own)
        if not drawn and len(dense.live):
            drawn = arrays(beside(dense, sparse, table, most=pictures, count=pictures), own)
        images += len(own.images)
        tallies[name] = _tally(*(_detected(u, table, counts, threshold) for u in (dense, sparse)))
    whole = np.sum(list(tallies.values()), axis=0)
    if not whole[:3, 0].sum():
        raise NotApplicable(
            f"because no unit of the dense network overlaps a concept by more than {threshold}"
        )
    shares = _shares(whole)
    parts = {label: part(value, images) for label, value in shares.items()}
    for name, tally in tallies.items():
        n = len(concepts[name].images)
        parts |= {f"{name}, {label}": part(value, n) for label, value in _shares(tally).items()}
    return replace(reading(shares["kept"], images, parts), pictures=drawn)


def _detected(units: Units, table: Table, counts: np.ndarray, threshold: float) -> np.ndarray:
    """The concept that each unit, dead ones too, detects, -1 if none, int [U, 1 + R]."""
    found = np.full((len(units.maps), counts.shape[1]), -1)
    if len(units.live):
        own = Dissection.of(units, table, counts)
        found[own.live] = np.where(own.ious > threshold, own.concepts, -1)
    return found


def _tally(dense: np.ndarray, sparse: np.ndarray) -> np.ndarray:
    """How many units kept, changed, lost and gained their concept, and never had one [5, 1 + R]."""
    had, has = dense >= 0, sparse >= 0
    same = dense == sparse
    kinds = (had & same, had & has & ~same, had & ~has, ~had & has, ~had & ~has)
    return np.stack([kind.sum(axis=0) for kind in kinds])


def _shares(tally: np.ndarray) -> dict[str, Replicated]:
    """Parts by their names."""
    kept, changed, lost, gained, never = tally.astype(np.float64)
    had, other = kept + changed + lost, gained + never
    shares = {"kept": kept, "changed": changed, "lost": lost}
    return {
        **{label: count / np.maximum(had, 1) for label, count in shares.items()},
        "gained": gained / np.maximum(other, 1),
        "dense detectors": had,
    }
