"""Units against concepts: how well they overlap, with errors, chance, and a permutation test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.interpretability.bits import Table, Trace
from scratchcard.metrics.interpretability.units import Units
from scratchcard.seeds import numpy_stream
from scratchcard.stats import resamples

Replicated = np.ndarray
"""A number, followed by what it is on every resample of the images: float64 [..., 1 + R]."""


def repeats(strata: Sequence[int]) -> list[np.ndarray]:
    """How often each image counts: once, and then in every resample; of each set [N, 1 + R]."""
    drawn = [np.arange(sum(strata)), *resamples(strata)]
    counts = np.stack([np.bincount(index, minlength=sum(strata)) for index in drawn], axis=1)
    return np.split(counts.astype(np.float64), np.cumsum(strata)[:-1])


def part(value: Replicated, images: int) -> Part:
    """A component that is known on every resample of so many images."""
    return Part(float(value[0]), float(value[1:].std(ddof=1)), images)


def reading(value: Replicated, images: int, parts: Mapping[str, Part]) -> Reading:
    """A reading of what is known on every resample of so many images."""
    whole = part(value, images)
    return Reading(whole.value, whole.stderr, images, parts=parts, replicates=value[1:])


@dataclass(frozen=True, eq=False)
class Dissection:
    """What the live units of a layer agree with best.

    Attributes:
        live: Their numbers [L].
        areas: Share of all pixels in which each is active [L].
        categories: Of the concepts, each once [C].
        best: Intersection over union with the best concept of each category [L, C, 1 + R].
        concepts: Number of the best concept of all [L, 1 + R].
    """

    live: np.ndarray
    areas: np.ndarray
    categories: tuple[str, ...]
    best: Replicated
    concepts: np.ndarray

    @classmethod
    def of(cls, units: Units, table: Table, counts: np.ndarray) -> Dissection:
        """Compare every live unit with every concept.

        Args:
            units: Of the network.
            table: Of the concept set whose images it was shown.
            counts: Of each image, from ``repeats`` [N, 1 + R].
        """
        kinds = table.concepts.categories
        categories = tuple(dict.fromkeys(kinds))
        own = [np.array([kind == one for kind in kinds]) for one in categories]
        areas, best, chosen = [], [], []
        covered = table.counts.astype(np.float64) @ counts
        for _, mask in units.live_masks():
            trace = Trace.of(mask)
            images, shared = table.shared_by_image(trace)
            inside = shared.T.astype(np.float64) @ counts[images]
            active = np.bitwise_count(mask[images]).sum(axis=1, dtype=np.float64) @ counts[images]
            ious = inside / np.maximum(active + covered - inside, 1)
            areas.append(trace.area / table.total)
            best.append(np.stack([ious[some].max(axis=0) for some in own]))
            chosen.append(ious.argmax(axis=0))
        return cls(units.live, np.array(areas), categories, np.stack(best), np.stack(chosen))

    @cached_property
    def ious(self) -> Replicated:
        """Intersection over union with the best concept of all [L, 1 + R]."""
        return np.asarray(self.best.max(axis=1))

    def detectors(self, threshold: float | np.ndarray) -> Replicated:
        """How many units are above a threshold, of all or of each [L, 1], [1 + R]."""
        return np.asarray((self.ious > threshold).sum(axis=0), np.float64)

    def unique(self, threshold: float) -> Replicated:
        """How many concepts have a detector [1 + R]."""
        found = zip(self.concepts.T, (self.ious > threshold).T, strict=True)
        return np.array([len(np.unique(own[yes])) for own, yes in found], np.float64)


def permuted(units: Units, table: Table, permutations: int) -> np.ndarray:
    """What units agree with best if they are shown other images than the concepts [L, P].

    Whole images change places: a unit keeps its areas and its places in the image, so a concept
    that is at the same place in all images keeps what it has.
    """
    stream = numpy_stream(0, "permuted images")
    orders = [stream.permutation(units.maps.shape[1]) for _ in range(permutations)]
    return np.array(
        [
            [table.ious(table.moved(trace, order)).max() for order in orders]
            for trace in (Trace.of(mask) for _, mask in units.live_masks())
        ]
    )


def expected(m: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Intersection over union of independent masks that cover these shares of all pixels.

    >>> float(expected(np.array(0.5), np.array(0.5)).round(4))
    0.3333
    """
    return _ratio(m * f, m + f - m * f)


def attainable(m: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The largest intersection over union of masks that cover these shares of all pixels.

    >>> float(attainable(np.array(0.005), np.array(0.29)).round(4))
    0.0172
    """
    return _ratio(np.minimum(m, f), np.maximum(m, f))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Their quotient; 0 of nothing."""
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0))


def check_sets(sets: Mapping[str, Concepts]) -> None:
    """Refuse to compare with nothing."""
    if not any(len(concepts.names) for concepts in sets.values()):
        raise NotApplicable("because no set of concepts was named")


def of_each(sets: Mapping[str, Concepts]) -> Iterator[tuple[str, Concepts, np.ndarray]]:
    """Sets with concepts, by their names, and how often each of their images counts.

    Raises:
        ValueError: There is a single image, whose resamples do not differ.
    """
    check_sets(sets)
    # By name: the bootstrap must not depend on their order.
    full = {name: concepts for name, concepts in sorted(sets.items()) if len(concepts.names)}
    counts = repeats([len(concepts.images) for concepts in full.values()])
    for (name, concepts), own in zip(full.items(), counts, strict=True):
        yield name, concepts, own
