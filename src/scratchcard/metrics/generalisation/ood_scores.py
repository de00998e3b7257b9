"""How sure a network is of an image, in four ways, and what tells test images from foreign ones.

The ways are options of the metrics beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np

from scratchcard.contracts import Part, Reading, UserError
from scratchcard.probe import Predictions
from scratchcard.stats import statistic_reading

Score = Literal["max-softmax", "max-logit", "energy", "entropy"]
"""How sureness is told from logits; the paper's is the first."""

Separation = Callable[[np.ndarray, np.ndarray], float]
"""Of counts of the surer kind and of the other kind of images [R], at each score, rising."""


def sureness(logits: np.ndarray, score: Score) -> np.ndarray:
    """How sure a network is, float64 [N], of logits [N, K]; only the order means something.

    Raises:
        UserError: An unknown score.

    >>> z = np.array([[3.0, 1.0], [2.0, -2.0]])
    >>> sureness(z, "max-logit").tolist(), sureness(z, "max-softmax").tolist()
    ([3.0, 2.0], [2.0, 4.0])
    """
    if score not in get_args(Score):
        known = ", ".join(f'"{name}"' for name in get_args(Score))
        raise UserError(f'score must be one of {known}, not "{score}"')
    if score == "max-softmax":
        return log_odds(logits)
    if score == "max-logit":
        return np.asarray(logits.max(axis=1).astype(np.float64))
    if score == "energy":
        return _log_sum_exp(logits.astype(np.float64))
    return -log_entropy(logits)


def log_odds(logits: np.ndarray) -> np.ndarray:
    """The confidence p as log p/(1 - p), float64 [N], of logits [N, K]."""
    z = logits.astype(np.float64)
    rows, top = np.arange(len(z)), z.argmax(axis=1)
    largest = z[rows, top]
    z[rows, top] = -np.inf
    return np.asarray(largest - _log_sum_exp(z))


def log_entropy(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the entropy of softmax, float64 [N], of logits [N, K].

    The entropy itself would be 0, and tied, wherever one logit leads by more than 745.
    """
    z = np.sort(logits.astype(np.float64), axis=1)
    lead = log_odds(logits)
    top = -np.logaddexp(0, -lead)
    near = np.minimum(lead, 40)  # beyond it -log p of the top class is exp(-lead) to the last bit
    surprise = np.log(np.logaddexp(0, -near)) - (lead - near)
    others = z[:, :-1] - z[:, -1:] + top[:, None]
    return _log_sum_exp(np.column_stack([others + np.log(-others), top + surprise]))


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    """Of float64 rows [N, K], without overflow."""
    largest = z.max(axis=1)
    return np.asarray(largest + np.log(np.exp(z - largest[:, None]).sum(axis=1)))


def compare(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    score: Score,
    separation: Separation,
    *,
    parts: Mapping[str, Part] | None = None,
) -> Reading:
    """What ``separation`` makes of the test images and each foreign set, and the mean over sets.

    Args:
        logits: Predictions on the test split.
        ood_logits: Name of each foreign set to its logits [M, K].
        score: How sureness is told.
        separation: The statistic; test images are the surer kind.
        parts: Components known beforehand.

    Returns:
        A reading with a part for every set, over resamples of test and foreign images.

    Raises:
        ValueError: No foreign set, an empty one, or logits that are not finite.
        UserError: An unknown score.
    """
    if not ood_logits:
        raise ValueError("this metric needs at least one out-of-distribution set")
    for name, foreign in ood_logits.items():
        if foreign.ndim != 2 or not len(foreign) or foreign.shape[1] != logits.classes:
            raise ValueError(f'set "{name}": logits {foreign.shape}, not [M, {logits.classes}]')
        if not np.isfinite(foreign).all():
            raise ValueError(f'set "{name}": some logits are infinite or not a number')
    n = len(logits)
    own = sureness(logits.logits, score)
    ranks = [_ranks(own, sureness(foreign, score)) for foreign in ood_logits.values()]
    ends = np.cumsum([n, *(len(foreign) for foreign in ood_logits.values())])

    def statistic(index: np.ndarray) -> np.ndarray:
        return np.array(
            [
                separation(*_counts(mine[index[:n]], theirs[index[start:end] - start]))
                for (mine, theirs), start, end in zip(ranks, ends[:-1], ends[1:], strict=True)
            ]
        )

    sizes = {name: len(foreign) for name, foreign in ood_logits.items()}
    return statistic_reading(statistic, [n, *sizes.values()], components=sizes, parts=parts)


def foreign_first(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    score: Score,
    separation: Separation,
) -> dict[str, Part]:
    """Parts of the other convention: foreign images are what is to be found."""

    def turned(own: np.ndarray, foreign: np.ndarray) -> float:
        return separation(foreign[::-1], own[::-1])

    reading = compare(logits, ood_logits, score, turned)
    return {f"{name}, foreign positive": part for name, part in reading.parts.items()}


def tally(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of either kind have each score that occurs, scores rising.

    >>> [counts.tolist() for counts in tally(np.array([1.0, 2.0]), np.array([1.0, 0.0]))]
    [[0, 1, 1], [1, 1, 0]]
    """
    return _counts(*_ranks(inside, outside))


def _ranks(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense ranks in the union: sorted once, after which a resample costs only counting."""
    _, ranks = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    return ranks[: len(inside)], ranks[len(inside) :]


def _counts(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tallies of ranks, of one length."""
    length = max(inside.max(), outside.max()) + 1
    return np.bincount(inside, minlength=length), np.bincount(outside, minlength=length)
