"""Formulas of concepts, per unit: packed bits against the same beam search on whole masks.

Prints a Markdown table: milliseconds of processor time per unit on one thread, medians of rounds
in turn. The peer tallies every formula over all pixels, once on booleans and once on packed bytes,
as public code does; the concepts are those of test images, the units smooth noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product
from statistics import median

import numpy as np
from scipy.ndimage import gaussian_filter

from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts, own_concepts
from scratchcard.metrics.interpretability.bits import Table, Trace, words
from scratchcard.metrics.interpretability.formulas import Search

IMAGES, SIDE, UNITS, SLOW_UNITS, ROUNDS = 1000, 32, 32, 2, 3
LENGTH, BEAM, QUANTILE = 3, 5, 0.005


def main() -> None:
    """Make concepts and units, then time everybody."""
    import torch

    rng = np.random.default_rng(0)
    rough = rng.normal(size=(IMAGES, 3, SIDE, SIDE))
    smooth = gaussian_filter(rough, (0, 0, 2, 2))
    pixels = np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)
    images = Images(torch.from_numpy(pixels), torch.arange(IMAGES) % 10)
    concepts = own_concepts(images, [f"class {k}" for k in range(10)]).informative()
    answers = gaussian_filter(rng.normal(size=(UNITS, IMAGES, SIDE, SIDE)), (0, 0, 2, 2))
    limits = np.quantile(answers, 1 - QUANTILE, axis=(1, 2, 3), keepdims=True)
    units = np.packbits((answers > limits).reshape(UNITS, IMAGES, -1), axis=-1)
    booleans = np.stack([concepts.mask(k).ravel() for k in range(len(concepts.names))])
    flat = concepts.packed.reshape(len(concepts.names), -1)

    def on_bytes(one: np.ndarray) -> float:
        return beam(flat, one.ravel(), lambda mask: int(np.bitwise_count(mask).sum()))

    def on_booleans(one: np.ndarray) -> float:
        return beam(booleans, np.unpackbits(one.ravel()).astype(bool), np.count_nonzero)

    runs: dict[str, tuple[Callable[[], list[float]], int]] = {
        "ours": (lambda: ours(concepts, units), UNITS),
        "every formula on packed bytes": (lambda: [*map(on_bytes, units[:SLOW_UNITS])], SLOW_UNITS),
        "every formula on booleans": (lambda: [*map(on_booleans, units[:SLOW_UNITS])], SLOW_UNITS),
    }
    spent: dict[str, list[float]] = {who: [] for who in runs}
    found: dict[str, list[float]] = {}
    for _, (who, (run, count)) in product(range(ROUNDS), runs.items()):
        started = time.process_time()
        found[who] = run()
        spent[who].append(1000 * (time.process_time() - started) / count)
    for who, ious in found.items():
        assert np.allclose(ious[:SLOW_UNITS], found["ours"][:SLOW_UNITS]), who
    print(f"{len(concepts.names)} concepts, {IMAGES} images of {SIDE} pixels, length {LENGTH}\n")
    print("| beam search | ms per unit | against ours |\n|---|---:|---:|")
    for who, times in spent.items():
        print(f"| {who} | {median(times):.1f} | {median(times) / median(spent['ours']):.0f} |")


def ours(concepts: Concepts, units: np.ndarray) -> list[float]:
    """The best formula's IoU of each unit, by the metric's search."""
    search = Search(Table(concepts), LENGTH, BEAM)
    return [search.best(Trace.of(words(unit)))[-1].iou for unit in units]


def beam(concepts: np.ndarray, unit: np.ndarray, count: Callable[[np.ndarray], int]) -> float:
    """The same by definition: each formula's mask is made and counted whole."""

    def iou(mask: np.ndarray) -> float:
        return count(mask & unit) / max(count(mask | unit), 1)

    kept = sorted(((iou(mask), k) for k, mask in enumerate(concepts)), reverse=True)[:BEAM]
    masks = [concepts[k] for _, k in kept]
    best = kept[0][0]
    for _ in range(LENGTH - 1):
        longer = [
            made
            for mask, other in product(masks, concepts)
            for made in (mask & other, mask | other, mask & ~other)
        ]
        scores = [iou(mask) for mask in longer]
        order = np.argsort(scores)[::-1]
        best = max(best, scores[order[0]])
        masks = [longer[place] for place in order[:BEAM]]
    return best


if __name__ == "__main__":
    main()
