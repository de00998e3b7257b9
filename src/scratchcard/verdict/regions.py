"""The paper's regions: I keeps up with dense, II falls behind, III has nothing left to judge.

By accuracy as in the paper, and by every other metric on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from scratchcard.contracts import Reading
from scratchcard.results import Measured, Results
from scratchcard.verdict.compare import Comparison, accuracy_label, pairs_of

Region = Literal["I", "II", "III"]

PAPER_TOLERANCE = 0.01
"""Region I ends where accuracy is this far below dense (read off the paper's figures)."""
ROUNDING = 1e-12
"""What sums of equal numbers may differ by."""


def region_of(results: Results, members: Sequence[Measured]) -> Region | None:
    """The region of a ticket by mean accuracy; None if it was not read of any pair.

    Region III has a collapsed layer or an accuracy at chance; the paper leaves it undefined.
    """
    if any(measured.collapsed for measured in members):
        return "III"
    read = pairs_of(results, members, accuracy_label(results) or "")
    if not read:
        return None
    dense, sparse = (fmean(pair[side].value for pair in read) for side in (0, 1))
    if sparse <= chance_level(read[0][1]):
        return "III"
    return "I" if sparse >= dense - PAPER_TOLERANCE - ROUNDING else "II"


def metric_regions(
    results: Results, comparisons: Mapping[str, Comparison], region: Region | None
) -> dict[str, Region]:
    """The region by each metric that votes: I if the mean loses no more than the margin, else II.

    Accuracy keeps the paper's tolerance, whatever its margin. At chance, or with a collapsed
    layer, every metric is in region III: a constant predictor is well calibrated and flat.

    Args:
        results: The study.
        comparisons: Those of the ticket.
        region: The ticket's, by accuracy.
    """
    own: dict[str, Region] = {
        label: "I" if c.d >= -c.margin - ROUNDING else "II"
        for label, c in comparisons.items()
        if c.margin is not None
    }
    if region == "III":
        return dict.fromkeys(own, region)
    accuracy = accuracy_label(results)
    if region is not None and accuracy in own:
        own[accuracy] = region
    return own


def chance_level(accuracy: Reading) -> float:
    """Two standard errors above what always naming the commonest class would score.

    The classes are the reading's parts; without them nothing is called chance.
    """
    if len(accuracy.parts) < 2:
        return -math.inf
    sizes = [part.n for part in accuracy.parts.values()]
    share = max(sizes) / sum(sizes)
    return share + 2 * math.sqrt(share * (1 - share) / accuracy.n)
