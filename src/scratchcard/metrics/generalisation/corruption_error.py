"""Mean error on corrupted images."""

from __future__ import annotations

from collections.abc import Mapping

from scratchcard.contracts import Reading
from scratchcard.metrics.generalisation.corruption_scores import (
    by_cell,
    by_kind,
    by_severity,
    errors_of,
    overall,
    weighted_reading,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric


@metric(
    "corruption-error",
    title="Corruption error",
    dimension="generalisation",
    better="lower",
    caution=(
        "Sets that are made here follow the protocol of CIFAR-C, but are not CIFAR-10-C: their "
        "draws and frost differ."
    ),
)
def corruption_error(corrupted_logits: Mapping[str, tuple[Predictions, ...]]) -> Reading:
    """Mean error over the fifteen standard kinds of natural corruption and five severities.

    Definition:
        The share of wrong answers in each of 75 cells, a kind at a severity, and their plain
        mean. Every cell is a part ("fog 3"), and so are every kind, every family (noise, blur,
        weather, digital) and every severity. The four extra kinds are parts where a study has
        them, alone and together ("extra"), and enter no mean.

    Formula:
        E_cs = 1/N sum_i [argmax_k z_k(x_i^cs) != y_i];  value = 1/75 sum_c sum_s E_cs

    Motivation:
        A network in use meets noise, blur, fog and compression; pruning often costs accuracy
        there before it costs any on clean images.

    Advantages:
        No baseline and no division; it is what the authors advise on CIFAR. Each image is seen in
        all cells and gives one number, so differences of networks are paired and the error bar
        counts images, not the 75 N correlated answers.

    Limitations:
        Kinds at which every network errs weigh most; mce weighs them by a baseline. It contains
        the clean error; mce-relative takes that off. Severities are not comparable between kinds,
        nor always rising in difficulty (glass blur, elastic transform). Of sets made here frost
        comes from computed textures, not from the official photographs, and every draw is its
        own: compare only with numbers from the same images.

    Source:
        Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
        and Perturbations", ICLR 2019; on CIFAR unnormalised, as the authors advise in
        hendrycks/robustness, issue 28. The code of Chen et al., TMLR 2022, stores the accuracies
        of all files in a folder, whichever these are.

    Args:
        corrupted_logits: Kind to Predictions at severities 1 to 5.

    Raises:
        ValueError: A standard kind is missing, or cells hold different images.

    >>> import numpy as np
    >>> from scratchcard.contracts.corruptions import STANDARD
    >>> z = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32)
    >>> one_wrong = Predictions(z, np.array([0, 0, 0, 1]))
    >>> corruption_error({kind: (one_wrong,) * 5 for kind in STANDARD}).value
    0.25
    """
    cells = errors_of(corrupted_logits)
    kinds = cells.kinds
    parts = by_kind(kinds) | by_severity(kinds) | by_cell(kinds)
    return weighted_reading(cells.values, overall(kinds), parts)
