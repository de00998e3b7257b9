"""Several barriers as one number: the mean over the lines from a network to others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading


def mean_barrier(lines: Mapping[str, Reading], absent: str) -> Reading:
    """The mean of barriers, resample by resample of the same images, with each as parts.

    Args:
        lines: Where each line leads to its barrier.
        absent: Why there may be none.

    Raises:
        NotApplicable: There is no line.
    """
    if not lines:
        raise NotApplicable(absent)
    drawn = np.mean([np.asarray(line.replicates) for line in lines.values()], axis=0)
    parts = {label: Part(line.value, line.stderr, line.n) for label, line in lines.items()}
    parts |= {f"{label}, loss": line.parts["barrier, loss"] for label, line in lines.items()}
    return Reading(
        value=float(np.mean([line.value for line in lines.values()])),
        stderr=float(drawn.std(ddof=1)),
        n=min(line.n for line in lines.values()),
        parts=parts,
        replicates=drawn,
    )
