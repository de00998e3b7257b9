"""What corrupted images share: a value of each image in each cell, a kind at a severity, and sums.

A part of a reading, and its value, are weighted sums over the cells, with weights [C, S].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.contracts import ErrorRates, Part, Reading
from scratchcard.contracts.corruptions import FAMILIES, SEVERITIES, STANDARD
from scratchcard.probe import Predictions
from scratchcard.stats import mean_reading

Weights = Mapping[str, np.ndarray]
"""Label of a part to its weights [C, S]."""
PIECE = 2**22
"""Logits looked at at once: a network's 75 cells may be larger than the memory."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What every image got in every cell.

    Attributes:
        kinds: C of them: the fifteen standard ones in their order, then others by name.
        values: [C, S, ..., N], severities rising.
        labels: Of the images [N]; each cell holds the same ones.
    """

    kinds: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray


def cells_of(
    corrupted_logits: Mapping[str, tuple[Predictions, ...]],
    value: Callable[[Predictions], np.ndarray],
) -> Cells:
    """One value of every image in every cell; each kind is looked up once.

    Args:
        corrupted_logits: Kind to Predictions of severities 1 to 5.
        value: From predictions on some images to values [..., N].

    Raises:
        ValueError: A standard kind is missing, a kind has not five severities, or a cell holds
            other images than another.
    """
    check_standard("corrupted_logits", corrupted_logits)
    kinds = (*STANDARD, *sorted(set(corrupted_logits) - set(STANDARD)))
    labels, values = None, []
    for kind in kinds:
        cells = corrupted_logits[kind]
        if len(cells) != len(SEVERITIES):
            raise ValueError(f"{kind} has {len(cells)} severities, but must have 1 to 5")
        labels = cells[0].labels if labels is None else labels
        for severity, cell in zip(SEVERITIES, cells, strict=True):
            if not np.array_equal(cell.labels, labels):
                raise ValueError(
                    f"{kind} at severity {severity} is not of the same images as {kinds[0]} at "
                    f"severity 1: {len(cell)} labels, {len(labels)} there, or other ones"
                )
        values.append(np.stack([_in_pieces(cell, value) for cell in cells]))
    assert labels is not None
    return Cells(kinds, np.stack(values), labels)


def _in_pieces(cell: Predictions, value: Callable[[Predictions], np.ndarray]) -> np.ndarray:
    """The value of every image, without what ``Predictions`` remember of all of them."""
    size = max(1, PIECE // cell.classes)
    found = [
        value(Predictions(cell.logits[first : first + size], cell.labels[first : first + size]))
        for first in range(0, len(cell), size)
    ]
    return np.concatenate(found, axis=-1)


def errors_of(corrupted_logits: Mapping[str, tuple[Predictions, ...]]) -> Cells:
    """Whether every image is told wrongly in every cell, bool [C, S, N]; see ``cells_of``."""
    return cells_of(corrupted_logits, lambda p: ~p.correct)


def check_standard(what: str, kinds: Collection[str]) -> None:
    """Raise a ``ValueError`` that names the standard kinds that are missing."""
    missing = [kind for kind in STANDARD if kind not in kinds]
    if missing:
        raise ValueError(f"{what} lacks {', '.join(missing)}; the mean is over 15 kinds")


def rates_of(baseline: ErrorRates, kinds: Sequence[str]) -> np.ndarray:
    """Error rates of the baseline [C, S]; NaN for a kind beyond the standard it does not have.

    Raises:
        ValueError: A standard kind is missing, or a kind has not five severities.
    """
    check_standard("corruption_baseline", baseline.corrupted)
    unknown = (float("nan"),) * len(SEVERITIES)
    found = {kind: baseline.corrupted.get(kind, unknown) for kind in kinds}
    for kind, rates in found.items():
        if len(rates) != len(SEVERITIES):
            raise ValueError(f"the baseline has {len(rates)} error rates of {kind}, not 5")
    return np.array(list(found.values()))


def overall(kinds: Sequence[str]) -> np.ndarray:
    """Equal weights of all standard cells [C, S]."""
    return _equal(kinds, slice(len(STANDARD)))


def by_kind(kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Equal weights within each family and each kind.

    >>> list(by_kind(STANDARD))[:5]
    ['noise', 'blur', 'weather', 'digital', 'gaussian_noise']
    """
    rows = {name: [kinds.index(k) for k in own if k in kinds] for name, own in FAMILIES.items()}
    families = {name: _equal(kinds, own) for name, own in rows.items() if own}
    return families | {kind: _equal(kinds, row) for row, kind in enumerate(kinds)}


def by_severity(kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Equal weights of the standard kinds at each severity, labelled ``severity 1`` and so on."""
    standard = slice(len(STANDARD))
    return {f"severity {s}": _equal(kinds, standard, s - SEVERITIES[0]) for s in SEVERITIES}


def by_cell(kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Each cell alone, labelled ``fog 1`` and so on."""
    return {
        f"{kind} {s}": _equal(kinds, row, s - SEVERITIES[0])
        for row, kind in enumerate(kinds)
        for s in SEVERITIES
    }


def _equal(
    kinds: Sequence[str], rows: int | slice | list[int], columns: int | slice = slice(None)
) -> np.ndarray:
    weights = np.zeros((len(kinds), len(SEVERITIES)))
    weights[rows, columns] = 1
    return np.asarray(weights / weights.sum())


def divided(weights: Weights, by: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of ratios; a part with nothing to divide by in one of its cells is left out.

    Args:
        weights: By label.
        by: The denominators [C, S] or [C, 1]; only those above 0 divide.

    >>> weights = {"both": np.array([[0.5, 0.5]]), "first": np.array([[1.0, 0.0]])}
    >>> divided(weights, np.array([[2, 0]]))
    {'first': array([[0.5, 0. ]])}
    """
    return {
        label: ratio(own, by)
        for label, own in weights.items()
        if (np.broadcast_to(by, own.shape)[own > 0] > 0).all()
    }


def ratio(weights: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Weights [C, S] divided by [C, S] or [C, 1], whatever that is where a weight is 0."""
    return np.asarray(np.divide(weights, by, out=np.zeros_like(weights), where=weights > 0))


def combine(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sum over cells of weights [C, S] times values [C, S, ...]."""
    used = weights != 0
    return np.asarray(np.tensordot(weights[used], values[used], axes=1))


def weighted_reading(values: np.ndarray, whole: np.ndarray, parts: Weights) -> Reading:
    """A reading that is the mean over images of weighted sums over the cells.

    Args:
        values: Of images in cells [C, S, N], N at least 2.
        whole: Weights of the value.
        parts: Weights of the parts.
    """
    own = {label: _part(combine(weights, values)) for label, weights in parts.items()}
    return mean_reading(combine(whole, values), parts=own)


def _part(examples: np.ndarray) -> Part:
    reading = mean_reading(examples)
    return Part(reading.value, reading.stderr, reading.n)
