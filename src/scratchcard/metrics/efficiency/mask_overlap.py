"""Overlap of masks: whether two methods keep the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.masks import Masks
from scratchcard.registry import metric


@metric(
    "mask-overlap",
    title="Overlap with other masks",
    dimension="efficiency",
    better="higher",
    caution="Neither end is better: it says whether methods agree, not whether they are right.",
)
def mask_overlap(masks: Masks, other_masks: Mapping[str, Masks]) -> Reading:
    """How far the weights that a network keeps are those that other methods keep.

    Definition:
        The Jaccard index of the kept weights with those of each other method of the study at the
        same sparsity and seed, a part each; the value is their mean.

    Formula:
        J(A, B) = |A and B| / |A or B|; by chance, at a common density d, about d / (2 - d).

    Motivation:
        Methods of equal accuracy may have found one network or many.

    Advantages:
        Exact, symmetric, and 1 only for equal masks.

    Limitations:
        Networks that are equal but for the order of their hidden units overlap by chance only.
        Methods that agree on the densities of layers overlap more than chance without agreeing on
        a single weight.

    Source:
        Jaccard, "The Distribution of the Flora in the Alpine Zone", New Phytologist 1912.

    Args:
        masks: Of the network.
        other_masks: Of the others, by the label of their method.
    """
    if not other_masks:
        raise NotApplicable("no other method of the study has a mask at this sparsity")
    parts = {
        label: Part(masks.overlap(other), 0.0, masks.total) for label, other in other_masks.items()
    }
    return Reading(fmean(part.value for part in parts.values()), 0.0, masks.total, parts=parts)
