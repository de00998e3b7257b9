"""Pictures of what a unit answers to, of two networks beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.interpretability.bits import Table, Trace, unpack
from scratchcard.metrics.interpretability.units import Units


@dataclass(frozen=True, eq=False)
class UnitPicture:
    """A unit on some images, with its concept.

    Attributes:
        unit: Its number in the layer.
        live: Whether it has a most active share; if not, its masks are empty.
        concept: The name of its best concept; "" of a dead unit.
        iou: Of unit and concept, over the whole set.
        images: Numbers of the images in the set [n].
        active: Where it is active, bool [n, H, W].
        named: Where its concept is, bool [n, H, W].
    """

    unit: int
    live: bool
    concept: str
    iou: float
    images: np.ndarray
    active: np.ndarray
    named: np.ndarray


def picture(
    units: Units, table: Table, unit: int, *, images: np.ndarray | None = None, count: int = 5
) -> UnitPicture:
    """A unit on the images to which it answers most.

    Args:
        units: Of a network (``Units.of``).
        table: Of the concept set whose images it was shown.
        unit: Its number.
        images: Show it on these instead, by their numbers.
        count: How many images.
    """
    check_counts(count=count)
    if images is None:
        most = units.maps[unit].max(axis=(1, 2))
        images = np.argsort(-most, kind="stable")[:count]
    concepts = table.concepts
    nothing = np.zeros((len(images), *concepts.size), bool)
    if unit not in units.live:
        return UnitPicture(unit, False, "", 0.0, images, nothing, nothing)
    mask = units.masks(np.array([unit]))[0]
    ious = table.ious(Trace.of(mask))
    best = int(ious.argmax())
    active, named = (unpack(each[images], concepts.size) for each in (mask, table.words[best]))
    return UnitPicture(unit, True, concepts.names[best], float(ious[best]), images, active, named)


def beside(
    dense: Units, sparse: Units, table: Table, *, most: int = 4, count: int = 4
) -> list[tuple[UnitPicture, UnitPicture]]:
    """Units of the dense network and the same of another, on the dense one's images.

    Args:
        dense: Of the dense twin.
        sparse: Of the network, as many.
        table: Of the concept set whose images both were shown.
        most: How many units: the live ones of the dense network that score most.
        count: Images of each unit.
    """
    check_counts(most=most, count=count)
    scores = {u: table.ious(Trace.of(mask)).max() for u, mask in dense.live_masks()}
    found = []
    for unit in sorted(scores, key=lambda u: -scores[u])[:most]:
        own = picture(dense, table, unit, count=count)
        found.append((own, picture(sparse, table, unit, images=own.images)))
    return found


def arrays(pairs: Sequence[tuple[UnitPicture, UnitPicture]], concepts: Concepts) -> dict[str, Any]:
    """Pictures of units as arrays for the report.

    Returns:
        Of U units and n images each: ``units`` and ``ious`` [U, 2], ``pixels`` uint8
        [U, n, C, H, W], the masks ``active`` and ``named`` bool [U, 2, n, h, w], dense first, and
        ``names``: the two concepts of each unit, a line each, as bytes of UTF-8.
    """
    shown = [concepts.images.take(torch.from_numpy(own.images)).floats() for own, _ in pairs]
    names = "\n".join(one.concept for pair in pairs for one in pair)
    return {
        "units": np.array([own.unit for own, _ in pairs]),
        "ious": np.array([[one.iou for one in pair] for pair in pairs]),
        "pixels": (torch.stack(shown) * 255).round().byte().cpu().numpy(),
        "active": np.array([[one.active for one in pair] for pair in pairs]),
        "named": np.array([[one.named for one in pair] for pair in pairs]),
        "names": np.frombuffer(names.encode(), np.uint8).copy(),
    }
