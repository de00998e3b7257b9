"""Which test images pruning makes networks forget: dense ones are right, sparse ones are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from scratchcard.results import Results, Rung, Share
from scratchcard.verdict import accuracy_label

MOST = 12
"""Images on a contact sheet."""


@dataclass(frozen=True)
class Forgotten:
    """A test image, and how many networks of either kind get it right."""

    index: int
    dense: Share
    sparse: Share


def most_forgotten(results: Results) -> Mapping[Rung, tuple[Forgotten, ...]]:
    """The images that lose most at each rung, the most damaged first; rungs without any are absent.

    An image's damage is the share of dense networks that are right less that of the contenders'
    tickets, over methods and seeds; ties go by index.
    """
    label = accuracy_label(results)
    if label is None:
        return {}
    dense: dict[tuple[str, str], list[np.ndarray]] = {}
    sparse: dict[Rung, list[np.ndarray]] = {}
    for measured in results.networks:
        who, reading = measured.network, measured.readings.get(label)
        if reading is None or reading.examples is None or who.method in results.controls:
            continue
        if who.method == "dense":
            dense.setdefault((who.data, who.model), []).append(reading.examples)
        else:
            sparse.setdefault(Rung(who.data, who.model, who.target), []).append(reading.examples)
    found = {
        rung: tuple(_worst(dense[rung[:2]], tickets))
        for rung, tickets in sparse.items()
        if rung[:2] in dense
    }
    return {rung: images for rung, images in found.items() if images}


def _worst(dense: list[np.ndarray], sparse: list[np.ndarray]) -> Iterable[Forgotten]:
    """The most damaged images of networks given by what each gets right [N], 0 or 1."""
    before, after = (np.sum(right, axis=0).astype(np.int64) for right in (dense, sparse))
    # Whole numbers, so that equal shares are ties whatever the counts are.
    damage = before * len(sparse) - after * len(dense)
    for i in np.argsort(-damage, kind="stable")[:MOST]:
        if damage[i] > 0:
            yield Forgotten(
                int(i), Share(int(before[i]), len(dense)), Share(int(after[i]), len(sparse))
            )
