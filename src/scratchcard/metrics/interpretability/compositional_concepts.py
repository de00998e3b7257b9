"""Compositional concepts: the best formula of concepts for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from scratchcard.contracts import Part, Reading
from scratchcard.data.concepts.base import Concepts
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.interpretability.bits import Table, Trace
from scratchcard.metrics.interpretability.dissection import Replicated, of_each, part, reading
from scratchcard.metrics.interpretability.formulas import Formula, Search
from scratchcard.metrics.interpretability.units import Units
from scratchcard.metrics.interpretability.untrained import untrained
from scratchcard.registry import metric
from scratchcard.seeds import numpy_stream


@metric(
    "compositional-concepts",
    title="Compositional concepts (IoU)",
    dimension="interpretability",
    better="higher",
    unit="",
    paper={"quantile": 0.005, "length": 3, "beam": 5},
    costly=True,
    caution=(
        "A search among thousands of formulas finds something for any unit: read it beside its "
        "parts untrained and permuted images."
    ),
)
def compositional_concepts(
    model: nn.Module,
    concepts: Mapping[str, Concepts],
    *,
    layer: str = "",
    quantile: float = 0.005,
    length: int = 3,
    beam: int = 5,
    batch_size: int = 64,
) -> Reading:
    """How well units agree with formulas of concepts, such as (blue OR top) AND NOT car.

    Definition:
        Units are active as in netdissect. The best concept of a unit is put together with
        another by AND, OR or AND NOT, and the best of that with a third: a beam search that makes
        the five best formulas longer by every concept. The value is the mean intersection over
        union of unit and best formula, over live units and concept sets.
        Of each set there is a part, and: "length 1", the best single concepts; "gain", what
        formulas add to it; "permuted images", the same search where units are shown other images
        than the concepts, in one random order; "untrained", that of the layer with weights drawn
        anew and the same ones missing.

    Formula:
        1/L sum_u max_F |M_u and F|/|M_u or F|;  F = c, F' AND c, F' OR c or F' AND NOT c, of at
        most three concepts; M_u as in netdissect

    Motivation:
        Units seldom stand for one word. A formula says what a unit does that answers to a thing
        in one place, or to two things; the paper compares tickets by it.

    Advantages:
        Exact counts on packed bits, a few milliseconds for a unit; nothing is drawn at random. The
        formulas can be read (``best_formulas``).

    Limitations:
        Longer formulas never score less, so lengths do not compare; neither do sets of more and
        fewer concepts. OR joins what has nothing in common. The beam can miss the best formula.
        The error is that of the images, with formulas and thresholds as they were found.
        See netdissect for what it shares with this.

    Source:
        Mu and Andreas, "Compositional Explanations of Neurons", NeurIPS 2020: operators, length 3,
        beam 5, no penalty of length. The mean over units stands for the paper's radar axis.

    Args:
        model: The network; it is left as it is.
        concepts: Name of each concept set to its images and masks.
        layer: A module by its name in the network; the last that tells places apart if empty.
        quantile: Share of all places at which a unit is active.
        length: Of the longest formula, in concepts.
        beam: How many formulas are made longer.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: No concepts, no layer with places, or no live unit.
        UserError: An option out of range, or a layer that there is not.
        ValueError: There is one image only, or a logit is not a finite number.
    """
    check_counts(length=length, beam=beam)
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
        search, itself = Search(Table(own), length, beam), np.arange(len(own.images))
        single, best = _ious(units, search, counts, itself)
        values.append(best)
        shown = {name: best, f"{name}, length 1": single, f"{name}, gain": best - single}
        order = numpy_stream(0, "permuted images").permutation(itself)
        shown[f"{name}, permuted images"] = _ious(units, search, counts, order)[1]
        if len(twin.live):
            shown[f"{name}, untrained"] = _ious(twin, search, counts, itself)[1]
        parts |= {label: part(value, len(itself)) for label, value in shown.items()}
        images += len(itself)
    return reading(np.mean(values, axis=0), images, parts)


@dataclass(frozen=True)
class Explained:
    """What a unit stands for.

    Attributes:
        unit: Its number.
        text: Its best formula.
        iou: Of unit and formula.
        concept: Its best single concept.
        concept_iou: Of unit and concept.
    """

    unit: int
    text: str
    iou: float
    concept: str
    concept_iou: float


def best_formulas(
    units: Units, concepts: Concepts, *, length: int = 3, beam: int = 5
) -> list[Explained]:
    """The best formula of every live unit, in the order of the units.

    Args:
        units: Of a network (``Units.of``).
        concepts: The set whose images it was shown.
        length: Of the longest formula, in concepts.
        beam: How many formulas are made longer.
    """
    check_counts(length=length, beam=beam)
    search, explained = Search(Table(concepts), length, beam), []
    for unit, mask in units.live_masks():
        ladder = search.best(Trace.of(mask))
        (one, one_iou), (best, iou) = (
            (found.formula.text(concepts.names), found.iou) for found in (ladder[0], ladder[-1])
        )
        explained.append(Explained(unit, best, iou, one, one_iou))
    return explained


def _ious(
    units: Units, search: Search, counts: np.ndarray, order: np.ndarray
) -> tuple[Replicated, Replicated]:
    """Mean over live units, by their best single concepts and their best formulas.

    Args:
        units: Of the network.
        search: Among the formulas of a concept set.
        counts: Of each image, from ``dissection.repeats`` [N, 1 + R].
        order: The image whose concepts a unit is compared with, for each image it is shown [N].
    """
    single, best = [], []
    for _, mask in units.live_masks():
        shown = np.empty_like(mask)
        shown[order] = mask
        ladder = search.best(Trace.of(shown))
        single.append(_resampled(shown, ladder[0].formula, search.table, counts))
        best.append(_resampled(shown, ladder[-1].formula, search.table, counts))
    return np.mean(single, axis=0), np.mean(best, axis=0)


def _resampled(mask: np.ndarray, formula: Formula, table: Table, counts: np.ndarray) -> Replicated:
    """Intersection over union of a unit's mask [N, W] with a formula [1 + R]."""
    other = formula.mask(table.words)
    inside, either = (
        np.bitwise_count(each).sum(axis=1, dtype=np.float64) @ counts
        for each in (mask & other, mask | other)
    )
    return np.asarray(inside / np.maximum(either, 1))
